"""Networks that a split by calls could get wrong: sampled as by a plain loop, or refused.

The loop runs the whole network, all rows at once, with the same masks or weights.
"""

import threading

import numpy as np
import pytest
import torch
from support.small_networks import (
    X_SIX,
    agrees_with_dropout,
    naive_dropout,
    naive_weights,
    seeded,
    small_inputs,
    small_net,
)
from torch import nn

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty import VariationalPosterior, sample

X = X_SIX


def agrees_with_weights(network, x=X, **options):
    posterior = VariationalPosterior(network, delta=0.5, **options)
    found = sample(posterior, x.split(3), 4, 1)
    np.testing.assert_allclose(found, naive_weights(posterior, x, 4, 1), atol=1e-5)
    assert found.std(0).max() > 1e-3
    return posterior


class InPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.late, self.drop = nn.Linear(6, 5), nn.Linear(5, 5), nn.Dropout(0.4)
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        h = self.body(x)
        z = self.drop(self.late(h))
        return self.head(h.add_(z))


class InPlaceOnTheInput(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop, self.head = nn.Dropout(0.4), nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.drop(x.sub_(1).div_(2)))


@pytest.mark.parametrize("kind", [InPlace, InPlaceOnTheInput])
def test_changes_in_place_do_not_add_up_over_samples(kind):
    network = seeded(kind)
    found = sample(network, [X[:4].clone(), X[4:].clone()], 4, 1)
    # The loop gives each pass inputs of its own, as a careful user would.
    passes = [naive_dropout(network, X.clone(), t + 1, 1, first=t)[-1] for t in range(4)]
    np.testing.assert_allclose(found, passes, atol=1e-5)
    # Late samples spread as early ones do.
    many = sample(network, X, 200, 1)
    assert 0.5 < many[:100].std() / many[100:].std() < 2
    assert found.std(0).max() > 1e-3


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 2)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.head(torch.tanh(self.second(torch.relu(self.first(x)))))


class TiedConvolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)
        self.two.weight = self.one.weight
        self.norm, self.other, self.head = nn.BatchNorm2d(2), nn.BatchNorm2d(2), nn.Linear(2, 2)
        nn.init.uniform_(self.norm.running_var, 0.5, 2)
        nn.init.uniform_(self.other.running_var, 0.5, 2)

    def forward(self, x):
        x = x[:, :2, None, None]
        return self.head(self.other(self.two(self.norm(self.one(x)))).flatten(1))


@pytest.mark.parametrize("kind", [Tied, TiedConvolutions])
def test_a_tied_weight_is_drawn_once_under_all_its_names(kind):
    posterior = agrees_with_weights(seeded(kind))
    assert len(posterior.names) == len(set(posterior.names)) == len(posterior.mean)


def test_a_tied_weight_within_a_part_is_drawn_whatever_its_first_name():
    posterior = agrees_with_weights(seeded(Tied), parts=["second"])
    assert posterior.names == ["first.weight", "second.bias"]


def hooked(place):
    network = seeded(InPlaceFree)
    module = network.get_submodule(place)
    module.register_forward_hook(lambda module, given, output: 3 * output)
    return network


class InPlaceFree(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 5), nn.Sequential(nn.Tanh(), nn.Linear(5, 5)))
        self.head = nn.Sequential(nn.Dropout(0.4), nn.Linear(5, 2))

    def forward(self, x):
        return self.head(self.body(x))


@pytest.mark.parametrize("place", ["", "body", "body.1", "head"])
def test_hooks_are_run(place):
    agrees_with_dropout(hooked(place))
    agrees_with_weights(hooked(place), parts=["head"])


class Asks(InPlaceFree):
    """It branches on what a tracer cannot know."""

    def forward(self, x, mask=None):
        hidden = self.body(x)
        if isinstance(hidden, torch.Tensor):
            hidden = 2 * hidden
        if mask is not None:
            hidden = hidden * mask
        return self.head(hidden)


class Embedding(nn.Module):
    """Its code for the optional argument runs in a trace, as in the networks of Hugging Face."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.layer = nn.Conv2d(6, 6, 1), nn.BatchNorm2d(6), nn.Linear(6, 6)
        nn.init.uniform_(self.norm.running_var, 0.5, 2)

    def forward(self, x, extra=None):
        x = self.norm(self.conv(x[:, :, None, None])).flatten(1)
        return x if extra is None else x + self.layer(extra)


class Optional(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop, self.embedding, self.head = nn.Dropout(0.4), Embedding(), nn.Linear(6, 2)

    def forward(self, x, extra=None):
        return self.head(self.embedding(self.drop(x), extra=extra))


def test_a_split_that_cannot_be_run_is_not_used():
    agrees_with_dropout(seeded(Optional))


class Branches(InPlaceFree):
    def forward(self, x):
        return self.head(self.body(x) if x.sum() > 0 else -self.body(x))


@pytest.mark.parametrize("kind", [Asks, Branches])
def test_branches_are_those_of_the_network(kind):
    network = seeded(kind)
    for row in X.split(1):
        agrees = sample(network, row, 4, 1)
        np.testing.assert_allclose(agrees, naive_dropout(network, row, 4, 1), atol=1e-5)


class SequenceFirst(nn.Module):
    """Tokens (L, N, D) as in PyTorch's own recurrent layers; L equals N in one of the batches."""

    def __init__(self):
        super().__init__()
        self.drop, self.head = nn.Dropout(0.4), nn.Linear(2, 2)

    def forward(self, x):
        tokens = self.drop(x.view(len(x), 3, 2).transpose(0, 1))
        return self.head(tokens.sum(0))


