"""Shading: from the triangles of the head to a picture, with light, texture and what is behind."""

from typing import NamedTuple

import numpy as np
from numba import njit

from deepfake_uncertainty.pins import FASTMATH

# Samples per pixel along each side. Only every other one is used: soft outlines at half the cost.
OVERSAMPLE = 2


class Surface(NamedTuple):
    """The head in one frame, with N vertices and M triangles.

    Its textures come from `face_texture.make_textures`.
    """

    triangles: np.ndarray  # int32 (M, 3)
    normals: np.ndarray  # float32 (N, 3)
    coordinates: np.ndarray  # float32 (N, 2): position of each vertex in the textures, texels
    texture: np.ndarray  # float32 (S, S, 6)
    lids: np.ndarray  # float32 (S, S, 4)


class Lighting(NamedTuple):
    """The light of a scene, and the state of the skin in one frame."""

    direction: np.ndarray  # float32 (3,), of unit length, towards the light
    ambient: np.float32  # share of the light that comes from everywhere
    colour: np.ndarray  # float32 (3,)
    pulse: np.float32
    blink: np.float32  # closure of the lids in [0, 1]
    absorption: np.ndarray  # float32 (3,), of haemoglobin for R, G, B


@njit(inline="always")
def _bilinear(image, i, j, k, weights):
    """Return channel k of `image`, interpolated between the pixels (i, j) to (i + 1, j + 1)."""
    a, b, c, d = weights
    above = a * image[i, j, k] + b * image[i, j + 1, k]
    return above + c * image[i + 1, j, k] + d * image[i + 1, j + 1, k]


@njit(cache=True, nogil=True)
def sample(texture: np.ndarray, x: float, y: float, out: np.ndarray) -> None:
    """Read `texture` (S, S, C) at (x, y) texels by bilinear interpolation into `out` (C,)."""
    i, j, one = min(int(y), texture.shape[0] - 2), min(int(x), texture.shape[1] - 2), np.float32(1)
    s, t = np.float32(x - j), np.float32(y - i)
    weights = (one - s) * (one - t), s * (one - t), (one - s) * t, s * t
    # The compiler unrolls a loop of known length, and both textures have at least 4 channels.
    for k in range(4):
        out[k] = _bilinear(texture, i, j, k, weights)
    for k in range(4, texture.shape[2]):
        out[k] = _bilinear(texture, i, j, k, weights)


@njit(cache=True, nogil=True)
def close_lid(texel: np.ndarray, lid: np.ndarray, blink: np.float32) -> None:
    """Draw the eyelid `lid` (4,) over `texel` (6,) in place, at closure `blink` in [0, 1].

    Both are texels of `face_texture.make_textures`.
    """
    cover = min(max((blink - lid[3]) / np.float32(0.15), np.float32(0)), np.float32(1))
    for k in range(3):
        texel[k] += cover * (lid[k] - texel[k])
    texel[4] *= 1 - cover


@njit(inline="always")
def _interpolate(surface, triangle, p, q):
    """Return the normal x, y, z and the texture position x, y at barycentric weights p, q."""
    normals, coordinates = surface.normals, surface.coordinates
    corners = surface.triangles[triangle]
    a, b, c = corners[0], corners[1], corners[2]
    r = np.float32(1) - p - q
    nx = p * normals[a, 0] + q * normals[b, 0] + r * normals[c, 0]
    ny = p * normals[a, 1] + q * normals[b, 1] + r * normals[c, 1]
    nz = p * normals[a, 2] + q * normals[b, 2] + r * normals[c, 2]
    tx = p * coordinates[a, 0] + q * coordinates[b, 0] + r * coordinates[c, 0]
    ty = p * coordinates[a, 1] + q * coordinates[b, 1] + r * coordinates[c, 1]
    return nx, ny, nz, tx, ty


