"""The canonical face: aligned faces unwrapped to one chart by found landmarks, and sampled back at any geometry."""

import functools

import numpy as np

from deepfake_uncertainty.benchmark.generators import base


@functools.cache
def _triangles(key):
    return base.triangulate(np.frombuffer(key, np.float32).reshape(-1, 2))


def triangles(chart):
    """Return the triangles int32 (M, 3) of a chart (468, 2)."""
    return _triangles(np.ascontiguousarray(chart, np.float32).tobytes())


def chart_of(clips):
    """Return the mean face (468, 2) of `Aligned` clips: their common chart, px of a 64 x 64 texture."""
    return np.mean([clip.points.mean(0) for clip in clips], 0).astype(np.float32)


def unwrap(clip, picked, chart):
    """Return the faces of frames `picked` (N,) on the chart (468, 2): uint8 (N, 64, 64, 3), black off the face."""
    charted = []
    for t in picked:
        face, covered = base.warp(clip.faces[t], clip.points[t], chart, triangles(chart))
        charted.append(face * covered[..., None])
    return np.stack(charted)


def sample(texture, chart, points):
    """Return a texture uint8 (64, 64, 3) on the chart (468, 2) as it looks at landmarks (468, 2), and where (64, 64) bool."""
    face, covered = base.warp(texture, chart, points, triangles(chart))
    return face * covered[..., None], covered
