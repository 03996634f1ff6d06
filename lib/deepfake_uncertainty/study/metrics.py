"""Metrics of accuracy, calibration and failure prediction.

Every metric takes optional `weights`, (..., N) >= 0, how often each item counts, or `resampling.Resamples` of whole
clusters, and returns one value (...) for each row: a whole bootstrap is one call. AURC wants whole numbers. scikit-learn
and torchmetrics take one weight vector at best, hence our own code; the tests hold each metric against theirs.

A metric that its data do not define is NaN, never an exception: an AUROC needs both classes, a failure AUROC both errors
and correct items, and any metric needs some weight. NaN or infinite input raises InputError.
"""

from typing import NamedTuple

import numpy as np

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import resampling
from deepfake_uncertainty.study.resampling import resamples

BINS = 15  # equal-width confidence bins of the calibration error


class RiskCoverage(NamedTuple):
    """Curve over the k = 1..N most certain items: coverage k / N, selective and generalised risk (in error units)."""

    coverage: np.ndarray
    risk: np.ndarray
    generalised_risk: np.ndarray


def finite(name, values, ndim=1):
    """Return `values` as float64; InputError where it is empty, has not `ndim` axes, or holds a NaN or infinity."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != ndim or not values.size:
        raise InputError(f"{name} has shape {values.shape}: give a non-empty array with {ndim} axes")
    if not np.isfinite(values).all():
        count = int((~np.isfinite(values)).sum())
        raise InputError(f"{name} holds {count} NaN or infinite values: find the video they come from")
    return values


def _ratio(numerator, denominator):
    """Divide; NaN where the denominator is zero."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)


def _checked(probabilities, labels):
    probabilities = finite("probabilities", probabilities, 2)
    labels = np.asarray(labels)
    count, classes = probabilities.shape
    if labels.shape != (count,) or (labels != labels.astype(int)).any() or labels.min() < 0 or labels.max() >= classes:
        raise InputError(f"labels must be {count} integers in 0..{classes - 1}, one for each row of the probabilities")
    if (probabilities < 0).any() or np.abs(probabilities.sum(1) - 1).max() > 1e-3:
        raise InputError("probabilities must be >= 0 and each row must sum to one: pass softmax outputs, not logits")
    return probabilities, labels.astype(int)


def errors(probabilities, labels):
    """Return 0/1 errors (N,) of the most probable class of probabilities (N, C) against labels (N,)."""
    probabilities, labels = _checked(probabilities, labels)
    return (probabilities.argmax(1) != labels).astype(np.float64)


def mean(values, weights=None):
    """Return the weighted mean (...) of values (N,)."""
    values = finite("values", values)
    drawn = resamples(weights, len(values))
    return _ratio(drawn.sum(values), drawn.sum(np.ones(len(values))))


def median(values, weights=None):
    """Return the median (...) of values (N,), an item of weight w counting as w copies."""
    values = finite("values", values)
    order = np.argsort(values, kind="stable")

    def of(weights):
        reached = np.cumsum(weights[:, order], 1)
        half = reached[:, -1:] / 2
        # The lower and the upper middle copy: for an odd count they are one.
        lower, upper = (reached < half).sum(1), np.minimum((reached <= half).sum(1), len(values) - 1)
        return np.where(half[:, 0] > 0, (values[order][lower] + values[order][upper]) / 2, np.nan)

    return resampling.in_blocks(resamples(weights, len(values)), of)


