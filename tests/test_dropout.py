"""Monte Carlo dropout: the shared prefix against whole passes, and dropout layers anywhere in a network."""

import numpy as np
import pytest
import torch
from torch import nn

from deepfake_uncertainty.detectors.base import Classifier
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty import sampling
from deepfake_uncertainty.uncertainty.dropout import mc_dropout, mc_dropout_whole

X = torch.randn(10, 1, 8, 8, generator=torch.Generator().manual_seed(1))


class Counting(nn.Module):
    """An identity that counts its calls."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        return x


def features(*extra):
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), *extra, nn.Flatten())


def classifier(*extra, rate=0.4):
    torch.manual_seed(0)
    return Classifier(features(*extra), 144, 3, rate)


def test_shared_prefix_equals_whole_passes():
    network = classifier()
    np.testing.assert_allclose(mc_dropout(network, X.split(4), 5, 3), mc_dropout_whole(network, X.split(3), 5, 3), atol=1e-6)


def test_features_are_computed_once():
    counting = Counting()
    network = classifier(counting)
    mc_dropout(network, [X], 20, 0)
    assert counting.calls == 1
    mc_dropout_whole(network, [X], 20, 0)
    assert counting.calls == 21


@pytest.mark.parametrize("layer", [nn.Dropout(0.3), nn.Dropout2d(0.3)])
def test_dropout_anywhere_does_not_depend_on_the_batches(layer):
    # The layer stands twice in the pass: each call has masks of its own.
    network = classifier(layer, nn.Tanh(), layer)
    whole = mc_dropout_whole(network, [X], 4, 2)
    np.testing.assert_allclose(whole, mc_dropout_whole(network, X.split(3), 4, 2), atol=1e-6)
    np.testing.assert_array_equal(whole[:2], mc_dropout_whole(network, [X], 2, 2))
    assert len(np.unique(whole.round(6), axis=0)) == 4
    with pytest.raises(InputError, match="mc_dropout_whole"):
        mc_dropout(network, [X], 4, 2)


def test_only_dropout_is_stochastic_and_the_network_is_left_as_it_was():
    network = classifier(nn.Dropout2d(0.3)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    plain = sampling.deterministic(network, [X])
    mc_dropout_whole(network, [X], 3, 0)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(module.training for module in network.modules())
    np.testing.assert_array_equal(plain, sampling.deterministic(network, [X]))


def test_dropped_channels_are_whole_and_kept_ones_are_scaled():
    network = nn.Sequential(nn.Linear(1, 1), nn.Unflatten(1, (1, 1)), nn.Dropout1d(0.5), nn.Flatten(), Logits())
    nn.init.ones_(network[0].weight), nn.init.zeros_(network[0].bias)
    found = mc_dropout_whole(network, [torch.ones(400, 1)], 10, 0)[..., 1]
    # The logit is 0 when dropped and 1 / (1 - 0.5) = 2 when kept.
    kept = np.isclose(found, 1 / (1 + np.exp(-2)))
    assert (kept | np.isclose(found, 0.5)).all() and abs(kept.mean() - 0.5) < 0.04


class Logits(nn.Module):
    """Two logits (0, x) of one value x."""

    def forward(self, x):
        return torch.cat([torch.zeros_like(x), x], 1)


@pytest.mark.parametrize("layers", [[], [nn.Dropout(0.0)], [nn.Dropout(1.0)], [nn.AlphaDropout(0.2)]])
def test_networks_without_usable_dropout_are_refused(layers):
    with pytest.raises(InputError, match="dropout"):
        mc_dropout_whole(nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 2)), [X], 2, 0)


def test_dropout_that_takes_no_part_no_batch_and_no_sample_are_refused():
    unused = classifier(rate=0.0)
    unused.spare = nn.Dropout(0.5)
    with pytest.raises(InputError, match="took part"):
        mc_dropout_whole(unused, [X], 2, 0)
    for sample in (mc_dropout, mc_dropout_whole):
        with pytest.raises(InputError, match="no batch"):
            sample(classifier(), [], 2, 0)
        with pytest.raises(InputError, match="T is 0"):
            sample(classifier(), [X], 0, 0)


def test_half_precision_rows_sum_to_one():
    network = nn.Linear(4, 3).bfloat16()
    found = sampling.deterministic(network, [torch.randn(50, 4).bfloat16()])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-6)
