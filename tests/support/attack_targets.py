"""A tiny network, clips of noise and a detector without preprocessing, for tests of attacks."""

import numpy as np
import pandas as pd
import torch
from torch import nn

from deepfake_uncertainty.datasets.tracks import Track
from deepfake_uncertainty.detectors.base import Classifier, DetectorSpec
from deepfake_uncertainty.study.robustness import clips
from deepfake_uncertainty.training import methods
from deepfake_uncertainty.training.predict import Fitted
from support.small_world import RECIPE, inputs

SIZE = 8


def network(seed=0, dropout=0.3):
    """Return a Classifier of pictures (N, 3, 8, 8) with one hidden layer."""
    torch.manual_seed(seed)
    features = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE**2, 12), nn.Tanh())
    return Classifier(features, 12, 2, dropout)


def unchanged(track):
    """Return the differentiable preprocessing of a detector that reads the crops themselves."""
    return lambda crops: crops


SPEC = DetectorSpec("small", "Small", network, inputs, 1, RECIPE, pixels_to_inputs=unchanged)


def fitted(model, method="deterministic"):
    """Return a Fitted of the detector `small` with the given network."""
    return Fitted(SPEC, methods.get(method), RECIPE, 0, model.eval(), "key", [])


def index(n):
    """Return the frame of n test videos, real and fake in turn, two per identity."""
    rows = [
        {
            "dataset": "d",
            "generator": "A" if k % 2 else "real",
            "video": str(k),
            "identity": str(k // 2),
            "split": "test",
            "start": 0,
            "label": k % 2,
        }
        for k in range(n)
    ]
    return pd.DataFrame(rows)


def some_clips(n=12, frames=1, seed=0):
    """Return n Clips of noise, away from black and white."""
    rng = np.random.default_rng(seed)
    found = [
        Track(
            rng.integers(60, 196, (frames, SIZE, SIZE, 3), dtype=np.uint8),
            np.zeros((frames, 468, 2), np.float32),
            np.zeros((frames, 2, 3), np.float32),
            np.arange(frames) / 25,
            25.0,
            1,
        )
        for _ in range(n)
    ]
    return clips.Clips(found, index(n))
