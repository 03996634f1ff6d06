"""What the generators share: the footage that they see, warps, colour transfer, feathered masks.

A generator sees what a real one would see: frames and the landmarks that a face tracker finds. The
frames are uncompressed masters, so each clip is encoded only once. The truth beside a clip is never
read here, but it has to exist: this project ships no tool for footage of real people.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numba
import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import Delaunay

from deepfake_uncertainty.benchmark.stamp import STAMPS
from deepfake_uncertainty.datasets.faces import similarity
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.pins import FASTMATH

# Indices into MediaPipe's 468-point mesh.
OVAL = [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400,
        377, 152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67,
        109]  # fmt: skip
LIPS = [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146]
BROWS = [70, 63, 105, 66, 107, 336, 296, 334, 293, 300]
# Points that hardly move in speech.
STABLE = [33, 133, 362, 263, 168, 6, 197, 195, 5, 1, 98, 327, 70, 300, 105, 334, 127, 356]
# The family of SynthAV that changes the voice only. No generator of this package belongs to it.
VOICE_ONLY, VOICE_ONLY_NUMBER = "rtvc", 5


@dataclass(frozen=True)
class Family:
    """A generator of the embedded benchmark.

    name: the name of its family. dataset: 'SynthFF' or 'SynthAV'. number: the seed of its random
    draws, unique in its data set; it must never be given to another family, so take the next free
    one. swaps_identity: True where a fake shows the source's face, False where it keeps the
    target's. generate: (source, target, rng) -> frames uint8 (F, H, W, 3), mask bool (F, H, W);
    None for a hybrid of two others. train: () -> (network, card), for a generator whose weights
    ship with the library. color: in figures (None: chosen from the name).

    Raises InputError for a data set that does not exist, a negative number and a reserved name.
    """

    name: str
    dataset: str
    number: int
    swaps_identity: bool
    generate: Callable | None = None
    train: Callable | None = None
    color: str | None = None

    def __post_init__(self) -> None:
        if self.dataset not in STAMPS:
            choice = " or ".join(STAMPS)
            raise InputError(f"generator '{self.name}' is in '{self.dataset}': use {choice}")
        if self.number < 0:
            raise InputError(f"generator '{self.name}' has number {self.number}: use 0 or more")
        if self.name in ("real", VOICE_ONLY):
            raise InputError(f"the name '{self.name}' is reserved: give the generator another one")


@dataclass(frozen=True)
class Footage:
    """A clip as a generator sees it.

    frames: uint8 (F, H, W, 3). landmarks: float32 (F, 468, 2) px. found: bool (F,), False where
    the tracker found no face. truth: path of the benchmark's truth file of this clip. sound:
    float32 (S,) in [-1, 1] at 16 kHz, None where the data set has none.
    """

    identity: int
    frames: np.ndarray
    landmarks: np.ndarray
    found: np.ndarray
    truth: Path
    sound: np.ndarray | None = None


def footage(
    identity: int,
    frames: np.ndarray,
    landmarks: np.ndarray,
    found: np.ndarray,
    truth: str | Path,
    sound: np.ndarray | None = None,
) -> Footage:
    """Return a Footage whose landmarks have no gaps and little jitter.

    Frames without a face get the landmarks of the nearest frame with one. All are smoothed over
    time (1 frame). Raises InputError when no face was found.
    """
    if not found.any():
        raise InputError(
            f"clip {identity:03d}: no face found in {len(frames)} frames: use another seed"
        )
    times, seen = np.arange(len(found)), np.flatnonzero(found)
    right = np.clip(np.searchsorted(seen, times), 0, len(seen) - 1)
    left = np.maximum(right - 1, 0)
    nearer_left = np.abs(times - seen[left]) < np.abs(times - seen[right])
    nearest = np.where(nearer_left, seen[left], seen[right])
    filled = np.asarray(landmarks, np.float32)[nearest]
    smooth = gaussian_filter1d(filled, 1.0, axis=0, mode="nearest")
    return Footage(identity, frames, smooth, np.asarray(found, bool), Path(truth), sound)


def require_benchmark_clip(*clips: Footage) -> None:
    """Raise InputError unless every clip has the benchmark's truth file."""
    for clip in clips:
        if not clip.truth.is_file():
            raise InputError(
                f"{clip.truth} is missing: "
                "the generators take the embedded benchmark's own clips only"
            )


@numba.njit(cache=True, fastmath=FASTMATH)
def _rasterise(
    source: np.ndarray, target: np.ndarray, triangles: np.ndarray, mapping: np.ndarray
) -> None:
    """Write to `mapping` (H, W, 2) the source position of every pixel in a target triangle."""
    height, width = mapping.shape[:2]
    for k in range(len(triangles)):
        a, b, c = triangles[k]
        ax, ay = target[a]
        bx, by = target[b]
        cx, cy = target[c]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if abs(area) < 1e-3:
            continue
        top, bottom = max(int(min(ay, by, cy)), 0), min(int(max(ay, by, cy)) + 1, height - 1)
        left, right = max(int(min(ax, bx, cx)), 0), min(int(max(ax, bx, cx)) + 1, width - 1)
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                u = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area
                v = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area
                w = 1 - u - v
                if u >= -1e-5 and v >= -1e-5 and w >= -1e-5:
                    for j in range(2):
                        mapping[y, x, j] = u * source[a, j] + v * source[b, j] + w * source[c, j]


