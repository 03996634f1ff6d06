"""Uncertainty by face region: a region is hidden, or shown alone, and the network predicts again.

Detectors that read the aligned crops get altered crops. Detectors of PPG maps get altered maps: the
rows of the region's sub-regions change, in the signal and in the spectrum, because a pulse cannot
be painted over.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from deepfake_uncertainty.datasets import leakage, masks, tracks
from deepfake_uncertainty.datasets.face_regions import REGIONS, region_mask
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.detectors.base import DetectorSpec
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.evaluation import metric_tables
from deepfake_uncertainty.signals import ppg
from deepfake_uncertainty.training import predict
from deepfake_uncertainty.training.config import Run

WAYS = "hidden", "alone"
FILLS = "blur", "mean"
BLUR, FEATHER = 1 / 8, 1 / 64  # standard deviations, in sides of the crop
VARIANTS = [("whole", "face"), *((way, region) for way in WAYS for region in REGIONS)]
KEY = [*leakage.KEY, "identity"]

# The sub-regions of a PPG map (8 rows of 4, numbered row by row from the forehead) of each region.
CELLS = {
    "forehead": (0, 1, 2, 3),
    "brows": (4, 5, 6, 7),
    "eyes": (8, 9, 10, 11),
    "nose": (13, 14, 17, 18),
    "cheeks": (12, 15, 16, 19, 20, 23),
    "mouth": (21, 22, 25, 26),
    "jaw": (24, 27, 28, 29, 30, 31),
}


def _check_fill(fill: str) -> None:
    if fill not in FILLS:
        raise InputError(f"unknown fill '{fill}': use {', '.join(FILLS)}")


def occlude_crops(crops: np.ndarray, alpha: np.ndarray, fill: str) -> np.ndarray:
    """Return uint8 crops (F, S, S, 3) in which `alpha` (F, S, S) in [0, 1] blends in `fill`.

    'blur' is the crop under a wide Gaussian: light and colour stay, the features are gone. 'mean'
    is the mean colour of the crop: nothing stays, but no face has such a flat patch. Raises
    InputError for another fill.
    """
    _check_fill(fill)
    crops = np.asarray(crops, np.float32)
    if fill == "blur":
        sigma = BLUR * crops.shape[1]
        instead = np.stack([cv2.GaussianBlur(crop, (0, 0), sigma) for crop in crops])
    else:
        instead = crops.mean((1, 2), keepdims=True)
    alpha = np.asarray(alpha, np.float32)[..., None]
    return np.round((1 - alpha) * crops + alpha * instead).astype(np.uint8)


def _feathered(mask: np.ndarray) -> np.ndarray:
    # A hard edge would be a new feature.
    return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), FEATHER * mask.shape[0])


def occlude_ppg_map(x: np.ndarray, region: str, way: str, fill: str) -> np.ndarray:
    """Return PPG maps x (N, 1, 64, W) with `region` hidden, or shown alone, in signal and spectrum.

    'blur' replaces rows by the mean over all 32 sub-regions, per time or frequency: the region then
    has the pulse of the whole face. 'mean' replaces them by one value, the mean of all signals or
    of all spectra. Raises InputError for another fill.
    """
    _check_fill(fill)
    halves = np.array(x).reshape(len(x), 2, ppg.REGIONS, -1)
    instead = halves.mean(2 if fill == "blur" else (2, 3), keepdims=True)
    replaced = np.isin(np.arange(ppg.REGIONS), CELLS[region]) == (way == "hidden")
    occluded = np.where(replaced[None, None, :, None], instead, halves)
    return occluded.reshape(x.shape).astype(np.float32)


def uses_ppg_maps(spec: DetectorSpec) -> bool:
    """Return True for a DetectorSpec whose inputs are PPG maps."""
    return spec.input_kind == "ppg"


def _part(track: tracks.Track, frames: slice, crops: np.ndarray) -> tracks.Track:
    return dataclasses.replace(
        track,
        crops=crops,
        landmarks=track.landmarks[frames],
        matrices=track.matrices[frames],
        times=track.times[frames],
    )


def occluded_inputs(
    track: tracks.Track, spec: DetectorSpec, count: int, fill: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return (x float32 (V, m, C, H, W), first frames (m,)): the inputs of a track in V variants.

    The variants are those of VARIANTS, m = min(count, what the track holds). Every input, altered
    or not, is made from the frames of its own window only, so that all are made in the same way.
    """
    x, starts = spec.inputs(track, count)
    if uses_ppg_maps(spec):
        variants = [
            x if way == "whole" else occlude_ppg_map(x, name, way, fill) for way, name in VARIANTS
        ]
        return np.stack(variants), starts
    points = track.crop_landmarks
    windows = [_occluded_window(track, points, spec, start, fill) for start in starts]
    return np.stack(windows, 1), starts


