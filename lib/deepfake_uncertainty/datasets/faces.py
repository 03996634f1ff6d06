"""One face through a video: detection, 468 landmarks, and crops aligned to a canonical face.

BlazeFace (Bazarevsky et al. 2019) finds the face, FaceMesh (Kartynnik et al. 2019) its landmarks.
As in MediaPipe, the landmarks of a frame give the region to search in the next one. The detector
runs again only when the mesh loses the face.
"""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from deepfake_uncertainty.datasets.tflite import Network
from deepfake_uncertainty.errors import InputError

Roi = tuple[np.ndarray, float, float]  # region of interest: centre (2,) px, side px, angle rad
N_LANDMARKS = 468
DETECTION_SCORE = MESH_SCORE = 0.5  # thresholds of MediaPipe
OVERLAP = 0.3  # detections with a larger intersection over union are one face
ROI_SCALE = 1.5  # side of the region of interest of the mesh, in sides of the box of the face
MAX_MISSING = 0.1  # share of frames without a face that may be interpolated
SMOOTHING = 1.0  # frames: removes the jitter of the landmarks, not the motion of the head
EYE_CORNERS = 33, 263

# (landmark, x, y) in cm of MediaPipe's canonical face, y upwards: eye corners, nose, mouth corners.
CANONICAL = np.array([
    (33, -4.446, 2.664), (133, -1.856, 2.585), (362, 1.856, 2.585), (263, 4.446, 2.664),
    (168, 0, 3.271), (6, 0, 2.473), (5, 0, 0.366), (4, 0, -0.463), (2, 0, -2.089),
    (61, -2.456, -4.343), (291, 2.456, -4.343),
])  # fmt: skip
STABLE = CANONICAL[:, 0].astype(int)
BROW, CHIN = 5.3, -9.4  # y of the top of the brows and of the chin on the canonical face, cm
# Where the top of the brows and the chin lie in the crop: 80 % of it, with some forehead above.
FACE_TOP, FACE_BOTTOM = 0.14, 0.94


def _anchors() -> np.ndarray:
    """Return the anchor centres (896, 2) of the front detector, in sides of its image.

    There are two per cell of a 16 x 16 grid and six per cell of an 8 x 8 grid.
    """
    grids = []
    for cells, repeats in ((16, 2), (8, 6)):
        centre = (np.arange(cells) + 0.5) / cells
        y, x = np.meshgrid(centre, centre, indexing="ij")
        grids.append(np.repeat(np.stack([x.ravel(), y.ravel()], 1), repeats, axis=0))
    return np.concatenate(grids)


def _square(centre: np.ndarray, side: float, angle: float, size: int) -> np.ndarray:
    """Return the affine map (2, 3) from a frame to a size x size image of a square.

    The square is rotated by `angle` radians.
    """
    scale = size / side
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.array([[cos, sin], [-sin, cos]])
    return np.column_stack([turn, size / 2 - 0.5 - turn @ centre])


