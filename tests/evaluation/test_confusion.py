"""Source detection: the confusion of video-level decisions, by hand and against scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix

from deepfake_uncertainty.evaluation import confusion
from deepfake_uncertainty.training import predict, tasks

CLASSES = ("real", "A", "B")


def make(labels, decided):
    probabilities = np.full((1, len(labels), 3), 0.1)
    probabilities[0, np.arange(len(labels)), decided] = 0.8
    index = pd.DataFrame(
        {
            "dataset": "D",
            "generator": [CLASSES[k] for k in labels],
            "video": np.arange(len(labels)).astype(str),
            "identity": np.arange(len(labels)) % 5,
            "label": labels,
        }
    )
    return predict.Samples(probabilities, index)


def test_classes_are_the_generators_real_first():
    index = pd.DataFrame({"generator": ["B", "real", "A", "B"]})
    assert tasks.source_settings(index).classes == ("real", "B", "A")


def test_confusion_is_scikit_learns():
    rng = np.random.default_rng(0)
    labels, decided = rng.integers(0, 3, (2, 60))
    shares, table = confusion.confusion_matrix(make(labels, decided), CLASSES, seed=0, n_boot=200)
    np.testing.assert_allclose(shares, confusion_matrix(labels, decided, normalize="true"))
    whole = table.loc["balanced accuracy"]
    assert whole["value"] == pytest.approx(balanced_accuracy_score(labels, decided))
    assert whole["low"] < whole["value"] < whole["high"] and whole["n"] == 60
    assert (table["chance"] == 1 / 3).all()


def test_a_class_without_videos_is_nan_and_does_not_count():
    shares, table = confusion.confusion_matrix(
        make(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])), CLASSES, seed=0, n_boot=50
    )
    assert shares.loc["real"].tolist() == [0.5, 0.5, 0] and shares.loc["B"].isna().all()
    assert np.isnan(table.loc["B", "value"]) and table.loc["balanced accuracy", "value"] == 0.75
