"""A tiny data set on disk and a tiny detector, for tests of what runs from videos to a decision."""

import json

import numpy as np
from torch import nn

from deepfake_uncertainty.datasets import tracks, video
from deepfake_uncertainty.detectors.base import Classifier, DetectorSpec, Recipe, evenly_spaced
from deepfake_uncertainty.errors import InputError

SPLITS = {"train": [["000", "001"], ["002", "003"]], "val": [["004", "005"]], "test": [["006", "007"]]}
RECIPE = Recipe(epochs=40, batch=8, lr=0.05, weight_decay=0.0, bayes_epochs=2, samples_a_video=4)


def write_root(root):
    """Write 8 real and 8 fake clips of 8 frames of 32 px in the layout of FaceForensics++; the fakes are brighter."""
    rng = np.random.default_rng(0)
    for split, pairs in SPLITS.items():
        root.mkdir(parents=True, exist_ok=True)
        (root / f"{split}.json").write_text(json.dumps(pairs))
        for a, b in (way for pair in pairs for way in (pair, pair[::-1])):
            for folder, name, level in (("original_sequences/youtube", a, 60), ("manipulated_sequences/A", f"{a}_{b}", 190)):
                frames = rng.integers(level - 20, level + 20, (8, 32, 32, 3)).astype(np.uint8)
                video.encode(root / folder / "c23/videos" / f"{name}.mp4", frames, 8.0)
    return root


def load_track(path, *_):
    """Return a Track whose crops are the frames, as if each were one face; a clip of black frames has none."""
    frames, times = video.decode(path)
    if frames.max() < 40:
        raise InputError(f"{path}: no face in any of {len(frames)} frames: give a video of a face")
    angle = np.linspace(0, 2 * np.pi, 468)
    landmarks = (15.5 + 12 * np.stack([np.cos(angle), np.sin(angle)], 1))[None].repeat(len(frames), 0).astype(np.float32)
    matrices = np.tile(np.eye(2, 3, dtype=np.float32), (len(frames), 1, 1))
    return tracks.Track(frames, landmarks, matrices, times, 8.0, 2 if "two" in str(path) else 1)


def inputs(track, n):
    """Return float32 (m, 3, 32, 32) frames in [0, 1] and their numbers."""
    starts = evenly_spaced(len(track.crops), n)
    return np.array(track.crops)[starts].transpose(0, 3, 1, 2).astype(np.float32) / 255, starts


def build(n_classes, dropout):
    """Return a linear Classifier of the mean colours of a 2 x 2 grid."""
    return Classifier(nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten()), 12, n_classes, dropout)


SPEC = DetectorSpec("small", "Small", build, inputs, 1, RECIPE)
