"""Networks whose samples could be wrong without a word."""

import numpy as np
import pytest
import torch
import torchvision
from support.small_networks import naive_dropout
from torch import nn
from torch.nn import functional

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty import sample

X = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))


def seeded(kind, *arguments):
    torch.manual_seed(0)
    return kind(*arguments).eval()


class Gate(nn.Module):
    """One random number decides for all inputs, as torchvision's stochastic depth by batch does."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(6, 6), nn.Linear(6, 2)
        self.drop = torchvision.ops.StochasticDepth(0.4, "batch")

    def forward(self, x):
        return self.head(x + self.drop(torch.tanh(self.body(x))))


class Discarded(nn.Module):
    """It drops in place, and throws the result of the call away."""

    def __init__(self, rate=0.5):
        super().__init__()
        self.rate, self.body, self.head = rate, nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x):
        h = torch.tanh(self.body(x))
        ones = torch.ones_like(h[:, :1])
        h.mul_(functional.dropout(ones, self.rate, self.training))
        return self.head(h)


class Written(nn.Module):
    """Stochastic depth written out: a mask is filled in place."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x):
        h = self.body(x)
        if self.training:
            mask = h.new_empty((len(h), 1))
            mask.bernoulli_(0.5)
            h = h * mask
        return self.head(h)


@pytest.mark.parametrize("kind", [Gate, Discarded, Written])
@pytest.mark.parametrize("seed", range(4))
def test_no_dropout_is_lost(kind, seed):
    network = seeded(kind)
    found = sample(network, X, 60, seed)
    np.testing.assert_allclose(found, naive_dropout(network, X, 60, seed), atol=1e-5)
    assert found.std(0).max() > 0.01


class TimeFirst(nn.Module):
    """Time is folded into the inputs, time first: the places of an input are no neighbours."""

    def __init__(self):
        super().__init__()
        self.drop, self.head = nn.Dropout(0.4), nn.Linear(2, 2)

    def forward(self, x):
        steps = x.view(len(x), 3, 2).transpose(0, 1).reshape(3 * len(x), 2)
        return self.head(self.drop(steps).view(3, len(x), 2).sum(0))


def test_keys_are_refused_where_inputs_have_no_masks_of_their_own():
    with pytest.raises(InputError, match="mixes the inputs"):
        sample(seeded(TimeFirst), X, 3, keys=[0, 0, 1, 1])


class LayerDrop(nn.Module):
    """Whole layers are skipped at random, with the dropout in them."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.3)) for _ in "abcd")
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        for layer in self.layers:
            if not self.training or torch.rand(()) > 0.5:
                x = layer(x)
        return self.head(x)


def test_passes_that_drop_more_or_less_often_are_refused():
    with pytest.raises(InputError, match="more often in some passes|the same in every pass"):
        sample(seeded(LayerDrop), X, 30)


class Squeezed(nn.Module):
    """For one input the axis of inputs is lost."""

    def __init__(self):
        super().__init__()
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.drop(x[:, :, None].squeeze()))


def test_an_axis_that_is_lost_for_one_input_does_no_harm():
    network = seeded(Squeezed)
    found = sample(network, X, 20, 3)
    np.testing.assert_allclose(found, naive_dropout(network, X, 20, 3), atol=1e-5)
    assert found.std(0).max() > 0.01


class Averaged(nn.Module):
    """A buffer that training replaces."""

    def __init__(self):
        super().__init__()
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(6, 2)
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x):
        if self.training:
            self.mean = 0.9 * self.mean + 1
        return self.head(self.drop(x))


def test_a_buffer_that_is_replaced_is_put_back():
    network = Averaged().eval()
    kept = network.mean
    sample(network, X, 3)
    assert network.mean is kept and kept == 0


class HalfHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop, self.body = nn.Dropout(0.5), nn.Linear(6, 6)
        self.head = nn.Linear(6, 2).bfloat16()

    def forward(self, x):
        return self.head(self.drop(self.body(x)))


def test_a_network_that_runs_in_half_precision_alone_is_sampled_in_it():
    assert sample(HalfHead().eval(), X, 20, dtype=torch.bfloat16).std(0).max() > 0.01


def test_layers_that_draw_in_training_alone_are_members_of_ensembles():
    members = [nn.Sequential(nn.RReLU(), nn.Linear(6, 2)).eval() for _ in "ab"]
    assert sample(members, X).shape == (2, 4, 2)
