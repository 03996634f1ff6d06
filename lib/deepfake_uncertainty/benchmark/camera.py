"""Scene and camera: light, background, shoulders, optics and sensor."""

from functools import cache

import cv2
import numpy as np
from numba import njit
from scipy.ndimage import gaussian_filter
from scipy.special import ndtri

from deepfake_uncertainty.benchmark.head import step
from deepfake_uncertainty.benchmark.skin import hair_colour, optics

GAMMA = 1 / 2.2
FOCAL = 5.0  # Distance of the camera in head radii.
MARGIN = 0.25  # Canvases are this much larger than the frame on every side, as they move.


def light(rng):
    """Return one light: dict of direction (3,) unit, ambient and colour (3,)."""
    direction = np.array([rng.uniform(-0.7, 0.7), rng.uniform(-0.8, -0.3), rng.uniform(0.7, 1.0)])
    warmth = rng.uniform(-0.05, 0.05)
    tint = np.array([1 + warmth, 1.0, 1 - warmth])
    ambient, power = float(rng.uniform(0.4, 0.65)), rng.uniform(0.85, 1.05)
    return dict(direction=(direction / np.linalg.norm(direction)).astype(np.float32),
                ambient=ambient,
                colour=(tint * power).astype(np.float32))  # fmt: skip


def sensor(rng):
    """Return one camera: dict of blur (px), well (electrons at white) and read noise (share of white)."""
    return dict(blur=float(rng.uniform(0.35, 0.65)), well=float(rng.uniform(4000, 10000)),
                read=float(rng.uniform(0.001, 0.003)))  # fmt: skip


def muted(rng):
    """Return a muted linear RGB colour (3,) of walls and furniture."""
    grey = rng.uniform(0.04, 0.5)
    return np.clip(grey * (1 + rng.uniform(0.0, 0.22) * rng.uniform(-1, 1, 3)), 0.01, 0.8)


def room(rng, size):
    """Return an out-of-focus indoor background, linear RGB (size, size, 3) float32."""
    y, x = np.mgrid[0:size, 0:size] / size
    image = muted(rng) * (1 + rng.uniform(-0.4, 0.4) * x + rng.uniform(-0.4, 0.4) * y)[..., None]
    for _ in range(rng.integers(1, 6)):  # Doors, shelves, pictures, windows.
        left, top = rng.uniform(-0.2, 0.9), rng.uniform(-0.2, 0.7)
        inside = (x > left) & (x < left + rng.uniform(0.1, 0.4)) & (y > top) & (y < top + rng.uniform(0.15, 0.8))
        image[inside] = muted(rng)
    image = gaussian_filter(image, (*(size * rng.uniform(0.015, 0.05),) * 2, 0))
    lamp = np.exp(-((x - rng.random()) ** 2 + (y - rng.uniform(0, 0.4)) ** 2) / 0.05) * rng.uniform(0, 0.25)
    return (image + lamp[..., None]).astype(np.float32)


def body(rng, person, shape, size, scale):
    """Return neck, shoulders and the hair behind them as a canvas (C, C, 4) of linear RGB and coverage, float32.

    The canvas is the frame of `size` px grown by `MARGIN`, its head's centre in the middle, `scale` px a head radius.
    """
    count = round(size * (1 + 2 * MARGIN))
    axis = (np.arange(count) - (count - 1) / 2) / scale
    x, y = np.meshgrid(axis, axis)
    canvas = np.zeros((count, count, 4))
    for colour, outside in (long_hair(person, shape, x, y), neck(person, shape, x, y), clothes(rng, x, y)):
        mask = 1 - step(outside, -1.0 / scale, 1.0 / scale)
        canvas[..., :3] = canvas[..., :3] * (1 - mask[..., None]) + colour * mask[..., None]
        canvas[..., 3] = np.maximum(canvas[..., 3], mask)
    return canvas.astype(np.float32)


