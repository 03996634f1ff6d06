"""FaceSwap: the source's face warped by triangles to the target's landmarks, colour correction, feathered blend.

A working miniature of the graphics-based family of FaceForensics++ (Rössler 2019, section 3).
"""

import numpy as np

from deepfake_uncertainty.benchmark.generators import base

# How much each of mouth, eyes, yaw and pitch counts when a source frame is chosen for a target frame.
WEIGHTS = np.array([1.0, 1.0, 1.5, 0.7])


def region(landmarks, shape):
    """Return the (H, W) indicator of the swapped region: the face oval with the forehead cut just above the brows."""
    outline = landmarks[base.OVAL].copy()
    centre = landmarks[base.OVAL].mean(0)
    outline = centre + 0.97 * (outline - centre)
    axis = landmarks[152] - landmarks[10]
    axis = axis / np.linalg.norm(axis)
    height = np.linalg.norm(landmarks[152] - landmarks[10])
    top = ((landmarks[base.BROWS] - centre) @ axis).min() - 0.07 * height
    depth = (outline - centre) @ axis
    return base.polygon(outline + np.maximum(top - depth, 0)[:, None] * axis, shape)


def nearest(source, target):
    """Return for each frame of `target` the frame of `source` with a face of the most similar pose and expression, int (F,)."""
    usable = np.flatnonzero(source.found)
    wanted, offered = (base.pose_and_expression(clip.landmarks) * WEIGHTS for clip in (target, source))
    return usable[base.retrieve(wanted, offered[usable])]


def generate(source, target, rng):
    """Return frames uint8 (F, H, W, 3) and mask bool (F, H, W) of `target` with the face of `source`.

    `rng` draws the width of the feather; frames in which no face was found stay as they are. Raises InputError outside
    the benchmark.
    """
    base.admit(source, target)
    chosen = nearest(source, target)
    triangles = base.triangulate(base.mean_face(target.landmarks))
    softness = rng.uniform(0.05, 0.10)
    frames, masks = target.frames.copy(), np.zeros(target.frames.shape[:3], bool)
    for t in np.flatnonzero(target.found):
        points, s = target.landmarks[t], chosen[t]
        face, covered = base.warp(source.frames[s], source.landmarks[s], points, triangles, frames.shape[1:3])
        inside = (region(points, frames[t].shape) > 0) & covered
        face = base.match_colour(face, target.frames[t], inside)
        width = softness * np.linalg.norm(points[10] - points[152])
        frames[t], masks[t] = base.blend(face, target.frames[t], base.feather(inside, width))
    return frames, masks
