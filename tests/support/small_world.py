"""A tiny data set on disk and a tiny detector, for tests of what runs from videos to a decision."""

import json
from pathlib import Path

import numpy as np
from torch import nn

from deepfake_uncertainty.datasets import tracks, video
from deepfake_uncertainty.detectors.base import Classifier, DetectorSpec, Recipe, evenly_spaced
from deepfake_uncertainty.errors import InputError
from support.small_layouts import both_orders

SPLITS = {
    "train": [["000", "001"], ["002", "003"]],
    "val": [["004", "005"]],
    "test": [["006", "007"]],
}
RECIPE = Recipe(
    epochs=40, batch=8, lr=0.05, weight_decay=0.0, variational_epochs=2, inputs_per_video=4
)


def write_root(root: Path) -> Path:
    """Write 8 real and 8 fake clips in the layout of FaceForensics++; return `root`.

    Each has 8 frames of 32 px. The fakes are brighter.
    """
    rng = np.random.default_rng(0)
    for split, pairs in SPLITS.items():
        root.mkdir(parents=True, exist_ok=True)
        (root / f"{split}.json").write_text(json.dumps(pairs))
        for target, source in both_orders(pairs):
            for folder, name, level in (
                ("original_sequences/youtube", target, 60),
                ("manipulated_sequences/A", f"{target}_{source}", 190),
            ):
                frames = rng.integers(level - 20, level + 20, (8, 32, 32, 3)).astype(np.uint8)
                video.encode(root / folder / "c23/videos" / f"{name}.mp4", frames, 8.0)
    return root


def load_track(path: str | Path, *_) -> tracks.Track:
    """Return a Track whose crops are the frames, as if each were one face.

    Raises InputError for a clip of black frames, as for one without a face.
    """
    frames, times = video.decode(path)
    if frames.max() < 40:
        raise InputError(f"{path}: no face in any of {len(frames)} frames: give a video of a face")
    angle = np.linspace(0, 2 * np.pi, 468)
    circle = 15.5 + 12 * np.stack([np.cos(angle), np.sin(angle)], 1)
    landmarks = circle[None].repeat(len(frames), 0).astype(np.float32)
    matrices = np.tile(np.eye(2, 3, dtype=np.float32), (len(frames), 1, 1))
    return tracks.Track(frames, landmarks, matrices, times, 8.0, 2 if "two" in str(path) else 1)


def inputs(track: tracks.Track, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 (m, 3, 32, 32) frames in [0, 1] and their numbers."""
    starts = evenly_spaced(len(track.crops), n)
    return np.array(track.crops)[starts].transpose(0, 3, 1, 2).astype(np.float32) / 255, starts


def build(n_classes: int, dropout: float) -> Classifier:
    """Return a linear Classifier of the mean colours of a 2 x 2 grid."""
    return Classifier(nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten()), 12, n_classes, dropout)


SPEC = DetectorSpec("small", "Small", build, inputs, 1, RECIPE)
