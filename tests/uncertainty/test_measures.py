"""Measures of uncertainty: hand-computed values, properties, and input without probabilities."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import rel_entr
from scipy.stats import entropy

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty.measures import measures


def probabilities(T, N, C, seed):
    return np.random.default_rng(seed).dirichlet(np.full(C, 0.3), size=(T, N))


def test_hand_computed_values():
    # Samples (0.9, 0.1) and (0.5, 0.5): mean (0.7, 0.3).
    found = measures([[[0.9, 0.1]], [[0.5, 0.5]]])
    assert found["total"][0] == pytest.approx(0.6108643, abs=1e-7)
    assert found["aleatoric"][0] == pytest.approx((0.3250830 + 0.6931472) / 2, abs=1e-7)
    assert found["epistemic"][0] == pytest.approx(0.1017492, abs=1e-7)


def test_two_certain_networks_that_disagree_are_all_epistemic():
    found = measures([[[1.0, 0.0]], [[0.0, 1.0]]])
    assert found["total"] == pytest.approx(np.log(2)) and found["aleatoric"] == pytest.approx(0)
    assert found["epistemic"] == pytest.approx(np.log(2))


@given(st.integers(1, 6), st.integers(1, 5), st.integers(2, 4), st.integers(0, 1000))
def test_measures_agree_with_scipy_and_stay_in_range(T, N, C, seed):
    samples = probabilities(T, N, C, seed)
    found = measures(samples)
    np.testing.assert_allclose(found["total"], entropy(samples.mean(0), axis=-1), atol=1e-12)
    np.testing.assert_allclose(found["aleatoric"], entropy(samples, axis=-1).mean(0), atol=1e-12)
    assert (found["epistemic"] >= 0).all() and (found["total"] <= np.log(C) + 1e-12).all()


@given(st.integers(1, 6), st.integers(1, 5), st.integers(2, 5), st.integers(0, 1000))
def test_epistemic_is_the_mean_divergence_from_the_mean(T, N, C, seed):
    # Mutual information by its other definition, mean KL(p_t || mean p), without a difference.
    samples = probabilities(T, N, C, seed)
    expected = rel_entr(samples, samples.mean(0)).sum(-1).mean(0)
    np.testing.assert_allclose(measures(samples)["epistemic"], expected, atol=1e-12)


@given(st.integers(1, 6), st.integers(2, 5), st.integers(0, 1000))
def test_order_of_samples_and_classes_does_not_matter(T, C, seed):
    samples = probabilities(T, 4, C, seed)
    found, reversed_order = measures(samples), measures(samples[::-1, :, ::-1])
    for name in found:
        np.testing.assert_allclose(found[name], reversed_order[name], atol=1e-12)


@pytest.mark.parametrize("C", [2, 3, 6])
def test_degenerate_samples(C):
    single = measures(probabilities(1, 7, C, 0))
    assert (single["epistemic"] == 0).all()
    flat = measures(np.full((5, 3, C), 1 / C))
    np.testing.assert_allclose(flat["aleatoric"], np.log(C))
    certain = measures(np.tile(np.eye(C)[:1], (4, 1, 1)))
    assert all(value == 0 for value in (certain[name][0] for name in certain))


def test_identical_float32_samples_are_never_below_zero():
    row = probabilities(1, 2000, 3, 1).astype(np.float32)
    epistemic = measures(np.repeat(row, 100, axis=0))["epistemic"]
    assert epistemic.dtype == np.float64 and (epistemic >= 0).all() and epistemic.max() < 1e-12


BAD = [
    "text",
    None,
    [[[0.5, 0.5]], [[1.0]]],
    np.zeros((2, 0, 2)),
    np.ones((2, 3)),
    np.ones((0, 1, 2)),
    np.zeros((1, 1, 2)),
    np.full((1, 2, 2), np.nan),
    [[[np.inf, 0]]],
    [[[0.9, 0.3]]],
    [[[1.5, -0.5]]],
]


@pytest.mark.parametrize("bad", BAD)
def test_bad_samples_are_refused_with_one_line(bad):
    with pytest.raises(InputError) as caught:
        measures(bad)
    assert "\n" not in str(caught.value)


def test_rounding_of_a_row_makes_no_negative_entropy():
    found = measures([[[1.00009, 0.0]], [[0.99995, 0.0]]])
    assert all(value == 0 for values in found.values() for value in values)
    logits = np.random.default_rng(0).normal(0, 3, (20, 50, 7))
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    exact, half = measures(p), measures(p.astype(np.float16))
    for name, values in exact.items():
        np.testing.assert_allclose(half[name], values, atol=2e-3)
        assert (half[name] >= 0).all()
    with pytest.raises(InputError, match="not probabilities"):
        measures(np.array([[[0.6, 0.42]]], np.float16))
