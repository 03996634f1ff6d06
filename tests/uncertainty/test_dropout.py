"""Monte Carlo dropout: the shared prefix against whole passes, dropout anywhere in a network."""

import numpy as np
import pytest
import torch
from support.small_networks import naive_dropout, small_inputs, small_net
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from deepfake_uncertainty.detectors.base import Classifier
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty import dropout, engine, masks, noise, sample

X = torch.randn(10, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def convolved(function):
    """Return how many rows go through the convolution while `function` runs."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_flop_counts()["Global"][torch.ops.aten.convolution] / (2 * 4 * 9 * 36)


def features(*extra):
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), *extra, nn.Flatten())


def classifier(*extra, rate=0.4):
    torch.manual_seed(0)
    return Classifier(features(*extra), 144, 3, rate)


def test_shared_prefix_equals_whole_passes():
    network = classifier()
    found = sample(network, X.split(4), 5, 3)
    np.testing.assert_allclose(found, naive_dropout(network, X, 5, 3), atol=1e-6)


def test_shared_prefix_equals_whole_passes_with_masks_drawn_by_hand():
    net, x = small_net(), small_inputs()
    found = sample(net, x.split(4), T=3, seed=7)
    for t in range(3):
        keys = noise.row_keys(noise.key(7, t, 0), torch.arange(10))
        keep = noise.kept(keys, 144, 0.5)
        with torch.no_grad():
            whole = net.head[1](net.features(x) * keep * 2).softmax(-1)
        np.testing.assert_allclose(found[t], whole, atol=1e-6)


def test_samples_have_the_mean_of_torch_dropout():
    net, x = small_net(), small_inputs()
    found = sample(net, [x], T=3000, seed=0).mean(0)
    torch.manual_seed(3)
    with torch.no_grad():
        hidden = net.features(x)
        passes = torch.stack([net.head.train()(hidden).softmax(-1) for _ in range(3000)]).mean(0)
    np.testing.assert_allclose(found, passes, atol=0.03)


def test_features_are_computed_once(monkeypatch):
    network = classifier()
    # Five passes of two inputs show what is random, and what the whole network gives.
    assert convolved(lambda: sample(network, [X], 20, 0)) == len(X) + 10
    monkeypatch.setitem(engine.BLOCK, "cpu", 1)
    assert convolved(lambda: sample(network, X.split(5), 20, 0)) == len(X) + 10
    assert convolved(lambda: naive_dropout(network, X, 20, 0)) > 20 * len(X)


@pytest.mark.parametrize("layer", [nn.Dropout(0.3), nn.Dropout2d(0.3), dropout.StageDropout(0.3)])
@pytest.mark.parametrize("limits", [(1, 1), (1 << 30, 1), (1, 1 << 30), (2000, 2000)])
def test_dropout_anywhere_depends_on_neither_batches_nor_blocks(layer, limits, monkeypatch):
    # The layer is called twice per pass: each call has masks of its own.
    network = classifier(layer, nn.Tanh(), layer)
    whole = naive_dropout(network, X, 4, 2)
    monkeypatch.setitem(engine.BLOCK, "cpu", limits[0])
    monkeypatch.setitem(engine.PACK, "cpu", limits[1])
    np.testing.assert_allclose(whole, sample(network, X.split(3), 4, 2), atol=1e-6)
    np.testing.assert_allclose(whole[:2], sample(network, [X], 2, 2), atol=1e-6)
    assert len(np.unique(whole.round(6), axis=0)) == 4


def test_a_network_that_cannot_be_traced_is_sampled_whole_and_says_so(caplog):
    class Branching(Classifier):
        def forward(self, x):
            return self.head(self.features(x)) if x.sum() > -1e9 else None

    torch.manual_seed(0)
    network = Branching(features(), 144, 3, 0.4)
    with caplog.at_level("INFO"):
        found = sample(network, X.split(4), 3, 1)
    assert "without a shared prefix" in caplog.text
    np.testing.assert_allclose(found, naive_dropout(network, X, 3, 1), atol=1e-6)


@pytest.mark.parametrize(("where", "count"), [("head", 1), ("last_stage", 2), ("every_stage", 3)])
def test_dropout_is_placed_behind_stages(where, count):
    network = classifier()
    network.stages = "features.0", "features.2"
    before = {name: value.clone() for name, value in network.state_dict().items()}
    placed = dropout.place_dropout(network.eval(), 0.4, where)
    kinds = nn.Dropout | dropout.StageDropout
    assert [layer.p for layer in placed.modules() if isinstance(layer, kinds)] == [0.4] * count
    assert torch.equal(placed.eval()(X), network(X))  # it is off
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    found = sample(placed, X.split(4), 3, 1)
    np.testing.assert_allclose(found, naive_dropout(placed, X, 3, 1), atol=1e-6)


def test_a_place_that_is_none_and_a_network_without_stages_are_refused():
    with pytest.raises(InputError, match="use head, last_stage, every_stage"):
        dropout.place_dropout(classifier(), 0.2, "neck")
    with pytest.raises(InputError, match="names no stages"):
        dropout.place_dropout(classifier(), 0.2, "last_stage")


def test_dropout_behind_a_stage_of_tokens_drops_values_and_behind_maps_whole_channels():
    layer = dropout.StageDropout(0.5).train()
    torch.manual_seed(0)
    maps, tokens = layer(torch.ones(50, 8, 4, 4)), layer(torch.ones(50, 8, 16))
    assert set(maps.mean((2, 3)).unique().tolist()) == {0.0, 2.0}
    assert len(tokens.mean(2).unique()) > 2 and abs(tokens.mean() - 1) < 0.1


def test_only_dropout_is_stochastic_and_the_network_is_left_as_it_was():
    network = classifier(nn.Dropout2d(0.3)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    plain = sample([network], [X])
    sample(network, [X], 3, 0)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(module.training for module in network.modules())
    np.testing.assert_array_equal(plain, sample([network], [X]))


class Logits(nn.Module):
    """Two logits (0, x) of one value x."""

    def forward(self, x):
        return torch.cat([torch.zeros_like(x), x], 1)


def test_dropped_channels_are_whole_and_kept_ones_are_scaled():
    network = nn.Sequential(
        nn.Linear(1, 1), nn.Unflatten(1, (1, 1)), nn.Dropout1d(0.5), nn.Flatten(), Logits()
    )
    nn.init.ones_(network[0].weight)
    nn.init.zeros_(network[0].bias)
    found = sample(network, [torch.ones(400, 1)], 10, 0)[..., 1]
    # The logit is 0 when dropped and 1 / (1 - 0.5) = 2 when kept.
    kept = np.isclose(found, 1 / (1 + np.exp(-2)))
    assert (kept | np.isclose(found, 0.5)).all() and abs(kept.mean() - 0.5) < 0.04


@pytest.mark.parametrize("layers", [[], [nn.Dropout(0.0)], [nn.Dropout(1.0)]])
def test_networks_without_usable_dropout_are_refused(layers):
    with pytest.raises(InputError, match="dropout"):
        sample(nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 2)), [X], 2, 0)


def test_dropout_that_takes_no_part_no_batch_and_no_sample_are_refused():
    unused = classifier(rate=0.0)
    unused.spare = nn.Dropout(0.5)
    with pytest.raises(InputError, match="takes part"):
        sample(unused, [X], 2, 0)
    with pytest.raises(InputError, match="no batch"):
        sample(classifier(), [], 2, 0)
    with pytest.raises(InputError, match="T is 0"):
        sample(classifier(), [X], 0, 0)


def passes(layers, x, T, seed):
    """Return [masked ones of each layer] per sample."""
    found = []
    for t in range(T):
        with masks.Masks(seed, range(t, t + 1), torch.arange(len(x))):
            found.append([layer.train()(x) for layer in layers])
    return found


def test_layers_of_one_pass_have_independent_masks():
    layers = nn.Dropout(0.5), nn.Dropout(0.5), nn.Dropout(0.5)
    seen = [one > 0 for each in passes(layers, torch.ones(4, 5000), 3, 7) for one in each]
    agreement = [(a == b).float().mean().item() for k, a in enumerate(seen) for b in seen[:k]]
    # Fair coins agree half of the time: 20,000 of them within 0.5 +- 5 standard errors.
    error = np.abs(np.array(agreement) - 0.5).max()
    assert len(agreement) == 36 and error < 5 * 0.5 / np.sqrt(20_000)


def test_dropout_behind_dropout_keeps_the_mean():
    layers = nn.Sequential(nn.Dropout(0.2), nn.Dropout(0.2))
    means = [one.mean().item() for (one,) in passes([layers], torch.ones(1, 100), 400, 0)]
    # One value has variance 1 / 0.8^2 - 1. With one mask for both layers, the mean would be
    # 1 / 0.8 = 1.25.
    assert abs(np.mean(means) - 1) < 5 * np.sqrt((1 / 0.8**2 - 1) / 40_000)
