"""Every uncertainty method by name: trained through the cache, sampled, restored."""

import functools

import numpy as np
import pytest
import torch
from torch import nn

from deepfake_uncertainty import paths
from deepfake_uncertainty.detectors import base
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import methods, train

RECIPE = base.Recipe(epochs=3, batch=16, lr=1e-2, weight_decay=1e-4, bayes_epochs=2, samples_a_video=3)
SETTINGS = methods.Settings(recipe=RECIPE, members=3)


def network(n_classes, dropout):
    features = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    return base.Classifier(features, 16, n_classes, dropout, ["features.2", "features.3"])


SPEC = base.DetectorSpec("small", "Small", network, None, 1, RECIPE)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CACHE", tmp_path)


def batch(seed, count=60):
    rng = np.random.default_rng(seed)
    y = np.arange(count) % 2
    return (rng.normal(size=(count, 1, 8, 8)) + 0.4 * y[:, None, None, None]).astype(np.float32), y


DATA = methods.Data(*batch(0), functools.partial(batch, 1))
X = torch.from_numpy(batch(2, 10)[0])
SAMPLES = {"deterministic": 1, "temperature": 1, "ensemble": 3}


@pytest.mark.parametrize("name", methods.METHODS)
def test_every_method_is_trained_once_sampled_and_restored(name, monkeypatch):
    way = methods.get(name)
    model, keys = way.fit(SPEC, DATA, 5, SETTINGS)
    found = way.sample(model, X.split(4), 4, 0)
    assert found.shape == (SAMPLES.get(name, 4), 10, 2) and found.dtype == np.float32
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-5)
    assert (len(np.unique(found.round(6), axis=0)) > 1) == (len(found) > 1)
    restored = way.blank(SPEC, 5, SETTINGS)
    for part, key in zip(way.parts(restored), keys, strict=True):
        train.load(key, part)
    np.testing.assert_array_equal(way.sample(restored, X.split(4), 4, 0), found)
    monkeypatch.setattr(train, "_descend", None)  # a second fit reads the cache
    assert way.fit(SPEC, DATA, 5, SETTINGS)[1] == keys


def test_members_of_an_ensemble_are_the_networks_of_their_seeds():
    members, keys = methods.get("ensemble").fit(SPEC, DATA, 5, SETTINGS)
    alone = [methods.get("deterministic").fit(SPEC, DATA, seed, SETTINGS) for seed in (5, 105, 205)]
    assert keys == [key for _, (key,) in alone]
    found = methods.get("ensemble").sample(members, [X], 99, 0)
    for one, (other, _) in zip(found, alone, strict=True):
        np.testing.assert_array_equal(one, methods.get("deterministic").sample(other, [X], 1, 0)[0])


def test_ensembles_of_other_trainings_share_no_network():
    found = [methods.get("ensemble").fit(SPEC, DATA, seed, SETTINGS)[1] for seed in range(3)]
    assert len(set(found[0] + found[1] + found[2])) == 3 * SETTINGS.members


def test_temperature_learns_from_the_calibration_split_alone():
    method = methods.get("temperature")
    assert method.splits == ("train", "val") and methods.get("bnn").splits == ("train",)
    one, _ = method.fit(SPEC, DATA, 5, SETTINGS)
    other, _ = method.fit(SPEC, DATA._replace(calibration=functools.partial(batch, 3)), 5, SETTINGS)
    assert one.temperature != other.temperature
    for (name, mine), theirs in zip(one.network.state_dict().items(), other.network.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs), name


@pytest.mark.parametrize(("method", "options", "message"), [
    ("bnn", {"bayesian": "half"}, "use all, last_stage"), ("ensemble", {"members": 1}, "two networks or more"),
    ("deterministic", {"placement": "neck"}, "use head"),
])  # fmt: skip
def test_bad_settings_are_one_line(method, options, message):
    with pytest.raises(InputError, match=message):
        methods.get(method).fit(SPEC, DATA, 0, methods.Settings(recipe=RECIPE, **options))


def test_an_unknown_method_names_the_known_ones():
    with pytest.raises(InputError, match="unknown method 'magic': use deterministic, temperature, mc_dropout"):
        methods.get("magic")
