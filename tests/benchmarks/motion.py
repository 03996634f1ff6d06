"""Speed of the phase of a steerable pyramid; the peer is a loop over pyrtools."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from benchmarks.runner import Entry
from pyrtools.pyramids import SteerablePyramidFreq

from deepfake_uncertainty.signals import phase_motion


def ours(frames: np.ndarray) -> list[np.ndarray]:
    """Return the phase motion (F, K, h, w) of each scale by the library."""
    return [phase_motion.phases(band) for band in phase_motion.decompose(frames).bands]


def peer(frames: np.ndarray) -> list[np.ndarray]:
    """Return the phase motion frame by frame and band by band."""
    shape = phase_motion.SCALES, phase_motion.ORIENTATIONS - 1
    pyramids = [SteerablePyramidFreq(frame, *shape, is_complex=True) for frame in frames]
    found = []
    for scale in range(phase_motion.SCALES):
        bands = []
        for k in range(phase_motion.ORIENTATIONS):
            coefficients = [pyramid.pyr_coeffs[scale, k] for pyramid in pyramids]
            steps = [np.angle(b * a.conj()) for a, b in pairwise(coefficients)]
            bands.append(np.cumsum([np.zeros_like(steps[0]), *steps], axis=0))
        found.append(np.stack(bands, axis=1))
    return found


def entries(small: bool) -> Iterator[Entry]:
    """Yield the entry: phases of 16 frames of 64 x 64."""
    frames = np.random.default_rng(0).random((8 if small else 16, 64, 64))
    yield Entry(
        "pyramid phases, 16 frames of 64 x 64",
        lambda: ours(frames),
        "loop over pyrtools",
        lambda: peer(frames),
    )
