"""Training, methods and their samples on a card: on it alone, and as on the processor."""

import dataclasses
import functools

import numpy as np
import pytest
import torch
from support.clips import track
from support.devices import CARDS, pretend_cuda
from support.small_training import Recipe, Small, built, data
from torch import nn

from deepfake_uncertainty import devices, paths
from deepfake_uncertainty.detectors import base, registry
from deepfake_uncertainty.seeding import seed_everything
from deepfake_uncertainty.training import methods, models, predict, train
from deepfake_uncertainty.training.config import Settings
from deepfake_uncertainty.training.methods.base import Data, ModelConfig
from deepfake_uncertainty.uncertainty.bayes import VariationalPosterior

AUGMENTED = Recipe(flip=True, shift=2, colour=0.2, batch=32)
CARD = torch.device("cuda", 0)


def weights(module):
    return {name: value.cpu().clone() for name, value in module.state_dict().items()}


def assert_near(one, other, tolerance):
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("recipe", [Recipe(), AUGMENTED], ids=["plain", "augmented"])
@pytest.mark.parametrize("resident", [1 << 30, 0], ids=["resident", "streamed"])
def test_a_card_trains_as_the_processor_and_is_waited_for_once_an_epoch(
    recipe, resident, monkeypatch
):
    monkeypatch.setattr(train, "RESIDENT", resident)
    x, y = data()
    alone = built()
    history = train.fit(alone, x, y, recipe, 3)
    with pretend_cuda() as card:
        network = built().to("cuda")
        assert train.fit(network, x, y, recipe, 3) == history and card.waits == len(history)
        assert_near(weights(network), weights(alone), 0)


def test_a_posterior_trains_on_a_card_as_on_the_processor():
    x, y = data()
    network = built()
    train.fit(network, x, y, Recipe(), 0)
    alone = VariationalPosterior(network, 0.1, 0.1)
    history = train.fit_bayes(alone, x, y, AUGMENTED, 1)
    with pretend_cuda() as card:
        posterior = VariationalPosterior(network, 0.1, 0.1).to("cuda")
        found = train.fit_bayes(posterior, x, y, AUGMENTED, 1)
        assert card.waits == len(found)
        np.testing.assert_allclose([e["loss"] for e in found], [e["loss"] for e in history], 1e-5)
        assert_near(weights(posterior), weights(alone), 1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a card")
def test_a_real_card_learns_what_the_processor_learns_without_a_wait_in_a_step():
    x, y = data()
    losses = {}
    for device in ("cpu", "cuda"):
        seed_everything(0)
        network = Small(dropout=0.0).to(device)
        losses[device] = [e["loss"] for e in train.fit(network, x, y, AUGMENTED, 3)]
    np.testing.assert_allclose(losses["cuda"], losses["cpu"], rtol=0.05)


def test_bfloat16_leaves_the_posterior_and_its_kl_in_float32(monkeypatch):
    posterior = VariationalPosterior(built(), 0.1, 0.1)
    for value in posterior.mean:
        value.data += 0.01
    exact = posterior.kl()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(posterior.kl(), exact) and exact.dtype == torch.float32
        assert all(value.dtype == torch.float32 for value in posterior.draw(0).values())
        assert posterior(torch.ones(2, 1, 8, 8)).dtype == torch.bfloat16
    monkeypatch.setattr(devices, "halves", lambda device: True)
    x, y = data()
    history = train.fit_bayes(posterior, x, y, Recipe(), 0)
    state = posterior.state_dict().values()
    assert all(value.dtype != torch.bfloat16 for value in state) and history[-1]["loss"] > 0


def test_half_precision_learns_too(monkeypatch):
    x, y = data()
    exact, half = built(), built()
    history = train.fit(exact, x, y, Recipe(), 3)
    monkeypatch.setattr(devices, "halves", lambda device: True)
    rounded = train.fit(half, x, y, Recipe(), 3)
    assert rounded != history and rounded[-1]["loss"] == pytest.approx(history[-1]["loss"], abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(registry.DETECTORS))
def test_every_detector_trains_and_answers_on_a_card(name):
    spec = registry.get(name)
    recipe = dataclasses.replace(spec.recipe, epochs=1, batch=2)
    rng = np.random.default_rng(0)
    x = spec.inputs(track(160), 1)[0]
    x, y = (x + rng.random((4, *x.shape[1:]), np.float32)) / 2, np.arange(4) % 2
    seed_everything(0)
    alone = spec.build(2, 0.0)
    with pretend_cuda() as card:
        seed_everything(0)
        network = spec.build(2, 0.0).to("cuda")
        (there,), (here,) = (train.fit(one, x, y, recipe, 0) for one in (network, alone))
        assert there["loss"] == pytest.approx(here["loss"], rel=1e-5) and card.waits == 1
        with torch.no_grad():
            found = network(torch.from_numpy(x).to("cuda")).cpu()
            # One step of AdamW moves a weight by its sign: roundings of a gradient near 0 show.
            torch.testing.assert_close(found, alone(torch.from_numpy(x)), atol=1e-2, rtol=1e-2)


RECIPE = Recipe(epochs=3, variational_epochs=2)
SETTINGS = Settings(members=2)


def network(n_classes, dropout):
    features = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
    )
    return base.Classifier(features, 16, n_classes, dropout, ["features.2", "features.3"])


SPEC = base.DetectorSpec("small", "Small", network, None, 1, RECIPE)
DATA = Data(*data(60), functools.partial(data, 60, 1))


def fitted(method, device):
    """Return the Fitted of a method, trained on the processor, on a device."""
    config = ModelConfig(SPEC, RECIPE, 5, SETTINGS, "cpu")
    model, keys = methods.get(method).fit(config, DATA)
    there = methods.get(method).blank(config._replace(device=device))
    for part, key in zip(methods.get(method).parts(there), keys, strict=True):
        models.load(key, part)
    assert {value.device.type for value in there.state_dict().values()} == {device}
    return predict.Fitted(SPEC, methods.get(method), RECIPE, 5, there, "key", [])


@pytest.mark.parametrize("where", CARDS)
@pytest.mark.parametrize("method", list(methods.METHODS))
def test_samples_and_draws_are_the_same_on_every_device(method, where, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CACHE", tmp_path)
    context, tolerance = where
    x = data(10, 2)[0]
    alone = fitted(method, "cpu")
    samples = alone.sample(x, 3)
    logits = [draw(torch.from_numpy(x)).detach() for draw in alone.draws(3)]
    with context():
        there = fitted(method, "cuda")
        np.testing.assert_allclose(there.sample(x, 3), samples, atol=tolerance)
        for draw, expected in zip(there.draws(3), logits, strict=True):
            on_card = torch.from_numpy(x).to("cuda").requires_grad_()
            found = draw(on_card)
            found.sum().backward()
            assert found.device.type == on_card.grad.device.type == "cuda"
            torch.testing.assert_close(found.detach().cpu(), expected, atol=tolerance, rtol=0.01)


@pytest.mark.parametrize("method", list(methods.METHODS))
def test_every_method_is_fitted_on_a_card_under_keys_of_its_own(method, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CACHE", tmp_path)
    config = ModelConfig(SPEC, RECIPE, 5, SETTINGS, "cpu")
    alone, keys = methods.get(method).fit(config, DATA)
    with pretend_cuda():
        model, others = methods.get(method).fit(config._replace(device="cuda"), DATA)
        assert not set(keys) & set(others)
        assert_near(weights(alone), weights(model), 1e-4)
