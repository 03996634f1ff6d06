"""From an index of videos to the inputs of a detector; the inputs of each video are cached."""

import functools
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from deepfake_uncertainty import cache, files, paths
from deepfake_uncertainty.datasets import tracks
from deepfake_uncertainty.detectors.base import DetectorSpec
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.training.config import BINARY

log = logging.getLogger(__name__)
COLUMNS = ["dataset", "generator", "video", "identity", "split"]


def _described(function: Callable) -> object:
    """Return a function, or a partial of one, as text.

    Detectors with the same function share their inputs in the cache. Raises InputError for a
    function without a name of its own: two of them could not be told apart.
    """
    if isinstance(function, functools.partial):
        return _described(function.func), function.args, sorted(function.keywords.items())
    if "<" in getattr(function, "__qualname__", "<"):
        advice = "make it a function of its module, or a functools.partial of one"
        raise InputError(f"the `inputs` of a detector is {function!r}: {advice}")
    return f"{function.__module__}.{function.__qualname__}"


def _video_inputs(
    path: str, spec: DetectorSpec, count: int, code: str
) -> tuple[np.ndarray, np.ndarray]:
    def make() -> dict[str, np.ndarray]:
        x, starts = spec.inputs(tracks.load(path), count)
        return {"x": np.asarray(x, dtype=np.float32), "starts": np.asarray(starts, dtype=np.int64)}

    key = files.digest(Path(path), _described(spec.inputs), spec.window, count, code)
    found = cache.arrays(paths.CACHE / "inputs" / f"{key}.npz", make)
    return found["x"], found["starts"]


def labels(generators: Iterable[str], classes: tuple[str, ...] = BINARY) -> np.ndarray:
    """Return the label of each generator name, an integer array (N,).

    For the classes 'real' and 'fake' it is 0 or 1, else the position of the name among `classes`.
    Raises InputError for a generator that is not among the classes.
    """
    names = list(generators)
    if tuple(classes) == BINARY:
        return (np.asarray(names) != "real").astype(int)
    unknown = ", ".join(sorted(set(names) - set(classes)))
    if unknown:
        raise InputError(
            f"generators {unknown} are not among the classes: filter the index, or add them"
        )
    return np.array([list(classes).index(name) for name in names], dtype=int)


def load_inputs(
    index: pd.DataFrame, spec: DetectorSpec, count: int, classes: tuple[str, ...] = BINARY
) -> tuple[np.ndarray, pd.DataFrame]:
    """Return the inputs x float32 (N, C, H, W) of the videos of `index`, and a table of N rows.

    A video gives `count` inputs, or as many as it holds. The columns are dataset, generator, video,
    identity, split, start (first frame of the input) and label. Videos that cannot be used are
    skipped and listed as (path, reason) in the table's attrs['skipped']. Raises InputError when no
    video can be used.
    """
    code = cache.code_digest(spec.inputs, "datasets.tracks")
    arrays: list[np.ndarray] = []
    rows: list[dict] = []
    skipped: list[tuple[str, str]] = []
    for row in index.itertuples(index=False):
        try:
            x, starts = _video_inputs(row.path, spec, count, code)
        except InputError as error:
            skipped.append((str(row.path), str(error)))
            continue
        arrays.append(x)
        columns = {name: getattr(row, name) for name in COLUMNS}
        rows += [columns | {"start": int(start)} for start in starts]
    if not rows:
        reason = skipped[0][1] if skipped else "the index is empty: check the splits and filters"
        raise InputError(f"none of {len(index)} videos can be used by {spec.name}: {reason}")
    table = pd.DataFrame(rows)
    table["label"] = labels(table["generator"], classes)
    table.attrs["skipped"] = skipped
    return np.concatenate(arrays), table
