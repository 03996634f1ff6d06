"""What a user may give to `sample`: kinds of inputs, outputs, keys, numbers, modes of PyTorch."""

import copy
import threading
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from support.small_networks import naive_dropout, naive_weights
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty import LastLayer, VariationalPosterior, measures, sample

X = torch.randn(7, 6, generator=torch.Generator().manual_seed(0))


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Dropout(0.4), nn.Linear(5, 2)).eval()


EXPECTED = naive_dropout(network(), X, 3, 1)


def gives_the_samples(model, data, **options):
    found = sample(model, data, 3, 1, **options)
    assert found.dtype == np.float32 and found.shape == EXPECTED.shape
    np.testing.assert_allclose(found, EXPECTED, atol=1e-5)


class Named(nn.Module):
    """A network with named inputs, of which one is not used."""

    def __init__(self):
        super().__init__()
        self.network = network()

    def forward(self, pixels, other=None):
        return self.network(pixels)


def read_only():
    array = X.numpy().copy()
    array.setflags(write=False)
    return array


BATCHES = {
    "array": X.numpy(),
    "read-only array": read_only(),
    "array of doubles": X.numpy().astype(float),
    "array from its end": X.flip(0).numpy()[::-1],
    "array in the other order of bytes": X.numpy().astype(">f4"),
    "tensor with gradient": X.clone().requires_grad_(),
    "batches, one of them empty": [X[:3], X[:0], X[3:]],
    "batches of several types": [X[:3], X[3:].double()],
    "DataLoader with labels": DataLoader(TensorDataset(X, torch.arange(7)), 3),
}


@pytest.mark.parametrize("kind", BATCHES)
def test_kinds_of_inputs(kind):
    gives_the_samples(network(), BATCHES[kind])


def test_a_generator_is_read_once():
    gives_the_samples(network(), (part for part in X.split(3)))


def test_inputs_with_names():
    gives_the_samples(Named(), {"pixels": X, "other": X.numpy()}, batch=3)
    gives_the_samples(Named(), [{"pixels": X[:4]}, {"pixels": X[4:]}])
    pairs = DataLoader(TensorDataset(X, torch.arange(7)), 3)
    gives_the_samples(Named(), pairs, forward=lambda model, batch: model(pixels=batch[0]))


REFUSED = {
    "{'a': 7, 'b': 3}": {"a": X, "b": X[:3]},
    "unexpected keyword argument 'images'": {"images": X},
    "the inputs are empty": X[:0],
    "empty": [],
    "inputs of type NoneType": None,
    "inputs of type str": "pictures",
    "a single number": X.tolist(),
    r"cannot take a batch float32 \(2, 5\)": X[:, :5],
    "cannot take a batch uint8": X.numpy().astype(np.uint8),
    "NaN": X * float("nan"),
    "holds a ndarray where numbers": np.array([None] * 7),
}


@pytest.mark.parametrize("message", REFUSED)
@pytest.mark.parametrize("method", ["dropout", "weights", "ensemble"])
def test_inputs_that_are_refused_in_one_line(message, method):
    model = network()
    model = {"dropout": model, "weights": VariationalPosterior(model), "ensemble": [model]}[method]
    with pytest.raises(InputError, match=message) as error:
        sample(model, REFUSED[message], 3, 1)
    assert "\n" not in str(error.value)


OPTIONS = {
    "T is 2.0": {"T": 2.0}, "T is True": {"T": True}, "T is 0": {"T": 0}, "T is None": {"T": None},
    "seed is 1.5": {"seed": 1.5}, "seed is None": {"seed": None},
    "2 keys for more inputs": {"keys": [1, 2]}, "9 keys for 7 inputs": {"keys": range(9)},
    "keys of type set": {"keys": set(range(7))}, "keys of type int": {"keys": 3},
    "keys hold lists": {"keys": np.zeros((7, 2))}, "keys hold lists or": {"keys": [(1,), ()] * 4},
    "dtype is torch.int8": {"dtype": torch.int8}, "dtype is bfloat16": {"dtype": "bfloat16"},
    "device 'gpu' cannot be used": {"device": "gpu"}, "batch of 0": {"batch": 0},
    "batch of 2.5": {"batch": 2.5}, "returns is 'mean'": {"returns": "mean"},
}  # fmt: skip


@pytest.mark.parametrize("message", OPTIONS)
def test_options_that_are_refused_in_one_line(message):
    with pytest.raises(InputError, match=message) as error:
        sample(network(), X, **OPTIONS[message])
    assert "\n" not in str(error.value)


def test_a_seed_and_keys_of_other_libraries_are_the_same_numbers():
    gives_the_samples(network(), X, keys=torch.arange(7))
    gives_the_samples(network(), X.split(3), keys=pd.Series(range(7), index=range(10, 17)))
    found = sample(network(), X, np.int64(3), np.int64(1))
    np.testing.assert_allclose(found, EXPECTED, atol=1e-5)


