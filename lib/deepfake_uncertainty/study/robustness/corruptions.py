"""Corruptions of face crops at five severities: the effects of codecs, lenses and light.

They act on the crops of a face that was tracked before: their effect on the detection of the face
is not measured. The kinds are those of Hendrycks and Dietterich (2019) that occur in videos, and
H.264.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from deepfake_uncertainty.datasets import video
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study.robustness.clips import Clips

# The parameter of each kind at severities 1 to 5, and its meaning; crops have 96 px.
PARAMETERS = {
    "JPEG": ((80, 60, 40, 25, 12), "quality of 100"),
    "H.264": ((18, 26, 32, 38, 44), "constant rate factor"),
    "blur": ((0.5, 1.0, 1.5, 2.2, 3.0), "standard deviation in px"),
    "noise": ((2, 5, 9, 15, 24), "standard deviation of 255"),
    "brightness": ((10, 20, 35, 50, 70), "added of 255"),
    "contrast": ((0.85, 0.7, 0.55, 0.4, 0.25), "factor about the mean"),
    "downscale": ((0.83, 0.67, 0.5, 0.33, 0.25), "of the side, and back"),
}
SEVERITIES = 0, 1, 2, 3, 4, 5


def _jpeg(crops, quality, fps, seed):
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    coded = [cv2.imencode(".jpg", crop[..., ::-1], options)[1] for crop in crops]
    return np.stack([cv2.imdecode(one, cv2.IMREAD_COLOR_RGB) for one in coded])


def _h264(crops, factor, fps, seed):
    with tempfile.TemporaryDirectory() as folder:
        video.encode(Path(folder) / "crops.mp4", crops, fps, factor)
        return video.decode(Path(folder) / "crops.mp4")[0]


def _blur(crops, deviation, fps, seed):
    return np.stack([cv2.GaussianBlur(crop, (0, 0), deviation) for crop in crops])


def _noise(crops, deviation, fps, seed):
    return crops + np.random.default_rng(seed).normal(0, deviation, crops.shape)


def _brightness(crops, added, fps, seed):
    return crops + float(added)


def _contrast(crops, factor, fps, seed):
    # The mean of the clip: that of each frame would remove the pulse from the light.
    mean = crops.mean((0, 1, 2))
    return mean + factor * (crops - mean)


def _downscale(crops, share, fps, seed):
    size = crops.shape[2], crops.shape[1]
    side = max(1, round(share * size[0]))
    small = [cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA) for crop in crops]
    return np.stack([cv2.resize(crop, size, interpolation=cv2.INTER_CUBIC) for crop in small])


KINDS: dict[str, Callable] = {  # function(crops, parameter, fps, seed) -> crops
    "JPEG": _jpeg,
    "H.264": _h264,
    "blur": _blur,
    "noise": _noise,
    "brightness": _brightness,
    "contrast": _contrast,
    "downscale": _downscale,
}


def corrupt(
    crops: np.ndarray, kind: str, severity: int, fps: float = 25.0, seed: int = 0
) -> np.ndarray:
    """Return crops uint8 (F, S, S, 3), S even, under the corruption `kind` at a severity.

    `kind` is a name of PARAMETERS; severity 0 changes nothing, 5 is the strongest; `seed` is that
    of the noise. Raises InputError for another kind or severity, and for crops of another type.
    """
    if kind not in PARAMETERS:
        raise InputError(f"unknown corruption '{kind}': use {', '.join(PARAMETERS)}")
    if severity not in SEVERITIES:
        raise InputError(f"severity {severity}: give 0 (none) to 5")
    crops = np.asarray(crops)
    if crops.ndim != 4 or crops.shape[3] != 3 or crops.dtype != np.uint8 or not len(crops):
        raise InputError(
            f"crops of shape {crops.shape}, {crops.dtype}: give uint8 (F, S, S, 3) with F >= 1"
        )
    if severity == 0:
        return crops.copy()
    parameter = PARAMETERS[kind][0][severity - 1]
    changed = KINDS[kind](np.ascontiguousarray(crops), parameter, fps, seed)
    return changed if changed.dtype == np.uint8 else np.rint(changed).clip(0, 255).astype(np.uint8)


def corrupt_clips(clips: Clips, kind: str, severity: int, seed: int = 0) -> np.ndarray:
    """Return crops uint8 (N, F, S, S, 3) of N Clips under `kind` at `severity`.

    Each clip has its own noise.
    """
    return np.stack(
        [
            corrupt(track.crops, kind, severity, track.fps, seed * 1_000_003 + place)
            for place, track in enumerate(clips.tracks)
        ]
    )
