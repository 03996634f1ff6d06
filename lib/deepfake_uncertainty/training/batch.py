"""The jobs of the batch: every training whose results the notebooks read, by name.

A notebook calls the same functions with the same settings as a job, so it finds the results of the
job in the cache. What it does not find there it computes itself.
"""

import itertools
from dataclasses import dataclass

import pandas as pd

from deepfake_uncertainty import cache
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.training import methods, predict, profiles, tasks
from deepfake_uncertainty.training.config import Run, Settings
from deepfake_uncertainty.training.predict import Samples
from deepfake_uncertainty.training.profiles import Profile


@dataclass(frozen=True)
class Job:
    """The training and sampling of one detector for one task from one seed, by several methods.

    Most methods start from the same network, so they share a job.
    """

    task: str
    detector: str
    methods: tuple[str, ...]
    seed: int

    @property
    def name(self) -> str:
        """Return the name of the job, which is valid in a file name."""
        return f"{self.task}.{self.detector}.{self.seed}"


def first_dataset() -> str:
    """Return the data set of the tasks `binary` and `leave_one_out`: the first one of the run."""
    return profiles.datasets()[0]


def _binary(profile: Profile, detector: str, method: str, run: Run) -> dict[str, Samples]:
    index, _ = profiles.videos(profile.name, first_dataset())
    return {f"on {_name(index)}": predict.samples_for(detector, method, index, run)}


def _source_detection(profile: Profile, detector: str, method: str, run: Run) -> dict[str, Samples]:
    index, _ = profiles.all_videos(profile.name)
    return {"naming the generator": tasks.sample_sources(detector, method, index, run)}


def _cross_dataset(profile: Profile, detector: str, method: str, run: Run) -> dict[str, Samples]:
    sets = [profiles.videos(profile.name, name)[0] for name in profiles.datasets()]
    found = {}
    for videos in sets:
        found[f"on {_name(videos)}"] = predict.samples_for(detector, method, videos, run)
    for source, target in itertools.permutations(sets, 2):
        sampled = tasks.cross_dataset(source, target, [detector], [method], [run])
        found[f"from {_name(source)} to {_name(target)}"] = sampled[detector, method][run.seed]
    return found


def _name(index: pd.DataFrame) -> str:
    """Return the name of the data set of an index."""
    return index["dataset"].iloc[0]


def _leave_one_out(profile: Profile, detector: str, method: str, run: Run) -> dict[str, Samples]:
    index, _ = profiles.videos(profile.name, first_dataset())
    found = tasks.sample_leave_one_out(index, [detector], method, [run], profile.epoch_fraction)
    return {f"without {name}": samples[run.seed] for (name, _), samples in found.items()}


TASKS = {
    "binary": _binary,
    "source_detection": _source_detection,
    "cross_dataset": _cross_dataset,
    "leave_one_out": _leave_one_out,
}


def jobs(profile: Profile) -> list[Job]:
    """Return the Jobs of a profile, those that take longest first.

    The leave-one-out task has the profile's `unseen_detectors`, all other tasks have the `compared`
    detectors, and the main task has all remaining detectors by the deterministic method.
    """
    found: list[tuple[str, str, tuple[str, ...]]]
    found = [("leave_one_out", name, ("mc_dropout",)) for name in profile.unseen_detectors]
    # `binary` trains what `cross_dataset` tests: it comes first, so that neither waits.
    found += [("binary", name, profile.methods) for name in profile.compared]
    found += [
        (task, name, profile.task_methods)
        for task in ("source_detection", "cross_dataset")
        for name in profile.compared
    ]
    others = [name for name in registry.names() if name not in profile.compared]
    # The largest networks read single frames. Long windows give few inputs to small networks.
    others.sort(key=lambda name: registry.get(name).window)
    found += [("binary", name, ("deterministic",)) for name in others]
    return [Job(*parts, seed) for seed in profile.seeds for parts in found]


def check(job: Job) -> None:
    """Raise InputError for a task, detector or method that does not exist."""
    if job.task not in TASKS:
        raise InputError(f"unknown task '{job.task}': use {', '.join(TASKS)}")
    registry.get(job.detector)
    for method in job.methods:
        methods.get(method)


def threads(job: Job, profile: Profile) -> int:
    """Return how many threads the recipe of a job's detector uses."""
    return profile.run(job.seed).recipe(registry.get(job.detector), Settings()).threads


def code(job: Job) -> str:
    """Return a key of the code that a job runs: of its own detector and methods, of no others."""
    spec, used = registry.get(job.detector), [methods.get(name) for name in job.methods]
    functions = [part for method in used for part in (method.blank, method.fit, method.sample)]
    shared = "training.tasks", "training.train", "datasets"
    return cache.code_digest(spec.build, spec.inputs, *functions, *shared)


def skipped_videos(job: Job, profile: Profile) -> list[tuple[str, str]]:
    """Return (path, reason) of the videos that the indices of a Job's data sets leave out."""
    if job.task in ("binary", "leave_one_out"):
        _, absent = profiles.videos(profile.name, first_dataset())
    else:
        _, absent = profiles.all_videos(profile.name)
    return list(absent.itertuples(index=False, name=None))


def run(job: Job, profile: Profile) -> dict[tuple[str, str], Samples]:
    """Train, sample and cache what a Job of a profile needs.

    Returns {(method, which videos): Samples}. Raises InputError for unknown names.
    """
    check(job)
    found: dict[tuple[str, str], Samples] = {}
    for method in job.methods:
        sampled = TASKS[job.task](profile, job.detector, method, profile.run(job.seed))
        found |= {(method, videos): samples for videos, samples in sampled.items()}
    return found
