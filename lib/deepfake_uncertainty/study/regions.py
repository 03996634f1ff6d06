"""Uncertainty by face region: a region is shown alone, or hidden, and the network is asked again.

Detectors of pictures (and whatever else reads the aligned crops) get altered crops; detectors of PPG maps get maps whose
rows of the region's sub-regions, signal and spectrum, are altered, since a pulse cannot be painted over.
"""

import dataclasses

import cv2
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from deepfake_uncertainty.datasets import leakage, tracks
from deepfake_uncertainty.datasets.regions import REGIONS, region_mask
from deepfake_uncertainty.detectors import fakecatcher, registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.signals import ppg
from deepfake_uncertainty.study import evaluate, masks, predict

WAYS = "hidden", "alone"
FILLS = "blur", "mean"
BLUR, FEATHER = 1 / 8, 1 / 64  # standard deviations, in sides of the crop
VARIANTS = [("whole", "face"), *((way, region) for way in WAYS for region in REGIONS)]
KEY = [*leakage.KEY, "identity"]

# Which of the 8 x 4 sub-regions of a PPG map, counted row by row from the forehead, make up a region.
CELLS = {
    "forehead": (0, 1, 2, 3), "brows": (4, 5, 6, 7), "eyes": (8, 9, 10, 11), "nose": (13, 14, 17, 18),
    "cheeks": (12, 15, 16, 19, 20, 23), "mouth": (21, 22, 25, 26), "jaw": (24, 27, 28, 29, 30, 31),
}  # fmt: skip


def painted_over(crops, alpha, fill):
    """Return uint8 crops (F, S, S, 3) of which the share `alpha` (F, S, S) in [0, 1] is replaced by `fill`.

    'blur' is the crop itself under a wide Gaussian: light and colour stay, what makes up a feature is gone. 'mean' is the
    crop's mean colour: nothing stays, at the price of a flat patch that no face has. Raises InputError for another fill.
    """
    if fill not in FILLS:
        raise InputError(f"unknown fill '{fill}': use {', '.join(FILLS)}")
    crops = np.asarray(crops, np.float32)
    if fill == "blur":
        instead = np.stack([cv2.GaussianBlur(crop, (0, 0), BLUR * crops.shape[1]) for crop in crops])
    else:
        instead = crops.mean((1, 2), keepdims=True)
    alpha = np.asarray(alpha, np.float32)[..., None]
    return np.round((1 - alpha) * crops + alpha * instead).astype(np.uint8)


def _feathered(mask):
    # A hard edge would be a feature of its own.
    return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), FEATHER * mask.shape[0])


def altered_map(x, region, way, fill):
    """Return PPG maps x (N, 1, 64, W) with the rows of `region` hidden, or shown alone, signals and spectra alike.

    'blur' puts the mean over all 32 sub-regions in their place, at each time or frequency: the face has a pulse there, but
    none of its own; 'mean' puts one value, the mean of all signals or spectra. Raises InputError for another fill.
    """
    if fill not in FILLS:
        raise InputError(f"unknown fill '{fill}': use {', '.join(FILLS)}")
    halves = np.array(x).reshape(len(x), 2, ppg.REGIONS, -1)
    instead = halves.mean(2 if fill == "blur" else (2, 3), keepdims=True)
    replaced = np.isin(np.arange(ppg.REGIONS), CELLS[region]) == (way == "hidden")
    return np.where(replaced[None, None, :, None], instead, halves).reshape(x.shape).astype(np.float32)


def reads_ppg(spec):
    """Return True for a DetectorSpec whose inputs are PPG maps."""
    return getattr(spec.inputs, "func", spec.inputs) is fakecatcher.maps


def _part(track, frames, crops):
    return dataclasses.replace(track, crops=crops, landmarks=track.landmarks[frames], matrices=track.matrices[frames],
                               times=track.times[frames])  # fmt: skip


