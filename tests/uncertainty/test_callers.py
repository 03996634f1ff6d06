"""Callers, loaders and inputs that could make samples wrong without a word."""

import queue
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.seeding import threads
from deepfake_uncertainty.uncertainty import VariationalPosterior, draws, sample

X = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))


def seeded(kind, *arguments):
    torch.manual_seed(0)
    return kind(*arguments).eval()


def test_draws_of_a_posterior_are_its_samples_and_leave_it_as_it_was():
    network = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Dropout(0.5), nn.Linear(5, 2))
    posterior = VariationalPosterior(network, delta=0.5).train()
    before = {name: value.clone() for name, value in posterior.state_dict().items()}
    found = [draw(X).softmax(-1).detach().numpy() for draw in draws(posterior, 3, 2)]
    np.testing.assert_allclose(found, sample(posterior, X, 3, 2), atol=1e-6)
    assert all(torch.equal(value, before[n]) for n, value in posterior.state_dict().items())
    assert all(module.training for module in posterior.modules())
    member = draws([network.train()], 1, 0)[0]
    assert torch.equal(member(X), network.eval()(X))


class Centred(nn.Module):
    """It changes its input in place."""

    def __init__(self):
        super().__init__()
        self.drop, self.head = nn.Dropout(0.3), nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.drop(x.sub_(1).div_(2)))


def test_inputs_that_a_network_changes_stay_as_they_are():
    one, other = seeded(Centred), Centred().eval()
    data = X.clone()
    found = sample(one, data, 5, 1, batch=2)
    assert torch.equal(data, X)
    np.testing.assert_array_equal(found, sample(one, data, 5, 1, batch=2))
    both = sample([one, other], data, batch=2)
    assert torch.equal(data, X)
    np.testing.assert_allclose(both[1], sample([other], data, batch=2)[0], atol=1e-6)


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop, self.head = nn.Dropout(0.3), nn.Linear(6, 2)

    def forward(self, b, a):
        return self.head(self.drop(a - 3 * b))


def test_names_count_and_not_their_order():
    network, other = seeded(Named), 2 * X
    data = [{"a": X[:2], "b": other[:2]}, {"b": other[2:], "a": X[2:]}]
    expected = sample(network, {"a": X, "b": other}, 3, 0)
    np.testing.assert_allclose(sample(network, data, 3, 0), expected, atol=1e-6)
    with pytest.raises(InputError, match="give one kind"):
        sample(network, [data[0], {"a": X[2:]}], 3, 0)


def test_an_output_with_other_rows_than_inputs_is_refused():
    frames = nn.Sequential(nn.Dropout(0.3), nn.Linear(6, 2))
    network = nn.Sequential(nn.Unflatten(1, (3, 6)), nn.Flatten(0, 1), frames).eval()
    x = torch.randn(4, 18)
    for call in (lambda: sample(network, x, 3, 5), lambda: sample([network], x)):
        with pytest.raises(InputError, match="for 2 inputs"):
            call()


@pytest.mark.parametrize("labels", [[1, 1, "a", 1], [1, 1, 2.5, 1]])
def test_a_label_has_one_key_whatever_stands_beside_it(labels):
    network = nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 2)).eval()
    found = sample(network, X[:1].expand(4, 6), 8, 0, keys=labels, batch=2)
    assert np.array_equal(found[:, 0], found[:, 1]) and np.array_equal(found[:, 0], found[:, 3])
    assert not np.array_equal(found[:, 0], found[:, 2])


@pytest.mark.parametrize("returns", ["samples", "measures"])
def test_nan_of_a_late_input_is_refused_and_leaves_nothing_behind(returns):
    network, x = nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 2)).eval(), X.clone()
    x[3] = float("nan")
    with pytest.raises(InputError, match="NaN for some inputs") as kept:
        sample(network, x, 3, returns=returns)
    # The error is still at hand, as it is in a notebook.
    assert kept.value and torch.is_grad_enabled() and not network[0].training
    assert torch.backends.mha.get_fastpath_enabled()
    worker = threading.Thread(target=sample, args=(network, X, 3), daemon=True)
    worker.start()
    worker.join(20)
    assert not worker.is_alive()


class Always(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        return self.head(functional.dropout(x, 0.5, True))


def test_a_network_that_draws_in_evaluation_mode_is_no_member_of_an_ensemble():
    with pytest.raises(InputError, match="in evaluation mode"):
        sample([seeded(Always)], X)
    assert sample(seeded(Always), X, 20).std(0).max() > 0.01


def test_two_ensembles_and_two_networks_in_two_threads():
    layer = nn.TransformerEncoderLayer(2, 1, 8, 0.4, batch_first=True)
    encoder = nn.Sequential(nn.Unflatten(1, (3, 2)), layer, nn.Flatten(), nn.Linear(6, 2)).eval()
    plain = nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 2)).eval()
    expected = [sample(network, X, 20, 0) for network in (encoder, plain)]
    found: dict[int, np.ndarray] = {}

    def work(place):
        for _ in range(5):
            found[place] = sample((encoder, plain)[place % 2], X, 20, 0)
            sample([encoder, plain] if place % 2 else [plain, encoder], X)

    workers = [threading.Thread(target=work, args=(k,), daemon=True) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert len(found) == 4 and not any(worker.is_alive() for worker in workers)
    for place, samples in found.items():
        np.testing.assert_allclose(samples, expected[place % 2], atol=1e-6)
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_loader_that_computes_is_read_in_the_state_of_the_caller():
    torch.manual_seed(0)
    before, network = nn.Linear(6, 6), nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 2)).eval()

    def batches():
        for x in X.split(1):
            moved = x.clone().requires_grad_(True)
            network(before(moved)).sum().backward()
            yield (before(x) + moved.grad.sign()).detach().float()

    expected = sample(network, list(batches()), 5, 0, dtype=torch.bfloat16)
    np.testing.assert_array_equal(sample(network, batches(), 5, 0, dtype=torch.bfloat16), expected)
    np.testing.assert_array_equal(sample([network], batches()), sample([network], list(batches())))


def test_a_loader_may_sample_another_network_in_its_own_thread():
    network, other = (nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 2)).eval() for _ in "ab")

    def batches():
        ready: queue.Queue = queue.Queue()

        def work():
            for x in X.split(1):
                sample(other, x, 2)
                ready.put(x)
            ready.put(None)

        threading.Thread(target=work, daemon=True).start()
        while (x := ready.get(timeout=30)) is not None:
            yield x

    np.testing.assert_array_equal(sample(network, batches(), 3), sample(network, X.split(1), 3))


class Draws(nn.Module):
    """A network whose pass is a draw of another."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 2)).eval()
        self.drawn = draws(self.inner, 1, 0)[0]

    def forward(self, x):
        return self.drawn(x)


def test_a_network_that_samples_is_refused_and_does_not_wait_for_itself():
    with threads(2), pytest.raises(InputError, match="in its own pass"):
        sample([Draws(), Draws()], X, batch=1)
