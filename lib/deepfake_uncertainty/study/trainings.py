"""Every training that the notebooks read, by name, so that the batch can run each as a job of its own beforehand.

A notebook calls the same functions with the same settings, so it finds what a job has left in the cache; what it does not
find it computes itself.
"""

from dataclasses import dataclass

from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import detection, leave_out, methods, predict, profiles, sources


@dataclass(frozen=True)
class Job:
    """One training and its samples: the task, a detector of the registry, a method."""

    task: str
    detector: str
    method: str

    @property
    def name(self):
        """Return the job's name, as a file may have it."""
        return f"{self.task}.{self.detector}.{self.method}"

    @property
    def threads(self):
        """Return how many threads the recipe of the detector takes."""
        return registry.get(self.detector).recipe.threads

    @property
    def after(self):
        """Return the job whose network this one starts from, or None."""
        return None if self.method == "deterministic" or self.task == "unseen" else Job(self.task, self.detector, "deterministic")


def _binary(profile, detector, method):
    index, _ = profiles.videos(profile.name, dataset())
    settings = predict.Settings(recipe=registry.recipe(detector, profile.name))
    return [predict.samples_for(detector, method, index, profile.seed, profile.samples, settings=settings)]


def dataset():
    """Return the first data set that a run reads: the one that every detector is trained on."""
    return profiles.datasets()[0]


def _sources(profile, detector, method):
    index, _ = profiles.all_videos(profile.name)
    return [sources.samples_for(detector, method, index, profile.seed, profile.samples)]


def _across(profile, detector, method):
    sets = {name: profiles.videos(profile.name, name)[0] for name in profiles.datasets()}
    pairs = [(one, other) for one in sets for other in sets if one != other]
    found = [predict.samples_for(detector, method, videos, profile.seed, profile.samples) for videos in sets.values()]
    return found + [samples for one, other in pairs for samples in detection.across(
        sets[one], sets[other], [detector], [method], profile.seed, profile.samples).values()]  # fmt: skip


def _unseen(profile, detector, method):
    index, _ = profiles.videos(profile.name, dataset())
    found = leave_out.sample_all(index, [detector], method, profile.seed, profile.samples, profile.passes)
    return list(found.values())


TASKS = {"binary": _binary, "sources": _sources, "across": _across, "unseen": _unseen}
TOLD = "deterministic", "bnn"  # methods of the tasks beyond real or fake


def jobs(profile):
    """Return the Jobs of a `profiles.Profile` that notebooks read: all detectors as they are, the compared ones by every method
    and task, and those that meet every generator unseen."""
    found = [Job("binary", name, "deterministic") for name in registry.DETECTORS]
    found += [Job("binary", name, method) for name in profile.compared for method in profile.methods if method != "deterministic"]
    found += [Job(task, name, method) for task in ("sources", "across") for name in profile.compared for method in TOLD]
    return found + [Job("unseen", name, "mc_dropout") for name in profile.left_out]


def left_out(job, profile):
    """Return (path, reason) of the videos that the data sets of a Job leave out before any of its trainings."""
    one = job.task in ("binary", "unseen")
    _, absent = profiles.videos(profile.name, dataset()) if one else profiles.all_videos(profile.name)
    return list(absent.itertuples(index=False, name=None))


def run(job, profile):
    """Train, sample and cache what a Job of a profile needs; return its Samples. Raises InputError for unknown names."""
    if job.task not in TASKS:
        raise InputError(f"unknown task '{job.task}': use {', '.join(TASKS)}")
    registry.get(job.detector)
    methods.get(job.method)
    return TASKS[job.task](profile, job.detector, job.method)
