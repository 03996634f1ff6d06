"""Metrics of accuracy, calibration and failure prediction.

Every metric takes optional `weights`: values (..., N) >= 0 that say how often each item counts, or
`resampling.Resamples` of whole clusters. It returns one value per resample (...), so that a whole
bootstrap is one call. AURC needs whole numbers as weights. scikit-learn and torchmetrics take at
most one weight vector, hence this code; the tests compare each metric with theirs.

A metric that its data do not define is NaN, never an exception: an AUROC needs both classes, a
failure AUROC needs both errors and correct items, and every metric needs a positive total weight.
NaN or infinite input raises InputError.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.evaluation import resampling
from deepfake_uncertainty.evaluation.resampling import Resamples, resamples

BINS = 15  # equal-width confidence bins of the calibration error
Weights = Resamples | ArrayLike | None


class RiskCoverage(NamedTuple):
    """The risk-coverage curve over the k = 1..N most certain items, three arrays (N,).

    coverage: k / N; risk: mean error of the k items; generalised_risk: risk times coverage.
    """

    coverage: np.ndarray
    risk: np.ndarray
    generalised_risk: np.ndarray


def finite(name: str, values: ArrayLike, ndim: int = 1) -> np.ndarray:
    """Return `values` as a float64 array.

    Raises InputError when it is empty, does not have `ndim` axes, or holds NaN or infinity.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != ndim or not values.size:
        raise InputError(
            f"{name} has shape {values.shape}: give a non-empty array with {ndim} axes"
        )
    if not np.isfinite(values).all():
        count = int((~np.isfinite(values)).sum())
        raise InputError(
            f"{name} holds {count} NaN or infinite values: find the video they come from"
        )
    return values


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return the quotient; NaN where the denominator is zero."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)


