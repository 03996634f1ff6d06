"""From an index to samples: by every kind of method, from the cache, without leaks."""

import numpy as np
import pytest
from support.small_training import SPEC, load_track, videos

from deepfake_uncertainty import paths
from deepfake_uncertainty.datasets import leakage
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.training import detector_inputs, predict
from deepfake_uncertainty.training.config import Run, Settings


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The small detector in the registry, with a cache of its own."""
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(detector_inputs.tracks, "load", load_track)
    monkeypatch.setitem(registry.DETECTORS.specs(), "small", SPEC)
    return tmp_path / "cache"


def test_leaks_are_refused(tmp_path):
    index = videos(tmp_path)
    split = {name: rows for name, rows in index.groupby("split")}
    leakage.check_disjoint(split)
    with pytest.raises(InputError, match="video"):
        leakage.check_disjoint({"val": split["test"], "test": split["test"]})
    by_generator = {name: rows for name, rows in index.groupby("generator") if name != "real"}
    with pytest.raises(InputError, match="identity"):
        leakage.check_disjoint(by_generator)
    as_source = split["test"].assign(source="0")
    with pytest.raises(InputError, match="identity"):
        leakage.check_disjoint({"train": split["train"], "test": as_source})


@pytest.mark.parametrize("method, count", [("deterministic", 1), ("mc_dropout", 5), ("bnn", 5)])
def test_samples_of_each_method(method, count, cache, tmp_path):
    index, run = videos(tmp_path), Run("quick", 0, count)
    p, rows = predict.samples_for("small", method, index, run)
    assert p.shape == (count, len(rows), 2) and p.dtype == np.float32
    assert np.allclose(p.sum(2), 1, atol=1e-5)
    assert set(rows["split"]) == {"val", "test"}
    assert (p.mean(0).argmax(1) == rows["label"]).mean() > 0.8
    again = predict.samples_for("small", method, index, run)
    assert (again.probabilities == p).all()
    for archive in (cache / "samples").glob("*.npz"):
        archive.write_bytes(archive.read_bytes()[:50])
    repaired = predict.samples_for("small", method, index, run).probabilities
    assert np.allclose(repaired, p, atol=1e-6)


def test_samples_refuse_leaks_and_unknown_names(cache, tmp_path):
    index, run = videos(tmp_path), Run("quick", 0, 1)
    with pytest.raises(InputError, match="method"):
        predict.samples_for("small", "magic", index, run)
    with pytest.raises(InputError, match="T is 0"):
        predict.samples_for("small", "bnn", index, Run("quick", 0, 0))
    leaked = index.assign(identity="7")
    with pytest.raises(InputError, match="share"):
        predict.samples_for("small", "deterministic", leaked, run)
    with pytest.raises(InputError, match="share"):
        predict.samples_for("small", "deterministic", index, run, on=index)


def test_a_fitted_model_is_read_from_its_note(cache, tmp_path, monkeypatch):
    index, run = videos(tmp_path), Run("quick", 0, 3)
    index.loc[index["identity"] == "4", "split"] = "train"  # one of its videos has no face
    model = predict.fitted("small", "bnn", index, run)
    assert (model.detector, model.method.name, model.seed) == (SPEC, "bnn", 0)
    assert model.recipe == SPEC.recipe and len(model.keys) == len(model.skipped) == 1
    x, _ = detector_inputs.load_inputs(index[index["split"] == "test"], SPEC, 1)
    found = model.sample(x, 3)
    monkeypatch.setattr(predict, "load_inputs", None)  # no video is decoded again
    again = predict.fitted("small", "bnn", index, run)
    assert (again.key, again.keys, again.skipped) == (model.key, model.keys, model.skipped)
    np.testing.assert_array_equal(again.sample(x, 3), found)
    assert len(again.draws(4)) == 4
    with pytest.raises(InputError, match="T is 0"):
        again.draws(0)


def test_each_choice_has_a_model_of_its_own(cache, tmp_path):
    index, run = videos(tmp_path), Run("quick", 0, 1)
    base = predict.fitted("small", "deterministic", index, run)
    others = [
        predict.fitted("small", "deterministic", index, run.with_seed(1)),
        predict.fitted("small", "deterministic", index, run, Settings(dropout=0.5)),
        predict.fitted("small", "deterministic", index, run, Settings(epoch_fraction=0.5)),
        predict.fitted("small", "deterministic", index.drop(index.index[0]), run),
    ]
    assert len({base.key, *(model.key for model in others)}) == 5
    assert predict.fitted("small", "deterministic", index, run.with_samples(9)).key == base.key


def test_samples_can_be_chosen_by_row_and_split(cache, tmp_path):
    samples = predict.samples_for("small", "mc_dropout", videos(tmp_path), Run("quick", 0, 2))
    test = samples.of_split("test")
    wanted = (samples.index["split"] == "test").to_numpy()
    assert set(test.index["split"]) == {"test"} and test.index.index.tolist()[:2] == [0, 1]
    np.testing.assert_array_equal(test.probabilities, samples.probabilities[:, wanted])
    np.testing.assert_array_equal(samples.rows(wanted).probabilities, test.probabilities)
