"""FakeCatcher: a small network on PPG maps (Ciftci et al. 2020).

A PPG map holds the pulse signals of 32 sub-regions of the face and their spectra.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import nn

from deepfake_uncertainty.datasets import tracks
from deepfake_uncertainty.datasets.tracks import Track
from deepfake_uncertainty.detectors.base import Classifier, DetectorSpec, Recipe, window_starts
from deepfake_uncertainty.signals import ppg, ppg_gradient

CHANNELS = 32, 64, 64
# Rows are places on the face, columns are times or frequencies: neither is averaged away.
POOLED = 4, 4


def build(n_classes: int, dropout: float) -> Classifier:
    """Return the three-layer network as a `Classifier` of PPG maps (N, 1, 64, window) in [0, 1].

    The window is 8 frames or more.
    """
    layers: list[nn.Module] = []
    before = 1
    for channels in CHANNELS:
        convolution = nn.Conv2d(before, channels, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(channels), nn.ReLU(), nn.MaxPool2d(2)]
        before = channels
    features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(POOLED), nn.Flatten())
    # A stage has four layers and ends with its pooling.
    stages = [f"features.{4 * k + 3}" for k in range(len(CHANNELS))]
    return Classifier(features, before * POOLED[0] * POOLED[1], n_classes, dropout, stages)


def maps(track: Track, n: int, window: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Return PPG maps float32 (m, 1, 64, window) in [0, 1] and their first frames int64 (m,).

    m = min(n, windows in the clip); the windows start every window / 2 frames of the whole clip.
    Raises InputError for a clip shorter than the window or of variable frame rate.
    """
    tracks.check_constant_rate(track)
    starts = window_starts(len(track.crops), window, window // 2, n, "PPG window")
    traces = ppg.region_traces(track.crops, track.crop_landmarks)
    found = [ppg.ppg_map(traces[s : s + window], track.fps, window)[None] for s in starts]
    return np.stack(found), starts


def pixels_to_map(track: Track) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a differentiable function (F, 3, S, S) -> (1, 1, 64, F) of crops to one PPG map.

    It makes the same map as `maps`.
    """
    points = ppg_gradient.cell_points(track.crop_landmarks, track.crops.shape[1])

    def to_map(crops: torch.Tensor) -> torch.Tensor:
        traces = ppg_gradient.region_traces(255 * crops, points)
        return ppg_gradient.ppg_map(traces, track.fps)[None, None]

    return to_map


RECIPE = Recipe(
    epochs=12, batch=32, lr=1e-3, weight_decay=1e-2, variational_epochs=3, inputs_per_video=8
)
DETECTORS = [
    DetectorSpec(
        "fakecatcher",
        "FakeCatcher",
        build,
        maps,
        window=64,
        recipe=RECIPE,
        kind="biological",
        input_kind="ppg",
        pixels_to_inputs=pixels_to_map,
        year=2020,
        color="#E69F00",
        linestyle="--",
    ),
    DetectorSpec(
        "fakecatcher128",
        "FakeCatcher, 128 frames",
        build,
        partial(maps, window=128),
        window=128,
        recipe=RECIPE,
        kind="biological",
        input_kind="ppg",
        pixels_to_inputs=pixels_to_map,
        year=2020,
        color="#914A08",
        linestyle=":",
    ),
]
