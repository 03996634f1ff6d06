"""Last-layer Laplace approximation (Daxberger et al. 2021)."""

import numpy as np
from torch import nn

from deepfake_uncertainty.detectors.base import Recipe
from deepfake_uncertainty.training import models
from deepfake_uncertainty.training.methods import base
from deepfake_uncertainty.uncertainty import draws, last_layer


def blank(config: base.ModelConfig) -> nn.Module:
    """Return the last-layer posterior of an untrained network, not yet fitted."""
    return last_layer.LastLayer(base.build_network(config)).to(config.device)


def fit_laplace(
    posterior: last_layer.LastLayer, x: np.ndarray, y: np.ndarray, recipe: Recipe, seed: int
) -> list[dict]:
    """Fit the posterior in place to inputs x and labels y; return [{'prior_precision': ...}]."""
    return [{"prior_precision": last_layer.fit(posterior, x, y)}]


def fit(config: base.ModelConfig, data: base.Data) -> tuple[nn.Module, list[str]]:
    """Return the Laplace approximation of the trained network, and its cache key."""
    network, _ = base.fit_network(config, data)
    posterior = last_layer.LastLayer(network).to(config.device)
    training = data.x, data.y, config.recipe, config.seed
    key, _ = models.train_or_load(posterior, *training, fit_laplace)
    return posterior, [key]


METHODS = [
    base.Method(
        "laplace",
        "last-layer Laplace",
        blank,
        fit,
        base.sample_many,
        draws,
        order=4,
        color="#882255",
        linestyle=":",
    )
]