def _checked(probabilities: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    probabilities = finite("probabilities", probabilities, 2)
    labels = np.asarray(labels)
    count, classes = probabilities.shape
    whole = labels.shape == (count,) and (labels == labels.astype(int)).all()
    if not whole or labels.min() < 0 or labels.max() >= classes:
        raise InputError(
            f"labels must be {count} integers in 0..{classes - 1}, one per row of the probabilities"
        )
    if (probabilities < 0).any() or np.abs(probabilities.sum(1) - 1).max() > 1e-3:
        raise InputError(
            "probabilities must be >= 0 and each row must sum to one: "
            "pass softmax outputs, not logits"
        )
    return probabilities, labels.astype(int)


def errors(probabilities: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """Return 0/1 errors (N,): whether the most probable class of (N, C) is not the label (N,)."""
    probabilities, labels = _checked(probabilities, labels)
    return (probabilities.argmax(1) != labels).astype(np.float64)


def mean(values: ArrayLike, weights: Weights = None) -> np.ndarray:
    """Return the weighted mean (...) of values (N,)."""
    values = finite("values", values)
    drawn = resamples(weights, len(values))
    return _ratio(drawn.sum(values), drawn.sum(np.ones(len(values))))


def median(values: ArrayLike, weights: Weights = None) -> np.ndarray:
    """Return the median (...) of values (N,); an item of weight w counts as w copies."""
    values = finite("values", values)
    order = np.argsort(values, kind="stable")

    def medians(weights):
        reached = np.cumsum(weights[:, order], 1)
        half = reached[:, -1:] / 2
        # The lower and the upper middle copy; for an odd count they are the same.
        lower = (reached < half).sum(1)
        upper = np.minimum((reached <= half).sum(1), len(values) - 1)
        return np.where(half[:, 0] > 0, (values[order][lower] + values[order][upper]) / 2, np.nan)

    return resampling.in_blocks(resamples(weights, len(values)), medians)


def _ranks(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from weights (b, N) to weighted ranks (b, N) of values (N,).

    Ties have their mean rank.
    """
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))

    def weighted_ranks(weights):
        mass = np.add.reduceat(weights[:, order], starts, 1)
        return (np.cumsum(mass, 1) - mass / 2)[:, group]

    return weighted_ranks


def spearman(one: ArrayLike, other: ArrayLike, weights: Weights = None) -> np.ndarray:
    """Return Spearman's rank correlation (...) in [-1, 1] of two scores (N,).

    Ties have their mean rank. NaN where a score is constant.
    """
    one, other = finite("one", one), finite("other", other)
    _same_length(one, other)
    ranks = _ranks(one), _ranks(other)

    def correlations(weights):
        total = weights.sum(1, keepdims=True)
        a, b = (
            ranked - _ratio((weights * ranked).sum(1, keepdims=True), total)
            for ranked in (rank(weights) for rank in ranks)
        )
        norm = np.sqrt((weights * a**2).sum(1) * (weights * b**2).sum(1))
        # Rounding leaves a small residue of the mean in a constant score: this is not variance.
        norm = np.where(norm > 1e-9 * total[:, 0], norm, 0)
        return np.clip(_ratio((weights * a * b).sum(1), norm), -1, 1)

    return resampling.in_blocks(resamples(weights, len(one)), correlations)


def pearson_rows(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation (B,) of the rows of two arrays (B, N), row by row.

    NaN where a row is constant or holds a NaN.
    """
    one, other = (a - a.mean(-1, keepdims=True) for a in (one, other))
    norm = np.sqrt((one**2).sum(-1) * (other**2).sum(-1))
    # Rounding leaves a small residue of the mean in a constant row: it must not be correlated.
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(norm > 1e-12, (one * other).sum(-1) / norm, np.nan)


def spearman_rows(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return Spearman's rank correlation (B,) of the rows of two arrays (B, N), row by row.

    Ties have their mean rank. NaN where a row is constant or holds a NaN.
    """
    ranks = [rankdata(a, axis=-1, nan_policy="propagate") for a in (one, other)]
    return pearson_rows(*ranks)


def accuracy(probabilities: ArrayLike, labels: ArrayLike, weights: Weights = None) -> np.ndarray:
    """Return the share in [0, 1] of items whose most probable class of (N, C) is the label (N,)."""
    return 1 - mean(errors(probabilities, labels), weights)


def nll(probabilities: ArrayLike, labels: ArrayLike, weights: Weights = None) -> np.ndarray:
    """Return the mean negative log-likelihood in nats, >= 0.

    Probabilities are clipped at the smallest normal number of float32.
    """
    probabilities, labels = _checked(probabilities, labels)
    chosen = probabilities[np.arange(len(labels)), labels].clip(np.finfo(np.float32).tiny, 1)
    return mean(-np.log(chosen), weights)


def brier(probabilities: ArrayLike, labels: ArrayLike, weights: Weights = None) -> np.ndarray:
    """Return the Brier score in [0, 2]: squared error, summed over classes (Brier 1950).

    For two classes this is twice the one-class form.
    """
    probabilities, labels = _checked(probabilities, labels)
    return mean(((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(1), weights)


def ece(
    probabilities: ArrayLike, labels: ArrayLike, weights: Weights = None, bins: int = BINS
) -> np.ndarray:
    """Return the expected calibration error in [0, 1] of the top label, with equal-width bins.

    Guo et al. 2017, arXiv:1706.04599.
    """
    probabilities, labels = _checked(probabilities, labels)
    drawn = resamples(weights, len(labels))
    confidence = probabilities.max(1)
    gap = confidence - (probabilities.argmax(1) == labels)
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    clusters = drawn.counts.shape[-1]
    gaps = np.bincount(drawn.cluster * bins + bin_of, gap, clusters * bins).reshape(clusters, bins)
    return _ratio(np.abs(drawn.counts @ gaps).sum(-1), drawn.sum(np.ones(len(labels))))


def auroc(score: ArrayLike, positive: ArrayLike, weights: Weights = None) -> np.ndarray:
    """Return the area under the ROC curve in [0, 1] of score (N,), high for positive (N,) bool.

    Ties count one half. NaN when all (weighted) items are of one class: there is no pair to rank.
    """
    score, positive = finite("score", score), finite("positive", positive)
    _same_length(score, positive)
    if not np.isin(positive, (0, 1)).all():
        raise InputError("positive must be 0 or 1 for each item: threshold a graded error first")
    drawn, negative = resamples(weights, len(score)), 1 - positive
    return _ratio(
        resampling.pairs(drawn, score, positive, negative),
        drawn.sum(positive) * drawn.sum(negative),
    )


def class_auroc(probabilities: ArrayLike, labels: ArrayLike, weights: Weights = None) -> np.ndarray:
    """Return the AUROC of "fake" (class 1) for two classes, else the mean one-vs-rest AUROC."""
    probabilities, labels = _checked(probabilities, labels)
    if probabilities.shape[1] == 2:
        return auroc(probabilities[:, 1], labels == 1, weights)
    each = np.stack([auroc(probabilities[:, c], labels == c, weights) for c in np.unique(labels)])
    defined = np.isfinite(each)
    return _ratio(np.where(defined, each, 0).sum(0), defined.sum(0))


def failure_auroc(score: ArrayLike, error: ArrayLike, weights: Weights = None) -> np.ndarray:
    """Return the AUROC of an uncertainty score (N,) against 0/1 errors (N,).

    NaN when all items are right, or all wrong.
    """
    return auroc(score, error, weights)


def _same_length(score: np.ndarray, other: np.ndarray) -> None:
    if len(score) != len(other):
        raise InputError(
            f"{len(score)} scores but {len(other)} errors or values: give one of each per item"
        )


def risk_coverage(score: ArrayLike, error: ArrayLike) -> RiskCoverage:
    """Return the RiskCoverage curve of an uncertainty score (N,) of any scale and error (N,) >= 0.

    Items with equal scores come in random order; the curve is the expectation over all orders
    (Geifman and El-Yaniv 2017, arXiv:1705.08500; generalised risk: Traub et al. 2024,
    arXiv:2407.01032).
    """
    score, error = finite("score", score), finite("error", error)
    _same_length(score, error)
    order = np.argsort(score, kind="stable")
    _, group, size = np.unique(score[order], return_inverse=True, return_counts=True)
    expected = np.cumsum((np.bincount(group, error[order]) / size)[group])
    kept = np.arange(1, len(score) + 1)
    return RiskCoverage(kept / len(score), expected / kept, expected / len(score))


def aurc(score: ArrayLike, error: ArrayLike, weights: Weights = None) -> np.ndarray:
    """Return the area under the risk-coverage curve: the mean selective risk over coverages 1/N..1.

    An item of weight w stands for w tied copies, so weights must be whole numbers. Ties are taken
    in expectation (Geifman and El-Yaniv 2017, arXiv:1705.08500).
    """
    score, error = finite("score", score), finite("error", error)
    _same_length(score, error)
    drawn = resamples(weights, len(score))
    return _ratio(resampling.selective_risks(drawn, score, error), drawn.sum(np.ones(len(score))))


def augrc(score: ArrayLike, error: ArrayLike, weights: Weights = None) -> np.ndarray:
    """Return the area under the generalised risk-coverage curve, in [0, 1/2] for 0/1 errors.

    Trapezoidal rule from coverage zero. For 0/1 errors it is therefore exactly
    acc (1 - acc) (1 - failure AUROC) + (1 - acc)^2 / 2 (Traub et al. 2024, arXiv:2407.01032).
    """
    score, error = finite("score", score), finite("error", error)
    _same_length(score, error)
    drawn, every = resamples(weights, len(score)), np.ones(len(score))
    return _ratio(resampling.pairs(drawn, score, every, error), drawn.sum(every) ** 2)
