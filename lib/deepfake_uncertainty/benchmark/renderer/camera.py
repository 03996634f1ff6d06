"""Scene and camera: light, background, shoulders, optics and sensor."""

from functools import cache
from typing import Any

import cv2
import numpy as np
from numba import njit
from scipy.ndimage import gaussian_filter
from scipy.special import ndtri

from deepfake_uncertainty.benchmark.renderer.head import step
from deepfake_uncertainty.benchmark.renderer.skin import hair_colour, optics
from deepfake_uncertainty.pins import FASTMATH

GAMMA = 1 / 2.2
FOCAL = 5.0  # distance of the camera in head radii
MARGIN = 0.25  # share of the frame that the body's canvas extends beyond every side, as it moves
# A part of the body: its linear RGB, and the signed distance from its outline, in head radii.
Part = tuple[np.ndarray, np.ndarray]


def light(rng: np.random.Generator) -> dict[str, Any]:
    """Return one light: dict of direction (3,) of unit length, ambient and colour (3,)."""
    direction = np.array([rng.uniform(-0.7, 0.7), rng.uniform(-0.8, -0.3), rng.uniform(0.7, 1.0)])
    warmth = rng.uniform(-0.05, 0.05)
    tint = np.array([1 + warmth, 1.0, 1 - warmth])
    ambient, power = float(rng.uniform(0.4, 0.65)), rng.uniform(0.85, 1.05)
    return dict(
        direction=(direction / np.linalg.norm(direction)).astype(np.float32),
        ambient=ambient,
        colour=(tint * power).astype(np.float32),
    )


def sensor(rng: np.random.Generator) -> dict[str, float]:
    """Return one camera as a dict.

    blur: px. well: electrons at white. read: read noise as a share of white.
    """
    return dict(
        blur=float(rng.uniform(0.35, 0.65)),
        well=float(rng.uniform(4000, 10000)),
        read=float(rng.uniform(0.001, 0.003)),
    )


def muted_colour(rng: np.random.Generator) -> np.ndarray:
    """Return a colour of low saturation, as of walls and furniture: linear RGB (3,)."""
    grey = rng.uniform(0.04, 0.5)
    return np.clip(grey * (1 + rng.uniform(0.0, 0.22) * rng.uniform(-1, 1, 3)), 0.01, 0.8)


