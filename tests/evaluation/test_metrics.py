"""Metrics: by hand, on degenerate input, by properties, against independent implementations."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from torchmetrics.functional.classification import multiclass_calibration_error

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.evaluation import metrics
from deepfake_uncertainty.evaluation.resampling import Resamples

P = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3]])
Y = np.array([0, 0, 1, 1])
PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1)), min_size=1, max_size=30)


def random_case(seed=0, count=400, classes=2):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(classes), count)
    return p, rng.integers(0, classes, count), rng


def test_by_hand():
    assert metrics.accuracy(P, Y) == 0.5
    assert metrics.nll(P, Y) == pytest.approx(-np.log([0.9, 0.4, 0.8, 0.3]).mean())
    assert metrics.brier(P, Y) == pytest.approx(2 * np.mean([0.01, 0.36, 0.04, 0.49]))
    assert metrics.class_auroc(P, Y) == 0.75
    # each item has its own bin: confidences 0.9 right, 0.6 wrong, 0.8 right, 0.7 wrong
    assert metrics.ece(P, Y) == pytest.approx((0.1 + 0.6 + 0.2 + 0.7) / 4)


def test_risk_coverage_by_hand():
    curve = metrics.risk_coverage([0.1, 0.2, 0.3, 0.4], [0, 1, 0, 1])
    assert curve.coverage == pytest.approx([0.25, 0.5, 0.75, 1])
    assert curve.risk == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert curve.generalised_risk == pytest.approx([0, 0.25, 0.25, 0.5])
    assert metrics.aurc([0.1, 0.2, 0.3, 0.4], [0, 1, 0, 1]) == pytest.approx(1 / 3)
    assert metrics.augrc([0.1, 0.2, 0.3, 0.4], [0, 1, 0, 1]) == pytest.approx(
        (0 + 0.125 + 0.25 + 0.375) / 4
    )


def test_any_score_ranks_not_only_max_probability():
    wrong = metrics.errors(P, Y)
    assert metrics.aurc(wrong, wrong) < metrics.aurc(1 - P.max(1), wrong) + 1e-12
    assert metrics.failure_auroc(wrong, wrong) == 1


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1)), min_size=1, max_size=5))
def test_ties_are_the_mean_over_every_order(pairs):
    score, error = np.array(pairs).T
    orders = [
        o for o in itertools.permutations(range(len(score))) if (np.diff(score[list(o)]) >= 0).all()
    ]
    kept = np.arange(1, len(score) + 1)
    risks = np.mean([np.cumsum(error[list(o)]) / kept for o in orders], axis=0)
    assert metrics.risk_coverage(score, error).risk == pytest.approx(risks)
    assert metrics.aurc(score, error) == pytest.approx(risks.mean())


@given(PAIRS)
def test_augrc_identity(pairs):
    score, error = np.array(pairs).T
    acc, failure = 1 - error.mean(), metrics.failure_auroc(score, error)
    product = 0 if acc in (0, 1) else acc * (1 - acc) * (1 - failure)
    assert metrics.augrc(score, error) == pytest.approx(product + (1 - acc) ** 2 / 2)


@given(PAIRS)
def test_curves_and_areas_agree_and_any_monotone_map_changes_nothing(pairs):
    score, error = np.array(pairs, dtype=float).T
    curve = metrics.risk_coverage(score, error)
    assert metrics.aurc(score, error) == pytest.approx(curve.risk.mean())
    trapezoid = np.trapezoid(np.r_[0, curve.generalised_risk], np.r_[0, curve.coverage])
    assert metrics.augrc(score, error) == pytest.approx(trapezoid)
    for area in (metrics.aurc, metrics.augrc):
        assert area(np.exp(score), error) == pytest.approx(area(score, error))


@given(PAIRS, st.integers(0, 9))
@settings(max_examples=50)
def test_weights_are_copies(pairs, seed):
    score, error = np.array(pairs).T
    counts = np.random.default_rng(seed).integers(0, 3, (2, len(score)))
    counts[:, 0] += 1
    p = np.stack([1 - score / 5, score / 5], 1)
    for row, weights in enumerate(counts):
        s, e, q = (
            np.repeat(score, weights),
            np.repeat(error, weights),
            np.repeat(p, weights, axis=0),
        )
        for area in (metrics.aurc, metrics.augrc, metrics.failure_auroc):
            assert area(score, error, counts)[row] == pytest.approx(area(s, e), nan_ok=True)
        for metric in (
            metrics.accuracy,
            metrics.nll,
            metrics.brier,
            metrics.ece,
            metrics.class_auroc,
        ):
            assert metric(p, error, counts)[row] == pytest.approx(metric(q, e), nan_ok=True)


@pytest.mark.parametrize("classes", [2, 4])
def test_against_sklearn_and_torchmetrics(classes):
    p, y, rng = random_case(classes=classes)
    assert metrics.nll(p, y) == pytest.approx(log_loss(y, p))
    assert metrics.brier(p, y) == pytest.approx(brier_score_loss(y, p, scale_by_half=False))
    theirs = roc_auc_score(y, p[:, 1] if classes == 2 else p, multi_class="ovr")
    assert metrics.class_auroc(p, y) == pytest.approx(theirs)
    theirs = multiclass_calibration_error(torch.tensor(p), torch.tensor(y), classes, n_bins=15)
    assert metrics.ece(p, y) == pytest.approx(theirs.item(), abs=1e-6)
    tied, weight = rng.integers(0, 9, len(y)), rng.random(len(y))
    theirs = roc_auc_score(y == 1, tied, sample_weight=weight)
    assert metrics.auroc(tied, y == 1, weight) == pytest.approx(theirs)


def test_against_torch_uncertainty():
    from torch_uncertainty.metrics import classification  # slow to import: only here

    p, y, _ = random_case(seed=3)
    wrong, score = metrics.errors(p, y), 1 - p.max(1)
    for theirs, ours in (
        (classification.AURC(), metrics.aurc),
        (classification.AUGRC(), metrics.augrc),
    ):
        theirs.update(torch.tensor(p), torch.tensor(y))
        # theirs starts its trapezoid at coverage 1/N, so they differ by O(1/N)
        assert ours(score, wrong) == pytest.approx(theirs.compute().item(), abs=2 / len(y))


def test_clustered_resamples_against_torch_uncertainty():
    from torch_uncertainty.metrics import classification  # slow to import: only here

    p, y, rng = random_case(seed=4)
    drawn = Resamples(
        rng.multinomial(20, np.full(20, 1 / 20), size=3).astype(float), np.arange(len(y)) % 20
    )
    score, wrong = 1 - p.max(1), metrics.errors(p, y)
    found = (
        metrics.aurc(score, wrong, drawn),
        metrics.augrc(score, wrong, drawn),
        metrics.ece(p, y, drawn),
    )
    for row, weights in enumerate(drawn.dense().astype(int)):
        copies = np.repeat(np.arange(len(y)), weights)
        for ours, theirs in zip(
            found[:2], (classification.AURC(), classification.AUGRC()), strict=True
        ):
            theirs.update(torch.tensor(p[copies]), torch.tensor(y[copies]))
            # Theirs starts at coverage 1/N, and takes the copies of an item in their order.
            assert ours[row] == pytest.approx(theirs.compute().item(), abs=4 / len(y))
        theirs = multiclass_calibration_error(
            torch.tensor(p[copies]), torch.tensor(y[copies]), 2, n_bins=15
        )
        assert found[2][row] == pytest.approx(theirs.item(), abs=1e-6)


def test_one_class_or_no_error_is_nan():
    assert np.isnan(metrics.class_auroc(P, np.zeros(4, int)))
    assert np.isnan(metrics.failure_auroc([1, 2], [0, 0])) and np.isnan(
        metrics.failure_auroc([1, 2], [1, 1])
    )
    assert metrics.aurc([1, 2], [0, 0]) == 0 and metrics.augrc([1, 2], [1, 1]) == pytest.approx(0.5)
    assert np.isnan(metrics.accuracy(P, Y, np.zeros(4)))


def test_all_scores_equal():
    assert metrics.failure_auroc(np.ones(4), [0, 1, 0, 1]) == 0.5
    assert metrics.risk_coverage(np.ones(4), [0, 1, 0, 1]).risk == pytest.approx(np.full(4, 0.5))


@pytest.mark.parametrize(
    "metric", [metrics.risk_coverage, metrics.aurc, metrics.augrc, metrics.failure_auroc]
)
def test_bad_scores_are_input_errors(metric):
    for score, error in (([np.nan, 1], [0, 1]), ([], []), ([1, 2, 3], [0, 1]), ([[1, 2]], [0, 1])):
        with pytest.raises(InputError):
            metric(score, error)


def test_bad_probabilities_are_input_errors():
    for p, y in ((P * 2, Y), (P, Y + 1), (P, Y[:2]), (P * np.nan, Y), (P - 1, Y)):
        with pytest.raises(InputError):
            metrics.nll(p, y)


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 3)), min_size=1, max_size=12))
def test_weighted_median_is_the_median_of_the_copies(items):
    values, weights = np.array(items, float).T
    copies = np.repeat(values, weights.astype(int))
    found = metrics.median(values, weights)
    assert np.isnan(found) if not len(copies) else found == np.median(copies)
    assert metrics.median(values) == np.median(values)


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=20
    )
)
def test_weighted_spearman_is_scipys_of_the_copies(items):
    one, other, weights = np.array(items).T
    found = metrics.spearman(one, other, weights)
    copies = [np.repeat(values, weights) for values in (one, other)]
    if min(len(np.unique(values)) for values in copies) < 2:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(spearmanr(*copies).statistic)


def test_spearman_by_hand():
    assert (
        metrics.spearman([1, 2, 3], [1, 10, 100]) == 1
        and metrics.spearman([1, 2, 3], [3, 2, 1]) == -1
    )
    assert metrics.spearman([1, 2, 3], [1, 3, 2]) == pytest.approx(0.5)
    assert np.isnan(metrics.spearman([1], [1])) and np.isnan(metrics.spearman([1, 2], [5, 5]))
    with pytest.raises(InputError, match="2 scores but 3"):
        metrics.spearman([1, 2], [1, 2, 3])


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=3, max_size=12))
def test_correlations_of_rows_are_scipys(pairs):
    one, other = np.array(pairs, float).T
    for ours, theirs in (
        (metrics.pearson_rows, pearsonr),
        (metrics.spearman_rows, spearmanr),
    ):
        found = ours(one[None], other[None])[0]
        if np.ptp(one) == 0 or np.ptp(other) == 0:
            assert np.isnan(found)
        else:
            assert found == pytest.approx(theirs(one, other).statistic, abs=1e-9)


def test_correlations_of_rows_by_hand():
    one = np.array([[1.0, 2, 3], [1, 2, 3], [5, 5, 5], [1, np.nan, 3]])
    other = np.array([[1.0, 10, 100], [3, 1, 2], [1, 2, 3], [1, 2, 3]])
    nan = np.nan
    assert metrics.spearman_rows(one, other) == pytest.approx([1, -0.5, nan, nan], nan_ok=True)
    expected = [99 / np.sqrt(2 * (36**2 + 27**2 + 63**2)), -0.5, nan, nan]
    assert metrics.pearson_rows(one, other) == pytest.approx(expected, nan_ok=True)
