"""What the generators share: footage of the benchmark's own clips, mesh warps, colour transfer and feathered masks.

A generator sees what a real one sees: frames (uncompressed masters, so that each clip is encoded once) and found landmarks.
The truth beside a clip is never read here: it must only exist, because this project ships no tool for footage of real people.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numba
import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import Delaunay

from deepfake_uncertainty.datasets.faces import similarity
from deepfake_uncertainty.errors import InputError

# Indices into MediaPipe's 468-point mesh.
OVAL = [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
        152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]  # fmt: skip
LIPS = [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146]
BROWS = [70, 63, 105, 66, 107, 336, 296, 334, 293, 300]
STABLE = [33, 133, 362, 263, 168, 6, 197, 195, 5, 1, 98, 327, 70, 300, 105, 334, 127, 356]  # what speech hardly moves


@dataclass(frozen=True)
class Footage:
    """A clip as a generator sees it: frames uint8 (F, H, W, 3), landmarks float32 (F, 468, 2) px, found bool (F,).

    `sound` is float32 (S,) at 16 kHz in [-1, 1], None where the data set has none.
    """

    identity: int
    frames: np.ndarray
    landmarks: np.ndarray
    found: np.ndarray
    truth: Path  # the benchmark's truth file of this clip
    sound: np.ndarray | None = None


def footage(identity, frames, landmarks, found, truth, sound=None):
    """Return a Footage with gaps filled and jitter smoothed (1 frame); raises InputError when no face was found."""
    if not found.any():
        raise InputError(f"clip {identity:03d}: no face found in {len(frames)} frames; use another seed")
    times, where = np.arange(len(found)), np.flatnonzero(found)
    right = np.clip(np.searchsorted(where, times), 0, len(where) - 1)
    left = np.maximum(right - 1, 0)
    nearer_left = np.abs(times - where[left]) < np.abs(times - where[right])
    filled = np.asarray(landmarks, np.float32)[np.where(nearer_left, where[left], where[right])]
    smooth = gaussian_filter1d(filled, 1.0, axis=0, mode="nearest")
    return Footage(identity, frames, smooth, np.asarray(found, bool), Path(truth), sound)


def admit(*clips):
    """Raise InputError unless every clip has the benchmark's truth file beside it."""
    for clip in clips:
        if not clip.truth.is_file():
            raise InputError(f"{clip.truth} is missing: the generators take the embedded benchmark's own clips only")


@numba.njit(cache=True, fastmath=True)
def _rasterise(source, target, triangles, mapping):
    height, width = mapping.shape[:2]
    for k in range(len(triangles)):
        a, b, c = triangles[k]
        ax, ay = target[a]
        bx, by = target[b]
        cx, cy = target[c]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if abs(area) < 1e-3:
            continue
        for y in range(max(int(min(ay, by, cy)), 0), min(int(max(ay, by, cy)) + 1, height - 1) + 1):
            for x in range(max(int(min(ax, bx, cx)), 0), min(int(max(ax, bx, cx)) + 1, width - 1) + 1):
                u = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area
                v = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area
                w = 1 - u - v
                if u >= -1e-5 and v >= -1e-5 and w >= -1e-5:
                    for j in range(2):
                        mapping[y, x, j] = u * source[a, j] + v * source[b, j] + w * source[c, j]


def warp(image, source, target, triangles, size=None):
    """Warp (H, W, 3) so that points `source` (K, 2) px land on `target`, affinely in each triangle (M, 3).

    Returns the image, of `size` (height, width) or that of `image`, and the bool mask of the pixels in some triangle.
    """
    mapping = np.full((*(size or image.shape[:2]), 2), -1e6, np.float32)
    _rasterise(np.float32(source), np.float32(target), triangles, mapping)
    covered = mapping[..., 0] > -1e5
    return cv2.remap(image, mapping, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), covered


def triangulate(points):
    """Return the Delaunay triangles int32 (M, 3) of points (K, 2)."""
    return Delaunay(points).simplices.astype(np.int32)


