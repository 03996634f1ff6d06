"""Bootstrap resamples of whole clusters, and the sums over them that metrics are made of.

A resample says how often each cluster counts, not each item: sums that are linear in the weights go over K clusters instead
of N items, and rank sums take one compiled pass over the sorted items for all resamples together.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from scipy.special import digamma

from deepfake_uncertainty.errors import InputError

BLOCK = 2**19  # weights held at once by `in_blocks`: 4 MiB
LARGEST = 10**8  # items, copies counted, of one resample: the table of harmonic sums is as long


class Resamples(NamedTuple):
    """How often each of K clusters counts, `counts` (..., K) >= 0, and `cluster` (N,), integers in 0..K-1, of each item."""

    counts: np.ndarray
    cluster: np.ndarray

    def of(self, rows):
        """Return the same draws for the items `rows` alone, a mask (N,) or positions (M,)."""
        return Resamples(self.counts, self.cluster[rows])

    def dense(self):
        """Return the weights (..., N), how often each item counts."""
        return self.counts[..., self.cluster]

    def sum(self, values):
        """Return the weighted sum (...) of values (N,)."""
        return self.counts @ np.bincount(self.cluster, values, self.counts.shape[-1])


def resamples(weights, count):
    """Return `weights` of `count` items as Resamples: None (each once), (..., count) values >= 0, or Resamples.

    Raises InputError for weights that are negative, not finite, or of another number of items.
    """
    if weights is None:
        return Resamples(np.ones(1), np.zeros(count, np.intp))
    drawn = weights if isinstance(weights, Resamples) else Resamples(np.asarray(weights, np.float64), np.arange(count))
    shape = (*drawn.counts.shape[:-1], len(drawn.cluster))
    if not isinstance(weights, Resamples):
        shape = drawn.counts.shape
    if shape[-1:] != (count,) or not np.isfinite(drawn.counts).all() or (drawn.counts < 0).any():
        raise InputError(f"weights have shape {shape}: give (..., {count}) values >= 0")
    return drawn


def in_blocks(drawn, statistic):
    """Return statistic(weights (b, N)) -> (b,) of all resamples (...), so few at once that memory stays bounded."""
    rows = drawn.counts.reshape(-1, drawn.counts.shape[-1])
    step = max(1, BLOCK // len(drawn.cluster))
    found = [statistic(rows[k : k + step, drawn.cluster]) for k in range(0, max(len(rows), 1), step)]
    return np.concatenate(found).reshape(drawn.counts.shape[:-1])


def _sorted(drawn, score, *values):
    """Return counts (K, B), then cluster, end of a group of equal score, and `values`, each (N,) by rising score."""
    order = np.argsort(score, kind="stable")
    last = np.r_[np.diff(score[order]) > 0, True]
    counts = np.ascontiguousarray(drawn.counts.reshape(-1, drawn.counts.shape[-1]).T, dtype=np.float64)
    return counts, drawn.cluster[order], last, *(np.asarray(v, np.float64)[order] for v in values)


def pairs(drawn, score, first, second):
    """Return the weighted sum (...) of first_i second_j over all pairs with score_i > score_j, and half of it where equal."""
    return _pairs(*_sorted(drawn, score, first, second)).reshape(drawn.counts.shape[:-1])


@njit(cache=True, nogil=True)
def _pairs(counts, cluster, last, first, second):
    size = counts.shape[1]
    total, below, own_first, own_second = np.zeros(size), np.zeros(size), np.zeros(size), np.zeros(size)
    for i in range(len(cluster)):
        weight, one, other = counts[cluster[i]], first[i], second[i]
        # Resamples run innermost: what is independent fills the vector registers, and no result depends on its neighbours.
        for b in range(size):
            own_first[b] += weight[b] * one
            own_second[b] += weight[b] * other
        if last[i]:
            for b in range(size):
                total[b] += own_first[b] * (below[b] + own_second[b] / 2)
                below[b] += own_second[b]
                own_first[b] = own_second[b] = 0.0
    return total


def selective_risks(drawn, score, error):
    """Return the sum (...) over k = 1..W of the mean error of the k copies of least score, ties in expectation.

    W is the number of copies of a resample. Raises InputError unless weights are whole numbers: a copy is whole.
    """
    copies = drawn.sum(np.ones(len(score)))
    if (drawn.counts % 1).any() or copies.max() > LARGEST:
        raise InputError(f"weights must be whole numbers of copies, at most {LARGEST} in all: risks are means over copies")
    count = np.arange(int(copies.max()) + 1)
    harmonic = digamma(count + 1) + np.euler_gamma
    # The error of the copy at place j is part of the means k = j..W: it counts H(W) - H(j - 1). Summed over the places of a
    # group, H(j - 1) is the difference of `sums`, the sums of the harmonic numbers 0..n-1, at its two ends.
    sums = count * harmonic - count
    held = _harmonic_share(*_sorted(drawn, score, error), sums).reshape(copies.shape)
    return drawn.sum(error) * harmonic[copies.astype(int)] - held


@njit(cache=True, nogil=True)
def _harmonic_share(counts, cluster, last, error, sums):
    size = counts.shape[1]
    held, wrong, before, place = np.zeros(size), np.zeros(size), np.zeros(size, np.int64), np.zeros(size, np.int64)
    failed = False
    for i in range(len(cluster)):
        weight = counts[cluster[i]]
        for b in range(size):
            place[b] += np.int64(weight[b])
        if error[i] != 0:
            failed = True
            for b in range(size):
                wrong[b] += weight[b] * error[i]
        if last[i]:
            if failed:
                for b in range(size):
                    copies = place[b] - before[b]
                    if copies > 0:
                        held[b] += wrong[b] / copies * (sums[place[b]] - sums[before[b]])
                    wrong[b] = 0.0
            failed = False
            before[:] = place
    return held
