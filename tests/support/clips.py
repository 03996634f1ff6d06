"""Clips of known content, for tests of detectors."""

from types import SimpleNamespace

import numpy as np

from deepfake_uncertainty.signals import ppg


def track(n_frames, size=96):
    """A clip whose frame i is grey with value i, plus a little noise, and a face that fills it."""
    rng = np.random.default_rng(0)
    crops = np.arange(n_frames)[:, None, None, None] + rng.integers(0, 3, (n_frames, size, size, 3))
    landmarks = np.zeros((n_frames, 468, 2), np.float32)
    for row, line in enumerate(ppg.LINES):
        landmarks[:, line] = [(10, 8 + 10 * row), (48, 8 + 10 * row), (86, 8 + 10 * row)]
    return SimpleNamespace(
        crops=crops.astype(np.uint8),
        crop_landmarks=landmarks,
        times=np.arange(len(crops)) / 25,
        fps=25.0,
    )