class Returns(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.network, self.change = network(), change

    def forward(self, x):
        return self.change(self.network(x))


class Both(NamedTuple):
    logits: torch.Tensor
    other: None = None


@pytest.mark.parametrize("change", [Both, lambda z: (z, -z), lambda z: [z]])
def test_logits_are_found_in_what_a_network_returns(change):
    gives_the_samples(Returns(change), X)


def test_logits_are_found_by_the_function_that_is_given():
    gives_the_samples(Returns(lambda z: {"a": z}), X, output=lambda found: found["a"])


def one_logit(z):
    return z[:, :1]


OUTPUTS = {
    "returns a dict": lambda z: {"a": z},
    "returns a NoneType": lambda z: None,
    "one logit per input": one_logit,
    r"returns \(2,\) for 2 inputs": lambda z: z[:, 0],
    r"returns \(2, 2, 1, 1\)": lambda z: z[..., None, None],
}


@pytest.mark.parametrize("message", OUTPUTS)
def test_outputs_that_are_refused(message):
    for model in (Returns(OUTPUTS[message]), [Returns(OUTPUTS[message])]):
        with pytest.raises(InputError, match=message):
            sample(model, X, 3, 1)


def test_the_advice_for_one_logit_gives_its_sigmoid():
    def two(z):
        return torch.cat([torch.zeros_like(z), z], 1)

    model = Returns(one_logit)
    found = sample(model, X, 3, 1, output=two)[..., 1]
    naive = naive_dropout(Returns(lambda z: two(z[:, :1])), X, 3, 1)[..., 1]
    np.testing.assert_allclose(found, naive, atol=1e-6)


def test_models_that_are_refused():
    posterior = VariationalPosterior(network())
    for model in (None, "resnet18", [], len, [posterior], [LastLayer(network())]):
        with pytest.raises(InputError, match="a network, a posterior, or a list of networks"):
            sample(model, X)
    with pytest.raises(InputError, match="differ in their numbers of classes"):
        sample([network(), nn.Linear(6, 3)], X)
    with pytest.warns(match="deprecated"):
        scripted = torch.jit.script(network())
    with pytest.raises(InputError, match="give the one it was made from"):
        sample(scripted, X)


class NoWeights(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(x)[:, :2]


def test_a_network_without_weights():
    found = sample(NoWeights().eval(), X.split(2), 3, 1)
    np.testing.assert_allclose(found, naive_dropout(NoWeights(), X, 3, 1), atol=1e-6)
    with pytest.raises(InputError, match="no parameter is left"):
        VariationalPosterior(NoWeights())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near_full_precision(dtype):
    error = 0.02
    np.testing.assert_allclose(sample(network(), X, 3, 1, dtype=dtype), EXPECTED, atol=error)
    # Inputs get the type of the network's weights.
    np.testing.assert_allclose(sample(network().to(dtype), X, 3, 1), EXPECTED, atol=error)


def test_one_input_and_batches_of_one():
    gives_the_samples(network(), X, batch=1)
    found = sample(network(), X[:1], 3, 1)
    np.testing.assert_allclose(found, EXPECTED[:, :1], atol=1e-5)


def test_channels_last():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout2d(0.3), nn.Flatten(), nn.Linear(144, 2)
    ).eval()
    x = torch.randn(4, 3, 8, 8)
    expected = naive_dropout(model, x, 3, 1)
    last = {"memory_format": torch.channels_last}
    found = sample(copy.deepcopy(model).to(**last), x.to(**last), 3, 1, batch=3)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_modes_of_pytorch_and_wrappers_of_networks():
    with torch.inference_mode():
        gives_the_samples(network(), X, batch=3)
    gives_the_samples(network().train(), X, batch=3)
    gives_the_samples(nn.DataParallel(network()), X, batch=3)
    gives_the_samples(torch.compile(network(), backend="eager"), X, batch=3)


@pytest.mark.parametrize(
    "kind", [nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm]
)
def test_weights_that_are_computed(kind):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.Dropout(0.4), kind(nn.Linear(5, 2))).eval()
    found = sample(model, X.split(3), 3, 1)
    np.testing.assert_allclose(found, naive_dropout(model, X, 3, 1), atol=1e-5)
    posterior = VariationalPosterior(model, delta=0.5)
    found = sample(posterior, X.split(3), 3, 1)
    np.testing.assert_allclose(found, naive_weights(posterior, X, 3, 1), atol=1e-5)


def test_threads_with_batches_give_the_bytes_of_one_thread():
    model, found = network(), {}
    expected = sample(model, X, 40, 1, batch=2)

    def work(place):
        found[place] = sample(model, X, 40, 1, batch=2, returns="both")

    workers = [threading.Thread(target=work, args=(place,)) for place in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for one in found.values():
        assert np.array_equal(one.samples, expected)
        assert np.allclose(one.measures["epistemic"], measures(expected)["epistemic"])
    assert len(found) == 4
