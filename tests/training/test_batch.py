"""The batch's jobs: named, in order, and those that the notebooks read."""

import dataclasses

import pytest
from support import notebook_sizes

from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.training import batch, methods, profiles
from deepfake_uncertainty.training.config import Run

QUICK = batch.jobs(profiles.get("quick"))


def test_every_detector_is_trained_and_every_job_has_a_name_of_its_own():
    assert {job.detector for job in QUICK if job.task == "binary"} == set(registry.DETECTORS)
    assert len({job.name for job in QUICK}) == len(QUICK)
    assert {job.task for job in QUICK} == set(batch.TASKS)


def test_a_network_is_trained_before_what_starts_from_it():
    assert all(job.methods[0] == "deterministic" for job in QUICK if "bnn" in job.methods)


def test_a_job_samples_by_each_of_its_methods(monkeypatch):
    monkeypatch.setitem(batch.TASKS, "binary", lambda *job: {"on data": job[1:]})
    job = batch.Job("binary", "resnet18", ("deterministic", "bnn"), 3)
    run = Run("quick", 3, profiles.get("quick").samples)
    assert batch.run(job, profiles.get("quick")) == {
        ("deterministic", "on data"): ("resnet18", "deterministic", run),
        ("bnn", "on data"): ("resnet18", "bnn", run),
    }


def test_every_training_of_a_network_is_a_job():
    jobs = batch.jobs(dataclasses.replace(profiles.get("quick"), n_seeds=3))
    assert len(jobs) == 3 * len(QUICK) and {job.seed for job in jobs} == {0, 1, 2}
    assert len({job.name for job in jobs}) == len(jobs)


def test_unknown_names_are_one_line():
    for job, message in (
        (("dance", "resnet18", ("bnn",), 0), "unknown task 'dance'"),
        (("binary", "x", ("bnn",), 0), "unknown detector 'x'"),
        (("binary", "resnet18", ("bnn", "x"), 0), "unknown method 'x'"),
    ):
        with pytest.raises(InputError, match=message):
            batch.run(batch.Job(*job), profiles.get("quick"))


@pytest.mark.parametrize("name", ["quick", "full", "paper"])
def test_notebooks_ask_for_what_the_jobs_have_trained(name):
    profile = profiles.get(name)
    stems = "01_method_comparison", "02_detection", "03_source_detection", "04_leave_one_out"
    first, second, third, fourth = (notebook_sizes.sizes(stem, name) for stem in stems)
    assert first.compared == second.compared == third.compared == profile.compared
    assert first.methods == profile.methods and second.task_methods == profile.task_methods
    assert fourth.unseen_detectors == profile.unseen_detectors
    assert fourth.epoch_fraction == profile.epoch_fraction
    assert notebook_sizes.parameters(stems[3], name)["METHOD"] == "mc_dropout"
    for stem, sizes in zip(stems, (first, second, third, fourth), strict=True):
        assert notebook_sizes.parameters(stem, name)["PROFILE"] == sizes.name == name
        found = sizes.seed, sizes.samples, sizes.n_seeds, sizes.resamples
        assert found == (profile.seed, profile.samples, profile.n_seeds, profile.resamples)
        assert sizes.runs == profile.runs


def test_full_compares_every_method():
    assert profiles.get("full").methods == tuple(methods.METHODS)


def test_a_longer_training_comes_first_and_no_job_is_made_twice():
    tasks = [job.task for job in QUICK]
    assert tasks.index("leave_one_out") < tasks.index("binary") < tasks.index("source_detection")
    assert len(set(QUICK)) == len(QUICK)
    single = [job for job in QUICK if job.methods == ("deterministic",)]
    windows = [registry.get(job.detector).window for job in single]
    assert windows == sorted(windows)


def test_a_job_takes_the_threads_of_its_recipe(monkeypatch):
    spec = registry.get("resnet18")
    recipe = dataclasses.replace(spec.recipe, threads=3)
    monkeypatch.setitem(
        registry.DETECTORS.specs(), "many", dataclasses.replace(spec, recipe=recipe)
    )
    quick = profiles.get("quick")
    assert batch.threads(batch.Job("binary", "many", (), 0), quick) == 3
    assert batch.threads(QUICK[0], quick) == 1


def code(task="binary", detector="resnet18", used=("deterministic",), seed=0):
    return batch.code(batch.Job(task, detector, used, seed))


def test_the_code_of_a_job_is_that_of_its_detector_and_methods():
    assert code() == code() == code(seed=1) == code(task="source_detection")
    keys = [code(), code(detector="fakecatcher"), code(used=("deterministic", "bnn"))]
    assert len(set(keys)) == 3


def test_the_code_of_a_job_holds_its_own_method_alone(monkeypatch):
    before, other = code(used=("bnn",)), code()
    bnn = methods.get("bnn")

    def sample(*arguments):
        return bnn.sample(*arguments)

    changed = dataclasses.replace(bnn, sample=sample)
    monkeypatch.setitem(methods.METHODS.specs(), "bnn", changed)
    assert code(used=("bnn",)) != before and code() == other


def test_the_code_of_a_job_of_unknown_names_is_one_line():
    with pytest.raises(InputError, match="unknown detector"):
        code(detector="x")
    with pytest.raises(InputError, match="unknown method"):
        code(used=("x",))
