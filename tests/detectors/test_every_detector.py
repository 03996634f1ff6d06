"""Every detector: a feature part and a dropout head, that learn, repeat and can be traced."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.clips import track

from deepfake_uncertainty.detectors import base, registry
from deepfake_uncertainty.seeding import seed_everything
from deepfake_uncertainty.training import train


@pytest.mark.parametrize("name", list(registry.DETECTORS))
@pytest.mark.parametrize("n_classes", [2, 5])
def test_every_detector_follows_the_contract(name, n_classes):
    torch.manual_seed(0)
    spec = registry.get(name)
    x, starts = spec.inputs(track(160), 2)
    network = spec.build(n_classes, 0.3).eval()
    assert isinstance(network, base.Classifier) and spec.name == name and starts.dtype == np.int64
    assert x.min() >= 0 and x.max() <= 1 and (starts + spec.window <= 160).all()
    with torch.no_grad():
        features = network.features(torch.from_numpy(x))
        logits = network(torch.from_numpy(x))
    dropout, linear = network.head
    assert features.shape == (len(x), linear.in_features) and dropout.p == 0.3
    assert logits.shape == (len(x), n_classes) and torch.isfinite(logits).all()
    torch.testing.assert_close(logits, linear(features))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(registry.DETECTORS))
def test_every_detector_learns_eight_inputs_by_heart(name):
    torch.manual_seed(0)
    spec = registry.get(name)
    network = spec.build(2, 0.0)
    x, y = torch.from_numpy(spec.inputs(track(160), 1)[0]), torch.arange(8) % 2
    x = (x + torch.rand(8, *x.shape[1:])) / 2
    optimiser = torch.optim.AdamW(network.parameters(), lr=spec.recipe.lr)
    for _ in range(50):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(x), y)
        loss.backward()
        optimiser.step()
        if loss.item() < 0.1:
            return
    pytest.fail(f"eight inputs are not learnt by heart: loss {loss.item():.2f}")


@pytest.mark.parametrize("name", list(registry.DETECTORS))
def test_every_detector_can_be_traced_and_repeats(name):
    torch.manual_seed(0)
    network = registry.get(name).build(3, 0.3).eval()
    x = torch.from_numpy(registry.get(name).inputs(track(160), 1)[0])
    traced = torch.fx.symbolic_trace(network)
    with torch.no_grad():
        assert torch.equal(network(x), network(x)) and torch.equal(traced(x), network(x))
        # One input at a time gives what a batch gives: the items of a batch share nothing.
        pair = torch.cat([x, 1 - x])
        torch.testing.assert_close(network(pair)[1:], network(1 - x), rtol=1e-3, atol=1e-4)
    torch.manual_seed(0)
    again = registry.get(name).build(3, 0.3).state_dict()
    assert all(torch.equal(value, again[key]) for key, value in network.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize("name", list(registry.DETECTORS))
def test_training_repeats_to_the_byte(name):
    spec, states = registry.get(name), []
    x = spec.inputs(track(160), 1)[0]
    x = (x + np.random.default_rng(0).random((6, *x.shape[1:]), np.float32)) / 2
    for _ in range(2):
        seed_everything(3)
        network = spec.build(2, 0.2)
        train.fit(network, x, np.arange(6) % 2, replace(spec.recipe, epochs=2), 3)
        states.append(network.state_dict())
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


@pytest.mark.parametrize("name", list(registry.DETECTORS))
def test_stages_exist_and_are_passed_in_their_order(name):
    network = registry.get(name).build(2, 0.3).eval()
    parts, seen = dict(network.named_modules()), []
    assert len(network.stages) >= 2 and all(stage in parts for stage in network.stages)
    for stage in network.stages:
        parts[stage].register_forward_hook(lambda *_, stage=stage: seen.append(stage))
    with torch.no_grad():
        network(torch.from_numpy(registry.get(name).inputs(track(160), 1)[0]))
    assert tuple(seen) == network.stages
