"""The sampling engine: its threads and blocks, and what a sample depends on."""

import numpy as np
import pytest
import torch
from support.small_networks import small_inputs, small_net
from torch import nn

from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.seeding import threads
from deepfake_uncertainty.uncertainty import bayes, engine, sample


def test_deterministic_is_the_softmax_and_restores_the_mode():
    net, x = small_net().train(), small_inputs()
    found = sample([net], x.split(3))
    assert net.training and net.body[1].training
    np.testing.assert_allclose(found[0], net.eval()(x).softmax(-1).detach(), atol=1e-6)


def test_half_precision_rows_sum_to_one():
    network = nn.Linear(4, 3).bfloat16()
    found = sample([network], [torch.randn(50, 4).bfloat16()])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-6)


@pytest.mark.parametrize("method", ["dropout", "bnn"])
def test_samples_depend_on_the_seed_and_not_on_the_batches(method):
    net, x = small_net(), small_inputs()
    model = net if method == "dropout" else bayes.VariationalPosterior(net)
    whole, split = sample(model, x.split(10), 4, 5), sample(model, x.split(3), 4, 5)
    np.testing.assert_allclose(whole, split, atol=1e-6)
    np.testing.assert_array_equal(whole, sample(model, x.split(10), 4, 5))
    np.testing.assert_array_equal(whole[:2], sample(model, x.split(10), 2, 5))
    assert not np.allclose(whole, sample(model, x.split(10), 4, 6))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_parallel_map_keeps_the_order_and_the_settings_of_the_caller(count):
    def seen(value):
        product = torch.ones(1, 2) @ torch.ones(2, 1)
        return value, torch.get_num_threads(), torch.is_grad_enabled(), product.dtype

    with threads(count), torch.autocast("cpu", torch.bfloat16):
        found = engine.parallel_map(seen, list(range(5)), torch.device("cpu"))
        assert torch.get_num_threads() == count
    assert found == [(value, 1, False, torch.bfloat16) for value in range(5)]


def test_parallel_map_raises_the_error_of_its_function():
    with threads(2), pytest.raises(ZeroDivisionError):
        engine.parallel_map(lambda value: 1 / value, [1, 0, 1], torch.device("cpu"))
    assert engine.parallel_map(None, [], torch.device("cpu")) == []


def test_samples_do_not_depend_on_how_many_batches_run_in_parallel():
    torch.manual_seed(0)
    network = registry.get("fakecatcher").build(2, 0.3).eval()
    posterior, batches = bayes.VariationalPosterior(network), torch.rand(10, 1, 64, 64).split(3)
    with threads(1):
        alone = sample(posterior, batches, 2, 0), sample([network], batches)
    for count in (2, 3):
        with threads(count):
            assert np.array_equal(sample(posterior, batches, 2, 0), alone[0])
            assert np.array_equal(sample([network], batches), alone[1])


def test_blocks_bound_the_memory(monkeypatch):
    network = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(100, 2)).eval()
    sizes, run = [], engine.block_samples

    def counted(source, part, T, block, *rest):
        sizes.append(sum(len(rows) for _, rows in block))
        return run(source, part, T, block, *rest)

    monkeypatch.setattr(engine, "block_samples", counted)
    monkeypatch.setitem(engine.BLOCK, "cpu", 4 * 100 * 4)  # bytes of four rows of a hundred floats
    sample(network, torch.rand(10, 100).split(2), 3)
    assert sizes == [4, 4, 2]