def apply(matrix, points):
    """Map points (..., 2) by an affine (2, 3) matrix."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def mean_face(landmarks):
    """Return the mean face (468, 2) of landmarks (F, 468, 2), every frame first mapped to frame 0 by a similarity."""
    maps = similarity(landmarks.astype(np.float64), landmarks[0])
    turned = np.einsum("fij,fkj->fki", maps[:, :, :2], landmarks) + maps[:, None, :, 2]
    return turned.mean(0)


def pose_and_expression(landmarks):
    """Return (F, 4) features in face heights: mouth opening, eye opening, yaw and pitch, from landmarks (F, 468, 2)."""
    height = np.linalg.norm(landmarks[:, 10] - landmarks[:, 152], axis=-1)

    def gap(i, j):
        return np.linalg.norm(landmarks[:, i] - landmarks[:, j], axis=-1) / height

    yaw = (gap(1, 234) - gap(1, 454)) / 2
    pitch = (gap(1, 10) - gap(1, 152)) / 2
    return np.stack([gap(13, 14), (gap(159, 145) + gap(386, 374)) / 2, yaw, pitch], 1)


def retrieve(wanted, offered, jump=0.03):
    """Return the path int (F,) through `offered` (G, D) nearest to `wanted` (F, D); a cut costs `jump`.

    Costs are distances in the units of the features; the path is the exact minimum (Viterbi), so it seldom flickers.
    """
    distance = np.linalg.norm(wanted[:, None] - offered[None], axis=-1)
    cost, back = distance[0], np.zeros(distance.shape, int)
    for t in range(1, len(wanted)):
        follow = np.concatenate([[np.inf], cost[:-1]])
        best = int(cost.argmin())
        stay = follow <= cost[best] + jump
        back[t] = np.where(stay, np.arange(len(cost)) - 1, best)
        cost = np.where(stay, follow, cost[best] + jump) + distance[t]
    path = [int(cost.argmin())]
    for t in range(len(wanted) - 1, 0, -1):
        path.append(int(back[t, path[-1]]))
    return np.array(path[::-1])


def enlarge(points, factor):
    """Scale points (K, 2) about their centre."""
    return points.mean(0) + factor * (points - points.mean(0))


def polygon(points, shape):
    """Return the float32 (H, W) indicator of the polygon with vertices (K, 2) px."""
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 1, shift=4)
    return mask.astype(np.float32)


def feather(mask, width):
    """Return `mask` (H, W) fading to 0 over about `width` px inside its own border, range [0, 1]."""
    depth = cv2.distanceTransform(np.pad((mask > 0).astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    ramp = np.clip(depth / max(width, 1e-3), 0, 1)
    return (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)


def match_colour(image, reference, mask):
    """Give `image` the median skin of `reference` inside bool `mask`, in Lab; uint8 (H, W, 3), unchanged off its box.

    Lightness moves by a power, so that black and white stay: a shift would make eyes glow and lips grey.
    """
    if mask.sum() < 16:
        return image
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    box = np.s_[top : top + height, left : left + width]
    here, goal = (cv2.cvtColor(part[box].astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for part in (image, reference))
    moved, wanted = (np.median(lab[mask[box]], 0) for lab in (here, goal))
    light, aim = np.clip([moved[0] / 100, wanted[0] / 100], 0.02, 0.98)
    here[..., 0] = 100 * np.clip(here[..., 0] / 100, 0, 1) ** np.float32(np.log(aim) / np.log(light))
    here[..., 1:] += wanted[1:] - moved[1:]
    matched = image.copy()
    matched[box] = np.clip(cv2.cvtColor(here, cv2.COLOR_LAB2RGB) * 255 + 0.5, 0, 255)
    return matched


def blend(paint, ground, alpha):
    """Return uint8 alpha * paint + (1 - alpha) * ground, and the bool mask of the pixels painted at all."""
    mixed = ground + alpha[..., None] * (paint.astype(np.float32) - ground)
    return np.uint8(np.clip(mixed + 0.5, 0, 255)), alpha > 1 / 255
