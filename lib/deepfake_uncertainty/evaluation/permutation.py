"""Permutation tests within persons: labels are exchanged only among the videos of one person."""

from typing import NamedTuple

import numpy as np


class PermutationTest(NamedTuple):
    """Balanced accuracies of a classifier of generators, with those of a permutation test.

    drawn (1 + B,): from the data, then from B bootstrap resamples of identities.
    shuffled (P,): from P permutations of the generators' labels within each person.
    n: number of test videos; classes: number of generators.
    """

    drawn: np.ndarray
    shuffled: np.ndarray
    n: int
    classes: int


def shuffle_within(labels: np.ndarray, persons: np.ndarray, seed: int, count: int) -> np.ndarray:
    """Return labels (1 + count, N): first the given labels (N,), then `count` permutations of them.

    Labels are exchanged only between items with the same entry of `persons` (N,). `seed` fixes the
    permutations.
    """
    rng, shuffled = np.random.default_rng(seed), np.tile(labels, (count + 1, 1))
    for person in np.unique(persons):
        items = np.flatnonzero(persons == person)
        shuffled[1:, items] = rng.permuted(shuffled[1:, items], axis=1)
    return shuffled
