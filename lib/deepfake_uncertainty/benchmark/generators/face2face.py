"""Face2Face: the target's own frames, warped to the source's expression.

A working miniature of Face2Face (Thies 2016): expression transfer, retrieval of the mouth from
other frames of the target, and blending. The identity does not change.
"""

import cv2
import numpy as np

from deepfake_uncertainty.benchmark.generators import base

RING = 1.35  # factor by which the oval is enlarged to the ring where the background starts
# Pairs of points on the upper and the lower inner lip.
INNER_LIPS = (13, 14), (82, 87), (312, 317), (81, 178), (311, 402), (80, 88), (310, 318)
# Outline of the lower face, up to the cheeks and the nose.
OUTLINE = [234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288,
           361, 323, 454, 330, 4, 101]  # fmt: skip


def normalise(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return landmarks (F, 468, 2) aligned to their mean face, and the affine maps (F, 2, 3).

    The maps are fitted to points that hardly move in speech. Their six parameters explain most of
    a head turn.
    """
    neutral = base.mean_face(landmarks)
    goal = neutral[base.STABLE]
    ones = np.ones((len(base.STABLE), 1))
    designs = (np.hstack([points[base.STABLE], ones]) for points in landmarks)
    maps = np.stack([np.linalg.lstsq(design, goal, rcond=None)[0].T for design in designs])
    return np.stack([base.apply(m, p) for m, p in zip(maps, landmarks, strict=True)]), maps


def lower_face(neutral: np.ndarray) -> np.ndarray:
    """Return weights (468,) in [0, 1] of the points that follow the source's expression.

    They are 0 at the eyes, 1 from the upper lip down, and 0.3 on the oval beside the mouth.
    """
    eyes, mouth = neutral[[33, 263]].mean(0), neutral[0]
    axis = mouth - eyes
    depth = (neutral - eyes) @ axis / (axis @ axis)
    weight = np.clip((depth - 0.55) / 0.4, 0, 1)
    lateral = np.abs((neutral - mouth) @ np.array([axis[1], -axis[0]])) / (axis @ axis)
    return weight * np.clip(1.6 - lateral, 0.3, 1)


def transfer(source: base.Footage, target: base.Footage) -> np.ndarray:
    """Return the landmarks (F, 468, 2) px of `target` with the expression of `source`.

    The source is repeated to F frames. Motion is relative to each clip's own mean face, in units
    of its inter-ocular distance.
    """
    performed, _ = normalise(source.landmarks)
    aligned, maps = normalise(target.landmarks)
    neutral, reference = aligned.mean(0), performed.mean(0)
    scale = _eye_distance(neutral) / _eye_distance(reference)
    motion = (performed - reference)[np.arange(len(aligned)) % len(performed)] * scale
    shift = (motion - (aligned - neutral)) * lower_face(neutral)[:, None]
    inverse = np.linalg.inv(maps[:, :, :2])
    return _uncross_lips(target.landmarks + np.einsum("fij,fkj->fki", inverse, shift))


def _eye_distance(points: np.ndarray) -> np.floating:
    return np.linalg.norm(points[33] - points[263])


def _uncross_lips(landmarks: np.ndarray) -> np.ndarray:
    """Keep the lower inner lip below the upper one, in place, where the two motions cross."""
    down = landmarks[:, 152] - landmarks[:, 10]
    down = down / np.linalg.norm(down, axis=-1, keepdims=True)
    for upper, lower in INNER_LIPS:
        gap = np.einsum("fi,fi->f", landmarks[:, lower] - landmarks[:, upper], down)
        overlap = np.minimum(gap, 0)[:, None]
        landmarks[:, lower] -= overlap * down / 2
        landmarks[:, upper] += overlap * down / 2
    return landmarks


def ringed(points: np.ndarray) -> np.ndarray:
    """Return points with the enlarged oval appended, (468 + 36, 2).

    There the warp meets the background, which does not move.
    """
    centre = points[base.OVAL].mean(0)
    return np.concatenate([points, centre + RING * (points[base.OVAL] - centre)])


def mouth_region(
    points: np.ndarray, shape: tuple[int, ...], margin: float | np.floating
) -> np.ndarray:
    """Return the indicator (H, W) of the lips, enlarged by `margin` px."""
    lips = base.polygon(points[base.LIPS], shape)
    size = 2 * max(round(margin), 1) + 1
    return cv2.dilate(lips, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))


def changed_region(points: np.ndarray, moved: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the indicator (H, W) of the lower face before or after the motion.

    These are the pixels that a reenactment writes.
    """
    outlines = points[OUTLINE], moved[OUTLINE]
    before, after = (base.polygon(base.enlarge(outline, 1.06), shape) for outline in outlines)
    return np.maximum(before, after)


def generate(
    source: base.Footage, target: base.Footage, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return frames uint8 (F, H, W, 3) and mask bool (F, H, W) of `target`.

    It has the expression of `source`. `rng` draws the width of the feather. Frames in which no
    face was found are unchanged. Raises InputError for clips that do not come from the benchmark.
    """
    base.require_benchmark_clip(source, target)
    moved = transfer(source, target)
    usable = np.flatnonzero(target.found)
    offered = base.pose_and_expression(target.landmarks[usable])
    chosen = usable[base.retrieve(base.pose_and_expression(moved), offered)]
    triangles = base.triangulate(ringed(base.mean_face(target.landmarks)))
    softness = rng.uniform(0.04, 0.08)
    frames, masks = target.frames.copy(), np.zeros(target.frames.shape[:3], bool)
    for t in usable:
        here, there, frame = target.landmarks[t], chosen[t], target.frames[t]
        ring, height = ringed(here), np.linalg.norm(here[10] - here[152])
        goal = np.concatenate([moved[t], ring[468:]])
        face, covered = base.warp(frame, ring, goal, triangles)
        other_ring = ringed(target.landmarks[there])
        mouth, seen = base.warp(target.frames[there], other_ring, goal, triangles)
        face = _paste_mouth(face, mouth, moved[t], seen, softness * height, height)
        area = changed_region(here, moved[t], frame.shape) * covered
        frames[t], masks[t] = base.blend(face, frame, base.feather(area, softness * height))
    return frames, masks


def _paste_mouth(
    face: np.ndarray,
    mouth: np.ndarray,
    points: np.ndarray,
    seen: np.ndarray,
    width: np.floating,
    height: np.floating,
) -> np.ndarray:
    """Return `face` with the lips of `mouth`, matched in colour; `height` is that of the face."""
    inner = mouth_region(points, face.shape, 0.03 * height)
    outer = mouth_region(points, face.shape, 0.06 * height) > 0
    lips = base.feather(inner * seen, width)
    matched = base.match_colour(mouth, face, (outer & (lips == 0)) | (lips > 0))
    return base.blend(matched, face, lips)[0]


FAMILIES = [
    base.Family("Face2Face", "SynthFF", 1, swaps_identity=False, generate=generate, color="#0B77A8")
]
