"""Face2Face: the source's expression moves the target's own frames; the mouth comes from its other frames.

A working miniature of Face2Face (Thies 2016): expression transfer, mouth retrieval, blending; the identity stays.
"""

import cv2
import numpy as np

from deepfake_uncertainty.benchmark.generators import base

RING = 1.35  # the warp is anchored to the background on the oval enlarged by this factor


def normalise(landmarks):
    """Return landmarks (F, 468, 2) in the frame of their mean face, and the (F, 2, 3) affine maps to it.

    The maps are fitted to points that speech hardly moves; six parameters take up most of a head turn.
    """
    neutral = base.mean_face(landmarks)
    goal = neutral[base.STABLE]
    ones = np.ones((len(base.STABLE), 1))
    maps = np.stack([np.linalg.lstsq(np.hstack([p[base.STABLE], ones]), goal, rcond=None)[0].T for p in landmarks])
    return np.stack([base.apply(m, p) for m, p in zip(maps, landmarks, strict=True)]), maps


def lower_face(neutral):
    """Return weights (468,) in [0, 1]: 0 at the eyes, 1 from the upper lip down, 0.3 on the oval beside the mouth."""
    eyes, mouth = neutral[[33, 263]].mean(0), neutral[0]
    axis = mouth - eyes
    depth = (neutral - eyes) @ axis / (axis @ axis)
    weight = np.clip((depth - 0.55) / 0.4, 0, 1)
    lateral = np.abs((neutral - mouth) @ np.array([axis[1], -axis[0]])) / (axis @ axis)
    return weight * np.clip(1.6 - lateral, 0.3, 1)


def transfer(source, target):
    """Return the landmarks (F, 468, 2) px of `target` performing the expression of `source` (looped to F frames).

    Motion is relative to each clip's own mean face, in units of its inter-ocular distance.
    """
    performed, _ = normalise(source.landmarks)
    own, maps = normalise(target.landmarks)
    neutral = own.mean(0)
    scale = np.linalg.norm(neutral[33] - neutral[263]) / np.linalg.norm(performed.mean(0)[33] - performed.mean(0)[263])
    motion = (performed - performed.mean(0))[np.arange(len(own)) % len(performed)] * scale
    shift = (motion - (own - neutral)) * lower_face(neutral)[:, None]
    inverse = np.linalg.inv(maps[:, :, :2])
    moved = target.landmarks + np.einsum("fij,fkj->fki", inverse, shift)
    return _closed_at_most(moved)


def _closed_at_most(landmarks):
    """Keep the lower inner lip below the upper one, where the two motions would cross them."""
    down = landmarks[:, 152] - landmarks[:, 10]
    down = down / np.linalg.norm(down, axis=-1, keepdims=True)
    for upper, lower in ((13, 14), (82, 87), (312, 317), (81, 178), (311, 402), (80, 88), (310, 318)):
        overlap = np.minimum(np.einsum("fi,fi->f", landmarks[:, lower] - landmarks[:, upper], down), 0)[:, None]
        landmarks[:, lower] -= overlap * down / 2
        landmarks[:, upper] += overlap * down / 2
    return landmarks


def ringed(points):
    """Append the enlarged oval, (468 + 36, 2), where the warp meets the unmoved background."""
    centre = points[base.OVAL].mean(0)
    return np.concatenate([points, centre + RING * (points[base.OVAL] - centre)])


def mouth_region(points, shape, margin):
    """Return the (H, W) indicator of the lips enlarged by `margin` px."""
    lips = base.polygon(points[base.LIPS], shape)
    size = 2 * max(round(margin), 1) + 1
    return cv2.dilate(lips, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))


def painted_region(points, moved, shape):
    """Return the (H, W) indicator of the lower face before or after the motion: the pixels a reenactment writes."""
    outline = [p[[234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454,
                  330, 4, 101]] for p in (points, moved)]  # fmt: skip
    hull = np.maximum(*[base.polygon(p.mean(0) + 1.06 * (p - p.mean(0)), shape) for p in outline])
    return hull


def generate(source, target, rng):
    """Return frames uint8 (F, H, W, 3) and mask bool (F, H, W) of `target` performing the expression of `source`.

    `rng` draws the width of the feather; frames in which no face was found stay as they are. Raises InputError outside
    the benchmark.
    """
    base.admit(source, target)
    moved = transfer(source, target)
    usable = np.flatnonzero(target.found)
    offered = base.pose_and_expression(target.landmarks[usable])
    chosen = usable[base.retrieve(base.pose_and_expression(moved), offered)]
    triangles = base.triangulate(ringed(base.mean_face(target.landmarks)))
    softness = rng.uniform(0.04, 0.08)
    frames, masks = target.frames.copy(), np.zeros(target.frames.shape[:3], bool)
    for t in usable:
        here, ring, shape = target.landmarks[t], ringed(target.landmarks[t]), frames[t].shape
        goal = np.concatenate([moved[t], ring[468:]])
        height = np.linalg.norm(here[10] - here[152])
        face, covered = base.warp(target.frames[t], ring, goal, triangles)
        there = chosen[t]
        mouth, seen = base.warp(target.frames[there], ringed(target.landmarks[there]), goal, triangles)
        lips = base.feather(mouth_region(moved[t], shape, 0.03 * height) * seen, softness * height)
        skin = (mouth_region(moved[t], shape, 0.06 * height) > 0) & (lips == 0)
        face, _ = base.blend(base.match_colour(mouth, face, skin | (lips > 0)), face, lips)
        alpha = base.feather(painted_region(here, moved[t], shape) * covered, softness * height)
        frames[t], masks[t] = base.blend(face, target.frames[t], alpha)
    return frames, masks