def warp(
    image: np.ndarray,
    source: np.ndarray,
    target: np.ndarray,
    triangles: np.ndarray,
    size: tuple[int, ...] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Warp `image` (H, W, 3) from points `source` to points `target`, both (K, 2) px.

    The map is affine in each of the `triangles` (M, 3). Return the warped image and the bool mask
    of the pixels that lie in a triangle, of `size` (height, width) or that of `image`.
    """
    mapping = np.full((*(size or image.shape[:2]), 2), -1e6, np.float32)
    _rasterise(np.asarray(source, np.float32), np.asarray(target, np.float32), triangles, mapping)
    covered = mapping[..., 0] > -1e5
    moved = cv2.remap(  # type: ignore[call-overload]  # the stubs lack the second map as None
        image, mapping, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return moved, covered


def triangulate(points: np.ndarray) -> np.ndarray:
    """Return the Delaunay triangles int32 (M, 3) of points (K, 2)."""
    return Delaunay(points).simplices.astype(np.int32)


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return points (..., 2) mapped by an affine matrix (2, 3)."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def mean_face(landmarks: np.ndarray) -> np.ndarray:
    """Return the mean face (468, 2) of landmarks (F, 468, 2).

    Every frame is first mapped to frame 0 by a similarity.
    """
    maps = similarity(landmarks.astype(np.float64), landmarks[0])
    turned = np.einsum("fij,fkj->fki", maps[:, :, :2], landmarks) + maps[:, None, :, 2]
    return turned.mean(0)


def pose_and_expression(landmarks: np.ndarray) -> np.ndarray:
    """Return mouth opening, eye opening, yaw and pitch (F, 4) of landmarks (F, 468, 2).

    All are in face heights.
    """
    height = np.linalg.norm(landmarks[:, 10] - landmarks[:, 152], axis=-1)

    def gap(i: int, j: int) -> np.ndarray:
        return np.linalg.norm(landmarks[:, i] - landmarks[:, j], axis=-1) / height

    yaw = (gap(1, 234) - gap(1, 454)) / 2
    pitch = (gap(1, 10) - gap(1, 152)) / 2
    return np.stack([gap(13, 14), (gap(159, 145) + gap(386, 374)) / 2, yaw, pitch], 1)


def retrieve(wanted: np.ndarray, offered: np.ndarray, jump: float = 0.03) -> np.ndarray:
    """Return the path int (F,) through `offered` (G, D) that is nearest to `wanted` (F, D).

    The cost is the sum of distances, plus `jump` for every cut, in the units of the features. The
    path is the exact minimum (Viterbi), so it rarely flickers.
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


def enlarge(points: np.ndarray, factor: float) -> np.ndarray:
    """Return points (K, 2) scaled about their centre."""
    return points.mean(0) + factor * (points - points.mean(0))


def polygon(points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the float32 (H, W) indicator of the polygon with vertices (K, 2) px."""
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 1, shift=4)
    return mask.astype(np.float32)


def feather(mask: np.ndarray, width: float | np.floating) -> np.ndarray:
    """Return `mask` (H, W) in [0, 1], fading to 0 over about `width` px inside its border."""
    padded = np.pad((mask > 0).astype(np.uint8), 1)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    ramp = np.clip(depth / max(width, 1e-3), 0, 1)
    return (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)


def match_colour(image: np.ndarray, reference: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return `image` uint8 (H, W, 3) with the median Lab colour of `reference` inside bool `mask`.

    It is unchanged outside the mask's bounding box. Lightness changes by a power, so black and
    white are kept: a shift would make eyes glow and lips grey.
    """
    if mask.sum() < 16:
        return image
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    box = np.s_[top : top + height, left : left + width]
    here, goal = (
        cv2.cvtColor(part[box].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        for part in (image, reference)
    )
    before, wanted = (np.median(lab[mask[box]], 0) for lab in (here, goal))
    light, wanted_light = np.clip([before[0] / 100, wanted[0] / 100], 0.02, 0.98)
    power = np.float32(np.log(wanted_light) / np.log(light))
    here[..., 0] = 100 * np.clip(here[..., 0] / 100, 0, 1) ** power
    here[..., 1:] += wanted[1:] - before[1:]
    matched = image.copy()
    matched[box] = np.clip(cv2.cvtColor(here, cv2.COLOR_LAB2RGB) * 255 + 0.5, 0, 255)
    return matched


def blend(front: np.ndarray, back: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 alpha * front + (1 - alpha) * back, and the bool mask of the changed pixels."""
    mixed = back + alpha[..., None] * (front.astype(np.float32) - back)
    return np.clip(mixed + 0.5, 0, 255).astype(np.uint8), alpha > 1 / 255
