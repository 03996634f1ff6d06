"""Speed of the phase of a steerable pyramid, against a loop over pyrtools."""

import numpy as np
from benchmarks.runner import Entry
from pyrtools.pyramids import SteerablePyramidFreq

from deepfake_uncertainty.signals import motion


def ours(frames):
    """Return the phase motion (F, K, h, w) of each scale by the library."""
    return [motion.phases(band) for band in motion.decompose(frames).bands]


def peer(frames):
    """Return the same, frame by frame and band by band."""
    pyramids = [SteerablePyramidFreq(frame, motion.SCALES, motion.ORIENTATIONS - 1, is_complex=True) for frame in frames]
    found = []
    for scale in range(motion.SCALES):
        bands = []
        for k in range(motion.ORIENTATIONS):
            coefficients = [pyramid.pyr_coeffs[scale, k] for pyramid in pyramids]
            steps = [np.angle(b * a.conj()) for a, b in zip(coefficients, coefficients[1:])]  # noqa: B905
            bands.append(np.cumsum([np.zeros_like(steps[0]), *steps], axis=0))
        found.append(np.stack(bands, axis=1))
    return found


def entries(small):
    """Yield the entry: phases of 16 frames of 64 x 64."""
    frames = np.random.default_rng(0).random((8 if small else 16, 64, 64))
    yield Entry("pyramid phases, 16 frames of 64 x 64", lambda: ours(frames), "loop over pyrtools", lambda: peer(frames))
