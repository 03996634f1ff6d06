"""Every uncertainty method by name: trained through the cache, sampled, restored."""

import functools

import numpy as np
import pytest
import torch
from torch import nn

from deepfake_uncertainty import paths
from deepfake_uncertainty.detectors import base
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.training import methods, models, train
from deepfake_uncertainty.training.config import Settings
from deepfake_uncertainty.training.methods.base import Data, ModelConfig

RECIPE = base.Recipe(
    epochs=3, batch=16, lr=1e-2, weight_decay=1e-4, variational_epochs=2, inputs_per_video=3
)
SETTINGS = Settings(members=3)


def network(n_classes, dropout):
    features = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
    )
    return base.Classifier(features, 16, n_classes, dropout, ["features.2", "features.3"])


SPEC = base.DetectorSpec("small", "Small", network, None, 1, RECIPE)


def config(seed, settings=SETTINGS):
    return ModelConfig(SPEC, RECIPE, seed, settings)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CACHE", tmp_path)


def batch(seed, count=60):
    rng = np.random.default_rng(seed)
    y = np.arange(count) % 2
    return (rng.normal(size=(count, 1, 8, 8)) + 0.4 * y[:, None, None, None]).astype(np.float32), y


DATA = Data(*batch(0), functools.partial(batch, 1))
X = torch.from_numpy(batch(2, 10)[0])
SAMPLES = {"deterministic": 1, "temperature": 1, "ensemble": 3}


@pytest.mark.parametrize("name", list(methods.METHODS))
def test_every_method_is_trained_once_sampled_and_restored(name, monkeypatch):
    method = methods.get(name)
    model, keys = method.fit(config(5), DATA)
    found = method.sample(model, X.split(4), 4, 0, SPEC)
    assert found.shape == (SAMPLES.get(name, 4), 10, 2) and found.dtype == np.float32
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-5)
    assert (len(np.unique(found.round(6), axis=0)) > 1) == (len(found) > 1)
    restored = method.blank(config(5))
    for part, key in zip(method.parts(restored), keys, strict=True):
        models.load(key, part)
    np.testing.assert_array_equal(method.sample(restored, X.split(4), 4, 0, SPEC), found)
    monkeypatch.setattr(train, "_descend", None)  # a second fit reads the cache
    assert method.fit(config(5), DATA)[1] == keys


def test_members_of_an_ensemble_are_the_networks_of_their_seeds():
    members, keys = methods.get("ensemble").fit(config(5), DATA)
    alone = [methods.get("deterministic").fit(config(seed), DATA) for seed in (5, 105, 205)]
    assert keys == [key for _, (key,) in alone]
    found = methods.get("ensemble").sample(members, [X], 99, 0, SPEC)
    for one, (model, _) in zip(found, alone, strict=True):
        single = methods.get("deterministic").sample(model, [X], 1, 0, SPEC)
        np.testing.assert_array_equal(one, single[0])


def test_ensembles_of_other_trainings_share_no_network():
    found = [methods.get("ensemble").fit(config(seed), DATA)[1] for seed in range(3)]
    assert len(set(found[0] + found[1] + found[2])) == 3 * SETTINGS.members


def test_temperature_learns_from_the_calibration_split_alone():
    method = methods.get("temperature")
    assert method.splits == ("train", "val") and methods.get("bnn").splits == ("train",)
    one, _ = method.fit(config(5), DATA)
    elsewhere = DATA._replace(calibration=functools.partial(batch, 3))
    other, _ = method.fit(config(5), elsewhere)
    assert one.temperature != other.temperature
    state = other.network.state_dict()
    assert list(one.network.state_dict()) == list(state)
    for name, value in one.network.state_dict().items():
        assert torch.equal(value, state[name]), name


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("bnn", {"bayesian": "half"}, "use all, last_stage"),
        ("ensemble", {"members": 1}, "two networks or more"),
        ("deterministic", {"placement": "neck"}, "use head"),
    ],
)
def test_bad_settings_are_one_line(method, options, message):
    with pytest.raises(InputError, match=message):
        methods.get(method).fit(config(0, Settings(**options)), DATA)


def test_an_unknown_method_names_the_known_ones():
    with pytest.raises(
        InputError, match="unknown method 'magic': use deterministic, temperature, mc_dropout"
    ):
        methods.get("magic")


@pytest.mark.parametrize("name", list(methods.METHODS))
def test_every_method_is_complete_and_has_its_draws(name):
    method = methods.get(name)
    assert method.name == name and method.label and method.order < 99
    assert method.color.startswith("#") and set(method.splits) <= {"train", "val"}
    model, _ = method.fit(config(5), DATA)
    draws = method.draws(model.eval(), 4, 0)
    assert len(draws) == SAMPLES.get(name, 4)
    x = X.clone().requires_grad_()
    draws[0](x).sum().backward()
    assert draws[0](X).shape == (10, 2) and x.grad.abs().sum() > 0


def test_a_method_without_draws_says_so():
    plain = methods.base.Method("plain", "Plain", None, None, None)
    with pytest.raises(InputError, match="no differentiable draws"):
        plain.draws(None, 1, 0)


def test_methods_are_listed_from_the_cheapest_on():
    names = ["deterministic", "temperature", "mc_dropout", "bnn", "laplace", "ensemble"]
    assert list(methods.names()) == names
