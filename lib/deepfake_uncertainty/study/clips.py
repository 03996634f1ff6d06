"""Clips of face crops, what an attacker or a codec can touch, and the way from their pixels to a detector's inputs.

The way is the detector's own (`inputs`), or for gradients the same in PyTorch (`front`).
"""

import functools
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from deepfake_uncertainty.datasets import tracks
from deepfake_uncertainty.detectors import blind, clip, fakecatcher, registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import decide, explain, ppg_gradient, predict


class Clips(NamedTuple):
    """N tracks of F frames each, and their index of N rows (video key, identity, split, start, label)."""

    tracks: list
    index: pd.DataFrame

    @property
    def pixels(self):
        """The crops, float32 (N, F, 3, S, S) in [0, 1]."""
        return np.stack([np.asarray(track.crops) for track in self.tracks]).transpose(0, 1, 4, 2, 3).astype(np.float32) / 255


def load(index, detector, count=1, length=None):
    """Return Clips of the videos of `index`: `count` windows of each, where `detector` (registry name) reads them.

    A clip has the frames that one input spans, or `length` of them. index.attrs['skipped'] lists (path, reason) of videos left
    out. Raises InputError when none is left.
    """
    spec, found, rows, skipped = registry.get(detector), [], [], []
    length = length or spec.window
    for row in index.itertuples(index=False):
        try:
            track = tracks.load(row.path)
            last = len(track.crops) - length
            if last < 0:
                raise InputError(f"{row.path}: {len(track.crops)} frames are fewer than the {length} of a clip")
            starts = sorted({min(int(start), last) for start in spec.inputs(track, count)[1]})
        except InputError as error:
            skipped.append((str(row.path), str(error)))
            continue
        found += [explain.part(track, start, length) for start in starts]
        rows += [{name: getattr(row, name) for name in predict.COLUMNS} | {"start": start} for start in starts]
    if not found:
        raise InputError(f"no clip for {detector}: {skipped[0][1] if skipped else 'the index is empty: check its filters'}")
    rows = pd.DataFrame(rows)
    rows["label"] = predict.labels(rows["generator"])
    rows.attrs["skipped"] = skipped
    return Clips(found, rows)


def people(index, count):
    """Return the test rows of `index` of its first `count` identities in the order of their names (None: of all)."""
    test = index[index["split"] == "test"]
    return test[test["identity"].isin(sorted(test["identity"].unique())[:count])]


def pictures(pixels):
    """Return crops uint8 (..., F, S, S, 3) of pixels (..., F, 3, S, S) in [0, 1], rounded: what a picture can hold."""
    return np.moveaxis(np.rint(np.asarray(pixels) * 255).astype(np.uint8), -3, -1)


def inputs(clips, detector, crops=None, count=1):
    """Return inputs float32 (M, C, H, W) of Clips by the detector's own way, and their rows of the index.

    `crops` uint8 (N, F, S, S, 3) are shown in place of the clips' own; `count` inputs a clip, or as many as it holds.
    """
    spec, found, rows = registry.get(detector), [], []
    for place, track in enumerate(clips.tracks):
        x, _ = spec.inputs(track if crops is None else replace(track, crops=crops[place]), count)
        found.append(x)
        rows += [place] * len(x)
    return np.concatenate(found), clips.index.iloc[rows].reset_index(drop=True)


def sample(model, clips, detector, T, crops=None, count=1):
    """Return Samples of a `predict.Fitted` on what `inputs` gives."""
    x, rows = inputs(clips, detector, crops, count)
    return predict.Samples(model.sample(x, T), rows)


def rule(model, index, detector, count, T, alpha):
    """Return the `decide.Rule` of a `predict.Fitted` at error rate alpha, from `count` inputs of each val video of `index`."""
    x, rows = predict.load_inputs(index[index["split"] == "val"], registry.get(detector), count=count)
    videos = decide.scored(model.sample(x, T), rows)
    return decide.calibrate(videos["p_fake"], videos["label"], alpha)


@functools.cache
def _area(size):
    """Return the matrix (64, size) of the mean over areas, OpenCV's INTER_AREA along one axis."""
    edges = np.arange(blind.SIZE + 1) * size / blind.SIZE
    overlap = np.minimum(edges[1:, None], np.arange(1, size + 1)) - np.maximum(edges[:-1, None], np.arange(size))
    return torch.from_numpy((overlap.clip(0) * blind.SIZE / size).astype(np.float32))


def _frames(track):
    area = _area(track.crops.shape[1])
    return lambda crops: area.to(crops) @ crops @ area.to(crops).T


def _stacked(track):
    frames = _frames(track)
    return lambda crops: frames(crops).reshape(1, -1, blind.SIZE, blind.SIZE)


def _ppg_map(track):
    points = ppg_gradient.cell_points(track.crop_landmarks, track.crops.shape[1])
    return lambda crops: ppg_gradient.ppg_map(ppg_gradient.region_traces(255 * crops, points), track.fps)[None, None]


# A detector's inputs: the same, differentiable: track -> (crops (F, 3, S, S) in [0, 1] -> inputs (m, C, H, W))
FRONTS = {blind.frames: _frames, clip.clips: _stacked, fakecatcher.maps: _ppg_map}


def _own(detector):
    found = registry.get(detector).inputs
    return found.func if isinstance(found, functools.partial) else found


def attackable():
    """Return the detectors of the registry that a gradient can be taken through, down to the pixels."""
    return [name for name in registry.DETECTORS if _own(name) in FRONTS]


def front(detector):
    """Return the function track -> (crops (F, 3, S, S) in [0, 1] -> inputs (m, C, H, W)) of a detector, differentiable.

    It does not round to 8 bits on the way. Raises InputError for a detector whose way has not been written so.
    """
    if _own(detector) not in FRONTS:
        raise InputError(f"{detector} has no differentiable way from the pixels: attack {', '.join(attackable())} instead")
    return FRONTS[_own(detector)]
