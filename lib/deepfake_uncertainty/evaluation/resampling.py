"""Bootstrap resamples of whole clusters, and the weighted sums that metrics are made of.

A resample says how often each cluster counts, not each item. Sums that are linear in the weights go
over K clusters instead of N items; rank sums take one compiled pass over the sorted items for all
resamples together.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import ArrayLike
from scipy.special import digamma

from deepfake_uncertainty.errors import InputError

BLOCK = 2**19  # weights that `in_blocks` holds at once: 4 MiB
LARGEST = 10**8  # largest number of copies in a resample: the table of harmonic sums is as long


class Resamples(NamedTuple):
    """Resamples of N items in K clusters.

    counts (..., K) >= 0: how often each cluster counts; cluster (N,): the cluster of each item,
    0..K-1.
    """

    counts: np.ndarray
    cluster: np.ndarray

    def of(self, rows: np.ndarray) -> "Resamples":
        """Return the same draws for some items only: `rows` is a mask (N,) or positions (M,)."""
        return Resamples(self.counts, self.cluster[rows])

    def dense(self) -> np.ndarray:
        """Return the weights (..., N): how often each item counts."""
        return self.counts[..., self.cluster]

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Return the weighted sum (...) of values (N,)."""
        return self.counts @ np.bincount(self.cluster, values, self.counts.shape[-1])


def resamples(weights: "Resamples | ArrayLike | None", count: int) -> Resamples:
    """Return `weights` of `count` items as Resamples.

    weights: None (each item once), values (..., count) >= 0, or Resamples. Raises InputError for
    weights that are negative, not finite, or of another number of items.
    """
    if weights is None:
        return Resamples(np.ones(1), np.zeros(count, np.intp))
    if isinstance(weights, Resamples):
        drawn = weights
        shape = (*drawn.counts.shape[:-1], len(drawn.cluster))
    else:
        drawn = Resamples(np.asarray(weights, np.float64), np.arange(count))
        shape = drawn.counts.shape
    if shape[-1:] != (count,) or not np.isfinite(drawn.counts).all() or (drawn.counts < 0).any():
        raise InputError(f"weights have shape {shape}: give (..., {count}) values >= 0")
    return drawn


def in_blocks(drawn: Resamples, statistic: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return statistic(weights (b, N)) -> (b,) of all resamples (...), block by block."""
    rows = drawn.counts.reshape(-1, drawn.counts.shape[-1])
    step = max(1, BLOCK // len(drawn.cluster))
    starts = range(0, max(len(rows), 1), step)
    parts = [statistic(rows[k : k + step, drawn.cluster]) for k in starts]
    return np.concatenate(parts).reshape(drawn.counts.shape[:-1])


def _sorted(drawn: Resamples, score: np.ndarray, *values: np.ndarray):
    """Return counts (K, B), then arrays (N,) sorted by rising score.

    They are the cluster, True at the last item of a group of equal scores, and `values`.
    """
    order = np.argsort(score, kind="stable")
    last = np.r_[np.diff(score[order]) > 0, True]
    counts = np.ascontiguousarray(
        drawn.counts.reshape(-1, drawn.counts.shape[-1]).T, dtype=np.float64
    )
    return counts, drawn.cluster[order], last, *(np.asarray(v, np.float64)[order] for v in values)


def pairs(drawn: Resamples, score: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the weighted sum (...) of first_i second_j over all pairs with score_i > score_j.

    Pairs with equal scores count one half.
    """
    return _pairs(*_sorted(drawn, score, first, second)).reshape(drawn.counts.shape[:-1])


@njit(cache=True, nogil=True)
def _pairs(counts, cluster, last, first, second):
    size = counts.shape[1]
    total, below = np.zeros(size), np.zeros(size)
    group_first, group_second = np.zeros(size), np.zeros(size)  # sums over a group of equal scores
    for i in range(len(cluster)):
        weight, value_first, value_second = counts[cluster[i]], first[i], second[i]
        # The loop over resamples is innermost: they are independent, so it can be vectorized, and
        # no result depends on its neighbours.
        for b in range(size):
            group_first[b] += weight[b] * value_first
            group_second[b] += weight[b] * value_second
        if last[i]:
            for b in range(size):
                total[b] += group_first[b] * (below[b] + group_second[b] / 2)
                below[b] += group_second[b]
                group_first[b] = group_second[b] = 0.0
    return total


def selective_risks(drawn: Resamples, score: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return the sum (...) over k = 1..W of the mean error of the k copies with the lowest scores.

    W is the number of copies in a resample; ties are taken in expectation. Raises InputError unless
    weights are whole numbers.
    """
    copies = drawn.sum(np.ones(len(score)))
    if (drawn.counts % 1).any() or copies.max() > LARGEST:
        raise InputError(
            f"weights must be whole numbers of copies, at most {LARGEST} in all: "
            "risks are means over copies"
        )
    count = np.arange(int(copies.max()) + 1)
    harmonic = digamma(count + 1) + np.euler_gamma
    # The error of the copy at rank j is part of the means k = j..W: it counts H(W) - H(j - 1)
    # times. Summed over the ranks of a group of ties, H(j - 1) gives the difference of `sums`, the
    # sums of the harmonic numbers 0..n-1, between the two ends of the group.
    sums = count * harmonic - count
    counts, cluster, last, errors = _sorted(drawn, score, error)
    # mypy does not know the parameters of a compiled function.
    subtracted = _harmonic_share(counts, cluster, last, errors, sums)  # type: ignore[call-arg]
    return drawn.sum(error) * harmonic[copies.astype(int)] - subtracted.reshape(copies.shape)


@njit(cache=True, nogil=True)
def _harmonic_share(counts, cluster, last, error, sums):
    size = counts.shape[1]
    total, wrong = np.zeros(size), np.zeros(size)
    before, rank = np.zeros(size, np.int64), np.zeros(size, np.int64)
    failed = False
    for i in range(len(cluster)):
        weight = counts[cluster[i]]
        for b in range(size):
            rank[b] += np.int64(weight[b])
        if error[i] != 0:
            failed = True
            for b in range(size):
                wrong[b] += weight[b] * error[i]
        if last[i]:
            if failed:
                for b in range(size):
                    copies = rank[b] - before[b]
                    if copies > 0:
                        total[b] += wrong[b] / copies * (sums[rank[b]] - sums[before[b]])
                    wrong[b] = 0.0
            failed = False
            before[:] = rank
    return total
