"""Attacks, pixel maps and explanations on a card: on it alone, and as on the processor."""

import numpy as np
import pytest
import torch
from support.attack_targets import SIZE, SPEC, fitted, network, some_clips
from support.devices import CARDS
from torch import nn

from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.detectors.base import Classifier
from deepfake_uncertainty.study.pixel_uncertainty import localization
from deepfake_uncertainty.study.robustness import attacks
from deepfake_uncertainty.study.your_video import explain, properties
from deepfake_uncertainty.uncertainty import LastLayer, maps
from deepfake_uncertainty.uncertainty.bayes import VariationalPosterior
from deepfake_uncertainty.uncertainty.temperature import TemperatureScaled

MODELS = {
    "deterministic": network,
    "temperature": lambda: TemperatureScaled(network()),
    "mc_dropout": network,
    "bnn": lambda: VariationalPosterior(network(), 0.1, 0.1),
    "laplace": lambda: LastLayer(network()),
    "ensemble": lambda: nn.ModuleList([network(0), network(1)]),
}


def convolutional():
    torch.manual_seed(0)
    features = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
    )
    return Classifier(features, 16, 2, 0.2)


@pytest.fixture(autouse=True)
def small_detector(monkeypatch):
    monkeypatch.setitem(registry.DETECTORS.specs(), "small", SPEC)


@pytest.mark.parametrize("where", CARDS)
@pytest.mark.parametrize("method", list(MODELS))
def test_attacks_are_the_same_on_every_device(method, where):
    context, tolerance = where
    clips, alone = some_clips(3), MODELS[method]()
    for how in (attacks.Attack(steps=2, draws=2), attacks.Attack(steps=0)):
        here = attacks.attack_clips(fitted(alone, method), "small", clips, how, [0, 2], 0)
        with context():
            model = fitted(MODELS[method]().to("cuda"), method)
            there = attacks.attack_clips(model, "small", clips, how, [0, 2], 0)
        for strength, found in here.items():
            # The sign of a gradient that is nearly 0 may turn, and its pixel goes the other way.
            moved = np.abs(there[strength].inputs - found.inputs) > tolerance
            assert moved.mean() < 0.01 and (strength or not moved.any())


@pytest.mark.parametrize("where", CARDS)
@pytest.mark.parametrize("method", ["deterministic", "mc_dropout", "bnn"])
def test_maps_are_the_same_on_every_device(method, where):
    context, tolerance = where
    x = np.random.default_rng(0).random((3, 3, SIZE, SIZE), np.float32)

    def found(device):
        model = convolutional()
        model = VariationalPosterior(model, 0.1, 0.1) if method == "bnn" else model
        one = fitted(model.to(device), method)
        shuffled = fitted(maps.shuffle_parameters(one.model, 0.5), method)
        return [
            localization.uncertainty_maps(one, x, 3, 2, ("total",)),
            localization.reference_maps(one, x, 3),
            localization.uncertainty_maps(shuffled, x, 3, 2, ("total",)),
        ]

    here = found("cpu")
    with context():
        there = found("cuda")
    for one, other in zip(here, there, strict=True):
        for name, values in one.items():
            np.testing.assert_allclose(other[name], values, atol=tolerance, rtol=0.01)


@pytest.mark.parametrize("where", CARDS)
def test_sensitivity_and_features_are_the_same_on_every_device(where):
    context, tolerance = where
    x = np.random.default_rng(0).random((3, 3, SIZE, SIZE), np.float32)

    def found(device):
        model = fitted(network().to(device))
        return explain.sensitivity(model, x), properties.deep_features(model, x)

    here = found("cpu")
    with context():
        there = found("cuda")
    for one, other in zip(here, there, strict=True):
        np.testing.assert_allclose(other, one, atol=tolerance)
