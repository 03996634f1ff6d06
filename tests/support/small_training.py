"""A network and data that train in a moment, for tests of training, its cache and prediction."""

import functools
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn

from deepfake_uncertainty.detectors import base
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.seeding import seed_everything

Recipe = functools.partial(
    base.Recipe,
    epochs=8,
    batch=16,
    lr=1e-2,
    weight_decay=1e-4,
    variational_epochs=4,
    inputs_per_video=3,
)
COLUMNS = ["dataset", "generator", "video", "target", "source", "identity", "split", "path"]


class Small(nn.Module):
    """One convolution and a dropout head, for images (N, 1, H, W)."""

    def __init__(self, classes=2, dropout=0.2):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(4, classes))

    def features(self, x):
        return self.body(x)

    def forward(self, x):
        return self.head(self.features(x))


def data(count=97, seed=0, share=0.2):
    """Bright fakes, dark reals; unbalanced, and of a size that leaves a last batch of one."""
    rng = np.random.default_rng(seed)
    y = (rng.random(count) > share).astype(int)
    return (rng.normal(size=(count, 1, 8, 8)) * 0.3 + y[:, None, None, None]).astype(np.float32), y


def built(seed=0):
    """Return a Small whose weights are those of a seed."""
    seed_everything(seed)
    return Small()


def inputs(track, n):
    """Return n inputs float32 (n, 1, 8, 8) of a track (generator, number); fakes are brighter."""
    generator, number = track
    rng = np.random.default_rng([int(number), *generator.encode()])
    x = rng.normal(size=(n, 1, 8, 8)) + 2 * (generator != "real")
    return x.astype(np.float32), np.arange(n) * 10


def load_track(path, *_):
    """Return the words of a file as its track; B-4 has none."""
    if "B-4" in str(path):
        raise InputError(f"{path}: no face")
    return Path(path).read_text().split()


SPEC = base.DetectorSpec("small", "Small", Small, inputs, 1, Recipe(epochs=40))


def videos(folder, generators=("real", "A", "B"), identities=9, dataset="set"):
    """Return the index of text files in place of videos, one per generator and identity."""
    rows = []
    for number in range(identities):
        split = ("train", "val", "test")[number % 3]
        for generator in generators:
            path = folder / f"{generator}-{number}.mp4"
            path.write_text(f"{generator} {number}")
            name = str(number)
            rows.append((dataset, generator, name, name, "", name, split, str(path)))
    return pd.DataFrame(rows, columns=COLUMNS)
