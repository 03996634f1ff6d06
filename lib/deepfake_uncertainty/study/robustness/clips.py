"""Clips of face crops, and two ways from their pixels to the inputs of a detector.

One is the detector's own (`clip_inputs`). The other does the same in PyTorch, for gradients
(`differentiable_preprocessing`).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from deepfake_uncertainty.datasets import tracks
from deepfake_uncertainty.datasets.tracks import Track
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.detectors.base import DetectorSpec
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.evaluation import decide
from deepfake_uncertainty.training import detector_inputs, predict
from deepfake_uncertainty.training.predict import Fitted, Samples

# Track -> (crops (F, 3, S, S) in [0, 1] -> inputs (m, C, H, W))
Preprocessing = Callable[[Track], Callable[[torch.Tensor], torch.Tensor]]


class Clips(NamedTuple):
    """N tracks of F frames each, and their frame of N rows.

    The columns are the key of the video, identity, split, start (frame) and label.
    """

    tracks: list[Track]
    index: pd.DataFrame

    @property
    def pixels(self) -> np.ndarray:
        """Return the crops as float32 (N, F, 3, S, S) in [0, 1]."""
        crops = np.stack([np.asarray(track.crops) for track in self.tracks])
        return crops.transpose(0, 1, 4, 2, 3).astype(np.float32) / 255


def load_clips(
    index: pd.DataFrame, detector: str, count: int = 1, length: int | None = None
) -> Clips:
    """Return Clips of the videos of `index`, `count` windows of each.

    The windows start where `detector` (registry name) reads them. A clip has the frames that one
    input spans, or `length` of them. index.attrs['skipped'] lists (path, reason) of the videos left
    out. Raises InputError when none is left.
    """
    spec = registry.get(detector)
    length = length or spec.window
    parts, rows, skipped = [], [], []
    for row in index.itertuples(index=False):
        try:
            track = tracks.load(row.path)
            starts = _starts(row.path, track, spec, count, length)
        except InputError as error:
            skipped.append((str(row.path), str(error)))
            continue
        parts += [track.part(start, length) for start in starts]
        key = {name: getattr(row, name) for name in detector_inputs.COLUMNS}
        rows += [key | {"start": start} for start in starts]
    if not parts:
        reason = skipped[0][1] if skipped else "the index is empty: check its filters"
        raise InputError(f"no clip for {detector}: {reason}")
    frame = pd.DataFrame(rows)
    frame["label"] = detector_inputs.labels(frame["generator"])
    frame.attrs["skipped"] = skipped
    return Clips(parts, frame)


def _starts(path: str, track: Track, spec: DetectorSpec, count: int, length: int) -> list[int]:
    """Return the first frames of the clips of a track; InputError when it is too short."""
    last = len(track.crops) - length
    if last < 0:
        raise InputError(f"{path}: {len(track.crops)} frames are fewer than the {length} of a clip")
    return sorted({min(int(start), last) for start in spec.inputs(track, count)[1]})


def first_identities(index: pd.DataFrame, count: int | None) -> pd.DataFrame:
    """Return the test rows of the first `count` identities of `index`, by name (None: of all)."""
    test = index[index["split"] == "test"]
    return test[test["identity"].isin(sorted(test["identity"].unique())[:count])]


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """Return pictures uint8 (..., F, S, S, 3) of pixels (..., F, 3, S, S) in [0, 1], rounded."""
    return np.moveaxis(np.rint(np.asarray(pixels) * 255).astype(np.uint8), -3, -1)


def clip_inputs(
    clips: Clips, spec: DetectorSpec, crops: np.ndarray | None = None, count: int = 1
) -> tuple[np.ndarray, pd.DataFrame]:
    """Return inputs float32 (M, C, H, W) of Clips, by the detector's own way, and their rows.

    `crops` uint8 (N, F, S, S, 3) replace those of the clips. There are `count` inputs per clip, or
    as many as it holds.
    """
    inputs, rows = [], []
    for place, track in enumerate(clips.tracks):
        shown = track if crops is None else replace(track, crops=crops[place])
        x, _ = spec.inputs(shown, count)
        inputs.append(x)
        rows += [place] * len(x)
    return np.concatenate(inputs), clips.index.iloc[rows].reset_index(drop=True)


def sample_clips(
    model: Fitted, clips: Clips, T: int, crops: np.ndarray | None = None, count: int = 1
) -> Samples:
    """Return Samples of a Fitted on the `clip_inputs` of Clips."""
    x, rows = clip_inputs(clips, model.detector, crops, count)
    return Samples(model.sample(x, T, predict.video_keys(rows)), rows)


def calibrated_rule(
    model: Fitted, index: pd.DataFrame, count: int, T: int, alpha: float
) -> decide.Rule:
    """Return the decision rule of a Fitted at error rate alpha.

    It is calibrated on `count` inputs of each val video of `index`.
    """
    x, rows = detector_inputs.load_inputs(index[index["split"] == "val"], model.detector, count)
    videos = decide.score_videos(model.sample(x, T, predict.video_keys(rows)), rows)
    return decide.calibrate(videos["p_fake"], videos["label"], alpha)


def attackable_detectors() -> list[str]:
    """Return the names of the detectors that have a gradient down to the pixels."""
    return [name for name in registry.names() if registry.get(name).pixels_to_inputs]


def differentiable_preprocessing(detector: str) -> Preprocessing:
    """Return the differentiable function from pixels to inputs of a detector (registry name).

    It maps a track to the function of crops (F, 3, S, S) in [0, 1] to inputs (m, C, H, W). It does
    not round to 8 bits. Raises InputError for a detector that has none.
    """
    function = registry.get(detector).pixels_to_inputs
    if function is None:
        known = ", ".join(attackable_detectors())
        raise InputError(
            f"{detector} has no differentiable way from the pixels to its inputs: "
            f"attack {known} instead"
        )
    return function
