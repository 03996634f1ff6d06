"""Whose face is it? How far a fake has moved from its target to its source.

The measure is a small embedding of faces, trained on the real clips.
"""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm.auto import tqdm

from deepfake_uncertainty.benchmark.generators.base import BROWS, OVAL
from deepfake_uncertainty.datasets import leakage, tracks
from deepfake_uncertainty.detectors.base import Classifier, Recipe, evenly_spaced
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.seeding import seed_everything
from deepfake_uncertainty.training import models

SIZE, CODE = 48, 64
RECIPE = Recipe(
    epochs=20,
    batch=32,
    lr=2e-3,
    weight_decay=1e-2,
    variational_epochs=0,
    inputs_per_video=12,
    flip=True,
)


def face_crops(path: str | Path, count: int, part: tuple[float, float] = (0.0, 1.0)) -> np.ndarray:
    """Return `count` faces float32 (N, 1, 48, 48) of a `part` of a video, from 0 to 1.

    They are grey, standardised, and 0 outside the face. Grey, because swaps take the colour of the
    skin from the target: it does not identify a person.
    """
    track = tracks.load(path)
    first, last = (round(share * len(track.crops)) for share in part)
    faces, points = [], track.crop_landmarks
    for t in first + evenly_spaced(last - first, count):
        mask = np.zeros(track.crops[t].shape[:2], np.uint8)
        cv2.fillPoly(mask, [np.round(points[t][OVAL]).astype(np.int32)], 1)
        mask[: max(int(points[t][BROWS, 1].min()) - 3, 0)] = 0
        grey, inside = track.crops[t].mean(-1), mask > 0
        level, spread = (grey[inside].mean(), grey[inside].std()) if inside.any() else (0, 1)
        face = np.where(inside, (grey - level) / (spread + 1e-3), 0)
        faces.append(cv2.resize(face, (SIZE, SIZE), interpolation=cv2.INTER_AREA))
    return np.stack(faces)[:, None].astype(np.float32)


def network(people: int) -> Classifier:
    """Return a small convolutional Classifier of `people` persons.

    Its `features` (N, 64) are the embedding.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in ((1, 32), (32, 64), (64, 96), (96, 128)):
        layers += [
            nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        ]
    features = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 9, CODE))
    return Classifier(features, CODE, people, 0.2)


@torch.no_grad()
def _embed(model: Classifier, x: np.ndarray) -> np.ndarray:
    """Return the mean embedding (64,), of unit vectors, of faces x (N, 1, 48, 48)."""
    codes = model.eval().features(torch.from_numpy(x))
    return nn.functional.normalize(codes, dim=1).mean(0).numpy()


def _tracked(index: pd.DataFrame) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Return the rows of `index` that have a face track, and (path, reason) of the others."""
    reasons = {}
    for path in index["path"]:
        try:
            tracks.load(path)
        except InputError as error:
            reasons[path] = str(error)
    return index[~index["path"].isin(reasons)], list(reasons.items())


def _embedding(real: pd.DataFrame, seed: int) -> Classifier:
    """Return the embedding, trained on the first 60 % of every real clip or read from the cache."""
    count, part = RECIPE.inputs_per_video, (0, 0.6)
    paths = tqdm(real["path"], desc="faces", unit="video")
    shown = [face_crops(path, count, part) for path in paths]
    seed_everything(seed)
    model = network(len(real))
    person = np.repeat(np.arange(len(real)), [len(x) for x in shown])
    models.train_or_load(model, np.concatenate(shown), person, RECIPE, seed)
    return model


def identity_shift(index: pd.DataFrame, seed: int = 0, count: int = 8) -> pd.DataFrame:
    """Return how far each video has moved from its target to its source, one row per video.

    The columns are the key of the video, identity, split and moved. An embedding is trained on the
    first 60 % of every real clip; the place of a person is the mean over the last 20 %. Every video
    is measured by the 20 % between, with `count` faces per part: `moved` is the projection of their
    mean on the line from target to source, 0 at the target and 1 at the source. The source of a
    real clip is that of its fakes; a video without a source has no row. attrs['skipped'] lists
    (path, reason) of the videos without a face track. Raises InputError for fewer than two real
    clips.
    """
    index, skipped = _tracked(index)
    real = index[index["generator"].eq("real")]
    if real["target"].nunique() < 2:
        raise InputError("likeness needs the real clips of at least two persons")
    model = _embedding(real, seed)
    place = {
        (row.dataset, row.target): _embed(model, face_crops(row.path, count, (0.8, 1)))
        for row in real.itertuples(index=False)
    }
    partner = {
        (row.dataset, row.target): row.source for row in index.itertuples(index=False) if row.source
    }
    rows = []
    for row in tqdm(index.itertuples(index=False), total=len(index), desc="likeness", unit="video"):
        source = row.source or partner.get((row.dataset, row.target), "")
        if (row.dataset, source) not in place:
            continue
        start, goal = place[row.dataset, row.target], place[row.dataset, source]
        here = _embed(model, face_crops(row.path, count, (0.6, 0.8)))
        moved = float((here - start) @ (goal - start) / np.square(goal - start).sum())
        key = {name: getattr(row, name) for name in (*leakage.KEY, "identity", "split")}
        rows.append(key | {"moved": moved})
    table = pd.DataFrame(rows)
    table.attrs["skipped"] = skipped
    return table
