"""The true manipulation mask of a fake, laid on the aligned crops of its face track."""

import cv2
import numpy as np

from deepfake_uncertainty.datasets import video
from deepfake_uncertainty.errors import InputError


def on_crops(mask_path, track, frames):
    """Return bool (len(frames), S, S), True where the generator painted, in the crop px of `track` at those frames.

    `mask_path` is the mask clip of the same video, in its frame px. Raises InputError when it has too few frames, or no path.
    """
    if not mask_path:
        raise InputError("this video has no mask: only fakes of a data set that ships masks can be localised")
    frames, size = np.asarray(frames, dtype=int), track.crops.shape[1]
    painted, _ = video.decode(mask_path, int(frames.max()) + 1)
    if len(painted) <= frames.max():
        raise InputError(f"{mask_path} has {len(painted)} frames, frame {frames.max()} is needed: build it again")
    warped = [cv2.warpAffine(np.ascontiguousarray(painted[i][..., 0]), track.matrices[i].astype(np.float64), (size, size))
              for i in frames]  # fmt: skip
    return np.stack(warped) > 127


def of_video(row, track, frames):
    """Return `on_crops` of an index row: nothing is painted in a real video; None for a fake without a mask."""
    if row.generator == "real":
        return np.zeros((len(frames), *track.crops.shape[1:3]), bool)
    return on_crops(row.mask_path, track, frames) if row.mask_path else None
