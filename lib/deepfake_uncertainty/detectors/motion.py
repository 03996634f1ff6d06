"""Motion: a small network on magnified motion (Demir and Ciftci 2022).

Motion is measured by the phase of a steerable pyramid or by a learned magnifier. After
magnification, the sub-muscular motion of real faces differs from the residual motion of generators.
An input holds the motion in each cell of the aligned face, for each band of the pyramid (or channel
of the magnifier) and three rates, from slow to frame by frame.
"""

from functools import partial

import cv2
import numpy as np
from torch import nn

from deepfake_uncertainty.datasets import tracks
from deepfake_uncertainty.datasets.tracks import Track
from deepfake_uncertainty.detectors.base import Classifier, DetectorSpec, Recipe, window_starts
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.signals import magnify, phase_motion

SIZE, CELLS = 64, 16  # px of a crop, and cells over which motion is averaged, along a side
WINDOW, FACTOR = 16, 5.0
RATES = 3  # octaves of `phase_motion.rate_spectrum`
PHASE_CHANNELS = RATES * phase_motion.SCALES * phase_motion.ORIENTATIONS
DEEP_CHANNELS = RATES * magnify.SHAPE
WIDTHS = 48, 64


def build(n_classes: int, dropout: float, channels: int = PHASE_CHANNELS) -> Classifier:
    """Return a two-stage network as a `Classifier` of maps (N, channels, 16, 16) in [0, 1]."""
    # The strengths of the bands differ by orders of magnitude.
    layers: list[nn.Module] = [nn.BatchNorm2d(channels, affine=False)]
    before = channels
    for width in WIDTHS:
        convolution = nn.Conv2d(before, width, 3, padding=1, bias=False)
        layers.append(nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)))
        before = width
    # Cells are places on the aligned face, so there is no average over them.
    features = nn.Sequential(*layers, nn.Flatten())
    n_features = before * (CELLS // 2 ** len(WIDTHS)) ** 2
    return Classifier(features, n_features, n_classes, dropout, stages=("features.1", "features.2"))


def phase_maps(
    track: Track, n: int, window: int = WINDOW, factor: float = FACTOR
) -> tuple[np.ndarray, np.ndarray]:
    """Return maps of phase motion float32 (m, 36, 16, 16) in [0, 1), and first frames int64 (m,).

    A value is x / (1 + x) of the RMS motion x = factor * phase in radians. The channels are scales
    (fine to coarse) by rates (slow to fast) by orientations. m = min(n, windows in the clip); the
    windows start every window / 2 frames. Raises InputError for a clip shorter than the window or
    of variable frame rate, a window below 8 frames, or a factor that is not positive.
    """
    starts = _windows(track, n, window, factor)
    found = [phase_motion.phase_spectrum(_grey(track.crops[s : s + window]), CELLS) for s in starts]
    return _saturated(factor * np.stack(found)), starts


def deep_maps(
    track: Track, n: int, window: int = WINDOW, factor: float = FACTOR
) -> tuple[np.ndarray, np.ndarray]:
    """Return maps of learned motion float32 (m, 48, 16, 16) in [0, 1), and first frames int64 (m,).

    The magnifier encodes the shape of a frame in 16 channels. A value is x / (1 + x) of the RMS x
    of the change of this shape since the first frame of the window, magnified by `factor`, in
    standard deviations of the shape over the image. The channels are rates (slow to fast) by the
    channels of the shape. Windows and errors are those of `phase_maps`.
    """
    starts = _windows(track, n, window, factor)
    network = magnify.load_weights()
    found = []
    for start in starts:
        shapes = magnify.shapes(network, _small(track.crops[start : start + window]))
        spectrum = phase_motion.rate_spectrum(magnify.changes(network, shapes, factor))
        deviation = shapes.std(dim=(0, 2, 3)).numpy()[:, None, None]
        spectrum /= deviation + np.float32(phase_motion.LEAST)
        cells = phase_motion.cell_rms(spectrum, np.ones_like(spectrum), CELLS)
        found.append(cells.reshape(-1, CELLS, CELLS))
    return _saturated(np.stack(found)), starts


def _windows(track: Track, n: int, window: int, factor: float) -> np.ndarray:
    """Return the first frames int64 (m,) of min(n, all) windows that start half a window apart."""
    tracks.check_constant_rate(track)
    if not 0 < factor < np.inf:
        raise InputError(f"magnification factor {factor}: give a positive number")
    if window < 8:
        raise InputError(f"motion window of {window} frames: give 8 or more")
    return window_starts(len(track.crops), window, window // 2, n, "motion window")


def _small(crops: np.ndarray) -> np.ndarray:
    """Return crops uint8 (F, S, S, 3) as float32 (F, 64, 64, 3) in [0, 1]."""
    crops = np.ascontiguousarray(crops)
    small = [cv2.resize(crop, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for crop in crops]
    return np.stack(small) / np.float32(255)


def _grey(crops: np.ndarray) -> np.ndarray:
    return _small(crops) @ np.array([0.299, 0.587, 0.114], np.float32)


def _saturated(motion_rms: np.ndarray) -> np.ndarray:
    return (motion_rms / (1 + motion_rms)).astype(np.float32)


RECIPE = Recipe(
    epochs=12, batch=32, lr=1e-3, weight_decay=5e-2, variational_epochs=3, inputs_per_video=8
)
DETECTORS = [
    DetectorSpec(
        "motion_phase",
        "Motion, phase",
        build,
        phase_maps,
        window=WINDOW,
        recipe=RECIPE,
        kind="biological",
        year=2022,
        color="#159090",
        linestyle="-.",
    ),
    DetectorSpec(
        "motion_deep",
        "Motion, deep",
        partial(build, channels=DEEP_CHANNELS),
        deep_maps,
        window=WINDOW,
        recipe=RECIPE,
        kind="biological",
        year=2022,
        color="#B5DBE3",
    ),
]
