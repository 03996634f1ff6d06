"""Resamples of clusters: counts of clusters, weights of items and copies give the same metrics."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import digamma

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.evaluation import metrics, resampling
from deepfake_uncertainty.evaluation.resampling import Resamples

# score, error, cluster
ITEMS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 1), st.integers(0, 3)), min_size=1, max_size=25
)
COUNTS = st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=3)


def every_metric(score, error, weights):
    p = np.stack([1 - score / 5, score / 5], 1)
    found = {
        name: getattr(metrics, name)(score, error, weights)
        for name in ("aurc", "augrc", "failure_auroc")
    }
    found |= {
        name: getattr(metrics, name)(p, error, weights)
        for name in ("accuracy", "nll", "brier", "ece", "class_auroc")
    }
    found |= {"mean": metrics.mean(score, weights), "median": metrics.median(score, weights)}
    return found | {"spearman": metrics.spearman(score, error, weights)}


@given(ITEMS, COUNTS)
def test_counts_of_clusters_are_weights_and_copies_of_items(items, counts):
    score, error, cluster = np.array(items).T
    drawn = Resamples(np.array(counts, float), cluster)
    clustered, dense = every_metric(score, error, drawn), every_metric(score, error, drawn.dense())
    for row, weights in enumerate(drawn.dense().astype(int)):
        if not weights.sum():
            assert all(np.isnan(value[row]) for value in clustered.values())
            continue
        copies = every_metric(np.repeat(score, weights), np.repeat(error, weights), None)
        for name, value in clustered.items():
            assert value[row] == pytest.approx(dense[name][row], nan_ok=True)
            assert value[row] == pytest.approx(copies[name], nan_ok=True)


@given(ITEMS)
def test_weights_of_one_are_the_plain_metric_and_equal_weights_change_nothing(items):
    score, error, cluster = np.array(items).T
    plain = every_metric(score, error, None)
    for weights in (np.ones(len(score)), Resamples(np.ones(4), cluster)):
        for name, value in every_metric(score, error, weights).items():
            assert value.shape == () and value == pytest.approx(plain[name], nan_ok=True)
    for name, value in every_metric(score, error, Resamples(np.full(4, 3.0), cluster)).items():
        if name != "aurc":  # ranks its copies one after the other: a risk over coverages k / 3N
            assert value == pytest.approx(plain[name], nan_ok=True)


@given(ITEMS, COUNTS)
def test_aurc_is_its_closed_form_in_digamma(items, counts):
    """A group of m copies after n others, e of them failed, adds m r + (e - r n)(H(n+m) - H(n))."""
    score, error, cluster = np.array(items).T
    for row, weights in enumerate(Resamples(np.array(counts), cluster).dense()):
        area = before = failed = 0
        for value in np.unique(score):
            own = score == value
            copies, wrong = weights[own].sum(), (weights * error)[own].sum()
            if copies:
                rate = wrong / copies
                area += wrong + (failed - rate * before) * (
                    digamma(before + copies + 1) - digamma(before + 1)
                )
            before, failed = before + copies, failed + wrong
        found = metrics.aurc(score, error, Resamples(np.array(counts, float), cluster))[row]
        assert np.isnan(found) if not before else found == pytest.approx(area / before, abs=1e-12)


def test_aurc_keeps_its_digits_at_size():
    rng = np.random.default_rng(0)
    score, error = rng.random(200_000), (rng.random(200_000) < 0.1).astype(float)
    risk = metrics.risk_coverage(score, error).risk.mean()
    assert metrics.aurc(score, error) == pytest.approx(risk, rel=1e-10)
    assert metrics.aurc(score, np.zeros(200_000)) == 0
    assert metrics.aurc(score, np.ones(200_000)) == pytest.approx(1, abs=1e-10)


def test_graded_errors_and_leading_axes():
    score, error = np.array([0.1, 0.2, 0.2, 0.5]), np.array([0.0, 0.5, 0.25, 2.0])
    weights = np.random.default_rng(0).integers(0, 3, (2, 3, 4)) + np.array([1, 0, 0, 0])
    found = metrics.aurc(score, error, weights), metrics.augrc(score, error, weights)
    assert found[0].shape == found[1].shape == (2, 3)
    copies = np.repeat(score, weights[1, 2]), np.repeat(error, weights[1, 2])
    assert found[0][1, 2] == pytest.approx(metrics.risk_coverage(*copies).risk.mean())
    assert found[1][1, 2] == pytest.approx(metrics.augrc(*copies))


def test_what_one_resample_gives_does_not_depend_on_its_neighbours():
    rng = np.random.default_rng(1)
    score, error = rng.random(300), rng.integers(0, 2, 300)
    drawn = Resamples(rng.integers(0, 3, (37, 20)) * 1.0, rng.integers(0, 20, 300))
    for metric in (metrics.aurc, metrics.augrc, metrics.failure_auroc):
        alone = [metric(score, error, Resamples(row, drawn.cluster)) for row in drawn.counts]
        assert (metric(score, error, drawn) == alone).all()


def test_of_some_items_is_a_weight_of_zero_for_the_others():
    rng = np.random.default_rng(2)
    score, error, keep = rng.integers(0, 9, 60), rng.integers(0, 2, 60), rng.random(60) < 0.5
    drawn = Resamples(rng.integers(0, 3, (5, 6)) * 1.0, rng.integers(0, 6, 60))
    for metric in (metrics.aurc, metrics.augrc, metrics.auroc):
        expected = metric(score, error, drawn.dense() * keep)
        assert metric(score[keep], error[keep], drawn.of(keep)) == pytest.approx(expected)


def test_bad_weights():
    for weights in (
        np.ones(3),
        -np.ones(2),
        [1, np.nan],
        Resamples(np.ones(1), np.zeros(3, int)),
        Resamples(-np.ones(1), np.zeros(2, int)),
    ):
        with pytest.raises(InputError, match="weights"):
            metrics.mean([1, 2], weights)
    for weights in ([0.5, 1], [1e9, 1]):
        with pytest.raises(InputError, match="whole numbers"):
            metrics.aurc([1, 2], [0, 1], weights)
    assert metrics.auroc([1, 2, 2], [0, 1, 0], [0.5, 1, 1.5]) == pytest.approx((0.5 + 1.5 / 2) / 2)
    assert resampling.resamples(None, 3).dense().tolist() == [1, 1, 1]


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(3)
    one, other = rng.random(40), rng.random(40)
    drawn = Resamples(rng.integers(0, 3, (2, 7, 5)) * 1.0, rng.integers(0, 5, 40))
    whole = metrics.median(one, drawn), metrics.spearman(one, other, drawn)
    monkeypatch.setattr(resampling, "BLOCK", 90)  # two resamples at once
    for before, after in zip(
        whole, (metrics.median(one, drawn), metrics.spearman(one, other, drawn)), strict=True
    ):
        assert after.shape == (2, 7) and np.array_equal(before, after, equal_nan=True)
    assert metrics.median(one, np.zeros((0, 40))).shape == (0,)
