"""Detectors by task: collapsed classes, other data sets, kinds, and the best one, by hand."""

import numpy as np
import pandas as pd
import pytest

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study.detection import task_comparison
from deepfake_uncertainty.training import predict, tasks
from deepfake_uncertainty.training.config import Run

RNG = np.random.default_rng(0)


def samples(p, labels=None, dataset="D", split="test"):
    """Return Samples of one draw; p[k] is p(fake) of video k, each of another identity."""
    p = np.asarray(p, float)
    labels = np.arange(len(p)) % 2 if labels is None else np.asarray(labels)
    index = pd.DataFrame(
        {
            "dataset": dataset,
            "generator": np.where(labels, "A", "real"),
            "video": [f"v{k}" for k in range(len(p))],
            "identity": [f"i{k}" for k in range(len(p))],
            "split": split,
            "start": 0,
            "label": labels,
        }
    )
    return predict.Samples(np.stack([1 - p, p], -1)[None].astype(np.float32), index)


def test_to_binary_adds_the_generators_up():
    index = samples([0.5, 0.5, 0.5], [0, 1, 1]).index.assign(label=[0, 2, 1])
    classes = predict.Samples(
        np.array([[[0.7, 0.2, 0.1], [0.4, 0.1, 0.5], [0.0, 0.9, 0.1]]]), index
    )
    found = task_comparison.to_binary(classes)
    assert np.allclose(found.probabilities[0], [[0.7, 0.3], [0.4, 0.6], [0, 1]])
    assert found.index["label"].tolist() == [0, 1, 1]
    assert index["label"].tolist() == [0, 2, 1]


def test_sample_generators_gives_each_data_set_its_own_rows(monkeypatch):
    one, other = samples([0.1, 0.9], dataset="D"), samples([0.2, 0.8, 0.3], dataset="E")
    both = predict.Samples(
        np.concatenate([one.probabilities, other.probabilities], 1),
        pd.concat([one.index, other.index]),
    )
    monkeypatch.setattr(task_comparison.tasks, "sample_sources", lambda *_: both)
    found = task_comparison.sample_generators(both.index, ["a"], ["m"], [Run("quick", 3, 1)])
    assert list(found) == ["D", "E"] and set(found["E"]) == {("a", "m")}
    assert np.array_equal(found["E"]["a", "m"][3].probabilities, other.probabilities)
    assert found["E"]["a", "m"][3].index["dataset"].eq("E").all()


def test_shift_of_the_same_samples_is_zero_and_its_interval_holds_it():
    near = samples(np.r_[np.full(10, 0.2), np.full(10, 0.9)], np.repeat([0, 1], 10))
    far = samples(np.r_[np.full(10, 0.6), np.full(10, 0.9)], np.repeat([0, 1], 10), dataset="E")
    same, moved = (task_comparison.metric_shift(near, one, 0, 200) for one in (near, far))
    assert same.loc["accuracy", "value"] == 0
    assert same.loc["total_mean", "low"] <= 0 <= same.loc["total_mean", "high"]
    assert moved.loc["accuracy", "value"] == pytest.approx(-0.5)  # all reals are now called fake
    entropy = [-(p * np.log(p) + (1 - p) * np.log(1 - p)) for p in (0.2, 0.6)]
    assert moved.loc["total_mean", "value"] == pytest.approx(
        (entropy[1] - entropy[0]) / 2, abs=1e-6
    )


def test_against_best_leaves_the_best_out_and_corrects():
    labels = np.repeat([0, 1], 20)
    good, bad = labels * 0.8 + 0.1, np.full(40, 0.5) + RNG.normal(0, 0.1, 40)
    found = task_comparison.difference_to_best(
        {"good": samples(good, labels), "bad": samples(bad, labels), "same": samples(good, labels)},
        "auroc",
        0,
        200,
    )
    assert set(found["best"]) == {"good"} and list(found.index) == ["bad", "same"]
    assert found.loc["bad", "high"] < 0
    assert found.loc["bad", "p_holm"] <= 0.05
    assert found.loc["same", "p_holm"] == 1


def test_by_kind_is_blind_less_biological_and_wants_both():
    found = task_comparison.blind_minus_biological(
        {
            "resnet18": np.array([1.0, 2]),
            "xception": np.array([3.0, 4]),
            "fakecatcher": np.array([1.0, 0]),
        }
    )
    assert found.tolist() == [1, 3]
    with pytest.raises(InputError, match="a blind and a biological"):
        task_comparison.blind_minus_biological({"resnet18": np.ones(2)})


def test_majority_is_the_more_frequent_class_of_the_test_split():
    rows = samples([0.5] * 4, [0, 1, 1, 1]).index
    train = samples([0.5] * 9, [0] * 9, split="train").index
    assert task_comparison.majority_accuracy(pd.concat([rows, train])) == 0.75


def test_cross_dataset_wants_two_data_sets():
    index = samples([0.5, 0.5]).index
    with pytest.raises(InputError, match="two data sets"):
        tasks.cross_dataset(index, index, ["resnet18"], ["deterministic"], [Run("quick", 0, 1)])
