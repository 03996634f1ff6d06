"""The batch's jobs: named, in order, and those that the notebooks read."""

import ast
import dataclasses

import jupytext
import pytest

from deepfake_uncertainty import notebook
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import methods, profiles, trainings

QUICK = trainings.jobs(profiles.get("quick"))


def test_every_detector_is_trained_and_every_job_has_a_name_of_its_own():
    assert {job.detector for job in QUICK if job.task == "binary"} == set(registry.DETECTORS)
    assert len({job.name for job in QUICK}) == len(QUICK)
    assert {job.task for job in QUICK} == set(trainings.TASKS)


def test_a_network_is_trained_before_what_starts_from_it():
    assert all(job.methods[0] == "deterministic" for job in QUICK if "bnn" in job.methods)


def test_a_job_samples_by_each_of_its_methods(monkeypatch):
    monkeypatch.setitem(trainings.TASKS, "binary", lambda *job: [job[1:]])
    job = trainings.Job("binary", "resnet18", ("deterministic", "bnn"), 3)
    assert trainings.run(job, profiles.get("quick")) == [("resnet18", "deterministic", 3), ("resnet18", "bnn", 3)]


def test_every_training_of_a_network_is_a_job():
    jobs = trainings.jobs(dataclasses.replace(profiles.get("quick"), trainings=3))
    assert len(jobs) == 3 * len(QUICK) and {job.seed for job in jobs} == {0, 1, 2}
    assert len({job.name for job in jobs}) == len(jobs)


def test_unknown_names_are_one_line():
    for job, message in (
        (("dance", "resnet18", ("bnn",), 0), "unknown task 'dance'"),
        (("binary", "x", ("bnn",), 0), "unknown detector 'x'"),
        (("binary", "resnet18", ("bnn", "x"), 0), "unknown method 'x'"),
    ):
        with pytest.raises(InputError, match=message):
            trainings.run(trainings.Job(*job), profiles.get("quick"))


def declared(stem):
    script = jupytext.read(next(path for path in notebook.sources() if path.stem == stem))
    cell = next(cell.source for cell in script.cells if "parameters" in cell.metadata.get("tags", []))
    return {node.targets[0].id: ast.literal_eval(node.value) for node in ast.parse(cell).body}


@pytest.mark.parametrize("name", ["quick", "full", "paper"])
def test_notebooks_ask_for_what_the_jobs_have_trained(name):
    profile = profiles.get(name)
    stems = "01_method_comparison", "02_detection", "03_source_detection", "04_leave_one_out"
    first, second, third, fourth = (declared(stem) | notebook.parameters(name, stem) for stem in stems)
    assert tuple(first["DETECTORS"]) == tuple(second["COMPARED"]) == tuple(third["DETECTORS"]) == profile.compared
    assert tuple(first["METHODS"]) == profile.methods and tuple(second["METHODS"]) == trainings.TOLD
    assert tuple(fourth["DETECTORS"]) == profile.left_out and fourth["PASSES"] == profile.passes
    for one in (first, second, third, fourth):
        found = one["PROFILE"], one["SEED"], one["SAMPLES"], one["TRAININGS"], one["RESAMPLES"]
        assert found == (name, profile.seed, profile.samples, profile.trainings, profile.resamples)


def test_full_compares_every_method():
    assert profiles.get("full").methods == tuple(methods.METHODS)
