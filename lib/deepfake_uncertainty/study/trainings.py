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
    """The trainings and samples of one detector for one task from one seed, by `methods` in turn: most start from the same
    network."""

    task: str
    detector: str
    methods: tuple
    seed: int

    @property
    def name(self):
        """Return the job's name, as a file may have it."""
        return f"{self.task}.{self.detector}.{self.seed}"

    @property
    def threads(self):
        """Return how many threads the recipe of the detector takes."""
        return registry.get(self.detector).recipe.threads


def _binary(profile, detector, method, seed):
    index, _ = profiles.videos(profile.name, dataset())
    settings = predict.Settings(recipe=registry.recipe(detector, profile.name))
    return [predict.samples_for(detector, method, index, seed, profile.samples, settings=settings)]


def dataset():
    """Return the first data set that a run reads: the one that every detector is trained on."""
    return profiles.datasets()[0]


def _sources(profile, detector, method, seed):
    index, _ = profiles.all_videos(profile.name)
    return [sources.samples_for(detector, method, index, seed, profile.samples)]


def _across(profile, detector, method, seed):
    sets = {name: profiles.videos(profile.name, name)[0] for name in profiles.datasets()}
    pairs = [(one, other) for one in sets for other in sets if one != other]
    found = [predict.samples_for(detector, method, videos, seed, profile.samples) for videos in sets.values()]
    there = [detection.across(sets[one], sets[other], [detector], [method], [seed], profile.samples) for one, other in pairs]
    return found + _flat(there)


def _unseen(profile, detector, method, seed):
    index, _ = profiles.videos(profile.name, dataset())
    return _flat([leave_out.sample_all(index, [detector], method, [seed], profile.samples, profile.passes)])


def _flat(found):
    """Return all Samples of a list of {key: {training seed: Samples}}."""
    return [samples for one in found for trainings in one.values() for samples in trainings.values()]


TASKS = {"binary": _binary, "sources": _sources, "across": _across, "unseen": _unseen}
TOLD = "deterministic", "bnn"  # methods of the tasks beyond real or fake


def jobs(profile):
    """Return the Jobs of a `profiles.Profile` that notebooks read, the longest first: those that meet every generator unseen,
    the compared detectors by every task, all other detectors as they are."""
    found = [("unseen", name, ("mc_dropout",)) for name in profile.left_out]
    # What `across` starts from is trained by `binary`: before it, so that neither waits for the other.
    found += [("binary", name, profile.methods) for name in profile.compared]
    found += [(task, name, TOLD) for task in ("sources", "across") for name in profile.compared]
    others = [name for name in registry.DETECTORS if name not in profile.compared]
    # The largest networks read pictures; signals of long windows have the fewest inputs and the smallest.
    others.sort(key=lambda name: registry.get(name).window)
    found += [("binary", name, ("deterministic",)) for name in others]
    return [Job(*one, seed) for seed in profile.seeds for one in found]


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
    for method in job.methods:
        methods.get(method)
    return [samples for method in job.methods for samples in TASKS[job.task](profile, job.detector, method, job.seed)]
