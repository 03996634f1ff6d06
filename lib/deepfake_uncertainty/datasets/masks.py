"""The true manipulation mask of a fake, warped onto the aligned crops of its face track."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from deepfake_uncertainty.datasets import video
from deepfake_uncertainty.datasets.tracks import Track
from deepfake_uncertainty.errors import InputError


def on_crops(mask_path: str | Path, track: Track, frames: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return bool (len(frames), S, S) in crop px of `track`, True where the generator painted.

    `mask_path` is the mask clip of the same video, in frame px of that video. `frames` are frame
    numbers. Raises InputError when the mask clip has too few frames, and when there is no path.
    """
    if not mask_path:
        raise InputError(
            "this video has no mask: only fakes of a data set with masks can be localized"
        )
    frames, size = np.asarray(frames, dtype=int), track.crops.shape[1]
    painted, _ = video.decode(mask_path, int(frames.max()) + 1)
    if len(painted) <= frames.max():
        problem = f"{mask_path} has {len(painted)} frames, frame {frames.max()} is needed"
        raise InputError(f"{problem}: build it again")
    warped = []
    for i in frames:
        mask, matrix = np.ascontiguousarray(painted[i][..., 0]), track.matrices[i]
        warped.append(cv2.warpAffine(mask, matrix.astype(np.float64), (size, size)))
    return np.stack(warped) > 127


def of_video(row: Any, track: Track, frames: Sequence[int] | np.ndarray) -> np.ndarray | None:
    """Return `on_crops` of the video of an index row (a named tuple), None for a fake without mask.

    In a real video nothing is painted.
    """
    if row.generator == "real":
        return np.zeros((len(frames), *track.crops.shape[1:3]), bool)
    return on_crops(row.mask_path, track, frames) if row.mask_path else None