def background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return an out-of-focus indoor background, linear RGB float32 (size, size, 3)."""
    y, x = np.mgrid[0:size, 0:size] / size
    wall = muted_colour(rng)
    image = wall * (1 + rng.uniform(-0.4, 0.4) * x + rng.uniform(-0.4, 0.4) * y)[..., None]
    for _ in range(rng.integers(1, 6)):  # doors, shelves, pictures, windows
        left, top = rng.uniform(-0.2, 0.9), rng.uniform(-0.2, 0.7)
        across = (x > left) & (x < left + rng.uniform(0.1, 0.4))
        down = (y > top) & (y < top + rng.uniform(0.15, 0.8))
        image[across & down] = muted_colour(rng)
    image = gaussian_filter(image, (*(size * rng.uniform(0.015, 0.05),) * 2, 0))
    distance = (x - rng.random()) ** 2 + (y - rng.uniform(0, 0.4)) ** 2
    lamp = np.exp(-distance / 0.05) * rng.uniform(0, 0.25)
    return (image + lamp[..., None]).astype(np.float32)


def body(
    rng: np.random.Generator,
    person: dict[str, Any],
    shape: dict[str, float],
    size: int,
    scale: float,
) -> np.ndarray:
    """Return neck, shoulders and long hair: a canvas float32 (C, C, 4) of linear RGB and coverage.

    The canvas is the frame of `size` px, extended by `MARGIN`, with the head's centre in the
    middle. `scale` is px per head radius.
    """
    count = round(size * (1 + 2 * MARGIN))
    axis = (np.arange(count) - (count - 1) / 2) / scale
    x, y = np.meshgrid(axis, axis)
    canvas = np.zeros((count, count, 4))
    hair, skin = long_hair(person, shape, x, y), neck(person, shape, x, y)
    for colour, distance in (hair, skin, shoulders(rng, x, y)):  # from back to front
        mask = 1 - step(distance, -1.0 / scale, 1.0 / scale)
        canvas[..., :3] = canvas[..., :3] * (1 - mask[..., None]) + colour * mask[..., None]
        canvas[..., 3] = np.maximum(canvas[..., 3], mask)
    return canvas.astype(np.float32)


def long_hair(
    person: dict[str, Any], shape: dict[str, float], x: np.ndarray, y: np.ndarray
) -> Part:
    """Return the `Part` of the hair that hangs behind the head."""
    length = {"bob": 1.15, "long": 1.75}.get(person["style"], -9)
    width = (0.80 + 0.10 * step(y, -0.2, 0.9)) * shape["width"]
    waves = np.sin(31 * x + 3 * np.sin(2 * y)) + np.sin(19 * x - 2 * np.sin(3 * y + 1))
    strands = 0.7 + 0.12 * waves
    top = np.where(y < 0, np.hypot(x / 0.85, y / 1.0) - 1, -9)
    distance = np.maximum.reduce([np.abs(x) - width, y - length + 0.5 * x**2, top])
    return hair_colour(person) * strands[..., None], distance


def neck(person: dict[str, Any], shape: dict[str, float], x: np.ndarray, y: np.ndarray) -> Part:
    """Return the `Part` of the neck, darker in the shadow of the chin."""
    shadow = (0.5 - 0.22 * (1 - step(y, 0.85, 1.35)))[..., None]
    skin = optics(person["melanin"], person["haemoglobin"]) * shadow
    round_off = np.sqrt(np.clip(1 - (x / 0.75) ** 2, 0.2, 1))[..., None]
    side = np.abs(x) - 0.44 * shape["width"] - 0.3 * step(y, 1.1, 1.6)
    return skin * round_off, np.maximum(side, 0.3 - y)


def shoulders(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> Part:
    """Return the `Part` of shoulders in a plain or striped garment with a round or V neck."""
    colour = muted_colour(rng) * np.clip(1 + 0.6 * rng.uniform(-1, 1, 3), 0.3, 1.7)
    stripes = 1 - (rng.random() < 0.3) * 0.35 * step(np.sin(y * rng.uniform(25, 40)), -0.3, 0.3)
    shade = (0.75 - 0.25 * np.abs(x) / 2) * stripes
    depth, point = rng.uniform(0.08, 0.3), rng.uniform(1, 2)
    collar = depth * np.clip(1 - (np.abs(x) / 0.6) ** point, 0, 1)
    edge = 1.24 + collar + 0.3 * step(np.abs(x), 0.5, 1.5) + 0.08 * x**2
    return colour * shade[..., None], edge - y


def expose(rng: np.random.Generator, image: np.ndarray, lens: dict[str, float]) -> np.ndarray:
    """Return the picture uint8 (H, W, 3) of linear `image` (H, W, 3): blur, sensor noise, gamma.

    `lens` comes from `sensor`.
    """
    image = cv2.GaussianBlur(image, (0, 0), lens["blur"])
    # One 64-bit draw gives four 16-bit draws.
    draws = rng.integers(0, 2**64, -(-image.size // 4), np.uint64).astype("<u8").view("<u2")
    noise = normal_deviates(draws[: image.size], normal_quantiles()).reshape(image.shape)
    photon, read = np.float32(1 / lens["well"]), np.float32(lens["read"] ** 2)
    return develop(image, noise, photon, read, gamma_table())


@cache
def normal_quantiles() -> np.ndarray:
    """Return the normal deviate of each 16-bit draw: the quantiles (k + 1/2) / 65536.

    The result is float32 (65536,), scaled to unit variance. A look-up costs a tenth of
    Generator.standard_normal. The largest deviate is 4.3 standard deviations.
    """
    values = ndtri((np.arange(65536) + 0.5) / 65536)
    return (values / values.std()).astype(np.float32)


@njit(cache=True, nogil=True)
def normal_deviates(draws: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return the deviates float32 (N,) of 16-bit draws (N,); `table` is `normal_quantiles()`."""
    out = np.empty(draws.size, np.float32)
    for i in range(draws.size):
        out[i] = table[draws[i]]
    return out


@cache
def gamma_table() -> np.ndarray:
    """Return the 8-bit value of each 16-bit linear level, uint8 (65536,)."""
    return (255 * np.linspace(0, 1, 65536) ** GAMMA + 0.5).astype(np.uint8)


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def develop(
    image: np.ndarray, noise: np.ndarray, photon: np.float32, read: np.float32, table: np.ndarray
) -> np.ndarray:
    """Return the picture uint8 (H, W, 3) of linear `image` (H, W, 3) with `noise` and gamma.

    `noise` has unit variance and is scaled to the variance photon * level + read. `table` is
    `gamma_table()`.
    """
    out, zero, one = np.empty(image.shape, np.uint8), np.float32(0), np.float32(1)
    levels, deviates, values = image.reshape(-1), noise.reshape(-1), out.reshape(-1)
    for i in range(levels.size):
        level = levels[i]
        level += deviates[i] * np.sqrt(photon * max(level, zero) + read)
        clipped = min(max(level, zero), one)
        values[i] = table[np.int32(clipped * np.float32(65535) + np.float32(0.5))]
    return out
