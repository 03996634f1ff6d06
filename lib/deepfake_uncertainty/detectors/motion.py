"""Motion: a small network on magnified motion, by the phase of a steerable pyramid or by a learned magnifier.

Real sub-muscular motion and the residue of generators differ after magnification (Demir & Ciftci 2022). An input holds, for
each cell of the aligned face and each band, how much moves slowly, faster and from frame to frame.
"""

import cv2
import numpy as np
from torch import nn

from deepfake_uncertainty.datasets import tracks
from deepfake_uncertainty.detectors.base import Classifier, evenly_spaced
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.signals import magnify, motion

SIZE, CELLS = 64, 16  # px of a crop, and cells that its motion is averaged in, along a side
WINDOW, FACTOR = 16, 5.0
RATES = 3  # octaves of `motion.rate_spectrum`
PHASE_CHANNELS = RATES * motion.SCALES * motion.ORIENTATIONS
DEEP_CHANNELS = RATES * magnify.SHAPE
WIDTHS = 48, 64


def network(n_classes, dropout, channels=PHASE_CHANNELS):
    """Return a two-stage network as a `Classifier` of motion maps (N, channels, 16, 16) in [0, 1]."""
    layers, before = [nn.BatchNorm2d(channels, affine=False)], channels  # bands differ in strength by orders of magnitude
    for width in WIDTHS:
        convolution = nn.Conv2d(before, width, 3, padding=1, bias=False)
        layers.append(nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)))
        before = width
    # Cells are places on the aligned face: they are not averaged away.
    features = nn.Sequential(*layers, nn.Flatten())
    n_features = before * (CELLS // 2 ** len(WIDTHS)) ** 2
    return Classifier(features, n_features, n_classes, dropout, stages=("features.1", "features.2"))


def phase_maps(track, n, window=WINDOW, factor=FACTOR):
    """Return (phase motion float32 (m, 36, 16, 16) in [0, 1), first frames int64 (m,)) from windows with stride window/2.

    A value is x / (1 + x) of the RMS motion x = factor * phase in radians: scales, fine to coarse, by rates, slow to fast, by
    orientations. m = min(n, windows in the clip). Raises InputError for a clip shorter than the window or of variable
    frame rate, a window below 8 frames, or a factor that is not positive.
    """
    starts = _windows(track, n, window, factor)
    found = [motion.phase_spectrum(_grey(track.crops[s : s + window]), CELLS) for s in starts]
    return _saturated(factor * np.stack(found)), starts


def deep_maps(track, n, window=WINDOW, factor=FACTOR):
    """Return (learned motion float32 (m, 48, 16, 16) in [0, 1), first frames int64 (m,)), windows as in `phase_maps`.

    A value is x / (1 + x) of the RMS x of the magnifier's change of shape since the window's first frame, magnified by
    factor, in standard deviations of the shape over the picture: rates, slow to fast, by the 16 channels of the shape.
    Raises InputError as `phase_maps` does.
    """
    starts = _windows(track, n, window, factor)
    network = magnify.shipped()
    found = []
    for start in starts:
        shapes = magnify.shapes(network, _small(track.crops[start : start + window]))
        spectrum = motion.rate_spectrum(magnify.changes(network, shapes, factor))
        spectrum /= shapes.std(dim=(0, 2, 3)).numpy()[:, None, None] + np.float32(motion.LEAST)
        found.append(motion.cell_rms(spectrum, np.ones_like(spectrum), CELLS).reshape(-1, CELLS, CELLS))
    return _saturated(np.stack(found)), starts


def _windows(track, n, window, factor):
    """Return the first frames int64 (m,) of min(n, all) windows half a window apart, spread over the clip."""
    tracks.check_even(track)
    if not 0 < factor < np.inf:
        raise InputError(f"magnification factor {factor}: give a positive number")
    if window < 8:
        raise InputError(f"motion window of {window} frames: give 8 or more")
    n_frames = len(track.crops)
    if n_frames < window:
        raise InputError(f"clip of {n_frames} frames is shorter than the motion window of {window}: give a longer clip")
    starts = np.arange(0, n_frames - window + 1, window // 2, dtype=np.int64)
    return starts[evenly_spaced(len(starts), n)]


def _small(crops):
    """Return crops uint8 (F, S, S, 3) as float32 (F, 64, 64, 3) in [0, 1]."""
    small = [cv2.resize(crop, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for crop in np.ascontiguousarray(crops)]
    return np.stack(small) / np.float32(255)


def _grey(crops):
    return _small(crops) @ np.float32([0.299, 0.587, 0.114])


def _saturated(motion_rms):
    return (motion_rms / (1 + motion_rms)).astype(np.float32)