@njit(inline="always")
def _reflect(normal, direction, halfway, ambient, base, sky):
    """Return the light that the skin scatters, and the 4th power of the cosine for its gloss."""
    (nx, ny, nz), (hx, hy, hz), one, zero = normal, halfway, np.float32(1), np.float32(0)
    unit = one / (np.sqrt(nx * nx + ny * ny + nz * nz) + np.float32(1e-9))
    lambert = unit * (nx * direction[0] + ny * direction[1] + nz * direction[2])
    diffuse = (one - ambient) * max((lambert + np.float32(0.3)) / np.float32(1.3), zero)
    glint = max(unit * (nx * hx + ny * hy + nz * hz), zero) ** 4
    return base - sky * ny * unit + diffuse, glint


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def shade(
    index: np.ndarray, weights: np.ndarray, surface: Surface, lighting: Lighting
) -> tuple[np.ndarray, np.ndarray]:
    """Return the head as float32 (H, W, 4), and where its face is, bool (H, W).

    The channels are linear RGB (premultiplied) and coverage. `index` and `weights` come from
    `mesh.rasterise`.
    """
    size, one = index.shape[0] // OVERSAMPLE, np.float32(1)
    layer, hits = np.zeros((size, size, 4), np.float32), np.zeros((size, size), np.float32)
    texel, lid = np.empty(6, np.float32), np.empty(4, np.float32)
    direction, ambient, tint, pulse, blink, absorption = lighting
    hx, hy, hz = direction[0], direction[1], direction[2] + one
    hx, hy, hz = np.array([hx, hy, hz]) / np.sqrt(hx * hx + hy * hy + hz * hz)
    share = np.float32(2.0 / OVERSAMPLE**2)
    base, sky = np.float32(0.85) * ambient, np.float32(0.15) * ambient
    for y in range(index.shape[0]):
        for x in range(y % 2, index.shape[1], 2):
            if index[y, x] < 0:
                continue
            i, j, p, q = y // OVERSAMPLE, x // OVERSAMPLE, weights[y, x, 0], weights[y, x, 1]
            nx, ny, nz, tx, ty = _interpolate(surface, index[y, x], p, q)
            sample(surface.texture, tx, ty, texel)
            if blink > 0 and surface.lids[int(ty), int(tx), 3] < 1:
                sample(surface.lids, tx, ty, lid)
                close_lid(texel, lid, blink)
            lit, glint = _reflect((nx, ny, nz), direction, (hx, hy, hz), ambient, base, sky)
            shine = texel[4] * glint * (glint * glint) ** 2  # the 20th power
            for k in range(3):
                # One expression: as two, the compiler would round it in another order.
                layer[i, j, k] += (
                    share
                    * tint[k]
                    * (texel[k] * (one - texel[3] * pulse * absorption[k]) * lit + shine)
                )
            layer[i, j, 3] += share
            hits[i, j] += share * texel[5]
    return layer, hits > 0.5


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def compose(
    background: np.ndarray, body: np.ndarray, layer: np.ndarray, offset: np.ndarray
) -> np.ndarray:
    """Return the picture (H, W, 3) of the head `layer` over `body` over `background`.

    The body is moved by `offset` px. It moves as one, so one set of bilinear weights serves all
    pixels. It is not computed where the head is opaque.
    """
    size, image, one = background.shape[0], background.copy(), np.float32(1)
    margin = (body.shape[0] - size) / 2
    dx = min(max(margin - offset[0], 0), 2 * margin - 1)
    dy = min(max(margin - offset[1], 0), 2 * margin - 1)
    left, top = int(dx), int(dy)
    s, t = np.float32(dx - left), np.float32(dy - top)
    weights = (one - s) * (one - t), s * (one - t), (one - s) * t, s * t
    for y in range(size):
        i = y + top
        for x in range(size):
            behind, j = one - layer[y, x, 3], x + left
            if behind > 0:
                cover = _bilinear(body, i, j, 3, weights)
                for k in range(3):
                    cloth = _bilinear(body, i, j, k, weights)
                    mixed = image[y, x, k] * (one - cover) + cloth * cover
                    image[y, x, k] = layer[y, x, k] + behind * mixed
            else:
                for k in range(3):
                    image[y, x, k] = layer[y, x, k]
    return image