class Position(nn.Module):
    """Dropout of an embedding (1, L, D), which has no axis of inputs."""

    def __init__(self):
        super().__init__()
        self.place, self.drop = nn.Parameter(torch.randn(1, 6)), nn.Dropout(0.4)
        self.late, self.head = nn.Dropout(0.3), nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.late(x + self.drop(self.place)))


class Mixing(nn.Module):
    """The inputs of a batch are centred on their mean."""

    def __init__(self):
        super().__init__()
        self.drop, self.head = nn.Dropout(0.4), nn.Linear(6, 2)

    def forward(self, x):
        h = self.drop(x)
        return self.head(h - h.mean(0))


class BatchStatistics(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop, self.conv = nn.Dropout(0.4), nn.Conv2d(6, 4, 1)
        self.norm, self.head = nn.BatchNorm2d(4, track_running_stats=False), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.norm(self.conv(self.drop(x)[:, :, None, None])).flatten(1))


@pytest.mark.parametrize("kind", [SequenceFirst, Position])
def test_inputs_need_not_be_the_first_axis_of_what_is_dropped(kind):
    network = seeded(kind)
    whole = agrees_with_dropout(network)
    np.testing.assert_allclose(whole, sample(network, X, 4, 1), atol=1e-5)


@pytest.mark.parametrize("kind", [Mixing, BatchStatistics])
def test_a_network_that_mixes_the_inputs_of_a_batch_is_not_packed(kind):
    network = seeded(kind)
    found = sample(network, [X], 4, 1)
    np.testing.assert_allclose(found, naive_dropout(network, X, 4, 1), atol=1e-5)


class Counter(nn.Module):
    """It keeps a state: every pass gives another result."""

    def __init__(self):
        super().__init__()
        self.drop, self.head, self.passes = nn.Dropout(0.4), nn.Linear(6, 2), 0

    def forward(self, x):
        self.passes += 1
        return self.head(self.drop(x)) + torch.tensor([0.0, float(self.passes)])


def test_a_network_with_a_state_is_refused():
    with pytest.raises(InputError, match="two results for the same inputs"):
        sample(seeded(Counter), X, 2, 0)


def test_threads_on_one_network_do_not_disturb_each_other():
    network = small_net()
    posterior, x = VariationalPosterior(network), small_inputs()
    expected = [sample(model, x, 5, 0) for model in (network, posterior)]
    found, errors = {}, []

    def work(place):
        try:
            found[place] = [sample(model, x, 5, 0) for model in (network, posterior)]
        except Exception as error:
            errors.append(error)

    workers = [threading.Thread(target=work, args=(place,)) for place in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not errors and len(found) == 8
    for pair in found.values():
        np.testing.assert_allclose(pair, expected, atol=1e-6)


def test_inputs_of_one_key_share_their_masks():
    network = nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 2)).eval()
    x, keys = X[:1].expand(6, 6), np.array(["a", "a", "b", "b", "c", "a"])
    found = sample(network, x.split(4), 20, 0, keys=keys)
    assert np.array_equal(found[:, 0], found[:, 1]) and np.array_equal(found[:, 0], found[:, 5])
    assert np.array_equal(found[:, 2], found[:, 3])
    assert not np.allclose(found[:, 0], found[:, 2]) and not np.allclose(found[:, 2], found[:, 4])
    # A key gives the same masks whichever inputs it stands beside.
    alone = sample(network, x[:2], 20, 0, keys=["c", "b"])
    assert np.allclose(alone[:, 0], found[:, 4]) and np.allclose(alone[:, 1], found[:, 2])


def test_packed_batches_are_bounded_by_the_widest_tensor_of_the_suffix():
    network = nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 4096), nn.Tanh(), nn.Linear(4096, 2))
    sizes = []
    network[2].register_forward_hook(lambda module, given, output: sizes.append(output.nbytes))
    sample(network.eval(), X, 10_000, 0)
    assert 1 << 20 < max(sizes) <= 16 << 20