def _occluded_window(
    track: tracks.Track, points: np.ndarray, spec: DetectorSpec, start: int, fill: str
) -> np.ndarray:
    """Return the input of one window in all variants (V, C, H, W), from landmarks in crop px."""
    frames = slice(start, start + spec.window)
    crops, size = np.asarray(track.crops[frames]), track.crops.shape[1]
    shown = {
        name: np.stack([_feathered(region_mask(p, name, size)) for p in points[frames]])
        for name in REGIONS
    }
    parts = [_part(track, frames, crops)]
    for way, name in VARIANTS[1:]:
        alpha = shown[name] if way == "hidden" else 1 - shown[name]
        parts.append(_part(track, frames, occlude_crops(crops, alpha, fill)))
    return np.stack([spec.inputs(part, 1)[0][0] for part in parts])


def painted_share(
    row: Any, track: tracks.Track, spec: DetectorSpec, starts: np.ndarray, frames: int = 4
) -> dict[str, float]:
    """Return {region: share in [0, 1] of its pixels that the generator painted}.

    row: the video's row of the index; `frames` frames of each window are read. The share is 0 for
    real videos and NaN for a fake without a mask. For a PPG detector a region is its sub-regions.
    """
    chosen = np.unique(
        [s + (2 * k + 1) * spec.window // (2 * frames) for s in starts for k in range(frames)]
    )
    painted = masks.of_video(row, track, chosen)
    if painted is None:
        return dict.fromkeys(REGIONS, np.nan)
    points = track.crop_landmarks[chosen]
    if uses_ppg_maps(spec):
        pixels = np.repeat((255 * painted).astype(np.uint8)[..., None], 3, -1)
        share = ppg.region_traces(pixels, points)[..., 0].mean(0) / 255
        return {name: share[list(cells)].mean() for name, cells in CELLS.items()}
    size, frames_and_points = painted.shape[1], list(zip(painted, points, strict=True))
    return {
        name: np.mean([frame[region_mask(p, name, size)].mean() for frame, p in frames_and_points])
        for name in REGIONS
    }


def occlusion_table(
    detector: str,
    method: str,
    index: pd.DataFrame,
    run: Run,
    count: int,
    fills: Sequence[str] = FILLS,
    splits: Sequence[str] = ("test",),
) -> dict[str, pd.DataFrame]:
    """Return {fill: frame} of a detector (name) by a method, trained on the train rows of `index`.

    One row per (video, way, region) of the videos of `splits`. Columns: the video's key and
    identity, way ('whole', 'hidden' or 'alone'), region, coverage (`painted_share`), and the scores
    of `metric_tables.uncertainty_scores`, as mean over `count` inputs per video. attrs['skipped']
    lists (path, reason) of the videos left out. Raises InputError when a person is in two splits,
    or when no video is left.
    """
    leakage.check_disjoint({f"split {name}": rows for name, rows in index.groupby("split")})
    model, spec = predict.fitted(detector, method, index, run), registry.get(detector)
    videos = index[index["split"].isin(splits)]
    inputs, rows, skipped = _load_videos(videos, spec, count, fills)
    if not rows:
        why = skipped[0][1] if skipped else "there is none"
        raise InputError(f"no {' or '.join(splits)} video can be used by {detector}: {why}")
    frames = {
        fill: pd.concat(list(_scored(model, of_fill, rows, run.T)), ignore_index=True)
        for fill, of_fill in inputs.items()
    }
    for frame in frames.values():
        frame.attrs["skipped"] = skipped
    return frames


def _load_videos(
    videos: pd.DataFrame, spec: DetectorSpec, count: int, fills: Sequence[str]
) -> tuple[dict[str, list[np.ndarray]], list[dict], list[tuple[str, str]]]:
    """Return {fill: inputs per video}, columns per video, and (path, reason) of the skipped."""
    inputs: dict[str, list[np.ndarray]] = {fill: [] for fill in fills}
    rows, skipped = [], []
    for row in tqdm(list(videos.itertuples(index=False)), desc="regions", unit="video"):
        try:
            track = tracks.load(row.path)
            occluded = {fill: occluded_inputs(track, spec, count, fill) for fill in fills}
        except InputError as error:
            skipped.append((str(row.path), str(error)))
            continue
        for fill, (x, _) in occluded.items():
            inputs[fill].append(x)
        coverage = painted_share(row, track, spec, occluded[fills[0]][1])
        rows.append({name: getattr(row, name) for name in KEY} | {"coverage": coverage})
    return inputs, rows, skipped


def _scored(
    model: predict.Fitted, inputs: list[np.ndarray], rows: list[dict], T: int
) -> Iterator[pd.DataFrame]:
    """Yield one frame per video: all inputs are sampled together, then averaged within a video."""
    shape = [x.shape[:2] for x in inputs]
    joined = np.concatenate([x.reshape(-1, *x.shape[2:]) for x in inputs])
    # All variants of a video have the same draws, so they differ by what is hidden alone.
    keys = np.repeat(np.arange(len(inputs)), [v * m for v, m in shape])
    flat = metric_tables.uncertainty_scores(model.sample(joined, T, keys))
    ends = np.cumsum([v * m for v, m in shape])
    for (v, m), end, row in zip(shape, ends, rows, strict=True):
        scores = {
            name: value[end - v * m : end].reshape(v, m).mean(1) for name, value in flat.items()
        }
        frame = pd.DataFrame(VARIANTS, columns=["way", "region"]).assign(**scores)
        frame["coverage"] = frame["region"].map(row["coverage"])
        yield frame.assign(**{name: row[name] for name in KEY})
