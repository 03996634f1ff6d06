"""How large a run is: one table, read by the command line, the batch and the notebooks."""

import os
from dataclasses import dataclass
from pathlib import Path

from deepfake_uncertainty import files, paths
from deepfake_uncertainty.benchmark.stamp import read_stamp
from deepfake_uncertainty.datasets.index import index
from deepfake_uncertainty.datasets.video import IMAGES
from deepfake_uncertainty.errors import InputError

GIVEN = "DEEPFAKE_UNCERTAINTY_DATA_ROOT"  # the environment's name for a data root that the user gives
SUFFIXES = {".mp4", ".json", ".csv", ".txt", *IMAGES}  # what the adapters read


@dataclass(frozen=True)
class Profile:
    """Size of the embedded benchmark (identities, frames a clip) and of the sampling (T samples, bootstrap resamples)."""

    name: str
    identities: int
    frames: int
    samples: int
    resamples: int
    seed: int = 0


_PROFILES = {
    "quick": Profile("quick", identities=60, frames=144, samples=20, resamples=1000),
    "full": Profile("full", identities=200, frames=192, samples=50, resamples=2000),
    "paper": Profile("paper", identities=0, frames=0, samples=50, resamples=2000),
}


def get(name):
    """Return the Profile called `name`; InputError for an unknown one."""
    if name not in _PROFILES:
        raise InputError(f"unknown profile '{name}': use {', '.join(_PROFILES)}")
    return _PROFILES[name]


def root(profile):
    """Return the data root: the one that the user gave, or that of the embedded benchmark of `profile`."""
    get(profile)
    given = os.environ.get(GIVEN)
    if given:
        return Path(given)
    if profile == "paper":
        raise InputError(f"profile paper reads real data: set {GIVEN} to the root of a data set")
    return paths.DATA / profile / "SynthFF"


def built(profile):
    """Return True when the embedded benchmark of `profile` stands whole in its place, in that profile's size."""
    size, stamp = get(profile), read_stamp(paths.DATA / profile / "SynthFF")
    wanted = {"identities": size.identities, "n_frames": size.frames, "seed": size.seed}
    return bool(stamp.get("complete")) and wanted.items() <= stamp["parameters"].items()


def videos(profile):
    """Return `index` of the data of `profile`; InputError when the embedded benchmark is not built to its end."""
    folder = root(profile)
    if not os.environ.get(GIVEN) and not built(profile):
        command = f"python -m deepfake_uncertainty build --profile {profile}"
        raise InputError(f"the benchmark in {folder} is not built, or not to its end: run {command}")
    return index(folder)


def fingerprint():
    """Return a key of the names, sizes and dates of the data that the user gave, '' for the embedded benchmark."""
    given = os.environ.get(GIVEN)
    if not given:
        return ""
    found = sorted(path for path in Path(given).rglob("*") if path.suffix.lower() in SUFFIXES)
    return files.digest([(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in found])
