"""Temperature scaling (Guo et al. 2017): logits divided by a number fitted on the val split."""

import numpy as np
from torch import nn

from deepfake_uncertainty.detectors.base import Recipe
from deepfake_uncertainty.training import models
from deepfake_uncertainty.training.methods import base
from deepfake_uncertainty.uncertainty import temperature


def blank(config: base.ModelConfig) -> nn.Module:
    """Return an untrained network with a temperature of 1."""
    return temperature.TemperatureScaled(base.build_network(config)).to(config.device)


def fit_temperature(
    scaled: temperature.TemperatureScaled, x: np.ndarray, y: np.ndarray, recipe: Recipe, seed: int
) -> list[dict]:
    """Fit the temperature in place to inputs x and labels y.

    Returns [{'nll_before': ..., 'nll': ...}]: the NLL before and after, in nats.
    """
    before, after = temperature.fit(scaled, x, y)
    return [{"nll_before": before, "nll": after}]


def fit(config: base.ModelConfig, data: base.Data) -> tuple[nn.Module, list[str]]:
    """Return the trained network with the temperature of `data.calibration()`, and its key."""
    network, _ = base.fit_network(config, data)
    scaled = temperature.TemperatureScaled(network).to(config.device)
    training = *data.calibration(), config.recipe, config.seed
    key, _ = models.train_or_load(scaled, *training, fit_temperature)
    return scaled, [key]


METHODS = [
    # Conformal thresholds come from the same val split, whose scores this one number was tuned on.
    base.Method(
        "temperature",
        "temperature scaling",
        blank,
        fit,
        base.sample_once,
        base.draw_once,
        splits=("train", "val"),
        stochastic=False,
        order=1,
        color="#DDAA33",
        linestyle=":",
    )
]