def long_hair(person, shape, x, y):
    """Return (linear RGB (C, C, 3), distance outside (C, C)) of the hair that hangs behind the head."""
    length = {"bob": 1.15, "long": 1.75}.get(person["style"], -9)
    width = (0.80 + 0.10 * step(y, -0.2, 0.9)) * shape["width"]
    strands = 0.7 + 0.12 * (np.sin(31 * x + 3 * np.sin(2 * y)) + np.sin(19 * x - 2 * np.sin(3 * y + 1)))
    top = np.where(y < 0, np.hypot(x / 0.85, y / 1.0) - 1, -9)
    return hair_colour(person) * strands[..., None], np.maximum.reduce(
        [np.abs(x) - width, y - length + 0.5 * x**2, top]
    )


def neck(person, shape, x, y):
    """Return (linear RGB, distance outside) of the neck, darker in the shadow of the chin."""
    skin = optics(person["melanin"], person["haemoglobin"]) * (0.5 - 0.22 * (1 - step(y, 0.85, 1.35)))[..., None]
    round_off = np.sqrt(np.clip(1 - (x / 0.75) ** 2, 0.2, 1))[..., None]
    return skin * round_off, np.maximum(np.abs(x) - 0.44 * shape["width"] - 0.3 * step(y, 1.1, 1.6), 0.3 - y)


def clothes(rng, x, y):
    """Return (linear RGB, distance outside) of shoulders in a plain or striped garment with a round or V neck."""
    colour = muted(rng) * np.clip(1 + 0.6 * rng.uniform(-1, 1, 3), 0.3, 1.7)
    stripes = 1 - (rng.random() < 0.3) * 0.35 * step(np.sin(y * rng.uniform(25, 40)), -0.3, 0.3)
    shade = (0.75 - 0.25 * np.abs(x) / 2) * stripes
    depth, point = rng.uniform(0.08, 0.3), rng.uniform(1, 2)
    collar = depth * np.clip(1 - (np.abs(x) / 0.6) ** point, 0, 1)
    return colour * shade[..., None], 1.24 + collar + 0.3 * step(np.abs(x), 0.5, 1.5) + 0.08 * x**2 - y


def expose(rng, image, lens):
    """Return the 8-bit picture of linear `image` (H, W, 3): blur, sensor noise, gamma; `lens` from `sensor`."""
    image = cv2.GaussianBlur(image, (0, 0), lens["blur"])
    draws = rng.integers(0, 2**64, -(-image.size // 4), np.uint64).astype("<u8").view("<u2")  # Four deviates a draw.
    noise = grain(draws[: image.size], quantiles()).reshape(image.shape)
    return develop(image, noise, np.float32(1 / lens["well"]), np.float32(lens["read"] ** 2), gamma_table())


@cache
def quantiles():
    """Return the normal deviate of each 16-bit draw, (65536,) float32 of unit variance: the quantiles (k + 1/2) / 65536.

    A look-up costs a tenth of Generator.standard_normal; it ends at 4.3 standard deviations.
    """
    values = ndtri((np.arange(65536) + 0.5) / 65536)
    return (values / values.std()).astype(np.float32)


@njit(cache=True, nogil=True)
def grain(draws, table):
    """Return the deviates (N,) float32 of 16-bit draws (N,) by `table` from `quantiles`."""
    out = np.empty(draws.size, np.float32)
    for i in range(draws.size):
        out[i] = table[draws[i]]
    return out


@cache
def gamma_table():
    """Return the 8-bit value of each 16-bit linear level, (65536,) uint8."""
    return np.uint8(255 * np.linspace(0, 1, 65536) ** GAMMA + 0.5)


@njit(cache=True, nogil=True, fastmath=True)
def develop(image, grain, photon, read, table):
    """Add noise of variance photon * level + read, apply gamma from `table` and round to uint8 (H, W, 3)."""
    out, zero, one = np.empty(image.shape, np.uint8), np.float32(0), np.float32(1)
    levels, deviates, values = image.reshape(-1), grain.reshape(-1), out.reshape(-1)
    for i in range(levels.size):
        level = levels[i]
        level += deviates[i] * np.sqrt(photon * max(level, zero) + read)
        values[i] = table[np.int32(min(max(level, zero), one) * np.float32(65535) + np.float32(0.5))]
    return out
