"""Significance: by hand, under the null, and where the spread comes from the trainings."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from support.samples import make_index, make_samples

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.evaluation import metric_tables, metrics, significance
from deepfake_uncertainty.training.predict import Samples

P = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def test_holm_by_hand():
    # 4, 3, 2 and 1 times the sorted values, then made rising: Holm's own step-down
    assert significance.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert significance.holm([0.9, 0.8]) == pytest.approx([1, 1])
    assert significance.holm([0.2]) == pytest.approx([0.2])
    found = significance.holm([0.02, np.nan, 0.03])
    assert found[[0, 2]] == pytest.approx([0.04, 0.04]) and np.isnan(found[1])
    assert significance.holm([]).shape == (0,)
    for bad in ([-0.1], [1.1], [np.inf], [[0.1]]):
        with pytest.raises(InputError):
            significance.holm(bad)


@given(P)
def test_holm_is_the_closed_test_of_bonferroni(p):
    """A hypothesis is rejected when every intersection that holds it is, each by Bonferroni."""
    closed = [
        max(
            min(1, len(group) * min(p[i] for i in group))
            for size in range(1, len(p) + 1)
            for group in itertools.combinations(range(len(p)), size)
            if k in group
        )
        for k in range(len(p))
    ]
    assert significance.holm(p) == pytest.approx(closed)


def test_p_value_by_hand_and_where_there_is_none():
    assert significance.p_value([1, 1, 2, 3, 4]) == pytest.approx(2 / 5)
    assert significance.p_value([1, -1, 1, 1, 1]) == pytest.approx(4 / 5)
    assert significance.p_value([0, 0, 0, 0, 0]) == 1
    assert np.isnan(significance.p_value([np.nan, 1, 1]))
    assert np.isnan(significance.p_value([1, np.nan, np.nan, 1]))


def test_p_value_goes_with_the_interval():
    for seed in range(200):
        values = np.random.default_rng(seed).normal(2, 1, 1001)
        _, low, high = metric_tables.interval(values)
        p = significance.p_value(values)
        assert (p > 0.05 if low < 0 < high else p <= 0.05) or abs(p - 0.05) <= 2 / 1001


def test_p_values_of_no_difference_are_uniform():
    """Of two equal detectors about one data set in twenty differs at 0.05.

    The tolerances are 4 standard errors.
    """
    index, found = make_index(60, 3, ("real",)), []
    drawn = metric_tables.cluster_resamples(index, 0, 499)
    for seed in range(400):
        rng = np.random.default_rng(seed)
        # The videos of one identity share a part.
        gap = rng.normal(size=60)[drawn.cluster] + rng.normal(size=len(index))
        found.append(significance.p_value(metrics.mean(gap, drawn)))
    rejected, tolerance = np.mean(np.array(found) <= 0.05), 4 * np.sqrt(0.05 * 0.95 / 400)
    assert rejected == pytest.approx(0.05, abs=tolerance)
    assert np.mean(found) == pytest.approx(0.5, abs=4 * np.sqrt(1 / 12 / 400))


def test_difference_is_paired_and_its_own_negative():
    index = make_index(30)
    one = make_samples(index, sharp=0.3)
    noise = np.random.default_rng(1).random(one.shape) * 0.02
    other = (one + noise) / (one + noise).sum(2, keepdims=True)
    same = significance.paired_difference((one, index), (one, index), 0, 100)
    assert (same[["value", "low", "high"]].fillna(0) == 0).all(axis=None)
    assert (same["p"].dropna() == 1).all()
    sides = (one, index), (other, index)
    forth, back = (significance.paired_difference(*pair, 0, 300) for pair in (sides, sides[::-1]))
    assert forth["value"].tolist() == pytest.approx((-back["value"]).tolist(), nan_ok=True)
    assert forth["low"].tolist() == pytest.approx((-back["high"]).tolist(), nan_ok=True)
    alone = [metric_tables.metric_table(samples, index, 0, 300) for samples in (one, other)]
    expected = alone[0].loc["brier", "value"] - alone[1].loc["brier", "value"]
    assert forth.loc["brier", "value"] == pytest.approx(expected)
    widths = [table.loc["brier", "high"] - table.loc["brier", "low"] for table in (forth, *alone)]
    assert widths[0] < 0.2 * min(widths[1:])  # what is hard for both cancels


def test_difference_takes_rows_in_any_order_but_the_same_videos():
    index = make_index(12)
    one, other = (index, make_samples(index, seed=0)), (index, make_samples(index, seed=1))
    order = np.random.default_rng(0).permutation(len(index))
    straight = significance.paired_difference(one[::-1], other[::-1], 0, 50)
    mixed = other[1][:, order], index.iloc[order]
    turned = significance.paired_difference(one[::-1], mixed, 0, 50)
    assert straight.to_numpy() == pytest.approx(turned.to_numpy(), nan_ok=True)
    less = index["video"] != "003"
    said = "3 videos are in one set of samples only, such as set/A/003"
    with pytest.raises(InputError, match=said):
        significance.paired_difference(one[::-1], (other[1][:, less], index[less]), 0, 50)


def test_by_generator():
    index = make_index(12)
    one, other = make_samples(index, seed=0), make_samples(index, seed=1)
    table = significance.paired_difference((one, index), (other, index), 0, 50, by_generator=True)
    values = [
        metric_tables.metric_values_by_generator(samples, index, 0, 50) for samples in (one, other)
    ]
    parts = [metric_tables.interval_frame(part, ["generator", "metric"]) for part in values]
    assert table.index.equals(parts[0].index) and table.index.names == ["generator", "metric"]
    assert table["value"].to_numpy() == pytest.approx(
        (parts[0]["value"] - parts[1]["value"]).to_numpy(), nan_ok=True
    )
    seeds = significance.seed_table({0: (one, index), 1: (other, index)}, 0, 50, by_generator=True)
    assert seeds["value"].to_numpy() == pytest.approx(
        (parts[0]["value"] + parts[1]["value"]).to_numpy() / 2, nan_ok=True
    )


def test_one_training_is_the_plain_table():
    index = make_index(12)
    samples = make_samples(index)
    table = significance.seed_table({7: (samples, index)}, 3, 80)
    plain = metric_tables.metric_table(samples, index, 3, 80)
    assert table[["value", "low", "high"]].to_numpy() == pytest.approx(
        plain.to_numpy(), nan_ok=True
    )
    assert table["spread"].isna().all() and (table["seeds"] == 1).all()


def test_seeds_by_hand():
    index = make_index(12)
    sampled = {seed: (make_samples(index, seed=seed, sharp=0.3 * seed), index) for seed in range(3)}
    table = significance.seed_table(sampled, 0, 50)
    tables = [metric_tables.metric_table(*samples, 0, 50) for samples in sampled.values()]
    own = [part.loc["accuracy", "value"] for part in tables]
    assert table.loc["accuracy", "value"] == pytest.approx(np.mean(own))
    assert table.loc["accuracy", "spread"] == pytest.approx(np.std(own, ddof=1))
    assert (table["seeds"] == 3).all()


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_pooled_interval_holds_the_spread_of_identities_and_of_trainings(seeds):
    """On average the variance of a resample is that of the data plus that of S new trainings."""
    rng, found = np.random.default_rng(seeds), []
    for seed in range(300):
        trainings, data = rng.normal(0, 1, seeds), rng.normal(0, 0.5, 400)
        values = [{"m": np.r_[0, data] + training} for training in trainings]
        found.append(np.var(significance.pool_seeds(values, seed)["m"][1:]))
    assert np.mean(found) == pytest.approx(0.25 + 1 / seeds, rel=0.2)


def test_a_metric_that_one_training_does_not_define_is_nan():
    values = [{"m": np.array([0.5, 0.5])}, {"m": np.array([np.nan, 0.5])}]
    assert np.isnan(significance.pool_seeds(values, 0)["m"][0])
    with pytest.raises(InputError, match="other metrics"):
        significance.pool_seeds([{"m": np.ones(2)}, {"k": np.ones(2)}], 0)


def test_spearman_and_its_interval_over_identities():
    index = make_index(50, 4, ("real",))
    rng = np.random.default_rng(0)
    shared = rng.normal(size=50)[index["identity"].astype(int)]
    one, other = shared + 0.1 * rng.normal(size=200), shared + 0.1 * rng.normal(size=200)
    value, low, high = significance.spearman(one, other, index, 0, 400)
    assert value == pytest.approx(spearmanr(one, other).statistic) and low < value < high
    unrelated = rng.permutation(50)[index["identity"].astype(int)] + 0.1 * rng.normal(size=200)
    value, low, high = significance.spearman(one, unrelated, index, 0, 400)
    naive = significance.spearman(one, unrelated, index.assign(identity=np.arange(200)), 0, 400)
    assert low < 0 < high and high - low > 1.5 * (naive[2] - naive[1])
    assert np.isnan(significance.spearman(one, np.ones(200), index, 0, 20)).all()


def test_common_videos_are_those_of_both():
    index = make_index(6)
    sides = [index[index["video"] != "001"], index[~index["video"].isin(["002", "003"])]]
    one, other = (
        Samples(make_samples(rows, seed=k), rows.reset_index(drop=True))
        for k, rows in enumerate(sides)
    )
    first, second = significance.common_videos(one, other)
    assert set(first.index["video"]) == set(second.index["video"]) == {"000", "004", "005"}
    kept = ~one.index["video"].isin(["002", "003"]).to_numpy()
    assert (first.probabilities == one.probabilities[:, kept]).all()
    assert first.index.index.tolist() == list(range(len(first.index)))
    significance.paired_difference(first, second, 0, 20)  # which needs the same videos


def test_stacked_tables_are_those_of_each_entry():
    index = make_index(8)
    kinds = ("net", "deterministic"), ("net", "bnn")
    sampled = {
        kind: {seed: Samples(make_samples(index, seed=10 * k + seed), index) for seed in range(2)}
        for k, kind in enumerate(kinds)
    }
    tables = significance.seed_tables(sampled, 0, 30)
    assert tables.index.names == ["detector", "method", "metric"]
    by_generator = significance.seed_tables_by_generator(sampled, 0, 30)
    assert by_generator.index.names == ["detector", "method", "generator", "metric"]
    for kind, samples in sampled.items():
        alone = significance.seed_table(samples, 0, 30)
        pd.testing.assert_frame_equal(tables.xs(kind, level=(0, 1)), alone)
        alone = significance.seed_table(samples, 0, 30, by_generator=True)
        pd.testing.assert_frame_equal(by_generator.xs(kind, level=(0, 1)), alone)
