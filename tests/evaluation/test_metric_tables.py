"""Aggregation to videos, bootstrap over identities, and the tables."""

import numpy as np
import pandas as pd
import pytest
from support.samples import make_index, make_samples

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.evaluation import metric_tables, metrics


def by_generator(*arguments):
    values = metric_tables.metric_values_by_generator(*arguments)
    return metric_tables.interval_frame(values, ["generator", "metric"])


def weights(index, seed, count):
    """How often each row counts in `count` resamples of identities."""
    return metric_tables.cluster_resamples(index, seed, count).dense()[1:]


def test_same_name_under_other_generators_or_datasets_stays_apart():
    index = make_index(2)
    other = index.assign(dataset="other")
    both = pd.concat([index, other], ignore_index=True)
    samples = make_samples(both)
    videos, rows = metric_tables.by_video(samples, both)
    assert videos.shape == (4, 12, 2) and len(rows) == 12 and "start" not in rows
    assert rows[metric_tables.KEY].drop_duplicates().shape[0] == 12


def test_by_video_by_hand_whatever_the_order_of_rows():
    index = make_index(3)
    samples = make_samples(index)
    order = np.random.default_rng(1).permutation(len(index))
    videos, rows = metric_tables.by_video(samples[:, order], index.iloc[order])
    for place, row in rows.iterrows():
        own = (index[metric_tables.KEY] == row[metric_tables.KEY]).all(axis=1)
        assert videos[:, place] == pytest.approx(samples[:, own].astype(float).mean(1))
        assert row["label"] == int(row["generator"] != "real")


def test_scores_by_hand():
    samples = np.array([[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]])
    found = metric_tables.uncertainty_scores(samples)
    assert list(found) == ["softmax", "total", "aleatoric", "epistemic"]
    assert found["softmax"] == pytest.approx([0.5, 0.5])
    assert found["total"] == pytest.approx([np.log(2)] * 2, abs=1e-6)
    assert found["epistemic"] == pytest.approx([np.log(2), 0], abs=1e-6)


def test_resamples_draw_whole_identities():
    index = make_index(10)
    drawn = weights(index, 3, 50)
    assert (drawn == weights(index, 3, 50)).all()
    assert not (drawn == weights(index, 4, 50)).all()
    for _, rows in index.groupby("identity"):
        assert (drawn[:, rows.index] == drawn[:, rows.index[:1]]).all()
    assert (drawn.sum(1) == len(index)).all()  # equal clusters


def test_table_is_the_metrics_of_the_videos_and_its_intervals_hold_them():
    index = make_index()
    samples = make_samples(index, sharp=0.1)
    table = metric_tables.metric_table(samples, index, 0, 300)
    videos, rows = metric_tables.by_video(samples, index)
    mean, y = videos.mean(0), rows["label"].to_numpy()
    assert table.loc["accuracy", "value"] == pytest.approx((mean.argmax(1) == y).mean())
    wrong = metrics.errors(mean, y)
    for name, score in metric_tables.uncertainty_scores(videos).items():
        values = table["value"]
        assert values[f"{name}_failure_auroc"] == pytest.approx(metrics.failure_auroc(score, wrong))
        risk = metrics.risk_coverage(score, wrong).risk.mean()
        assert values[f"{name}_aurc"] == pytest.approx(risk)
    # The bootstrap of the calibration error is biased upward, its interval may miss the value.
    plain = table.drop("ece")
    assert (plain["low"] <= plain["value"] + 1e-9).all()
    assert (plain["value"] <= plain["high"] + 1e-9).all()
    pd.testing.assert_frame_equal(table, metric_tables.metric_table(samples, index, 0, 300))


def test_gain_over_softmax_response_is_paired():
    """With two classes and one sample, total ranks as softmax response does: no gain at all."""
    index = make_index()
    table = metric_tables.metric_table(make_samples(index, sharp=0.1)[:1], index, 0, 200)
    assert table.loc["total_gain"].abs().max() < 1e-12
    assert table.loc["softmax_failure_auroc", "high"] > table.loc["softmax_failure_auroc", "low"]
    values = table["value"]
    expected = values["epistemic_failure_auroc"] - values["softmax_failure_auroc"]
    assert values["epistemic_gain"] == pytest.approx(expected)


def test_interval_is_the_loop_over_resampled_identities():
    index = make_index(8)
    samples = make_samples(index, sharp=0.3)
    table = metric_tables.metric_table(samples, index, 5, 100)
    videos, rows = metric_tables.by_video(samples, index)
    found = []
    for drawn in weights(rows, 5, 100).astype(int):
        chosen = np.repeat(np.arange(len(rows)), drawn)
        found.append(metrics.brier(videos.mean(0)[chosen], rows["label"].to_numpy()[chosen]))
    assert table.loc["brier", ["low", "high"]].tolist() == pytest.approx(
        np.percentile(found, [2.5, 97.5])
    )