def variants(track, spec, count, fill):
    """Return (x float32 (V, m, C, H, W), starts (m,)): the inputs of a track, V = len(VARIANTS) ways to show them.

    An input is made from its own window of frames only, altered or not, so that all of them are made alike.
    """
    x, starts = spec.inputs(track, count)
    if reads_ppg(spec):
        return np.stack([x if way == "whole" else altered_map(x, name, way, fill) for way, name in VARIANTS]), starts
    found, points = [], track.crop_landmarks
    for start in starts:
        frames = slice(start, start + spec.window)
        crops, size = np.asarray(track.crops[frames]), track.crops.shape[1]
        shown = {name: np.stack([_feathered(region_mask(p, name, size)) for p in points[frames]]) for name in REGIONS}
        own = [_part(track, frames, crops)]
        for way, name in VARIANTS[1:]:
            alpha = shown[name] if way == "hidden" else 1 - shown[name]
            own.append(_part(track, frames, painted_over(crops, alpha, fill)))
        found.append(np.stack([spec.inputs(part, 1)[0][0] for part in own]))
    return np.stack(found, 1), starts


def coverage(row, track, spec, starts, frames=4):
    """Return {region: share of its pixels in [0, 1] that the generator painted}, over `frames` of each window.

    Real videos have none; a fake without a mask gives NaN. Regions of a PPG detector are its sub-regions.
    """
    chosen = np.unique([s + (2 * k + 1) * spec.window // (2 * frames) for s in starts for k in range(frames)])
    painted = masks.of_video(row, track, chosen)
    if painted is None:
        return dict.fromkeys(REGIONS, np.nan)
    points = track.crop_landmarks[chosen]
    if reads_ppg(spec):
        share = ppg.region_traces(np.repeat(np.uint8(255 * painted)[..., None], 3, -1), points)[..., 0].mean(0) / 255
        return {name: share[list(cells)].mean() for name, cells in CELLS.items()}
    size = painted.shape[1]
    return {name: np.mean([part[region_mask(p, name, size)].mean() for part, p in zip(painted, points, strict=True)])
            for name in REGIONS}  # fmt: skip


def measured(detector, method, index, seed, T, count, fills=FILLS, settings=None, splits=("test",)):
    """Return {fill: frame} of a detector (registry name) trained on the train rows of `index`: a row a (video, way, region), of
    the videos of `splits`.

    Columns: the video's key and identity, way ('whole', 'hidden' or 'alone'), region, coverage (see `coverage`), and the
    scores of `evaluate.scores`, measured on each of `count` inputs and averaged over them. attrs['skipped'] lists (path,
    reason) of videos left out. Raises InputError when a person is in two splits, or when no video is left.
    """
    leakage.refuse_leak({f"split {name}": rows for name, rows in index.groupby("split")})
    model, spec = predict.fitted(detector, method, index, seed, settings), registry.get(detector)
    inputs, rows, skipped = {fill: [] for fill in fills}, [], []
    for row in tqdm(list(index[index["split"].isin(splits)].itertuples(index=False)), desc="regions", unit="video"):
        try:
            track = tracks.load(row.path)
            found = {fill: variants(track, spec, count, fill) for fill in fills}
        except InputError as error:
            skipped.append((str(row.path), str(error)))
            continue
        for fill, (x, _) in found.items():
            inputs[fill].append(x)
        starts = found[fills[0]][1]
        rows.append({name: getattr(row, name) for name in KEY} | {"coverage": coverage(row, track, spec, starts)})
    if not rows:
        why = skipped[0][1] if skipped else "there is none"
        raise InputError(f"no {' or '.join(splits)} video can be used by {detector}: {why}")
    frames = {fill: pd.concat(list(_scored(model, own, rows, T)), ignore_index=True) for fill, own in inputs.items()}
    for frame in frames.values():
        frame.attrs["skipped"] = skipped
    return frames


def _scored(model, inputs, rows, T):
    """Yield the frame of every video: one pass over all inputs of all variants, then the mean over a video's own."""
    shape = [x.shape[:2] for x in inputs]
    flat = evaluate.scores(model.sample(np.concatenate([x.reshape(-1, *x.shape[2:]) for x in inputs]), T))
    ends = np.cumsum([v * m for v, m in shape])
    for (v, m), end, row in zip(shape, ends, rows, strict=True):
        own = {name: value[end - v * m : end].reshape(v, m).mean(1) for name, value in flat.items()}
        frame = pd.DataFrame(VARIANTS, columns=["way", "region"]).assign(**own)
        frame["coverage"] = frame["region"].map(row["coverage"])
        yield frame.assign(**{name: row[name] for name in KEY})
