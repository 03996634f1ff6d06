"""FaceSwap: the source's face, warped by triangles to the target's landmarks and blended.

A working miniature of the graphics-based family of FaceForensics++ (Rössler 2019, section 3), with
colour correction and a feathered mask.
"""

import numpy as np

from deepfake_uncertainty.benchmark.generators import base

# Weights of mouth, eyes, yaw and pitch in the choice of a source frame for a target frame.
WEIGHTS = np.array([1.0, 1.0, 1.5, 0.7])


def region(landmarks: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the indicator (H, W) of the swapped region.

    It is the face oval without the forehead, which is cut just above the brows.
    """
    outline = landmarks[base.OVAL].copy()
    centre = landmarks[base.OVAL].mean(0)
    outline = centre + 0.97 * (outline - centre)
    axis = landmarks[152] - landmarks[10]
    axis = axis / np.linalg.norm(axis)
    height = np.linalg.norm(landmarks[152] - landmarks[10])
    top = ((landmarks[base.BROWS] - centre) @ axis).min() - 0.07 * height
    depth = (outline - centre) @ axis
    return base.polygon(outline + np.maximum(top - depth, 0)[:, None] * axis, shape)


def nearest(source: base.Footage, target: base.Footage) -> np.ndarray:
    """Return for each frame of `target` the source frame of the most similar face, int (F,).

    Similar means in pose and expression.
    """
    usable = np.flatnonzero(source.found)
    wanted = base.pose_and_expression(target.landmarks) * WEIGHTS
    offered = base.pose_and_expression(source.landmarks) * WEIGHTS
    return usable[base.retrieve(wanted, offered[usable])]


def generate(
    source: base.Footage, target: base.Footage, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return frames uint8 (F, H, W, 3) and mask bool (F, H, W) of `target` with `source`'s face.

    `rng` draws the width of the feather. Frames in which no face was found are unchanged. Raises
    InputError for clips that do not come from the benchmark.
    """
    base.require_benchmark_clip(source, target)
    chosen = nearest(source, target)
    triangles = base.triangulate(base.mean_face(target.landmarks))
    softness = rng.uniform(0.05, 0.10)
    frames, masks = target.frames.copy(), np.zeros(target.frames.shape[:3], bool)
    shape = frames.shape[1:3]
    for t in np.flatnonzero(target.found):
        points, s = target.landmarks[t], chosen[t]
        place = source.landmarks[s], points, triangles, shape
        face, covered = base.warp(source.frames[s], *place)
        inside = (region(points, shape) > 0) & covered
        face = base.match_colour(face, target.frames[t], inside)
        width = softness * np.linalg.norm(points[10] - points[152])
        frames[t], masks[t] = base.blend(face, target.frames[t], base.feather(inside, width))
    return frames, masks


FAMILIES = [
    base.Family("FaceSwap", "SynthFF", 2, swaps_identity=True, generate=generate, color="#DA5819")
]
