"""Faces aligned in a 64 x 64 square, where the learned generators work, and pasted back."""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from deepfake_uncertainty.benchmark.generators import base, faceswap
from deepfake_uncertainty.datasets.faces import similarity

SIZE, POINTS = 64, 468
# Points whose mean positions fix the aligned face.
ALIGNED = [33, 133, 362, 263, 168, 1, 61, 291, 152]
EYES = ([33, 160, 158, 133, 153, 144], [362, 385, 387, 263, 373, 380])
INNER_LIPS = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178,
              88, 95]  # fmt: skip
BROW_LINES = [70, 63, 105, 66, 107], [336, 296, 334, 293, 300]
FRACTION = 0.8  # height from forehead to chin, as a share of the aligned square


class Aligned(NamedTuple):
    """The aligned faces of a clip.

    faces: uint8 (F, 64, 64, 3). points: landmarks float32 (F, 468, 2) in px of the faces. maps:
    (F, 2, 3), affine from px of the frame to px of the face. sound: float32 (S,) at 16 kHz, if any.
    """

    faces: np.ndarray
    points: np.ndarray
    maps: np.ndarray
    sound: np.ndarray | None = None


def template(clip: base.Footage) -> np.ndarray:
    """Return the mean face (468, 2) of a clip in the 64 x 64 aligned square."""
    mean = base.mean_face(clip.landmarks)
    height = np.linalg.norm(mean[10] - mean[152])
    return (mean - mean[base.OVAL].mean(0)) * (FRACTION * SIZE / height) + SIZE / 2


def alignments(clip: base.Footage) -> np.ndarray:
    """Return the (F, 2, 3) similarities from frame px to the 64 x 64 aligned face."""
    goal = template(clip)
    return similarity(clip.landmarks[:, ALIGNED].astype(np.float64), goal[ALIGNED])


def align(clip: base.Footage) -> Aligned:
    """Return the `Aligned` faces of a clip with their background."""
    maps, size, border = alignments(clip), (SIZE, SIZE), cv2.BORDER_REPLICATE
    faces = [
        cv2.warpAffine(frame, matrix, size, flags=cv2.INTER_AREA, borderMode=border)
        for frame, matrix in zip(clip.frames, maps, strict=True)
    ]
    points = np.einsum("fij,fkj->fki", maps[:, :, :2], clip.landmarks) + maps[:, None, :, 2]
    return Aligned(np.stack(faces), points.astype(np.float32), maps, clip.sound)


def region(points: np.ndarray) -> np.ndarray:
    """Return the indicator (64, 64) of the face that swaps replace.

    It is the oval, cut just above the brows.
    """
    return faceswap.region(points, (SIZE, SIZE))


def lower_face(points: np.ndarray) -> np.ndarray:
    """Return the indicator (64, 64) of the lower face: the region below the middle of the nose."""
    axis = points[152] - points[10]
    axis = axis / np.linalg.norm(axis)
    y, x = np.mgrid[:SIZE, :SIZE]
    below = (x - points[195, 0]) * axis[0] + (y - points[195, 1]) * axis[1] > 0
    return region(points) * below


def landmark_map(points: np.ndarray) -> np.ndarray:
    """Return landmarks (468, 2) drawn into uint8 (64, 64, 3).

    Channels: face; eyes and lips; interior of the mouth and brows.
    """
    drawing = np.zeros((3, SIZE, SIZE), np.uint8)
    eyes = [(1, points[eye]) for eye in EYES]
    lips = [(1, points[base.LIPS]), (2, points[INNER_LIPS])]
    for channel, part in [(0, points[base.OVAL]), *eyes, *lips]:
        corners = [np.round(part * 16).astype(np.int32)]
        cv2.fillPoly(drawing[channel], corners, 255, cv2.LINE_AA, 4)
    for line in BROW_LINES:
        corners = [np.round(points[line] * 16).astype(np.int32)]
        cv2.polylines(drawing[2], corners, False, 255, 2, cv2.LINE_AA, 4)
    return np.moveaxis(drawing, 0, -1)


def landmark_maps(landmarks: np.ndarray) -> np.ndarray:
    """Return `landmark_map` of every frame's landmarks (F, 468, 2): uint8 (F, 64, 64, 3)."""
    return np.stack([landmark_map(points) for points in landmarks])


def paste(
    target: base.Footage,
    faces: np.ndarray,
    maps: np.ndarray,
    region_of: Callable[[np.ndarray, tuple[int, ...]], np.ndarray] | None,
    softness: float,
    segments: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return frames uint8 (F, H, W, 3) and mask bool (F, H, W) of `target` with `faces` pasted.

    faces: (F, 64, 64, 3). maps: as in `Aligned`. region_of: (points, shape) -> the region that
    may change, if given. softness: width of the feather in face heights. segments: (F, 64, 64) in
    [0, 1], what the faces cover, if given. Frames in which no face was found are unchanged.
    """
    frames, masks = target.frames.copy(), np.zeros(target.frames.shape[:3], bool)
    for t in np.flatnonzero(target.found):
        points, shape, frame = target.landmarks[t], frames[t].shape, target.frames[t]
        face = _to_frame(faces[t], maps[t], shape, cv2.BORDER_REPLICATE)
        inside = np.ones(shape[:2], bool) if region_of is None else region_of(points, shape) > 0
        if segments is not None:
            inside &= _to_frame(segments[t], maps[t], shape, cv2.BORDER_CONSTANT) > 0.5
        alpha = base.feather(inside, softness * np.linalg.norm(points[10] - points[152]))
        matched = base.match_colour(face, frame, inside)
        frames[t], masks[t] = base.blend(matched, frame, alpha)
    return frames, masks


def _to_frame(
    face: np.ndarray, matrix: np.ndarray, shape: tuple[int, ...], border: int
) -> np.ndarray:
    """Return an aligned face in the px of a frame of `shape`."""
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(face, matrix, shape[1::-1], flags=flags, borderMode=border)
