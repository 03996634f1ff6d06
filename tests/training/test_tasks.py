"""The tasks: what is trained on, what is tested, and by which recipe."""

import dataclasses

import pandas as pd
import pytest
from support.small_training import SPEC, Recipe, load_track, videos

from deepfake_uncertainty import paths
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.training import detector_inputs, models, predict, tasks
from deepfake_uncertainty.training.config import Run

QUICK = Recipe(epochs=2, inputs_per_video=1, variational_epochs=1)
FULL = Recipe(epochs=5, inputs_per_video=2, variational_epochs=3)
SMALL = dataclasses.replace(SPEC, recipe=QUICK, full_recipe=FULL)
RUNS = [Run("full", 0, 2), Run("full", 1, 2)]


@pytest.fixture
def index(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(detector_inputs.tracks, "load", load_track)
    monkeypatch.setitem(registry.DETECTORS.specs(), "small", SMALL)
    return videos(tmp_path, ("real", "A", "C"), 6)


def trained():
    """Return the recipes of all models in the cache."""
    cards = [models.read_card(folder.name) for folder in (paths.CACHE / "models").glob("[!.]*")]
    return [card["recipe"] for card in cards]


def inputs_per_video(samples):
    return set(samples.index.groupby(["dataset", "generator", "video"]).size())


def test_every_path_trains_by_the_recipe_of_its_profile(index):
    model = predict.fitted("small", "bnn", index, RUNS[0])
    assert model.recipe == FULL and len(models.read_card(model.keys[0])["history"]) == 3
    assert inputs_per_video(predict.samples_for("small", "bnn", index, RUNS[0])) == {2}
    found = tasks.sample_all(index, ["small"], ["deterministic", "bnn"], RUNS)
    assert set(found) == {("small", "deterministic"), ("small", "bnn")}
    for samples in found["small", "bnn"].values():
        assert inputs_per_video(samples) == {2} and set(samples.index["split"]) == {"test"}
    sources = tasks.sample_sources("small", "deterministic", index, RUNS[0])
    assert inputs_per_video(sources) == {2} and sources.probabilities.shape[2] == 3
    assert trained() == [dataclasses.asdict(FULL)] * 5
    quick = predict.fitted("small", "deterministic", index, Run("quick", 0, 2))
    assert quick.recipe == QUICK and len(models.read_card(quick.keys[0])["history"]) == 2


def test_the_cross_data_set_task_trains_by_the_full_recipe(index, tmp_path):
    (tmp_path / "other").mkdir()
    other = videos(tmp_path / "other", ("real", "A"), 6, "other")
    found = tasks.cross_dataset(index, other, ["small"], ["deterministic"], RUNS)
    assert list(found["small", "deterministic"]) == [0, 1]
    for samples in found["small", "deterministic"].values():
        assert inputs_per_video(samples) == {2} and set(samples.index["dataset"]) == {"other"}
    assert trained() == [dataclasses.asdict(FULL)] * 2
    with pytest.raises(InputError, match="two data sets"):
        tasks.cross_dataset(index, index, ["small"], ["deterministic"], RUNS)


def test_leaving_out_trains_a_fraction_of_the_epochs_of_the_full_recipe(index):
    found = tasks.sample_leave_one_out(index, ["small"], "deterministic", RUNS[:1], 0.4)
    assert list(found) == [(tasks.CONTROL, "small"), ("A", "small"), ("C", "small")]
    for samples in found.values():
        assert inputs_per_video(samples[0]) == {2}
    short = dataclasses.replace(FULL, epochs=2, variational_epochs=1)
    assert trained() == [dataclasses.asdict(short)] * 3


def test_a_generator_is_left_out_of_training_and_validation_alone(index):
    kept = tasks.without_generator(index, "A")
    assert set(kept.loc[kept["split"] != "test", "generator"]) == {"real", "C"}
    test = index["split"] == "test"
    pd.testing.assert_frame_equal(
        kept[kept["split"] == "test"].reset_index(drop=True), index[test].reset_index(drop=True)
    )
    assert tasks.without_generator(index, tasks.CONTROL) is index
    assert tasks.generators(index) == ["A", "C"]
    with pytest.raises(InputError):
        tasks.without_generator(index, "Z")


def test_source_settings_put_real_first(index):
    turned = index.iloc[::-1]
    assert tasks.source_settings(turned).classes == ("real", "C", "A")
