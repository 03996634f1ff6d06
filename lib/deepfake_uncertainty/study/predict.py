"""Index to detector inputs to samples of probabilities, each step kept in a content-keyed cache."""

import dataclasses
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
from deepfake_uncertainty.study import train
from deepfake_uncertainty.uncertainty import bayes, dropout, sampling

log = logging.getLogger(__name__)
COLUMNS = ["dataset", "generator", "video", "identity", "split"]
BINARY = "real", "fake"
BATCH = 64


class Samples(NamedTuple):
    """Probabilities float32 (T, N, C) and their index of N rows (video key, identity, split, start frame, label)."""

    probabilities: np.ndarray
    index: pd.DataFrame


@dataclasses.dataclass(frozen=True)
class Settings:
    """What shapes a model besides its data: classes, dropout rate, KL weight, prior width, MOPED delta, recipe.

    `classes` is ('real', 'fake') or a tuple of generators, for source detection; `recipe` None is the detector's.
    """

    classes: tuple = BINARY
    dropout: float = 0.2
    beta: float = 1.0
    prior_std: float = 0.1
    delta: float = 0.1
    recipe: object = None


def _stored(path, make):
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


def _video_inputs(path, spec, count, code):
    def make():
        x, starts = spec.inputs(tracks.load(path), count)
        return {"x": np.asarray(x, dtype=np.float32), "starts": np.asarray(starts, dtype=np.int64)}

    key = files.digest(Path(path), spec.name, spec.window, count, code)
    found = _stored(paths.CACHE / "inputs" / f"{key}.npz", make)
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


def _network(spec, seed, settings):
    train.seed_everything(seed)
    return spec.build(len(settings.classes), settings.dropout)


def network_for(spec, x, y, seed, settings):
    """Return the trained Classifier of a spec on x, y and its cache key; weights start from `seed`."""
    network = _network(spec, seed, settings)
    key, _ = train.cached(network, x, y, settings.recipe, seed)
    return network, key


def _posterior(network, settings):
    """MOPED: prior and posterior are centred on the network's weights (Krishnan et al. 2020)."""
    return bayes.VariationalPosterior(network, settings.prior_std, settings.delta)


def _posterior_for(spec, x, y, seed, settings):
    posterior = _posterior(network_for(spec, x, y, seed, settings)[0], settings)
    key, _ = train.cached(posterior, x, y, settings.recipe, seed, train.fit_bayes, beta=settings.beta)
    return posterior, key


# method: how to get the model, how to sample it from (model, batches, T, seed)
METHODS = {
    "deterministic": (network_for, lambda model, batches, T, seed: sampling.deterministic(model, batches)),
    "mc_dropout": (network_for, dropout.mc_dropout),
    "bnn": (_posterior_for, bayes.samples),
}


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A trained model, its recipe, the cache key of its weights, and (path, reason) of training videos left out."""

    method: str
    seed: int
    model: torch.nn.Module
    recipe: object
    key: str
    skipped: list

    def sample(self, x, T):
        """Return probabilities float32 (T, N, classes) of inputs x float32 (N, C, H, W); one sample if deterministic."""
        with threads(self.recipe.threads):
            return np.asarray(METHODS[self.method][1](self.model, _batches(x), T, self.seed), dtype=np.float32)


def fitted(detector, method, index, seed, settings=None):
    """Return the Fitted detector (registry name) of `method`, trained on the train rows of `index` or read from the cache.

    Once it is in the cache, the training videos are hashed but neither decoded nor tracked. Raises InputError for unknown
    names.
    """
    spec, settings = _checked(detector, method, settings)
    training = index[index["split"] == "train"]
    # The weights' own key holds the inputs themselves; this note spares making all of them to find it.
    note = paths.CACHE / "fitted" / f"{files.digest(spec.name, method, seed, settings, fingerprint(training), _code())}.json"
    try:
        model = _network(spec, seed, settings)
        model = _posterior(model, settings) if method == "bnn" else model
        found = json.loads(note.read_text())
        train.load(found["key"], model)
        return Fitted(method, seed, model, settings.recipe, found["key"], [tuple(pair) for pair in found["skipped"]])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # absent or damaged: below, `train.cached` says so
    log.info("%s %s: reading %d training videos, then training what the cache does not hold", detector, method, len(training))
    x, rows = load_inputs(training, spec, settings.classes, settings.recipe.samples_a_video)
    model, key = METHODS[method][0](spec, x, rows["label"].to_numpy(), seed, settings)
    files.write_json(note, {"key": key, "skipped": rows.attrs["skipped"]})
    return Fitted(method, seed, model, settings.recipe, key, rows.attrs["skipped"])


def check(detector, method):
    """Raise InputError for a detector or a method that does not exist."""
    registry.get(detector)
    if method not in METHODS:
        raise InputError(f"unknown method '{method}': use {', '.join(METHODS)}")


def _checked(detector, method, settings):
    check(detector, method)
    spec, settings = registry.get(detector), settings or Settings()
    return spec, dataclasses.replace(settings, recipe=settings.recipe or spec.recipe)


def fingerprint(index):
    """Return a hex key of the rows of an index and of the bytes of their files; a file that is gone counts as empty."""
    return files.digest(index.to_json(), *(Path(path) if os.path.exists(path) else "" for path in index["path"]))



def _code():
    return results.code_digest("detectors", "signals", "datasets", "uncertainty", "study/train.py", "study/predict.py")


def samples_for(detector, method, index, seed, T, on=None, settings=None):
    """Return Samples of a detector (registry name) trained on the train rows of `index`, on its other rows or on `on`.

    `method` is deterministic (T = 1), mc_dropout or bnn; `on` is an index of other videos (another data set). The frame's
    attrs['skipped'] lists (path, reason) of videos left out of training or prediction. Raises InputError for unknown names,
    and when what is predicted shares a video or an identity with what was trained on.
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

    name = files.digest(model.key, method, T, seed, settings.classes, fingerprint(asked), _code())
    found = _stored(paths.CACHE / "samples" / f"{name}.npz", make)
    rows = asked.loc[found["video"], COLUMNS].assign(start=found["start"]).reset_index(drop=True)
    rows["label"] = labels(rows["generator"], settings.classes)
    rows.attrs["skipped"] = model.skipped + [tuple(pair) for pair in json.loads(str(found["skipped"]))]
    return Samples(found["probabilities"], rows)
