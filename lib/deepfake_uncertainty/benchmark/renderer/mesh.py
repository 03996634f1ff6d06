"""The head's mesh: deformation, rotation, projection, normals and rasterisation."""

import numpy as np
from numba import njit

from deepfake_uncertainty.benchmark.renderer import camera, head
from deepfake_uncertainty.pins import FASTMATH

CENTRE = 0.48  # height of the head's centre in the frame, as a share of the frame


def triangles() -> np.ndarray:
    """Return the triangles of the head's mesh, int32 (M, 3) flat vertex indices.

    The two triangles of a cell follow each other.
    """
    index = np.arange(head.ROWS * head.COLUMNS, dtype=np.int32).reshape(head.ROWS, head.COLUMNS)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    return np.stack([np.stack([a, b, c], -1), np.stack([b, d, c], -1)], 2).reshape(-1, 3)


def texture_coordinates(side: int) -> np.ndarray:
    """Return the position of each vertex in a texture of `side` texels, float32 (N, 2) x, y."""
    x, y = np.meshgrid(np.linspace(0, side - 1, head.COLUMNS), np.linspace(0, side - 1, head.ROWS))
    return np.stack([x.ravel(), y.ravel()], 1).astype(np.float32)


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Return the matrix (3, 3) that turns the head by yaw, pitch and roll in radians."""
    (cy, cp, cr), (sy, sp, sr) = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
    around_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    around_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    around_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    return around_z @ around_x @ around_y


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def rotate(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return points (N, 3) multiplied by `matrix` (3, 3); BLAS is slow for such narrow products."""
    out = np.empty_like(points)
    for k in range(points.shape[0]):
        x, y, z = points[k, 0], points[k, 1], points[k, 2]
        for i in range(3):
            out[k, i] = matrix[i, 0] * x + matrix[i, 1] * y + matrix[i, 2] * z
    return out


@njit(cache=True, nogil=True)
def project(world: np.ndarray, shift: np.ndarray, size: int, scale: float) -> np.ndarray:
    """Return pixel coordinates and depth float32 (N, 3) of points `world` (N, 3).

    The projection is perspective; a small depth is near. `shift` (2,) is in head radii, `scale`
    is px per head radius.
    """
    out = np.empty(world.shape, np.float32)
    focal = np.float32(camera.FOCAL)
    for k in range(world.shape[0]):
        near = focal / (focal - world[k, 2])
        out[k, 0] = (world[k, 0] + shift[0]) * near * scale + 0.5 * size
        out[k, 1] = (world[k, 1] + shift[1]) * near * scale + CENTRE * size
        out[k, 2] = -world[k, 2]
    return out


@njit(cache=True, nogil=True)
def deform(surface: np.ndarray, moves: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return `surface` (R, C, 3) plus the expressions `moves` (E, R, C, 3) times `weights` (E,)."""
    out = np.zeros(surface.shape, np.float32)
    for e in range(moves.shape[0]):
        for k in range(surface.size):
            out.flat[k] += weights[e] * moves[e].flat[k]
    for k in range(surface.size):
        out.flat[k] += surface.flat[k]
    return out


@njit(cache=True, nogil=True)
def mesh_normals(vertices: np.ndarray) -> np.ndarray:
    """Return outward unit normals (R * C, 3) by central differences over the mesh (R, C, 3)."""
    rows, columns, _ = vertices.shape
    out = np.empty((rows * columns, 3), np.float32)
    for i in range(rows):
        top, bottom = max(i - 1, 0), min(i + 1, rows - 1)
        for j in range(columns):
            left, right = max(j - 1, 0), min(j + 1, columns - 1)
            px = vertices[i, right, 0] - vertices[i, left, 0]
            py = vertices[i, right, 1] - vertices[i, left, 1]
            pz = vertices[i, right, 2] - vertices[i, left, 2]
            qx = vertices[bottom, j, 0] - vertices[top, j, 0]
            qy = vertices[bottom, j, 1] - vertices[top, j, 1]
            qz = vertices[bottom, j, 2] - vertices[top, j, 2]
            x, y, z = py * qz - pz * qy, pz * qx - px * qz, px * qy - py * qx
            norm = np.sqrt(x * x + y * y + z * z) + np.float32(1e-9)
            k = i * columns + j
            out[k, 0], out[k, 1], out[k, 2] = x / norm, y / norm, z / norm
    return out


@njit(cache=True, nogil=True)
def rasterise(
    pixels: np.ndarray, triangles: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest triangle int32 (size, size), -1 for none, and its barycentric weights.

    `pixels` (N, 3) comes from `project`. Weights are (size, size, 2), set where there is a
    triangle. Samples lie on a checkerboard (x + y even).
    """
    depth = np.full((size, size), np.float32(1e9))
    index = np.full((size, size), np.int32(-1))
    weights = np.empty((size, size, 2), np.float32)
    for k in range(triangles.shape[0]):
        a, b, c = triangles[k, 0], triangles[k, 1], triangles[k, 2]
        ax, ay, bx, by = pixels[a, 0], pixels[a, 1], pixels[b, 0], pixels[b, 1]
        cx, cy = pixels[c, 0], pixels[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area <= 1e-6:  # faces away from the camera
            continue
        low, high = min(min(ay, by), cy), max(max(ay, by), cy)
        top, bottom = max(int(np.ceil(low)), 0), min(int(high), size - 1)
        if top > bottom:
            continue
        low, high = min(min(ax, bx), cx), max(max(ax, bx), cx)
        left, right = max(int(np.ceil(low)), 0), min(int(high), size - 1)
        for y in range(top, bottom + 1):
            for x in range(left + (left + y) % 2, right + 1, 2):
                p = (bx - x) * (cy - y) - (by - y) * (cx - x)
                q = (cx - x) * (ay - y) - (cy - y) * (ax - x)
                r = area - p - q
                if p >= 0 and q >= 0 and r >= 0:
                    p, q, r = p / area, q / area, r / area
                    z = p * pixels[a, 2] + q * pixels[b, 2] + r * pixels[c, 2]
                    if z < depth[y, x]:
                        depth[y, x], index[y, x] = z, k
                        weights[y, x, 0], weights[y, x, 1] = p, q
    return index, weights
