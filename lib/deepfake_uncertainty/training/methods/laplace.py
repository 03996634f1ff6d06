"""Last-layer Laplace approximation (Daxberger et al. 2021)."""

import numpy as np
from torch import nn

from deepfake_uncertainty.detectors.base import DetectorSpec, Recipe
from deepfake_uncertainty.training import models
from deepfake_uncertainty.training.methods import base
from deepfake_uncertainty.uncertainty import laplace


def blank(config: base.ModelConfig) -> nn.Module:
    """Return the last-layer posterior of an untrained network, not yet fitted."""
    return laplace.LastLayer(base.build_network(config)).to(config.device)


def fit_laplace(
    posterior: laplace.LastLayer, x: np.ndarray, y: np.ndarray, recipe: Recipe, seed: int
) -> list[dict]:
    """Fit the posterior in place to inputs x and labels y; return [{'prior_precision': ...}]."""
    return [{"prior_precision": laplace.fit(posterior, x, y)}]


def fit(config: base.ModelConfig, data: base.Data) -> tuple[nn.Module, list[str]]:
    """Return the Laplace approximation of the trained network, and its cache key."""
    network, _ = base.fit_network(config, data)
    posterior = laplace.LastLayer(network).to(config.device)
    training = data.x, data.y, config.recipe, config.seed
    key, _ = models.train_or_load(posterior, *training, fit_laplace)
    return posterior, [key]


def sample(
    model: laplace.LastLayer, batches: base.Batches, T: int, seed: int, detector: DetectorSpec
) -> np.ndarray:
    """Return probabilities float32 (T, N, classes), one draw of the last layer per sample."""
    return laplace.samples(model, batches, T, seed)


METHODS = [
    base.Method(
        "laplace",
        "last-layer Laplace",
        blank,
        fit,
        sample,
        laplace.draws,
        order=4,
        color="#882255",
        linestyle=":",
    )
]