def test_interval_covers_the_truth_and_is_wider_than_one_over_windows():
    """Windows of one identity are alike: rows drawn one by one would give too narrow intervals."""
    index, hits, wider = make_index(40, 5, ("real", "A")), [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        # Whole identities are right or wrong.
        right = rng.random(40)[index["identity"].astype(int)] < 0.7
        p = np.where(right == (index["label"] == 1), 0.9, 0.1)
        samples = np.stack([1 - p, p], 1)[None]
        table = metric_tables.metric_table(samples, index, seed, 200, "window")
        _, low, high = table.loc["accuracy"]
        single = index.assign(identity=np.arange(len(index)))
        table = metric_tables.metric_table(samples, single, seed, 200, "window")
        naive = table.loc["accuracy"]
        hits.append(low <= 0.7 <= high)
        wider.append((high - low) / (naive["high"] - naive["low"]))
    assert np.mean(hits) > 0.85 and np.median(wider) > 2


def test_medians_and_their_intervals_over_identities():
    generators, identities = ["real", "real", "A", "A"], ["0", "1", "0", "1"]
    rows = pd.DataFrame({"dataset": "D", "generator": generators, "identity": identities})
    rows["error"] = [2.0, 4.0, 1.0, 1.0]
    found = metric_tables.group_medians(rows, "generator", ["error"], 0, 400)
    # Two identities are drawn as 00, 01, 10 or 11. The medians are 2, 3, 3 and 4, so the interval
    # is the whole range.
    assert found.loc[("real", "error")].tolist() == [3, 2, 4, 2]
    assert found.loc[("A", "error")].tolist() == [1, 1, 1, 2]
    assert found.index.tolist() == [("real", "error"), ("A", "error")]


def test_medians_draw_identities_whole():
    rows = pd.DataFrame(
        {"dataset": "D", "tone": 1, "identity": ["a"] * 3 + ["b"], "snr": [0.0, 0.0, 0.0, 8.0]}
    )
    # aa, ab and ba have median 0 and bb has 8. Drawn as four single videos, 8 would come in 5 % of
    # the cases, not in 25 %.
    table = metric_tables.group_medians(rows, "tone", ["snr"], 0, 400)
    assert table.loc[(1, "snr")].tolist() == [0, 0, 8, 4]
    alone = metric_tables.group_medians(rows[:3], "tone", ["snr"], 0, 10)
    assert alone.loc[(1, "snr")].tolist() == [0, 0, 0, 3]


def test_by_generator():
    index = make_index()
    samples = make_samples(index)
    table = by_generator(samples, index, 0, 100)
    assert table.index.get_level_values("generator").unique().tolist() == ["real", "A", "B"]
    own = (index["generator"] == "A").to_numpy()
    alone = metric_tables.metric_table(samples[:, own], index[own], 0, 100)
    for metric in ("accuracy", "nll", "total_mean", "softmax_aurc"):
        assert table.loc[("A", metric), "value"] == pytest.approx(alone.loc[metric, "value"])
    pair = index["generator"].isin(["real", "A"]).to_numpy()
    assert table.loc[("A", "auroc"), "value"] == pytest.approx(
        metric_tables.metric_table(samples[:, pair], index[pair], 0, 10).loc["auroc", "value"]
    )
    assert np.isnan(table.loc[("real", "auroc"), "value"])


def test_a_perfect_or_one_class_set_gives_nan_not_an_exception():
    index = make_index(4)
    perfect = np.eye(2)[index["label"]][None]
    table = metric_tables.metric_table(perfect, index, 0, 20)
    assert table.loc["accuracy"].tolist() == [1, 1, 1]
    assert table.loc["softmax_failure_auroc"].isna().all()
    one = index["label"].to_numpy() == 1
    assert metric_tables.metric_table(perfect[:, one], index[one], 0, 20).loc["auroc"].isna().all()


def test_bad_input():
    index = make_index(2)
    samples = make_samples(index)
    bad = samples.copy()
    bad[0, 0] = np.nan
    changed = index.copy()
    changed.loc[0, "label"] = 1
    for arguments in (
        (bad, index),
        (samples[:, 1:], index),
        (samples, changed),
        (samples, index.drop(columns="identity")),
        (samples[0], index),
    ):
        with pytest.raises(InputError):
            metric_tables.metric_table(*arguments, 0, 10)
    with pytest.raises(InputError):
        metric_tables.metric_table(samples, index, 0, 10, level="frame")


def test_values_of_the_same_identities_are_resampled_alike():
    index = make_index(10)
    drawn = metric_tables.cluster_resamples(index, 3, 50)
    # The draws of identities are a multinomial of the seed: the first row is the data.
    plain = np.random.default_rng(3).multinomial(10, np.full(10, 1 / 10), size=50)
    identity = index["identity"].astype(int).to_numpy()
    assert (drawn.counts[0] == 1).all() and (drawn.dense()[1:] == plain[:, identity]).all()
    # Other rows in another order, with every identity among them.
    order = np.random.default_rng(0).permutation(len(index))[:60]
    assert index.iloc[order]["identity"].nunique() == 10
    again = metric_tables.cluster_resamples(index.iloc[order], 3, 50)
    assert (again.dense() == drawn.dense()[:, order]).all()


def test_tables_are_the_intervals_of_values():
    index = make_index(8)
    samples = make_samples(index, sharp=0.3)
    found = metric_tables.metric_values(samples, index, 5, 100)
    assert {value.shape for value in found.values()} == {(101,)}
    pd.testing.assert_frame_equal(
        metric_tables.interval_frame(found), metric_tables.metric_table(samples, index, 5, 100)
    )
    table = by_generator(samples, index, 5, 100)
    for key, value in metric_tables.metric_values_by_generator(samples, index, 5, 100).items():
        assert metric_tables.interval(value) == pytest.approx(tuple(table.loc[key]), nan_ok=True)