def _ranks(values):
    """Return the function from weights (b, N) to the ranks (b, N) of values (N,) counted so often, ties at their mean rank."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))

    def of(weights):
        mass = np.add.reduceat(weights[:, order], starts, 1)
        return (np.cumsum(mass, 1) - mass / 2)[:, group]

    return of


def spearman(one, other, weights=None):
    """Return the rank correlation (...) in [-1, 1] of two scores (N,), ties at their mean rank; NaN where one is constant."""
    one, other = finite("one", one), finite("other", other)
    _same_length(one, other)
    ranks = _ranks(one), _ranks(other)

    def of(weights):
        total = weights.sum(1, keepdims=True)
        a, b = (found - _ratio((weights * found).sum(1, keepdims=True), total) for found in (rank(weights) for rank in ranks))
        norm = np.sqrt((weights * a**2).sum(1) * (weights * b**2).sum(1))
        # Rounding leaves a trace of the mean in a constant score: it is no spread.
        return np.clip(_ratio((weights * a * b).sum(1), np.where(norm > 1e-9 * total[:, 0], norm, 0)), -1, 1)

    return resampling.in_blocks(resamples(weights, len(one)), of)


def accuracy(probabilities, labels, weights=None):
    """Return the share in [0, 1] of items whose most probable class of (N, C) is their label (N,)."""
    return 1 - mean(errors(probabilities, labels), weights)


def nll(probabilities, labels, weights=None):
    """Return the mean negative log-likelihood in nats, >= 0 (probabilities clipped at float32's smallest normal)."""
    probabilities, labels = _checked(probabilities, labels)
    chosen = probabilities[np.arange(len(labels)), labels].clip(np.finfo(np.float32).tiny, 1)
    return mean(-np.log(chosen), weights)


def brier(probabilities, labels, weights=None):
    """Return the Brier score in [0, 2]: squared error summed over classes (Brier 1950; twice the one-class form)."""
    probabilities, labels = _checked(probabilities, labels)
    return mean(((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(1), weights)


def ece(probabilities, labels, weights=None, bins=BINS):
    """Return the expected calibration error in [0, 1] of the top label, equal-width bins (Guo et al., 1706.04599)."""
    probabilities, labels = _checked(probabilities, labels)
    drawn = resamples(weights, len(labels))
    confidence = probabilities.max(1)
    gap = confidence - (probabilities.argmax(1) == labels)
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    clusters = drawn.counts.shape[-1]
    gaps = np.bincount(drawn.cluster * bins + place, gap, clusters * bins).reshape(clusters, bins)
    return _ratio(np.abs(drawn.counts @ gaps).sum(-1), drawn.sum(np.ones(len(labels))))


def auroc(score, positive, weights=None):
    """Return the area under the ROC curve in [0, 1] of score (N,), high for positive (N,) bool; ties count one half.

    NaN when all (weighted) items are of one class: there is no pair to rank.
    """
    score, positive = finite("score", score), finite("positive", positive)
    _same_length(score, positive)
    if not np.isin(positive, (0, 1)).all():
        raise InputError("positive must be 0 or 1 for each item: threshold a graded error first")
    drawn, negative = resamples(weights, len(score)), 1 - positive
    return _ratio(resampling.pairs(drawn, score, positive, negative), drawn.sum(positive) * drawn.sum(negative))


def class_auroc(probabilities, labels, weights=None):
    """Return the AUROC of "fake" (class 1) for two classes; for more, the mean one-against-rest AUROC."""
    probabilities, labels = _checked(probabilities, labels)
    if probabilities.shape[1] == 2:
        return auroc(probabilities[:, 1], labels == 1, weights)
    each = np.stack([auroc(probabilities[:, c], labels == c, weights) for c in np.unique(labels)])
    seen = np.isfinite(each)
    return _ratio(np.where(seen, each, 0).sum(0), seen.sum(0))


def failure_auroc(score, error, weights=None):
    """Return the AUROC of an uncertainty score (N,) against 0/1 errors (N,); NaN when all are right, or all wrong."""
    return auroc(score, error, weights)


def _same_length(score, other):
    if len(score) != len(other):
        raise InputError(f"{len(score)} scores but {len(other)} errors or values: give one of each an item")


def risk_coverage(score, error):
    """Return the RiskCoverage curve of uncertainty score (N,), any scale, and error (N,) >= 0; ties in expectation.

    Items of equal score come in random order; the curve is its expectation over all orders (Geifman & El-Yaniv 2017,
    1705.08500; generalised risk: Traub et al. 2024, 2407.01032).
    """
    score, error = finite("score", score), finite("error", error)
    _same_length(score, error)
    order = np.argsort(score, kind="stable")
    _, group, size = np.unique(score[order], return_inverse=True, return_counts=True)
    expected = np.cumsum((np.bincount(group, error[order]) / size)[group])
    kept = np.arange(1, len(score) + 1)
    return RiskCoverage(kept / len(score), expected / kept, expected / len(score))


def aurc(score, error, weights=None):
    """Return the area under the risk-coverage curve: mean selective risk over coverages 1/N..1 (1705.08500).

    An item of weight w is w tied copies, so weights must be whole; ties are taken in expectation.
    """
    score, error = finite("score", score), finite("error", error)
    _same_length(score, error)
    drawn = resamples(weights, len(score))
    return _ratio(resampling.selective_risks(drawn, score, error), drawn.sum(np.ones(len(score))))


def augrc(score, error, weights=None):
    """Return the area under the generalised risk-coverage curve, in [0, 1/2] for 0/1 errors (2407.01032).

    Trapezoid from coverage zero, so it is exactly acc (1 - acc) (1 - failure AUROC) + (1 - acc)^2 / 2 for 0/1 errors.
    """
    score, error = finite("score", score), finite("error", error)
    _same_length(score, error)
    drawn, every = resamples(weights, len(score)), np.ones(len(score))
    return _ratio(resampling.pairs(drawn, score, every, error), drawn.sum(every) ** 2)
