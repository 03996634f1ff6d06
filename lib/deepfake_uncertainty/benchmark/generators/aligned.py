"""Faces upright in a 64 x 64 square, where the learned generators work, and the way back into the frame."""

from typing import NamedTuple

import cv2
import numpy as np

from deepfake_uncertainty.benchmark.generators import base, faceswap
from deepfake_uncertainty.datasets.faces import similarity

SIZE, POINTS = 64, 468
ALIGNED = [33, 133, 362, 263, 168, 1, 61, 291, 152]  # points whose mean positions fix the aligned face
EYES = ([33, 160, 158, 133, 153, 144], [362, 385, 387, 263, 373, 380])
INNER_LIPS = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95]
BROW_LINES = [70, 63, 105, 66, 107], [336, 296, 334, 293, 300]
FRACTION = 0.8  # of the aligned square is the height from forehead to chin


class Aligned(NamedTuple):
    """A clip's faces uint8 (F, 64, 64, 3), landmarks float32 (F, 468, 2) in them, maps (F, 2, 3) from frame px to them, and
    its sound float32 (S,) at 16 kHz, if it has one."""

    faces: np.ndarray
    points: np.ndarray
    maps: np.ndarray
    sound: np.ndarray | None = None


def template(clip):
    """Return the mean face (468, 2) of a clip, upright in the 64 x 64 aligned square."""
    mean = base.mean_face(clip.landmarks)
    height = np.linalg.norm(mean[10] - mean[152])
    return (mean - mean[base.OVAL].mean(0)) * (FRACTION * SIZE / height) + SIZE / 2


def alignments(clip):
    """Return the (F, 2, 3) similarities from frame px to the 64 x 64 aligned face."""
    goal = template(clip)
    return similarity(clip.landmarks[:, ALIGNED].astype(np.float64), goal[ALIGNED])


def align(clip):
    """Return the `Aligned` faces of a clip, its background included."""
    maps = alignments(clip)
    faces = [cv2.warpAffine(frame, m, (SIZE, SIZE), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
             for frame, m in zip(clip.frames, maps, strict=True)]  # fmt: skip
    points = np.einsum("fij,fkj->fki", maps[:, :, :2], clip.landmarks) + maps[:, None, :, 2]
    return Aligned(np.stack(faces), points.astype(np.float32), maps, clip.sound)


def region(points):
    """Return the (64, 64) indicator of the face that swaps replace: the oval, cut just above the brows."""
    return faceswap.region(points, (SIZE, SIZE))


def lower(points):
    """Return the (64, 64) indicator of the lower face: the region below the middle of the nose."""
    axis = points[152] - points[10]
    axis = axis / np.linalg.norm(axis)
    y, x = np.mgrid[:SIZE, :SIZE]
    below = (x - points[195, 0]) * axis[0] + (y - points[195, 1]) * axis[1] > 0
    return region(points) * below


def guide(points):
    """Return the drawing uint8 (64, 64, 3) of landmarks (468, 2): face; eyes and lips; mouth interior and brows."""
    drawing = np.zeros((3, SIZE, SIZE), np.uint8)
    parts = [(0, points[base.OVAL]), *((1, points[eye]) for eye in EYES), (1, points[base.LIPS]), (2, points[INNER_LIPS])]
    for channel, part in parts:
        cv2.fillPoly(drawing[channel], [np.round(part * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    for line in BROW_LINES:
        cv2.polylines(drawing[2], [np.round(points[line] * 16).astype(np.int32)], False, 255, 2, cv2.LINE_AA, 4)
    return np.moveaxis(drawing, 0, -1)


def guides(landmarks):
    """Return `guide` of every frame's landmarks (F, 468, 2): uint8 (F, 64, 64, 3)."""
    return np.stack([guide(points) for points in landmarks])


def paste(target, faces, maps, where, softness, segments=None):
    """Return frames uint8 (F, H, W, 3) and mask bool (F, H, W) of `target` with `faces` (F, 64, 64, 3) pasted.

    `where(points, shape)` is the region that may be painted, if given, and `segments` (F, 64, 64) in [0, 1] what the faces
    cover, if given; the feather is `softness` face heights wide. Frames in which no face was found stay as they are.
    """
    frames, masks = target.frames.copy(), np.zeros(target.frames.shape[:3], bool)
    for t in np.flatnonzero(target.found):
        points, shape = target.landmarks[t], frames[t].shape
        face = _back(faces[t], maps[t], shape, cv2.BORDER_REPLICATE)
        inside = np.ones(shape[:2], bool) if where is None else where(points, shape) > 0
        if segments is not None:
            inside &= _back(segments[t], maps[t], shape, cv2.BORDER_CONSTANT) > 0.5
        alpha = base.feather(inside, softness * np.linalg.norm(points[10] - points[152]))
        frames[t], masks[t] = base.blend(base.match_colour(face, target.frames[t], inside), target.frames[t], alpha)
    return frames, masks


def _back(face, matrix, shape, border):
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(face, matrix, shape[1::-1], flags=flags, borderMode=border)
