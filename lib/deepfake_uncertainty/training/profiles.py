"""The size of a run: one table, read by the command line, the batch and the notebooks."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from deepfake_uncertainty import files, paths
from deepfake_uncertainty.benchmark.stamp import read_stamp
from deepfake_uncertainty.datasets.index import index
from deepfake_uncertainty.datasets.video import IMAGES
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.training import methods
from deepfake_uncertainty.training.config import Run

# Environment variables that name the roots of the user's data, without and with sound.
DATA_ROOT_VARIABLE = "DEEPFAKE_UNCERTAINTY_DATA_ROOT"
AV_ROOT_VARIABLE = "DEEPFAKE_UNCERTAINTY_AV_ROOT"
SUFFIXES = {".mp4", ".json", ".csv", ".txt", *IMAGES}  # of the files that the adapters read
# {embedded data set: (environment variable, data set)} of the real data that replace it.
_REAL = {
    "SynthFF": (DATA_ROOT_VARIABLE, "FaceForensics++"),
    "SynthAV": (AV_ROOT_VARIABLE, "FakeAVCeleb"),
}

_METHODS = "deterministic", "temperature", "mc_dropout", "bnn", "laplace"


@dataclass(frozen=True)
class Profile:
    """The sizes of a run that the batch and several notebooks share.

    identities, av_identities: the numbers of rendered people of SynthFF and SynthAV.
    frames: per clip.
    samples: T, the number of samples per input of a stochastic network.
    resamples: of the bootstrap.
    compressions: of SynthFF.
    seed: the first of `n_seeds` seeds; each network is trained once from each of them.
    compared: the detectors of every task.
    methods: the methods of the compared detectors on the main task, real or fake.
    task_methods: their methods on the other tasks.
    unseen_detectors: those that are tested on generators left out of the training, each trained for
    the fraction `epoch_fraction` of the epochs of its recipe.
    """

    name: str
    identities: int
    av_identities: int
    frames: int
    samples: int
    resamples: int
    compressions: tuple[str, ...] = ("c23",)
    seed: int = 0
    n_seeds: int = 1
    compared: tuple[str, ...] = ("resnet18", "fakecatcher")
    methods: tuple[str, ...] = _METHODS
    task_methods: tuple[str, ...] = ("deterministic", "bnn")
    unseen_detectors: tuple[str, ...] = ("resnet18", "fakecatcher", "motion_phase")
    epoch_fraction: float = 0.4

    @property
    def seeds(self) -> range:
        """Return the seeds from which every network is trained."""
        return range(self.seed, self.seed + self.n_seeds)

    @property
    def runs(self) -> list[Run]:
        """Return one Run per seed."""
        return [self.run(seed) for seed in self.seeds]

    def run(self, seed: int | None = None) -> Run:
        """Return the Run of one seed, by default the first."""
        return Run(self.name, self.seed if seed is None else seed, self.samples)

    def override(self, **fields: Any) -> "Profile":
        """Return the profile with other values of the given fields; None keeps a value.

        Raises InputError for an empty list, and for a detector or method that does not exist.
        """
        given = {name: value for name, value in fields.items() if value is not None}
        for name in [field for field in _CHECKS if field in given]:
            given[name] = _names(name, given[name], _CHECKS[name])
        return replace(self, **given)

    def benchmark(self, dataset: str) -> dict[str, Any]:
        """Return the identities, n_frames, seed and compressions of 'SynthFF' or 'SynthAV'."""
        people = {"SynthFF": self.identities, "SynthAV": self.av_identities}[dataset]
        return {
            "identities": people,
            "n_frames": self.frames,
            "seed": self.seed,
            "compressions": self.compressions,
        }


# {field: the function that raises InputError for an unknown name in it}
_CHECKS: dict[str, Callable] = {
    "compared": registry.get,
    "unseen_detectors": registry.get,
    "methods": methods.get,
    "task_methods": methods.get,
}


def _names(field: str, value: Sequence[str], check: Callable) -> tuple[str, ...]:
    """Return a list of names as a tuple.

    Raises InputError unless it is a list of one or more known names.
    """
    if isinstance(value, str) or not value:
        example = 'papermill: -y "{...: [resnet18]}"'
        raise InputError(f"{field} is {value!r}: give a list of one or more names ({example})")
    for name in value:
        check(name)
    return tuple(value)


_PROFILES = {
    "quick": Profile(
        "quick", identities=36, av_identities=18, frames=128, samples=10, resamples=1000
    ),
    "full": Profile(
        "full",
        identities=56,
        av_identities=24,
        frames=128,
        samples=20,
        resamples=2000,
        compressions=("c0", "c23", "c40"),
        n_seeds=3,
        compared=("resnet18", "fakecatcher", "motion_phase"),
        methods=(*_METHODS, "ensemble"),
    ),
    "paper": Profile("paper", identities=0, av_identities=0, frames=0, samples=50, resamples=2000),
}
NAMES = tuple(_PROFILES)


def get(name: str) -> Profile:
    """Return the Profile called `name`; raises InputError that lists the known names."""
    if name not in _PROFILES:
        raise InputError(f"unknown profile '{name}': use {', '.join(_PROFILES)}")
    return _PROFILES[name]


def root(profile: str, dataset: str | None = None) -> Path:
    """Return the root of the user's data in the layout of `dataset`, else of the embedded data set.

    Without `dataset` it is the first data set of the run.

    Raises InputError for an unknown profile or data set, and for profile paper without user data.
    """
    get(profile)
    dataset = dataset or datasets()[0]
    if dataset not in _REAL:
        raise InputError(f"unknown data set '{dataset}': use {', '.join(_REAL)}")
    name, real = _REAL[dataset]
    given = os.environ.get(name)
    if given:
        return Path(given)
    if profile == "paper":
        raise InputError(f"profile paper reads real data: set {name} to the root of {real}")
    return embedded_root(profile, dataset)


def embedded_root(profile: str, dataset: str) -> Path:
    """Return the folder of an embedded data set of `profile`, whatever data the user gives."""
    return paths.DATA / profile / dataset


def is_built(profile: str) -> bool:
    """Return True when both embedded data sets are complete and of the size of the profile."""
    return all(_built(get(profile), dataset) for dataset in _REAL)


def _built(profile: Profile, dataset: str) -> bool:
    stamp = read_stamp(embedded_root(profile.name, dataset), dataset)
    wanted = profile.benchmark(dataset) | {"compressions": sorted(profile.compressions)}
    return bool(stamp.get("complete")) and wanted.items() <= stamp.get("parameters", {}).items()


def datasets() -> list[str]:
    """Return the data sets that a run reads: 'SynthFF', 'SynthAV', or both.

    The names also stand for real data that replace them. When the user gives data, only these are
    read: rendered and real videos are not mixed.
    """
    given = [dataset for dataset, (name, _) in _REAL.items() if os.environ.get(name)]
    return given or list(_REAL)


def videos(
    profile: str, dataset: str | None = None, compression: str = "c23"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the index of the videos of a data set, and the videos left out of it.

    Without `dataset` it is the first data set of the run. `compression` (c0, c23, c40) is that of
    FaceForensics++ and of data sets with its layout. Both frames are as in `datasets.index.index`.
    Raises InputError when the embedded benchmark is missing or incomplete.
    """
    dataset = dataset or datasets()[0]
    folder = root(profile, dataset)
    if not os.environ.get(_REAL[dataset][0]) and not is_built(profile):
        command = f"python -m deepfake_uncertainty build --profile {profile}"
        problem = f"the benchmark in {folder} is missing or incomplete"
        raise InputError(f"{problem}: run {command}")
    return index(folder, compression)


def all_videos(profile: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return `videos` of all data sets that a run reads, concatenated."""
    indices, absent = zip(*(videos(profile, dataset) for dataset in datasets()), strict=True)
    return pd.concat(indices, ignore_index=True), pd.concat(absent, ignore_index=True)


def data_fingerprint() -> str:
    """Return a key of the names, sizes and dates of the files that the user gives.

    It is '' for the embedded benchmark.
    """
    roots = [os.environ[name] for name, _ in _REAL.values() if os.environ.get(name)]
    if not roots:
        return ""
    found = sorted(
        path for root in roots for path in Path(root).rglob("*") if path.suffix.lower() in SUFFIXES
    )
    return files.digest(
        [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in found]
    )