def _apply(matrices: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Map points (..., K, 2) by affine matrices (..., 2, 3)."""
    return points @ np.swapaxes(matrices[..., :2], -1, -2) + matrices[..., None, :, 2]


def _windows(height: int, width: int) -> list[list[tuple[np.ndarray, float]]]:
    """Return lists of (centre, side) to search: the whole frame, then smaller and smaller squares.

    Smaller squares show small faces at a higher resolution.
    """
    whole = [(np.array([width - 1, height - 1]) / 2, float(max(height, width)))]
    levels = [whole]
    for side in (min(height, width), min(height, width) / 2):
        xs, ys = (
            np.linspace(side / 2, n - side / 2, max(1, int(np.ceil(2 * n / side)) - 1))
            for n in (width, height)
        )
        tiles = [(np.array([x, y]) - 0.5, float(side)) for y in ys for x in xs]
        if side < whole[0][1]:
            levels.append(tiles)
    return levels


class FaceMesh:
    """The face tracker.

    It holds two networks that run on one thread, so each process needs a FaceMesh of its own.
    """

    def __init__(self) -> None:
        self.detector = Network("face_detection_front.tflite")
        self.mesh = Network("face_landmark.tflite")
        self.anchors = _anchors()

    def detect(self, frame: np.ndarray) -> np.ndarray:
        """Return the faces in a frame uint8 (H, W, 3) RGB, largest first: float64 (N, 8, 2) px.

        The rows of a face are the lower and the upper corner of its box, then right eye, left eye,
        nose, mouth and both ears.
        """
        for level in _windows(*frame.shape[:2]):
            found = [self._detect(frame, *window) for window in level]
            candidates, scores = (np.concatenate(part) for part in zip(*found, strict=True))
            faces = _merge(candidates, scores)
            if len(faces):
                return faces
        return np.empty((0, 8, 2))

    def _detect(
        self, frame: np.ndarray, centre: np.ndarray, side: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return faces float64 (N, 8, 2) px in one square of a frame, and their logits (N,)."""
        matrix = _square(centre, side, 0.0, 128)
        image = _warp(frame, matrix, 128, cv2.BORDER_CONSTANT)
        boxes, logits = self.detector(image / 127.5 - 1)
        keep = logits.ravel() > np.log(DETECTION_SCORE / (1 - DETECTION_SCORE))
        points = boxes.reshape(-1, 8, 2)[keep].astype(np.float64)
        half = points[:, 1] / 2
        points[:, 2:] += 128 * self.anchors[keep, None]
        points[:, 0] += 128 * self.anchors[keep]
        points[:, 0], points[:, 1] = points[:, 0] - half, points[:, 0] + half
        points = _apply(cv2.invertAffineTransform(matrix), points - 0.5)
        valid = (points[:, 1] > points[:, 0]).all(1)
        return points[valid], logits.ravel()[keep][valid]

    def landmarks(self, frame: np.ndarray, roi: Roi) -> np.ndarray | None:
        """Return landmarks float64 (468, 2) px in a region of interest, None without a face."""
        matrix = _square(*roi, 192)
        image = _warp(frame, matrix, 192, cv2.BORDER_CONSTANT)
        points, flag = self.mesh(image / np.float32(255))
        if flag.item() <= np.log(MESH_SCORE / (1 - MESH_SCORE)):
            return None
        inside = points.reshape(N_LANDMARKS, 3)[:, :2].astype(np.float64) - 0.5
        return _apply(cv2.invertAffineTransform(matrix), inside)

    def track(self, frames: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray, int]:
        """Follow the largest face through `frames`, any iterable of uint8 (H, W, 3) RGB.

        Returns landmarks float32 (F, 468, 2) px, found bool (F,), and the number of faces when a
        face was first found. Frames without a face are interpolated when they are at most 10 % of
        all frames. Raises InputError when there are more of them, or when there is no face at all.
        """
        tracked: list[np.ndarray | None] = []
        n_faces, last = 0, None
        for frame in frames:
            followed = bool(tracked) and tracked[-1] is not None
            points = self.landmarks(frame, last) if followed and last is not None else None
            if points is None:
                points, count = self._search(frame, last)
                n_faces = n_faces or (count if points is not None else 0)
            if points is not None:
                last = _roi(points[list(EYE_CORNERS)], points)
            tracked.append(points)
        found = np.array([points is not None for points in tracked], bool)
        return _interpolate(tracked, found), found, n_faces

    def _search(self, frame: np.ndarray, last: Roi | None) -> tuple[np.ndarray | None, int]:
        """Return the landmarks of a face in a frame, or None, and the number of faces.

        The mesh runs twice. Its region then follows from landmarks, as in the later frames.
        """
        faces = self.detect(frame)
        if last is not None:  # after a loss the same person is wanted, not the largest face
            faces = faces[np.argsort(((faces[:, :2].mean(1) - last[0]) ** 2).sum(1), kind="stable")]
        for face in faces:
            points = self.landmarks(frame, _roi(face[2:4], face[:2]))
            if points is not None:
                points = self.landmarks(frame, _roi(points[list(EYE_CORNERS)], points))
            if points is not None:
                return points, len(faces)
        return None, len(faces)


def _roi(eyes: np.ndarray, points: np.ndarray) -> Roi:
    """Return the square around the box of `points`, rotated as the line between the eyes."""
    low, high = points.min(0), points.max(0)
    (dx, dy) = eyes[1] - eyes[0]
    return (low + high) / 2, ROI_SCALE * float((high - low).max()), float(np.arctan2(dy, dx))


def _merge(faces: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return one detection per face, largest first: the mean of its detections, weighted by score.

    This is the suppression of BlazeFace.
    """
    weights = 1 / (1 + np.exp(-scores))
    order, means = np.argsort(-scores, kind="stable"), []
    while len(order):
        same = _overlap(faces[order[0]], faces[order]) > OVERLAP
        group = order[same]
        means.append(np.average(faces[group], axis=0, weights=weights[group]))
        order = order[~same]
    merged = np.array(means).reshape(-1, 8, 2)
    return merged[np.argsort(-np.prod(merged[:, 1] - merged[:, 0], axis=1), kind="stable")]


def _overlap(face: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the intersection over union (N,) of the boxes of `face` and of `others` (N, 8, 2)."""
    sides = np.minimum(face[1], others[:, 1]) - np.maximum(face[0], others[:, 0])
    shared = np.prod(np.clip(sides, 0, None), axis=1)
    areas = np.prod(face[1] - face[0]) + np.prod(others[:, 1] - others[:, 0], axis=1)
    return shared / (areas - shared)


def _interpolate(tracked: Sequence[np.ndarray | None], found: np.ndarray) -> np.ndarray:
    """Return landmarks float32 (F, 468, 2): linear between found frames, constant at the ends."""
    n_frames = len(found)
    if not found.any():
        remedy = "give a video of a face at least 40 pixels wide"
        raise InputError(f"no face in any of {n_frames} frames: {remedy}")
    if (~found).mean() > MAX_MISSING:
        remedy = "cut the video to where the face is visible"
        raise InputError(f"a face in {found.sum()} of {n_frames} frames only: {remedy}")
    known = np.flatnonzero(found)
    values = np.stack([points for points in tracked if points is not None])
    right = np.clip(np.searchsorted(known, np.arange(len(found))), 0, len(known) - 1)
    left = np.where(known[right] > np.arange(len(found)), np.maximum(right - 1, 0), right)
    weight = (np.arange(len(found)) - known[left]) / np.maximum(known[right] - known[left], 1)
    weight = np.clip(weight, 0, 1)[:, None, None]
    return ((1 - weight) * values[left] + weight * values[right]).astype(np.float32)


def template(size: int) -> np.ndarray:
    """Return the stable landmarks of the canonical face in a size x size crop, float64 (11, 2)."""
    scale = (FACE_BOTTOM - FACE_TOP) * size / (BROW - CHIN)
    x = size / 2 + scale * CANONICAL[:, 1]
    y = FACE_TOP * size + scale * (BROW - CANONICAL[:, 2])
    return np.stack([x, y], 1) - 0.5


def similarity(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the similarities (F, 2, 3) from points (F, K, 2) to target (K, 2).

    They are the least-squares solutions of Umeyama (1991).
    """
    centre, goal = points.mean(1), target.mean(0)
    p, q = points - centre[:, None], target - goal
    norm = np.maximum((p**2).sum((1, 2)), 1e-12)
    a = (p * q).sum((1, 2)) / norm
    b = (p[..., 0] * q[:, 1] - p[..., 1] * q[:, 0]).sum(1) / norm
    turn = np.stack([np.stack([a, -b], 1), np.stack([b, a], 1)], 1)
    return np.concatenate([turn, (goal - np.einsum("fij,fj->fi", turn, centre))[..., None]], axis=2)


def align(
    frames: Iterable[np.ndarray], landmarks: np.ndarray, size: int = 96
) -> tuple[np.ndarray, np.ndarray]:
    """Return crops uint8 (F, size, size, 3) and matrices float32 (F, 2, 3) from frame to crop px.

    `frames` is any iterable of uint8 (H, W, 3) RGB, `landmarks` (F, 468, 2) px. The face from brows
    to chin fills 80 % of the crop.
    """
    stable = landmarks[:, STABLE].astype(np.float64)
    points = gaussian_filter1d(stable, SMOOTHING, axis=0, mode="nearest", truncate=3)
    matrices = similarity(points, template(size)).astype(np.float32)
    pairs = zip(frames, matrices, strict=True)
    return np.stack([_warp(frame, matrix, size) for frame, matrix in pairs]), matrices


def _warp(
    frame: np.ndarray, matrix: np.ndarray, size: int, border: int = cv2.BORDER_REPLICATE
) -> np.ndarray:
    """Return a size x size image of a frame under an affine map (2, 3).

    Where the face shrinks k times, each pixel is the mean of k x k samples: bilinear sampling alone
    would alias.
    """
    k = max(1, round(1 / float(np.hypot(*matrix[:, 0]))))
    fine = k * matrix.astype(np.float64)
    fine[:, 2] += (k - 1) / 2
    big = cv2.warpAffine(
        frame, fine, (k * size, k * size), flags=cv2.INTER_LINEAR, borderMode=border
    )
    return cv2.resize(big, (size, size), interpolation=cv2.INTER_AREA) if k > 1 else big
