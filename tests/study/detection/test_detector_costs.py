"""The table of all detectors, on a tiny data set and a tiny detector."""

from dataclasses import replace

import pytest
import torch
from benchmarks import detectors as timed
from support import small_world
from torch import nn

from deepfake_uncertainty import paths
from deepfake_uncertainty.datasets import tracks
from deepfake_uncertainty.datasets.index import index as read
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.evaluation import significance
from deepfake_uncertainty.study.detection import detector_costs
from deepfake_uncertainty.training import models, predict, tasks
from deepfake_uncertainty.training.config import Run, Settings

RUN = Run("quick", 0, 1)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "CACHE", folder / "cache")
        patch.setattr(tracks, "load", small_world.load_track)
        patch.setitem(registry.DETECTORS.specs(), "small", small_world.SPEC)
        longer = replace(
            small_world.SPEC, name="longer", full_recipe=replace(small_world.RECIPE, epochs=2)
        )
        patch.setitem(registry.DETECTORS.specs(), "longer", longer)
        yield read(small_world.write_root(folder / "data"))[0]


def tabled(world, n_boot, profile="quick", names=("small", "longer")):
    """The numbers of notebook 02's table, by what it calls."""
    sampled = tasks.sample_all(world, list(names), ["deterministic"], [Run(profile, 0, 1)])
    table = significance.seed_tables(sampled, 0, n_boot).droplevel("method")
    return table[table.index.isin(["accuracy", "auroc", "ece", "nll"], level="metric")]


def test_the_table_has_every_metric_of_every_detector_with_its_interval(world):
    table = tabled(world, 50)
    metrics = ["accuracy", "nll", "ece", "auroc"]
    assert table.index.tolist() == [
        (name, metric) for name in ("small", "longer") for metric in metrics
    ]
    assert table.loc[("small", "auroc"), "value"] == 1
    assert table.loc[("small", "accuracy"), "value"] == 1
    assert (table["low"] <= table["value"] + 1e-9).all()
    assert (table["value"] <= table["high"] + 1e-9).all()
    # Same recipe, same network, same seed: the name alone changes nothing.
    assert table.loc["small"].equals(table.loc["longer"])


def test_the_profile_chooses_the_recipe(world):
    recipes = {
        (name, profile): Run(profile, 0, 1).recipe(registry.get(name), Settings())
        for name in ("small", "longer")
        for profile in ("quick", "full", "paper")
    }
    assert recipes["longer", "quick"].epochs == 40 and recipes["longer", "full"].epochs == 2
    assert recipes["small", "paper"] is small_world.RECIPE
    quick, full = (tabled(world, 10, profile, ["longer"]) for profile in ("quick", "full"))
    assert quick.loc[("longer", "nll"), "value"] < full.loc[("longer", "nll"), "value"]
    with pytest.raises(InputError, match="unknown detector 'nope'"):
        registry.get("nope")


def test_costs_by_hand(world):
    table = detector_costs.cost_table(world, ["small"], RUN, count=8)
    row = table.loc["small"]
    assert row["parameters"] == 12 * 2 + 2 and row["label"] == "Small" and row["frames"] == 1
    assert row["train_s"] > 0 and row["inputs_per_s"] > 0
    model = predict.fitted("small", "deterministic", world, RUN)
    card = models.read_card(model.keys[0])
    assert card["seconds"] == row["train_s"]
    assert card["recipe"]["epochs"] == len(card["history"]) == 40


def test_parameters_count_what_is_learnt():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    assert detector_costs.count_parameters(network) == 3 * 4 * 9 + 4 + 8
    network[0].weight.requires_grad_(False)
    assert detector_costs.count_parameters(network) == 12


def test_speed_takes_the_threads_that_it_is_given():
    before, seen = torch.get_num_threads(), []

    class Watch(nn.Linear):
        def forward(self, x):
            seen.append(torch.get_num_threads())
            return super().forward(x)

    assert detector_costs.inputs_per_second(Watch(3, 2), torch.rand(5, 3), 1) > 0
    assert set(seen) == {1} and torch.get_num_threads() == before


@pytest.mark.parametrize("name", ["mobilenet", "frame_transformer", "fakecatcher128"])
def test_benchmarks_run_what_they_time(name, monkeypatch):
    monkeypatch.setattr(registry.DETECTORS, "_specs", {name: registry.get(name)})
    rows = list(timed.entries(small=True))
    assert [row.name for row in rows] == [
        f"classify an input, {name}",
        f"train on an input, {name}",
    ]
    assert rows[0].ours().shape == (1, 2, 2) and rows[0].units == 2


def test_a_timed_step_changes_the_weights():
    network = registry.get("fakecatcher").build(2, 0.2)
    before = network.head[1].weight.detach().clone()
    timed.step(network, timed.inputs(registry.get("fakecatcher"), 4))()
    assert not torch.equal(before, network.head[1].weight)
