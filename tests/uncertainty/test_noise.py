"""Counter-based random numbers: known values, distributions, and what they depend on."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from support.devices import CARDS

from deepfake_uncertainty.seeding import threads
from deepfake_uncertainty.uncertainty import noise

# The first outputs of SplitMix64 from the state 1234567, as its authors' code gives them.
PUBLISHED = (
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
)


def test_numbers_are_those_of_splitmix64():
    words = noise.words(torch.tensor([1234567]), 12).numpy().view(np.uint64)[0]
    assert tuple(words[1:].tolist()) == PUBLISHED


def by_hand(state):
    """Return the output of SplitMix64 for a state, in whole numbers without bounds."""
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) % 2**64
    return state ^ (state >> 31)


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_keys_of_rows_are_splitmix64_whatever_their_sign(key, row):
    expected = by_hand((row * 0x9E3779B97F4A7C15 + key) % 2**64)
    found = noise.row_keys(key, torch.tensor([row])).item()
    assert found % 2**64 == expected


def test_uniform_and_normal_numbers_have_their_distributions():
    keys = noise.row_keys(noise.key(3, "x"), torch.arange(200))
    uniform = noise.uniform(keys, 501).numpy()
    assert uniform.min() >= 0 and uniform.max() < 1
    assert stats.kstest(uniform.ravel(), "uniform").pvalue > 0.001
    # Neither rows nor columns go together.
    largest = np.abs(np.corrcoef(uniform) - np.eye(200)).max()
    assert largest < 5.5 / np.sqrt(501)
    normal = noise.normal(7, (1_000_001,)).numpy()
    assert stats.kstest(normal, "norm").pvalue > 0.001
    assert 4.5 < np.abs(normal).max() < 6.7 and np.isfinite(normal).all()
    half = len(normal) // 2
    for lag in (1, 2, half, half + 1):
        assert abs(np.mean(normal[lag:] * normal[:-lag])) < 5 / np.sqrt(half)


def test_the_smallest_and_largest_words_give_finite_numbers(monkeypatch):
    extremes = torch.tensor([0, -(2**31), 2**31 - 1, 1, -1, 0], dtype=torch.int32)
    monkeypatch.setattr(noise, "_mixed", lambda state: extremes.view(torch.int64).view_as(state))
    assert torch.isfinite(noise.normal(0, (6,))).all()
    uniform = noise.uniform(torch.tensor([0]), 6)
    assert uniform.min() >= 0 and uniform.max() < 1


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_kept_has_its_probability(probability):
    kept = noise.kept(noise.row_keys(1, torch.arange(100)), 999, probability).float().mean().item()
    assert abs(kept - probability) <= 5 * np.sqrt(probability * (1 - probability) / 99_900)


def test_numbers_depend_on_neither_chunks_nor_threads_nor_count(monkeypatch):
    whole = noise.normal(5, (3, 7, 11))
    with threads(2):
        assert torch.equal(whole, noise.normal(5, (231,)).view(3, 7, 11))
        on_two = noise.normal(5, (300_001,))  # enough that PyTorch shares the work
    assert torch.equal(on_two, noise.normal(5, (300_001,)))
    monkeypatch.setitem(noise.CHUNK, "cpu", 10)
    torch.testing.assert_close(whole, noise.normal(5, (3, 7, 11)), rtol=1e-6, atol=1e-7)
    keys = noise.row_keys(2, torch.arange(5))
    assert torch.equal(noise.words(keys, 9)[:, :4], noise.words(keys, 4))
    assert torch.equal(noise.words(keys, 9)[3:], noise.words(keys[3:], 9))


@pytest.mark.parametrize("where", CARDS)
def test_a_card_draws_the_same_numbers(where):
    card, tolerance = where
    with card():
        there = noise.normal(5, (1000,), "cuda").cpu()
        keys = noise.row_keys(2, torch.arange(5).to("cuda"))
        words = noise.words(keys, 9).cpu()
    torch.testing.assert_close(there, noise.normal(5, (1000,)), rtol=tolerance, atol=tolerance)
    assert torch.equal(words, noise.words(noise.row_keys(2, torch.arange(5)), 9))


def test_keys_differ_and_labels_keep_theirs():
    keys = {noise.key(seed, t, name) for seed in range(5) for t in range(5) for name in "ab"}
    assert len(keys) == 50 and all(-(2**63) <= key < 2**63 for key in keys)
    labels = noise.label_keys(["b", "a", "b"])
    assert labels[0] == labels[2] != labels[1] == noise.label_keys(np.array(["a"]))[0]
    assert noise.label_keys(range(3)).tolist() == [0, 1, 2]
