"""Index to detector inputs to samples of probabilities, each step kept in a content-keyed cache."""

import dataclasses
import functools
import json
import logging
import os
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from deepfake_uncertainty import files, paths, results
from deepfake_uncertainty.datasets import leakage, tracks
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.seeding import threads
from deepfake_uncertainty.study import methods, train
from deepfake_uncertainty.study.methods import BINARY, Settings

log = logging.getLogger(__name__)
COLUMNS = ["dataset", "generator", "video", "identity", "split"]
BATCH = 64


class Samples(NamedTuple):
    """Probabilities float32 (T, N, C) and their index of N rows (video key, identity, split, start frame, label)."""

    probabilities: np.ndarray
    index: pd.DataFrame


def stored(path, make):
    """Return the arrays (a dict) of the .npz at `path`; where it is absent or damaged, make() them and write it."""
    with train.locked(path):
        try:
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            log.warning("cached %s is damaged and is made again: %s", path, error)
        arrays = make()
        with files.whole(path) as temporary:
            np.savez(temporary, **arrays)
        return arrays


def _called(function):
    """Return a function, or a partial of one, as text: detectors that read the same inputs share them in the cache."""
    if isinstance(function, functools.partial):
        return _called(function.func), function.args, sorted(function.keywords.items())
    return f"{function.__module__}.{function.__qualname__}"


def _video_inputs(path, spec, count, code):
    def make():
        x, starts = spec.inputs(tracks.load(path), count)
        return {"x": np.asarray(x, dtype=np.float32), "starts": np.asarray(starts, dtype=np.int64)}

    key = files.digest(Path(path), _called(spec.inputs), spec.window, count, code)
    found = stored(paths.CACHE / "inputs" / f"{key}.npz", make)
    return found["x"], found["starts"]


def labels(generators, classes=BINARY):
    """Return the label (N,) int of each generator name: 0 real, 1 fake, or its place among `classes`, the sources."""
    if tuple(classes) == BINARY:
        return (np.asarray(generators) != "real").astype(int)
    unknown = sorted(set(generators) - set(classes))
    if unknown:
        raise InputError(f"generators {', '.join(unknown)} are not among the classes: filter the index, or add them")
    return np.array([list(classes).index(name) for name in generators], dtype=int)


def load_inputs(index, spec, classes=BINARY, count=None):
    """Return inputs x float32 (N, C, H, W) of the videos of `index` for a DetectorSpec, and the frame of their N rows.

    A video gives `count` inputs (default: its recipe's), or as many as it holds.

    Columns: dataset, generator, video, identity, split, start (frame), label. Videos that cannot be used are skipped
    and listed as (path, reason) in the frame's attrs['skipped']. Raises InputError when none is left.
    """
    code = results.code_digest("detectors", "signals", "datasets")
    count = count or spec.recipe.samples_a_video
    arrays, rows, skipped = [], [], []
    for row in index.itertuples(index=False):
        try:
            x, starts = _video_inputs(row.path, spec, count, code)
        except InputError as error:
            skipped.append((str(row.path), str(error)))
            continue
        arrays.append(x)
        rows += [{name: getattr(row, name) for name in COLUMNS} | {"start": int(start)} for start in starts]
    if not rows:
        reason = skipped[0][1] if skipped else "the index is empty: check the splits and filters"
        raise InputError(f"none of {len(index)} videos can be used by {spec.name}: {reason}")
    rows = pd.DataFrame(rows)
    rows["label"] = labels(rows["generator"], classes)
    rows.attrs["skipped"] = skipped
    return np.concatenate(arrays), rows


