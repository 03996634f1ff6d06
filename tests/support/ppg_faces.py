"""Synthetic skin traces with a pulse of known rate, and a flat face, for tests of PPG."""

import numpy as np

from deepfake_uncertainty.signals import ppg

# Relative strength of the pulse in R, G, B (de Haan & van Leest 2014).
PULSE_COLOUR = np.array([0.33, 0.77, 0.53])


def blood(bpm, fps, n):
    """Return the blood volume (n,) of a sine pulse of `bpm` beats/min at `fps` frames/s."""
    return np.sin(2 * np.pi * bpm / 60 * np.arange(n) / fps)


def trace(bpm=72.0, fps=25.0, n=256, strength=0.01, noise=0.05, seed=0):
    """Return a skin trace (n, 3): more blood is darker, and the light drifts by a tenth."""
    rng = np.random.default_rng(seed)
    light = 1 + 0.1 * np.sin(2 * np.pi * 0.1 * np.arange(n) / fps)
    pulse = 1 - strength * blood(bpm, fps, n)[:, None] * PULSE_COLOUR
    skin = np.array([180.0, 130.0, 105.0]) * pulse
    return light[:, None] * skin + rng.normal(0, noise, (n, 3))


def region_traces(n=64, **options):
    """Return traces (n, 32, 3), each with its own noise; the options are those of `trace`."""
    return np.stack([trace(n=n, seed=k, **options) for k in range(ppg.REGIONS)], axis=1)


def flat_face(n=3):
    """Return landmarks (n, 468, 2) in crops of 96 px whose grid lines are straight.

    The left contour is at x = 10, the right one at x = 86.
    """
    landmarks = np.zeros((n, 468, 2), np.float32)
    for row, line in enumerate(ppg.LINES):
        y = 8 + 10 * row
        landmarks[:, list(line)] = [(10, y), (48, y), (86, y)]
    return landmarks
