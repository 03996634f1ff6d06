"""The configuration of a run: nothing has a recipe by default, and a run chooses it by profile."""

import dataclasses

import pytest
from support.small_training import SPEC, Recipe

from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.training.config import Run, Settings

FULL = dataclasses.replace(SPEC, full_recipe=Recipe(epochs=100, variational_epochs=7))


def test_settings_and_runs_have_no_recipe():
    fields = [field.name for kind in (Settings, Run) for field in dataclasses.fields(kind)]
    assert "recipe" not in fields


@pytest.mark.parametrize("profile", ["full", "paper"])
def test_every_profile_but_quick_has_the_full_recipe(profile):
    assert Run("quick", 0, 1).recipe(FULL, Settings()) is FULL.recipe
    assert Run(profile, 0, 1).recipe(FULL, Settings()) is FULL.full_recipe
    assert Run(profile, 0, 1).recipe(SPEC, Settings()) is SPEC.recipe


@pytest.mark.parametrize("profile", ["quick", "full", "paper"])
@pytest.mark.parametrize("name", list(registry.DETECTORS))
def test_every_detector_has_a_recipe_in_every_profile(name, profile):
    spec = registry.get(name)
    found = Run(profile, 0, 1).recipe(spec, Settings())
    assert found in (spec.recipe, spec.full_recipe) and found.epochs >= spec.recipe.epochs


@pytest.mark.parametrize(
    ("fraction", "epochs", "variational"), [(1.0, 100, 7), (0.4, 40, 3), (0.001, 1, 1)]
)
def test_a_fraction_of_the_epochs_keeps_the_rest_of_the_recipe(fraction, epochs, variational):
    found = Run("full", 0, 1).recipe(FULL, Settings(epoch_fraction=fraction))
    other = dataclasses.replace(FULL.full_recipe, epochs=epochs, variational_epochs=variational)
    assert found == other


@pytest.mark.parametrize("fraction", [0, -0.1, 1.01, float("nan")])
def test_an_impossible_fraction_is_one_line(fraction):
    with pytest.raises(InputError, match=r"epoch_fraction is .*\(0, 1\]"):
        Run("quick", 0, 1).recipe(SPEC, Settings(epoch_fraction=fraction))


@pytest.mark.parametrize("T", [0, -1])
def test_a_run_without_samples_is_refused(T):
    with pytest.raises(InputError, match=f"T is {T}: give at least one sample"):
        Run("quick", 0, T)
    with pytest.raises(InputError, match=f"T is {T}"):
        Run("quick", 0, 1).with_samples(T)


def test_runs_are_values():
    run = Run("full", 3, 20)
    assert run.with_seed(4) == Run("full", 4, 20) and run.with_samples(5) == Run("full", 3, 5)
    assert run == Run("full", 3, 20, "cpu") and hash(run) == hash(Run("full", 3, 20))
    with pytest.raises(dataclasses.FrozenInstanceError):
        run.seed = 5
