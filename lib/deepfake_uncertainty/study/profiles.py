"""How large a run is: one table, read by the command line, the batch and the notebooks."""

import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from deepfake_uncertainty import files, paths
from deepfake_uncertainty.benchmark.stamp import read_stamp
from deepfake_uncertainty.datasets.index import index
from deepfake_uncertainty.datasets.video import IMAGES
from deepfake_uncertainty.errors import InputError

GIVEN = "DEEPFAKE_UNCERTAINTY_DATA_ROOT"  # the environment's name for a data root that the user gives
SUFFIXES = {".mp4", ".json", ".csv", ".txt", *IMAGES}  # what the adapters read
GIVEN_AV = "DEEPFAKE_UNCERTAINTY_AV_ROOT"  # the same for data with sound
# Of each embedded data set: the environment's name for real data in its place, and what those are.
_REAL = {"SynthFF": (GIVEN, "FaceForensics++"), "SynthAV": (GIVEN_AV, "FakeAVCeleb")}

_METHODS = "deterministic", "temperature", "mc_dropout", "bnn", "laplace"


@dataclass(frozen=True)
class Profile:
    """Size of the embedded benchmark (identities of SynthFF and of SynthAV, frames a clip, compressions) and of the
    sampling (T samples, bootstrap resamples); `trainings` of each network, from the seeds `seed`, `seed` + 1, ...

    `compared` are the detectors asked by every task, and by which `methods`; `left_out` those that meet every generator
    unseen, trained by a share `passes` of their recipe's passes.
    """

    name: str
    identities: int
    av_identities: int
    frames: int
    samples: int
    resamples: int
    compressions: tuple = ("c23",)
    seed: int = 0
    compared: tuple = ("resnet18", "fakecatcher")
    methods: tuple = _METHODS
    left_out: tuple = ("resnet18", "fakecatcher", "motion_phase")
    passes: float = 0.4
    trainings: int = 1

    @property
    def seeds(self):
        """Return the seeds of the trainings of one network."""
        return range(self.seed, self.seed + self.trainings)

    def benchmark(self, dataset):
        """Return the identities, n_frames, seed and compressions of 'SynthFF' or 'SynthAV'."""
        people = {"SynthFF": self.identities, "SynthAV": self.av_identities}[dataset]
        return {"identities": people, "n_frames": self.frames, "seed": self.seed, "compressions": self.compressions}


_PROFILES = {
    "quick": Profile("quick", identities=36, av_identities=18, frames=128, samples=10, resamples=1000),
    "full": Profile("full", 56, 24, frames=128, samples=20, resamples=2000, compressions=("c0", "c23", "c40"), trainings=3,
                    compared=("resnet18", "fakecatcher", "motion_phase"), methods=(*_METHODS, "ensemble")),
    "paper": Profile("paper", identities=0, av_identities=0, frames=0, samples=50, resamples=2000),
}


def get(name):
    """Return the Profile called `name`; InputError for an unknown one."""
    if name not in _PROFILES:
        raise InputError(f"unknown profile '{name}': use {', '.join(_PROFILES)}")
    return _PROFILES[name]


def root(profile, dataset="SynthFF"):
    """Return the data root in the layout of `dataset`: the one that the user gave, or that of the embedded benchmark.

    Raises InputError for an unknown profile or data set, and for profile paper without given data.
    """
    get(profile)
    if dataset not in _REAL:
        raise InputError(f"unknown data set '{dataset}': use {', '.join(_REAL)}")
    name, real = _REAL[dataset]
    given = os.environ.get(name)
    if given:
        return Path(given)
    if profile == "paper":
        raise InputError(f"profile paper reads real data: set {name} to the root of {real}")
    return embedded(profile, dataset)


def embedded(profile, dataset):
    """Return where the embedded data set of `profile` lies, whatever data are given."""
    return paths.DATA / profile / dataset


def built(profile):
    """Return True when both data sets of the embedded benchmark stand whole in their places, in the profile's size."""
    return all(_built(get(profile), dataset) for dataset in _REAL)


def _built(profile, dataset):
    stamp = read_stamp(embedded(profile.name, dataset), dataset)
    wanted = profile.benchmark(dataset) | {"compressions": sorted(profile.compressions)}
    return bool(stamp.get("complete")) and wanted.items() <= stamp["parameters"].items()


def datasets():
    """Return the data sets that a run reads, 'SynthFF' and 'SynthAV' standing for real ones in their place.

    Once the user gives any data, only what was given is read: rendered and real videos are not mixed.
    """
    given = [dataset for dataset, (name, _) in _REAL.items() if os.environ.get(name)]
    return given or list(_REAL)


def videos(profile, dataset="SynthFF", compression="c23"):
    """Return `index` of a data set of `profile`; InputError when the embedded benchmark is not built to its end.

    `compression` (c0, c23, c40) is that of FaceForensics++ and of what is laid out like it.
    """
    folder = root(profile, dataset)
    if not os.environ.get(_REAL[dataset][0]) and not built(profile):
        command = f"python -m deepfake_uncertainty build --profile {profile}"
        raise InputError(f"the benchmark in {folder} is not built, or not to its end: run {command}")
    return index(folder, compression)


def all_videos(profile):
    """Return `videos` of every data set that a run reads, one below the other."""
    found = [videos(profile, dataset) for dataset in datasets()]
    return tuple(pd.concat(part, ignore_index=True) for part in zip(*found, strict=True))


def fingerprint():
    """Return a key of the names, sizes and dates of the data that the user gave, '' for the embedded benchmark."""
    roots = [os.environ[name] for name, _ in _REAL.values() if os.environ.get(name)]
    if not roots:
        return ""
    found = sorted(path for root in roots for path in Path(root).rglob("*") if path.suffix.lower() in SUFFIXES)
    return files.digest([(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in found])
