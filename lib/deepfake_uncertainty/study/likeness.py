"""Whose face is it? A small embedding trained on the real clips says how far a fake has moved from its target to its source."""

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
from deepfake_uncertainty.study import train

SIZE, CODE = 48, 64
RECIPE = Recipe(epochs=20, batch=32, lr=2e-3, weight_decay=1e-2, bayes_epochs=0, samples_a_video=12, flip=True)


def faces(path, count, part=(0.0, 1.0)):
    """Return `count` faces float32 (N, 1, 48, 48) of a `part` of a video: grey, standardised, 0 off the face.

    Without colour the tone of the skin, which swaps take from the target, tells nobody.
    """
    track = tracks.load(path)
    first, last = (round(share * len(track.crops)) for share in part)
    found, points = [], track.crop_landmarks
    for t in first + evenly_spaced(last - first, count):
        mask = np.zeros(track.crops[t].shape[:2], np.uint8)
        cv2.fillPoly(mask, [np.round(points[t][OVAL]).astype(np.int32)], 1)
        mask[: max(int(points[t][BROWS, 1].min()) - 3, 0)] = 0
        grey, inside = track.crops[t].mean(-1), mask > 0
        level, spread = (grey[inside].mean(), grey[inside].std()) if inside.any() else (0, 1)
        face = np.where(inside, (grey - level) / (spread + 1e-3), 0)
        found.append(cv2.resize(face, (SIZE, SIZE), interpolation=cv2.INTER_AREA))
    return np.stack(found)[:, None].astype(np.float32)


def network(people):
    """Return a small convolutional Classifier of `people` persons; its `features` (N, 64) are the embedding."""
    layers = []
    for inputs, outputs in ((1, 32), (32, 64), (64, 96), (96, 128)):
        layers += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return Classifier(nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 9, CODE)), CODE, people, 0.2)


@torch.no_grad()
def _embed(model, x):
    codes = model.eval().features(torch.from_numpy(x))
    return nn.functional.normalize(codes, dim=1).mean(0).numpy()


def _tracked(index):
    reasons = {}
    for path in index["path"]:
        try:
            tracks.load(path)
        except InputError as error:
            reasons[path] = str(error)
    return index[~index["path"].isin(reasons)], list(reasons.items())


def table(index, seed=0, count=8):
    """Return a frame, one row a video whose source is known: its key and `moved`, the way from its target to its source.

    An embedding is trained on the first 60 % of every real clip; a person's place is the mean over the last 20 %. Every
    video is measured by the 20 % between: `moved` is the projection of their mean on the line from target to source, 0 the
    target, 1 the source (of a real clip: of its fakes). Videos without a face track are left out, as (path, reason) in the
    frame's attrs['skipped']. Raises InputError with less than two real clips.
    """
    index, skipped = _tracked(index)
    real = index[index["generator"].eq("real")]
    if real["target"].nunique() < 2:
        raise InputError("likeness needs the real clips of at least two persons")
    shown = [faces(path, RECIPE.samples_a_video, (0, 0.6)) for path in tqdm(real["path"], desc="faces", unit="video")]
    seed_everything(seed)
    model = network(len(real))
    train.cached(model, np.concatenate(shown), np.repeat(np.arange(len(real)), [len(x) for x in shown]), RECIPE, seed)
    place = {(row.dataset, row.target): _embed(model, faces(row.path, count, (0.8, 1)))
             for row in real.itertuples(index=False)}  # fmt: skip
    partner = {(row.dataset, row.target): row.source for row in index.itertuples(index=False) if row.source}
    rows = []
    for row in tqdm(index.itertuples(index=False), total=len(index), desc="likeness", unit="video"):
        source = row.source or partner.get((row.dataset, row.target), "")
        if (row.dataset, source) not in place:
            continue
        start, goal = place[row.dataset, row.target], place[row.dataset, source]
        here = _embed(model, faces(row.path, count, (0.6, 0.8)))
        moved = float((here - start) @ (goal - start) / np.square(goal - start).sum())
        rows.append({name: getattr(row, name) for name in (*leakage.KEY, "identity", "split")} | {"moved": moved})
    found = pd.DataFrame(rows)
    found.attrs["skipped"] = skipped
    return found