def _batches(x):
    return torch.from_numpy(np.ascontiguousarray(x)).split(BATCH)


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A trained model, its recipe, its cache key, (path, reason) of training videos left out, and the keys of its parts."""

    method: str
    seed: int
    model: torch.nn.Module
    recipe: object
    key: str
    skipped: list
    keys: tuple = ()

    def sample(self, x, T):
        """Return probabilities float32 (T, N, classes) of inputs x float32 (N, C, H, W); one sample if deterministic."""
        with threads(self.recipe.threads):
            return np.asarray(methods.get(self.method).sample(self.model, _batches(x), T, self.seed), dtype=np.float32)


def fitted(detector, method, index, seed, settings=None):
    """Return the Fitted detector (registry name) of `method`, trained on the train rows of `index` or read from the cache.

    Once it is in the cache, the training videos are hashed but neither decoded nor tracked. Raises InputError for unknown
    names.
    """
    spec, settings = _checked(detector, method, settings)
    training = index[index["split"] == "train"]
    # The weights' own key holds the inputs themselves; this note spares making all of them to find it.
    way, seen = methods.get(method), index[index["split"].isin(methods.get(method).splits)]
    note = paths.CACHE / "fitted" / f"{files.digest(spec.name, method, seed, settings, fingerprint(seen), _code())}.json"
    try:
        found = json.loads(note.read_text())
        model = way.blank(spec, seed, settings)
        for part, key in zip(way.parts(model), found["keys"], strict=True):
            train.load(key, part)
        skipped = [tuple(pair) for pair in found["skipped"]]
        return Fitted(method, seed, model, settings.recipe, files.digest(found["keys"]), skipped, tuple(found["keys"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass  # absent or damaged: below, `train.cached` says so
    log.info("%s %s: reading %d training videos, then training what the cache does not hold", detector, method, len(training))
    x, rows = load_inputs(training, spec, settings.classes, settings.recipe.samples_a_video)
    data = methods.Data(x, rows["label"].to_numpy(), lambda: _calibration(index, spec, settings))
    model, keys = way.fit(spec, data, seed, settings)
    files.write_json(note, {"keys": keys, "skipped": rows.attrs["skipped"]})
    return Fitted(method, seed, model, settings.recipe, files.digest(keys), rows.attrs["skipped"], tuple(keys))


def _calibration(index, spec, settings):
    """Return inputs and labels of the val split, of which no training sees anything."""
    x, rows = load_inputs(index[index["split"] == "val"], spec, settings.classes, settings.recipe.samples_a_video)
    return x, rows["label"].to_numpy()


def check(detector, method):
    """Raise InputError for a detector or a method that does not exist."""
    registry.get(detector)
    methods.get(method)


def _checked(detector, method, settings):
    check(detector, method)
    spec, settings = registry.get(detector), settings or Settings()
    return spec, dataclasses.replace(settings, recipe=settings.recipe or spec.recipe)


def fingerprint(index):
    """Return a hex key of the rows of an index and of the bytes of their files; a file that is gone counts as empty."""
    return files.digest(index.to_json(), *(Path(path) if os.path.exists(path) else "" for path in index["path"]))



def _code():
    return results.code_digest("detectors", "signals", "datasets", "uncertainty", "study/train.py", "study/methods.py",
                               "study/predict.py")  # fmt: skip


def samples_for(detector, method, index, seed, T, on=None, settings=None):
    """Return Samples of a detector (registry name) trained on the train rows of `index`, on its other rows or on `on`.

    `method` is one of `methods.METHODS` (deterministic and temperature give one sample, an ensemble one a member); `on` is an
    index of other videos (another data set). The frame's attrs['skipped'] lists (path, reason) of videos left out of training
    or prediction. Raises InputError for unknown names, and when what is predicted shares a video or an identity with what was
    trained on.
    """
    spec, settings = _checked(detector, method, settings)
    if T < 1:
        raise InputError(f"T is {T}: give at least one sample")
    training = index[index["split"] == "train"]
    asked = (index[index["split"] != "train"] if on is None else on).reset_index(drop=True)
    leakage.refuse_leak({"what is trained on": training, "what is predicted": asked})
    leakage.refuse_leak({f"split {name}": rows for name, rows in asked.groupby("split")})
    model = fitted(detector, method, index, seed, settings)

    def make():
        x, rows = load_inputs(asked, spec, settings.classes, settings.recipe.samples_a_video)
        place = pd.Series(asked.index, pd.MultiIndex.from_frame(asked[leakage.KEY]))
        of = place[pd.MultiIndex.from_frame(rows[leakage.KEY])].to_numpy()
        skipped = json.dumps(rows.attrs["skipped"])
        return {"probabilities": model.sample(x, T), "video": of, "start": rows["start"].to_numpy(), "skipped": skipped}

    # The draws asked for are nothing to a method that draws nothing: its samples are found whatever T is.
    draws = T if methods.get(method).stochastic else 0
    name = files.digest(model.key, method, draws, seed, settings.classes, fingerprint(asked), _code())
    found = stored(paths.CACHE / "samples" / f"{name}.npz", make)
    rows = asked.loc[found["video"], COLUMNS].assign(start=found["start"]).reset_index(drop=True)
    rows["label"] = labels(rows["generator"], settings.classes)
    rows.attrs["skipped"] = model.skipped + [tuple(pair) for pair in json.loads(str(found["skipped"]))]
    return Samples(found["probabilities"], rows)
