"""Canonical faces: aligned faces unwrapped to common landmarks, and sampled back at any landmarks.

A chart is the set of landmarks (468, 2) at which all faces have the same geometry, in px of a
64 x 64 texture.
"""

import functools
from collections.abc import Iterable, Sequence

import numpy as np

from deepfake_uncertainty.benchmark.generators import base
from deepfake_uncertainty.benchmark.generators.aligned import Aligned


@functools.cache
def _triangles(key: bytes) -> np.ndarray:
    return base.triangulate(np.frombuffer(key, np.float32).reshape(-1, 2))


def triangles(chart: np.ndarray) -> np.ndarray:
    """Return the triangles int32 (M, 3) of a chart (468, 2)."""
    return _triangles(np.ascontiguousarray(chart, np.float32).tobytes())


def chart_of(clips: Sequence[Aligned]) -> np.ndarray:
    """Return the chart float32 (468, 2) of clips: their mean face."""
    return np.mean([clip.points.mean(0) for clip in clips], 0).astype(np.float32)


def unwrap(clip: Aligned, picked: Iterable[int], chart: np.ndarray) -> np.ndarray:
    """Return the faces of frames `picked` (N,) on the chart, uint8 (N, 64, 64, 3).

    They are black outside the face.
    """
    charted = []
    for t in picked:
        face, covered = base.warp(clip.faces[t], clip.points[t], chart, triangles(chart))
        charted.append(face * covered[..., None])
    return np.stack(charted)


def sample(
    texture: np.ndarray, chart: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return `texture` uint8 (64, 64, 3) at landmarks `points` (468, 2), and the covered pixels.

    The texture lies on the chart (468, 2); the second result is bool (64, 64).
    """
    face, covered = base.warp(texture, chart, points, triangles(chart))
    return face * covered[..., None], covered
