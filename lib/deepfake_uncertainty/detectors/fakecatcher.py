"""FakeCatcher: a small network on PPG maps, the pulse of 32 face sub-regions and its spectrum (Ciftci et al. 2020)."""

import numpy as np
from torch import nn

from deepfake_uncertainty.datasets import tracks
from deepfake_uncertainty.detectors.base import Classifier, evenly_spaced
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.signals import ppg

CHANNELS = 32, 64, 64
POOLED = 4, 4  # rows are places on the face and columns times or frequencies: neither is averaged away


def network(n_classes, dropout):
    """Return the three-layer network as a `Classifier` of PPG maps (N, 1, 64, window) in [0, 1], any window >= 8."""
    layers, before = [], 1
    for channels in CHANNELS:
        layers += [nn.Conv2d(before, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
        before = channels
    features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(POOLED), nn.Flatten())
    # Layers come in fours; a stage ends in its pooling.
    stages = [f"features.{4 * k + 3}" for k in range(len(CHANNELS))]
    return Classifier(features, before * POOLED[0] * POOLED[1], n_classes, dropout, stages)


def maps(track, n, window=64):
    """Return (PPG maps float32 (m, 1, 64, window) in [0, 1], first frames int64 (m,)) from windows with stride window/2.

    m = min(n, windows in the clip), spread over the whole of it; raises InputError for a clip shorter than the window or of
    variable frame rate.
    """
    tracks.check_even(track)
    n_frames = len(track.crops)
    if n_frames < window:
        raise InputError(f"clip of {n_frames} frames is shorter than the PPG window of {window}: give a longer clip")
    starts = np.arange(0, n_frames - window + 1, window // 2, dtype=np.int64)
    starts = starts[evenly_spaced(len(starts), n)]
    traces = ppg.region_traces(track.crops, track.crop_landmarks)
    return np.stack([ppg.ppg_map(traces[s : s + window], track.fps, window)[None] for s in starts]), starts
