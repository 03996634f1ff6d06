"""Permutations of labels within persons, by hand."""

import itertools

import numpy as np

from deepfake_uncertainty.evaluation import permutation

LABELS = np.array([0, 1, 2, 0, 1, 5])
PERSONS = np.array(["a", "b", "a", "b", "a", "c"])


def test_the_first_row_is_the_data_and_the_labels_of_a_person_stay_theirs():
    found = permutation.shuffle_within(LABELS, PERSONS, 0, 40)
    assert found.shape == (41, 6) and (found[0] == LABELS).all()
    for person in "abc":
        own = PERSONS == person
        assert (np.sort(found[:, own], 1) == np.sort(LABELS[own])).all()
    assert (found[:, 5] == 5).all()  # one video alone has nothing to exchange


def test_every_arrangement_comes_equally_often():
    labels, persons, count = np.array([0, 1, 2, 7, 8]), np.array([0, 0, 0, 1, 1]), 12000
    found = permutation.shuffle_within(labels, persons, 1, count)[1:]
    expected = {
        (*first, *second)
        for first in itertools.permutations([0, 1, 2])
        for second in itertools.permutations([7, 8])
    }
    seen, often = np.unique(found, axis=0, return_counts=True)
    assert set(map(tuple, seen.tolist())) == expected
    # 12 arrangements of 1000 each; the tolerance is 5 standard deviations of a binomial count.
    assert np.abs(often - 1000).max() < 5 * np.sqrt(count / 12 * 11 / 12)


def test_the_seed_fixes_the_permutations():
    first, again, other = (permutation.shuffle_within(LABELS, PERSONS, s, 20) for s in (3, 3, 4))
    assert (first == again).all() and (first != other).any()
    assert (permutation.shuffle_within(LABELS, PERSONS, 3, 0) == LABELS[None]).all()


def test_labels_that_are_all_alike_cannot_change():
    found = permutation.shuffle_within(np.ones(4, int), np.zeros(4, int), 0, 5)
    assert (found == 1).all()


def test_the_labels_given_are_left_as_they_are():
    labels = LABELS.copy()
    permutation.shuffle_within(labels, PERSONS, 0, 10)
    assert (labels == LABELS).all()


def test_a_permutation_test_names_its_parts():
    test = permutation.PermutationTest(np.ones(3), np.zeros(5), 12, 4)
    assert len(test.drawn) == 3 and len(test.shuffled) == 5 and (test.n, test.classes) == (12, 4)
