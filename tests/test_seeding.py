"""Seeds and threads: the same draws for the same seed, and threads as before."""

import random

import numpy as np
import pytest
import torch

from deepfake_uncertainty import seeding


def drawn(seed):
    seeding.seed_everything(seed)
    return random.random(), float(np.random.rand()), float(torch.rand(1))  # noqa: NPY002


def test_a_seed_gives_the_same_draws_everywhere():
    first, other, again = drawn(3), drawn(4), drawn(3)
    assert first == again
    assert all(one != two for one, two in zip(first, other, strict=True))
    assert torch.are_deterministic_algorithms_enabled()


def test_a_seed_may_be_larger_than_numpys():
    assert drawn(2**32 + 3)[1] == drawn(3)[1]


def test_threads_are_as_before_also_after_an_error():
    before = torch.get_num_threads()
    with seeding.threads(2):
        assert torch.get_num_threads() == 2
        with seeding.threads(1):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == before
    with pytest.raises(RuntimeError), seeding.threads(before + 1):
        raise RuntimeError
    assert torch.get_num_threads() == before
