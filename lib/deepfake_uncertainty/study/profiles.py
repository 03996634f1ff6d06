"""How large a run is: one table, read by the command line, the batch and the notebooks."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from deepfake_uncertainty import paths
from deepfake_uncertainty.datasets import faceforensics
from deepfake_uncertainty.errors import InputError


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
    given = os.environ.get("DEEPFAKE_UNCERTAINTY_DATA_ROOT")
    if given:
        return Path(given)
    if profile == "paper":
        raise InputError("profile paper reads real data: set DEEPFAKE_UNCERTAINTY_DATA_ROOT to the root of FaceForensics++")
    return paths.DATA / profile / "SynthFF"


def videos(profile):
    """Return `faceforensics.index` of the data of `profile`; InputError when the embedded benchmark is not built to its end."""
    get(profile)
    folder = root(profile)
    if not os.environ.get("DEEPFAKE_UNCERTAINTY_DATA_ROOT"):
        stamp = folder / "synthff.json"
        if not stamp.is_file() or not json.loads(stamp.read_text()).get("complete"):
            command = f"python -m deepfake_uncertainty build --profile {profile}"
            raise InputError(f"the benchmark in {folder} is not built, or not to its end: run {command}")
    return faceforensics.index(folder)
