"""From an index of videos to samples of probabilities.

A model is trained or loaded, and predicts; the models and the samples are cached.
"""

import dataclasses
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from deepfake_uncertainty import cache, files, paths
from deepfake_uncertainty.datasets import leakage
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.detectors.base import DetectorSpec, Recipe
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.seeding import threads
from deepfake_uncertainty.training import methods, models
from deepfake_uncertainty.training.config import Run, Settings
from deepfake_uncertainty.training.detector_inputs import COLUMNS, labels, load_inputs
from deepfake_uncertainty.training.methods.base import Data, Method, ModelConfig

log = logging.getLogger(__name__)
BATCH = 64


class Samples(NamedTuple):
    """Probabilities float32 (T, N, C) of N inputs, and the table `index` of N rows.

    The columns are dataset, generator, video, identity, split, start (first frame) and label.
    """

    probabilities: np.ndarray
    index: pd.DataFrame

    def rows(self, chosen: np.ndarray) -> "Samples":
        """Return the Samples of the rows where the mask (N,) is True."""
        return Samples(self.probabilities[:, chosen], self.index[chosen].reset_index(drop=True))

    def of_split(self, split: str) -> "Samples":
        """Return the Samples of one split ('val' or 'test')."""
        return self.rows((self.index["split"] == split).to_numpy())


def batches(x: np.ndarray) -> tuple[torch.Tensor, ...]:
    """Return inputs x float32 (N, C, H, W) as tensors of at most BATCH inputs."""
    return torch.from_numpy(np.ascontiguousarray(x)).split(BATCH)


def video_keys(rows: pd.DataFrame) -> np.ndarray:
    """Return a label (N,) per row, the same for all inputs of a video.

    What is drawn for a video is then the same for all its inputs, as the weights of a Bayesian
    network are: the methods are compared like for like.
    """
    return rows[leakage.KEY].astype(str).agg("/".join, axis=1).to_numpy()


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A trained model.

    key: of the whole model in the cache; keys: of its parts, such as the members of an ensemble.
    skipped: (path, reason) of the training videos that could not be used.
    """

    detector: DetectorSpec
    method: Method
    recipe: Recipe
    seed: int
    model: torch.nn.Module
    key: str
    skipped: list[tuple[str, str]]
    keys: tuple[str, ...] = ()

    def sample(self, x: np.ndarray, T: int, keys: np.ndarray | None = None) -> np.ndarray:
        """Return probabilities float32 (T, N, classes) of inputs x float32 (N, C, H, W).

        A method that is not stochastic gives one sample per network, whatever T. `keys` are labels
        (N,): inputs of one label, such as the frames of a video, share the masks of dropout
        (default: each has its own).
        """
        arguments = self.model, batches(x), T, self.seed, self.detector, keys
        with threads(self.recipe.threads):
            found = self.method.sample(*arguments)
        return np.asarray(found, dtype=np.float32)

    def draws(
        self, T: int, seed: int | None = None
    ) -> list[Callable[[torch.Tensor], torch.Tensor]]:
        """Return T fixed, differentiable functions of inputs (N, C, H, W) to logits (N, classes).

        Draw t depends on the seed (by default that of the model) and on t. A method that is not
        stochastic gives one per network. Raises InputError for T < 1, and for a method without
        differentiable draws.
        """
        if T < 1:
            raise InputError(f"T is {T}: give at least one sample")
        self.model.eval()
        return self.method.draws(self.model, T, self.seed if seed is None else seed)


def check_names(detector: str, method: str) -> None:
    """Raise InputError for a detector or a method that does not exist."""
    registry.get(detector)
    methods.get(method)


def file_digest(index: pd.DataFrame) -> str:
    """Return a hex key of the rows of an index and of the bytes of their files.

    A file that does not exist counts as empty.
    """
    videos = [Path(path) if os.path.exists(path) else "" for path in index["path"]]
    return files.digest(index.to_json(), *videos)


def _code(spec: DetectorSpec, method: Method) -> str:
    """Return a key of the code that makes samples of videos by one detector and one method."""
    shared = "training.predict", "training.detector_inputs", "training.train", "datasets.tracks"
    functions = spec.build, spec.inputs, method.fit, method.sample, method.blank
    return cache.code_digest(*functions, *shared)


def fitted(
    detector: str, method: str, index: pd.DataFrame, run: Run, settings: Settings | None = None
) -> Fitted:
    """Return the Fitted `detector` by `method` (names), trained on the train rows of `index`.

    `settings` are by default `Settings()`. A model in the cache is read from there: its training
    videos are hashed, but neither decoded nor tracked. Raises InputError for unknown names.
    """
    settings = settings or Settings()
    spec, chosen = registry.get(detector), methods.get(method)
    config = ModelConfig(spec, run.recipe(spec, settings), run.seed, settings, run.device)
    # The key of the weights holds the inputs; a note finds the weights without making the inputs.
    seen = file_digest(index[index["split"].isin(chosen.splits)])
    code, kind = _code(spec, chosen), torch.device(run.device).type
    key = files.digest(spec.name, method, config.recipe, run.seed, settings, seen, code, kind)
    note = paths.CACHE / "fitted" / f"{key}.json"
    # More threads would share the small work of a new network, and wait for each other.
    with threads(config.recipe.threads):
        found = _from_note(note, config, chosen) or _trained(note, config, chosen, index)
    model, keys, skipped = found
    whole_key = files.digest(keys)
    return Fitted(spec, chosen, config.recipe, run.seed, model, whole_key, skipped, tuple(keys))


Found = tuple[torch.nn.Module, list[str], list[tuple[str, str]]]  # model, keys, skipped videos


def _trained(note: Path, config: ModelConfig, method: Method, index: pd.DataFrame) -> Found:
    """Return the model that a method fits to the train rows of `index`, and write its note."""
    videos = index[index["split"] == "train"]
    message = "%s %s: reading %d training videos, then training what the cache does not hold"
    log.info(message, config.detector.name, method.name, len(videos))
    count = config.recipe.inputs_per_video
    x, rows = load_inputs(videos, config.detector, count, config.settings.classes)
    data = Data(x, rows["label"].to_numpy(), lambda: _calibration(index, config))
    model, keys = method.fit(config, data)
    skipped = rows.attrs["skipped"]
    files.write_json(note, {"keys": keys, "skipped": skipped})
    return model, keys, skipped


def _from_note(note: Path, config: ModelConfig, method: Method) -> Found | None:
    """Return the model that a note names, None when the note or a part is absent or damaged."""
    try:
        found = json.loads(note.read_text())
        model = method.blank(config)
        for part, key in zip(method.parts(model), found["keys"], strict=True):
            models.load(key, part)
        return model, found["keys"], [tuple(pair) for pair in found["skipped"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # `models.train_or_load` says which part is damaged


def _calibration(index: pd.DataFrame, config: ModelConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return the inputs and labels of the val split, on which no network is trained."""
    videos = index[index["split"] == "val"]
    count = config.recipe.inputs_per_video
    x, rows = load_inputs(videos, config.detector, count, config.settings.classes)
    return x, rows["label"].to_numpy()


