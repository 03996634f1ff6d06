"""Source detection: features, people, controls and embeddings, on data of known answer."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.evaluation import confusion, metric_tables, permutation
from deepfake_uncertainty.study import source_detection
from deepfake_uncertainty.training import predict

KINDS = ["real", "A", "B"]


def world(people=24, seed=0):
    """Return the index of one video per person and kind, people swapped in pairs, and noise."""
    rows = [
        {
            "dataset": "D",
            "generator": kind,
            "video": f"{kind}{k}",
            "identity": f"p{k}",
            "target": f"p{k}",
            "source": "" if kind == "real" else f"p{k ^ 1}",
            "split": "val" if k < people // 3 else "test",
        }
        for k in range(people)
        for kind in KINDS
    ]
    index = pd.DataFrame(rows)
    noise = np.random.default_rng(seed).normal(size=(len(index), 3))
    return index, pd.DataFrame(
        noise, index=pd.MultiIndex.from_frame(index[["dataset", "generator", "video"]])
    )


def sampled(index, T=4, seed=0):
    p = np.random.default_rng(seed).dirichlet([1, 1], (T, 2 * len(index)))
    return predict.Samples(
        p, index.loc[index.index.repeat(2)].assign(label=0, start=0).reset_index(drop=True)
    )


def test_features_are_means_over_a_video():
    index, _ = world(4)
    samples = sampled(index)
    found = source_detection.video_features({"net": samples}, "uncertainty")
    total = metric_tables.uncertainty_scores(samples.probabilities)["total"]
    assert list(found) == ["net total", "net aleatoric", "net epistemic"]
    assert len(found) == len(index)
    assert found.iloc[0, 0] == pytest.approx(total[:2].mean())
    assert list(source_detection.video_features({"net": samples}, "probabilities")) == [
        "net p0",
        "net p1",
    ]
    assert list(source_detection.video_features({"net": samples}, "softmax")) == ["net softmax"]


def test_further_features_join_by_video_and_leave_out_what_they_lack():
    index, noise = world(4)
    ways = [("whole", "face"), ("hidden", "eyes"), ("alone", "eyes")]
    measured = pd.concat(
        [
            index.assign(way=way, region=region, total=k, aleatoric=k, epistemic=k)
            for k, (way, region) in enumerate(ways)
        ]
    )
    more = source_detection.region_features({"net": measured[measured["video"] != "A0"]})
    found = source_detection.video_features({"net": sampled(index)}, "uncertainty", more)
    assert len(found) == len(index) - 1
    assert found["net total hidden eyes"].eq(1).all()
    assert "net total whole face" not in found
    every = source_detection.feature_sets({"net": sampled(index)}, {"net": measured})
    assert list(every) == [*source_detection.KINDS, source_detection.REGIONAL]
    assert set(every[source_detection.REGIONAL]) == set(found)
    with pytest.raises(InputError, match="no video has all"):
        source_detection.video_features(
            {"net": sampled(index)}, "uncertainty", [noise.rename(index={"D": "E"})]
        )
    with pytest.raises(InputError, match="unknown kind"):
        source_detection.video_features({"net": sampled(index)}, "mood")


def test_people_that_meet_in_a_fake_stay_together():
    index, _ = world(6)
    groups = source_detection.connected_people(index)
    by_person = {person: set(groups[index["identity"] == person]) for person in index["identity"]}
    assert all(len(group) == 1 for group in by_person.values())
    assert by_person["p0"] == by_person["p1"] != by_person["p2"] and len(set(groups)) == 3


def test_the_same_name_in_two_data_sets_is_two_people():
    index = pd.DataFrame(
        {"dataset": ["D", "E"], "identity": ["p", "p"], "target": ["p", "p"], "source": ["", ""]}
    )
    assert len(set(source_detection.connected_people(index))) == 2


def test_a_planted_signal_is_identified_and_noise_is_not():
    index, noise = world()
    test = source_detection.generator_accuracy(noise, index, 0, 200, 100)
    assert test.n == 48
    assert test.classes == 3
    assert len(test.drawn) == 201
    assert len(test.shuffled) == 100
    assert test.shuffled.mean() == pytest.approx(1 / 3, abs=0.04)
    planted = noise.assign(
        signal=index["generator"].map(dict(zip(KINDS, (0.0, 3, 6), strict=True))).to_numpy()
    )
    rows = source_detection.permutation_table(
        {"noise": test, "planted": source_detection.generator_accuracy(planted, index, 0, 200, 100)}
    )
    assert rows.loc["planted", "value"] > 0.9 and rows.loc["planted", "p"] == pytest.approx(1 / 101)
    assert rows.loc["planted", "low"] > rows.loc["noise", "high"] and rows.loc["noise", "p"] > 0.02


def test_what_a_person_gives_away_is_no_evidence():
    index, noise = world()
    person = noise.assign(person=index["identity"].factorize()[0])
    test = source_detection.generator_accuracy(person, index, 0, 50, 50)
    assert test.drawn[0] <= np.quantile(test.shuffled, 0.99)


def test_permutations_stay_within_a_person():
    labels, persons = np.array([0, 1, 2, 0, 0, 1]), np.array([0, 0, 0, 1, 1, 1])
    found = permutation.shuffle_within(labels, persons, 0, 30)
    assert found[0].tolist() == labels.tolist() and len(np.unique(found, axis=0)) > 5
    assert (np.sort(found[:, :3]) == [0, 1, 2]).all() and (np.sort(found[:, 3:]) == [0, 0, 1]).all()


def test_refusals():
    index, noise = world()
    with pytest.raises(InputError, match="trained on"):
        source_detection.generator_accuracy(noise, index.assign(split="train"), 0)
    for rows, what in (
        (index["generator"] == "A", "1 generators"),
        (index["identity"].isin(["p0", "p1"]), "1 groups"),
        (index["split"] == "val", "0 test videos"),
    ):
        with pytest.raises(InputError, match=what):
            source_detection.generator_accuracy(noise[rows.to_numpy()], index, 0)


def test_compare_is_paired_and_pools_trainings():
    index, noise = world()
    one = source_detection.compare_features({0: {"a": noise, "b": noise}}, index, 0, 50, 10)
    assert np.array_equal(one["a"].drawn, one["b"].drawn)
    two = source_detection.compare_features(
        {0: {"a": noise}, 1: {"a": world(seed=1)[1]}}, index, 0, 50, 10
    )
    single = source_detection.generator_accuracy(world(seed=1)[1], index, 0, 50, 10)
    assert two["a"].drawn[0] == pytest.approx((one["a"].drawn[0] + single.drawn[0]) / 2)


def test_balanced_accuracy_is_scikit_learns_and_weighs_resamples():
    rng = np.random.default_rng(0)
    label, decided = rng.integers(0, 3, (2, 40))
    assert confusion.balanced_accuracy(decided, label) == pytest.approx(
        balanced_accuracy_score(label, decided)
    )
    weights = rng.integers(0, 3, (5, 40)).astype(float)
    found = confusion.balanced_accuracy(decided, label, weights)
    assert found == pytest.approx(
        [balanced_accuracy_score(label, decided, sample_weight=row) for row in weights]
    )


def test_confusion_groups_add_up():
    names = ["real", "fsgan", "wav2lip", "fsgan-wav2lip"]
    shares = pd.DataFrame(
        [[1, 0, 0, 0], [0.1, 0.2, 0.3, 0.4], [0, 0, 1, 0], [0, 0.5, 0.25, 0.25]], names, names
    )
    found = confusion.confusion_groups(shares)
    own = {"itself": 0.2, "a relative": 0.4, "real": 0.1, "another generator": 0.3}
    assert found.loc["fsgan"].to_dict() == pytest.approx(own)
    assert found.loc["fsgan-wav2lip", "a relative"] == pytest.approx(0.75)
    assert np.allclose(found.sum(axis=1), 1)


def test_embeddings_of_islands_are_steady_and_of_noise_are_not():
    index, noise = world()
    islands = noise + 30 * index["generator"].factorize()[0][:, None]
    found = {
        name: source_detection.embedding_stability(
            part, source_detection.embed(part, [0, 1], 10), 5
        )
        for name, part in (("islands", islands), ("noise", noise))
    }
    assert found["islands"]["same generator"] > 0.95 and found["noise"]["same generator"] < 0.5
    chance = found["noise"]["chance of same generator"]
    assert chance == pytest.approx(23 / 71)
    assert found["noise"]["chance of overlap"] == pytest.approx(5 / 71)
    assert all(0 <= value <= 1 for part in found.values() for value in part)
    assert np.array_equal(*(source_detection.embed(noise, [3])[3] for _ in range(2)))
    with pytest.raises(InputError, match="neighbours"):
        source_detection.neighbours(np.zeros((4, 2)), 4)
