"""Results: a figure as PNG and PDF, and its numbers in a JSON sidecar.

A rerun gives the same bytes. The text of notebooks and README quotes the sidecars.
"""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from deepfake_uncertainty import cache, files, paths
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.training import profiles

ROOT_VARIABLES = profiles.DATA_ROOT_VARIABLE, profiles.AV_ROOT_VARIABLE


def environment() -> dict[str, Any]:
    """Return what a result depends on besides its inputs: data, versions, code, arithmetic.

    It holds no time, no path, and nothing of the machine but the kind of its arithmetic.
    """
    given = any(os.environ.get(name) for name in ROOT_VARIABLES)
    return {
        "data": "given root" if given else "SynthFF and SynthAV",
        "versions": cache.versions(),
        "code": cache.code_digest(),
        "arithmetic": cache.arithmetic(),
    }


def folder(profile: str) -> Path:
    """Return the folder of a profile's results: figures/ for quick, else figures/<profile>/."""
    return paths.FIGURES if profile == "quick" else paths.FIGURES / profile


def save(
    figure: Figure, name: str, numbers: Any, profile: str, seed: int, answer: str | None = None
) -> None:
    """Write `name`.png, .pdf and .json to the folder of a profile.

    numbers: dicts, lists, arrays and frames, nested. answer: the notebook's answer in one sentence,
    made from the numbers; one figure of a notebook has it.
    """
    # Times are the only part of these formats that changes from run to run.
    for suffix, stamps in ((".png", {}), (".pdf", {"CreationDate": None})):
        with files.atomic_path(folder(profile) / f"{name}{suffix}") as temporary:
            figure.savefig(temporary, metadata=stamps)
    write_sidecar(name, numbers, profile, seed, answer)


def write_sidecar(
    name: str, numbers: Any, profile: str, seed: int, answer: str | None = None
) -> None:
    """Write `name`.json alone, for numbers without a figure."""
    sidecar = {
        "name": name,
        "profile": profile,
        "seed": seed,
        "numbers": to_json(numbers),
        **environment(),
    }
    sidecar |= {} if answer is None else {"answer": " ".join(answer.split())}
    files.write_json(folder(profile) / f"{name}.json", sidecar)


def load(name: str, profile: str = "quick") -> dict[str, Any]:
    """Return the sidecar of result `name`; raises InputError when it does not exist yet."""
    path = folder(profile) / f"{name}.json"
    if not path.is_file():
        raise InputError(
            f"no result {path.relative_to(paths.FIGURES.parent)}: "
            f"run ./run_all.sh --profile {profile} to make it"
        )
    return json.loads(path.read_text())


def answer(stem: str, profile: str = "quick") -> tuple[str | None, str | None]:
    """Return (figure, sentence): the answer of notebook `stem` and the name of the figure with it.

    Without an answer they are its first figure and None; without a figure, None and None. Raises
    InputError when several figures have an answer.
    """
    names = sorted(
        path.stem
        for path in folder(profile).glob(f"{stem[:2]}_*.json")
        if path.with_suffix(".png").is_file()
    )
    answers = {name: load(name, profile).get("answer") for name in names}
    with_answer = [name for name in names if answers[name] is not None]
    if len(with_answer) > 1:
        raise InputError(
            f"figures {', '.join(with_answer)} all carry an answer: "
            "give `answer` to one results.save of a notebook"
        )
    if with_answer:
        return with_answer[0], answers[with_answer[0]]
    return names[0] if names else None, None


def load_table(
    name: str, part: str | None, keys: list[str], profile: str = "quick"
) -> pd.DataFrame:
    """Return a table of the numbers of result `name`, indexed by the columns `keys`.

    `part` is its name among the numbers; None where the numbers are one table.
    """
    numbers = load(name, profile)["numbers"]
    return pd.DataFrame(numbers if part is None else numbers[part]).set_index(keys)


def to_json(value: Any) -> Any:
    """Return `value` as plain JSON types.

    Floats have 6 significant digits; NaN and infinities become None.
    """
    if isinstance(value, pd.DataFrame):
        return [to_json(row) for row in value.reset_index().to_dict("records")]
    if isinstance(value, dict):
        return {_key(key): to_json(item) for key, item in value.items()}
    if isinstance(value, pd.Series):
        return to_json(value.to_dict())
    if isinstance(value, np.ndarray | np.generic):
        return to_json(value.tolist())
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def _key(key: Any) -> str:
    """Return a dictionary key as text; the levels of an index are joined by a slash."""
    return "/".join(map(str, key)) if isinstance(key, tuple) else str(key)