def samples_for(
    detector: str,
    method: str,
    index: pd.DataFrame,
    run: Run,
    on: pd.DataFrame | None = None,
    settings: Settings | None = None,
) -> Samples:
    """Return Samples of a detector by a method (names), trained on the train rows of `index`.

    The samples are of the other rows of `index`, or of the videos of another index `on`. There are
    `run.T` samples per input; deterministic and temperature give one, an ensemble one per member.
    The table's attrs['skipped'] lists (path, reason) of the videos that were left out of training
    or prediction. Raises InputError for unknown names, and when predicted and training videos share
    a video or an identity.
    """
    return model_and_samples(detector, method, index, run, on, settings)[1]


def model_and_samples(
    detector: str,
    method: str,
    index: pd.DataFrame,
    run: Run,
    on: pd.DataFrame | None = None,
    settings: Settings | None = None,
) -> tuple[Fitted, Samples]:
    """Return the Fitted that `samples_for` trains or loads, and its Samples; it raises the same."""
    check_names(detector, method)
    settings = settings or Settings()
    training = index[index["split"] == "train"]
    videos = (index[index["split"] != "train"] if on is None else on).reset_index(drop=True)
    leakage.check_disjoint({"what is trained on": training, "what is predicted": videos})
    leakage.check_disjoint({f"split {name}": rows for name, rows in videos.groupby("split")})
    model = fitted(detector, method, index, run, settings)
    # A method without draws finds its samples whatever T is.
    draws = run.T if model.method.stochastic else 0
    seen, code = file_digest(videos), _code(model.detector, model.method)
    key = files.digest(model.key, method, draws, run.seed, settings.classes, seen, code)
    path = paths.CACHE / "samples" / f"{key}.npz"
    found = cache.arrays(path, lambda: _predicted(model, videos, run.T, settings.classes))
    rows = videos.loc[found["video"], COLUMNS].assign(start=found["start"]).reset_index(drop=True)
    rows["label"] = labels(rows["generator"], settings.classes)
    skipped = [tuple(pair) for pair in json.loads(str(found["skipped"]))]
    rows.attrs["skipped"] = model.skipped + skipped
    return model, Samples(found["probabilities"], rows)


def _predicted(model: Fitted, videos: pd.DataFrame, T: int, classes: tuple[str, ...]) -> dict:
    """Return the arrays of a cache entry.

    They are the probabilities, for each input its row in `videos` and its first frame, and the
    skipped videos as JSON.
    """
    x, rows = load_inputs(videos, model.detector, model.recipe.inputs_per_video, classes)
    row_of = pd.Series(videos.index, pd.MultiIndex.from_frame(videos[leakage.KEY]))
    return {
        "probabilities": model.sample(x, T, video_keys(rows)),
        "video": row_of[pd.MultiIndex.from_frame(rows[leakage.KEY])].to_numpy(),
        "start": rows["start"].to_numpy(),
        "skipped": json.dumps(rows.attrs["skipped"]),
    }
