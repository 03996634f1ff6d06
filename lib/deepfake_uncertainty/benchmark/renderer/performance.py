"""Performance: how a head moves, speaks and blinks, its muscle tremor and its pulse."""

from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d


def wander(rng: np.random.Generator, n: int, fps: float, seconds: float) -> np.ndarray:
    """Return smooth noise about 0, (n,), correlated over `seconds`.

    Its expected standard deviation is 1.
    """
    sigma = seconds * fps
    pad = int(4 * sigma) + 1
    smooth = gaussian_filter1d(rng.standard_normal(n + 2 * pad), sigma)[pad : pad + n]
    return smooth * np.sqrt(2 * sigma * np.sqrt(np.pi))


def speech(rng: np.random.Generator, n: int, fps: float) -> np.ndarray:
    """Return the mouth opening (n,) in [0, 1]: syllables at 3 to 5 Hz in phrases of 1 to 2 s."""
    t = np.arange(n) / fps
    phase = 2 * np.pi * np.cumsum(rng.uniform(3, 5) * (1 + 0.25 * wander(rng, n, fps, 0.4))) / fps
    phrases = 1 / (1 + np.exp(-6 * (wander(rng, n, fps, 0.5) + rng.uniform(-0.2, 0.8))))
    loudness = np.clip(0.6 + 0.35 * wander(rng, n, fps, 0.15), 0.1, 1.2)
    syllables = 0.5 - 0.5 * np.cos(phase + 2 * np.pi * rng.random() + 0 * t)
    return np.clip(phrases * loudness * syllables * rng.uniform(0.5, 1.0), 0, 1)


def blinks(rng: np.random.Generator, n: int, fps: float) -> np.ndarray:
    """Return the lid closure (n,) in [0, 1]: about 17 blinks per minute of 0.2 to 0.35 s each."""
    t, closure = np.arange(n) / fps, np.zeros(n)
    start = rng.exponential(1.5)
    while start < n / fps:
        length = rng.uniform(0.2, 0.35)
        x = np.clip((t - start) / length, 0, 1)
        closure = np.maximum(closure, np.clip(1.6 * np.sin(np.pi * x**0.75), 0, 1))
        start += length + 0.4 + rng.exponential(3.0)
    return closure


def pulse(rng: np.random.Generator, n: int, fps: float) -> tuple[np.ndarray, float]:
    """Return a pulse wave float32 (n,) of unit standard deviation and its mean rate in bpm.

    Resting rates are 50 to 110 bpm. Breathing (0.25 Hz) and vasomotion (0.1 Hz) change the rate
    by up to 4 %.
    """
    t = np.arange(n + 1) / fps
    rate = rng.uniform(50, 110) / 60
    slow = 0.1, rng.uniform(0.2, 0.3)  # Hz: vasomotion and breathing
    sway = [np.sin(2 * np.pi * f * t + 2 * np.pi * rng.random()) for f in slow]
    instant = rate * (1 + 0.02 * sway[0] + 0.02 * sway[1])
    phase = 2 * np.pi * (np.cumsum(instant) / fps + rng.random())
    wave = np.cos(phase) + 0.4 * np.cos(2 * phase - 1.1) + 0.12 * np.cos(3 * phase - 2.0)
    wave = wave[:n] * (1 + 0.1 * sway[1][:n])
    mean_rate = 60 * fps * (phase[n] - phase[0]) / (2 * np.pi * n)
    return (wave / np.sqrt((1 + 0.4**2 + 0.12**2) / 2)).astype(np.float32), float(mean_rate)


def perform(rng: np.random.Generator, n: int, fps: float) -> dict[str, Any]:
    """Return one performance of `n` frames as a dict.

    pose (n, 3): yaw, pitch and roll in radians. shift (n, 2): in head radii. blink (n,): lid
    closure in [0, 1]. expression (n, 5): in the order of `head.EXPRESSIONS`. pulse (n,): of unit
    standard deviation. heart_rate: a scalar in bpm.
    """
    mouth = speech(rng, n, fps)
    gaze = np.array([rng.uniform(-0.3, 0.3), rng.uniform(-0.08, 0.1), rng.uniform(-0.05, 0.05)])
    sway = np.stack([wander(rng, n, fps, s) for s in (0.7, 0.4, 0.6)], 1) * [0.09, 0.04, 0.03]
    sway[:, 1] += 0.05 * gaussian_filter1d(mouth, 3)  # Heads nod with their speech.
    shift = np.stack([wander(rng, n, fps, 0.8), wander(rng, n, fps, 0.8)], 1) * [0.04, 0.025]
    smile = np.clip(rng.uniform(-0.2, 0.5) + 0.35 * wander(rng, n, fps, 0.7), -0.3, 1)
    brow = 0.35 * wander(rng, n, fps, 0.35) + 0.3 * gaussian_filter1d(mouth, 2)
    tremor = [0.12 * wander(rng, n, fps, 0.05) for _ in range(2)]
    wave, heart_rate = pulse(rng, n, fps)
    return dict(
        pose=gaze + sway,
        shift=shift,
        blink=blinks(rng, n, fps),
        pulse=wave,
        heart_rate=heart_rate,
        expression=np.stack([mouth, smile, brow, *tremor], 1),
    )
