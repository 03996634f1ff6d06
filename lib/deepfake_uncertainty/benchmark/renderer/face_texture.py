"""Textures of skin, hair, eyes and mouth in the (u, v) coordinates of the head."""

from typing import Any

import numpy as np

from deepfake_uncertainty.benchmark.renderer import skin
from deepfake_uncertainty.benchmark.renderer.head import (
    BROW_V,
    EYE_U,
    EYE_V,
    GAP,
    MOUTH,
    bump,
    grid,
    pair,
    step,
)
from deepfake_uncertainty.benchmark.renderer.skin import IRIS, SIZE, noise, optics, over


def below_mouth(v: np.ndarray) -> np.ndarray:
    """Return v without the mouth's interior: features below the lips then fit the surface."""
    return np.where(v < MOUTH, v, np.maximum(v - GAP, MOUTH))


def make_textures(
    person: dict[str, Any], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the texture float32 (S, S, 6) and the lids float32 (S, S, 4) of a person.

    Channels of the texture: linear RGB, pulsating haemoglobin, gloss, and 1 where the face is.
    Channels of the lids: RGB of the closed eye, and the closure at which it covers the texel (2
    where it never does).
    """
    u, v = (axis.astype(np.float32) for axis in grid(SIZE, SIZE, sparse=True))
    w = below_mouth(v)
    noises = noise(rng, 1.2), noise(rng, 8), noise(rng, 24)
    fine, middle, _ = noises
    strands = 1 + 0.3 * noise(rng, (6, 0.7)) + 0.12 * noise(rng, (20, 3))
    hair = skin.hair_colour(person).astype(np.float32) * np.clip(strands, 0.35, 1.9)[..., None]
    face, blood = draw_skin(person, u, w, noises, rng)
    face = draw_beard(draw_brows(face, person, u, w, hair), person, u, w, hair, fine)
    lids = over(face, 0.5 * pair(u, w, EYE_U, EYE_V + 0.05, 0.1, 0.008), [0.03, 0.02, 0.02])
    eyes, opening = draw_eyes(face, person, u, w)
    image, interior = draw_mouth(eyes, u, v)
    mask = skin.hair_mask(person, u, w, 0.8 * middle + 0.5 * noise(rng, (5, 1)))
    image = over(image, mask, hair)
    bare = (1 - mask) * (1 - interior) * (1 - opening)
    inside = (mask < 0.5) * (np.abs(u) < 1.25) * (w > -0.75) * (w < 1.12)
    ridges = 1 + 0.8 * bump(u, w, 0, 0, 0.12, 0.3) + 0.5 * bump(u, w, 0, -0.5, 0.4, 0.15)
    gloss = person["gloss"] * bare * ridges + 0.05 * mask + 0.25 * opening
    texture = np.dstack([np.clip(image, 0, 1), blood * bare * person["perfusion"], gloss, inside])
    level = np.where(opening > 0.02, np.clip((w - EYE_V + 0.07) / 0.13, 0, 0.95), 2.0)
    return texture.astype(np.float32), np.dstack([lids, level]).astype(np.float32)


def draw_skin(
    person: dict[str, Any],
    u: np.ndarray,
    v: np.ndarray,
    noises: tuple[np.ndarray, np.ndarray, np.ndarray],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return linear RGB (S, S, 3) of skin with lips and folds, and haemoglobin (S, S).

    `noises` are fine, middle and coarse, from `noise`.
    """
    fine, middle, coarse = noises
    freckles = skin.smooth(rng.random((SIZE, SIZE)) > 0.994, 0.9) * pair(u, v, 0.35, 0.1, 0.35, 0.2)
    shadow = pair(u, v, EYE_U, EYE_V + 0.1, 0.13, 0.04) * (0.06 + 0.1 * person["wrinkles"])
    tan = person["melanin"] * (1 + 0.06 * middle + 0.035 * fine + shadow)
    melanin = tan + 0.5 * person["freckles"] * freckles
    flush = 0.25 * pair(u, v, 0.5, 0.18, 0.22, 0.18) + 0.25 * bump(u, v, 0, 0.18, 0.12, 0.1)
    blood = person["haemoglobin"] * (1 + 0.08 * coarse + 0.05 * middle + flush)
    half = np.clip(1 - (u / 0.235) ** 2, 0, 1)
    image = optics(melanin, blood + person["lips"] * _lips(u, v, half))
    dark = person["wrinkles"] * _creases(u, v) + _hollows(u, v)
    image = image * (1 - np.clip(dark, 0, 0.85))[..., None]
    parting = 0.75 * np.exp(-(((v - MOUTH) / 0.008) ** 2)) * (half > 0)
    return over(image, parting, 0.15 * image), blood


def _lips(u: np.ndarray, v: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Return where the lips are, (S, S) in [0, 1]; `half` is 1 at their middle, 0 beyond them."""
    bow = 0.012 * np.cos(u * 26) * (np.abs(u) < 0.12)
    top = MOUTH - 0.065 * half**0.7 + bow
    bottom = MOUTH + 0.075 * half**0.6
    upper = step(v, top - 0.012, top + 0.012) * (v <= MOUTH)
    lower = (1 - step(v, bottom - 0.015, bottom + 0.015)) * (v >= MOUTH)
    return np.maximum(upper, lower) * (half > 0) * step(half, 0, 0.2)


def _creases(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the darkness of the folds beside the mouth and on the forehead, (S, S)."""
    fold = np.abs(u) - 0.17 - 0.35 * (v - 0.2)
    creases = 0.35 * np.exp(-((fold / 0.02) ** 2)) * step(v, 0.18, 0.3) * (1 - step(v, 0.4, 0.52))
    for line in (-0.46, -0.54, -0.62):
        depth = 0.25 * np.exp(-(((v - line - 0.03 * np.cos(3 * u)) / 0.012) ** 2))
        creases = creases + depth * (np.abs(u) < 0.5)
    return creases


def _hollows(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the darkness of nostrils, eye sockets, neck, chin and ears, (S, S)."""
    hollows = 0.45 * pair(u, v, 0.07, 0.275, 0.032, 0.014) + 0.2 * bump(u, v, 0, 0.3, 0.12, 0.02)
    hollows = hollows + 0.25 * pair(u, v, 0.3, EYE_V - 0.02, 0.17, 0.06) + 0.3 * step(v, 0.98, 1.25)
    chin = 0.12 * bump(u, v, 0, 0.62, 0.13, 0.025)
    return hollows + chin + 0.35 * pair(u, v, 1.62, 0.02, 0.035, 0.07)


def draw_brows(
    image: np.ndarray, person: dict[str, Any], u: np.ndarray, v: np.ndarray, hair: np.ndarray
) -> np.ndarray:
    """Return `image` with two brows, each a tapering arc."""
    t = (np.abs(u) - EYE_U) / 0.22
    inside = step(t, -1.05, -0.8) * (1 - step(t, 0.6, 1.1))
    centre = BROW_V + 0.01 - 0.045 * person["arch"] * (1 - (np.clip(t, -1, 1) - 0.25) ** 2)
    thick = 0.030 * person["brow"] * (1 - 0.45 * step(t, -0.2, 1.0))
    mask = inside * (1 - step(np.abs(v - centre), 0.5 * thick, 1.3 * thick))
    return over(image, 0.85 * mask, hair * 0.75)


def draw_beard(
    image: np.ndarray,
    person: dict[str, Any],
    u: np.ndarray,
    v: np.ndarray,
    hair: np.ndarray,
    fine: np.ndarray,
) -> np.ndarray:
    """Return `image` with stubble, a moustache, a full beard, or none; `fine` is noise (S, S)."""
    if person["beard"] == "none":
        return image
    lips = np.clip(1.3 * np.exp(-((u / 0.21) ** 4) - ((v - MOUTH) / 0.075) ** 4), 0, 1)
    moustache = step(v, 0.32, 0.37) * (1 - step(v, 0.5, 0.54)) * (1 - step(np.abs(u), 0.2, 0.28))
    cheek = 0.52 - 0.55 * step(np.abs(u), 0.35, 1.1)
    around = step(np.maximum(np.abs(u) / 0.25, v / 0.56), 0.9, 1.1)
    full = np.maximum(moustache, step(v, cheek - 0.06, cheek + 0.1) * around)
    full = full * (1 - 0.8 * step(np.abs(u), 1.25, 1.4))
    area = moustache if person["beard"] == "moustache" else full
    strength = 0.38 if person["beard"] == "stubble" else 0.88
    mask = strength * area * (1 - lips) * np.clip(0.85 + 0.18 * fine, 0, 1)
    return over(image, mask, hair * 0.8)


def draw_eyes(
    image: np.ndarray, person: dict[str, Any], u: np.ndarray, v: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return `image` with eyes, and where the eyes are, (S, S) in [0, 1]."""
    a = (np.abs(u) - EYE_U) / 0.15
    y = v - EYE_V + 0.008 * a
    height = np.where(y < 0, np.float32(0.064), np.float32(0.046)) * np.clip(1 - a * a, 0, 1) ** 0.6
    opening = step(height - np.abs(y), -0.006, 0.010) * (np.abs(a) < 1)
    eye = over(image, opening, [0.55, 0.52, 0.50])
    r = np.hypot(np.abs(u) - EYE_U, y * 1.05 + 0.006)
    eye = over(eye, opening * (1 - step(r, 0.052, 0.066)), IRIS[person["iris"]])
    eye = over(eye, opening * (1 - step(r, 0.022, 0.032)), [0.006] * 3)
    eye = over(eye, 0.45 * opening * (1 - step(y + height, 0.0, 0.028)), [0.02, 0.015, 0.015])
    glint = np.hypot(u - np.sign(u) * EYE_U + 0.018, y + 0.024)
    eye = over(eye, 0.8 * opening * (1 - step(glint, 0.005, 0.017)), [0.95] * 3)
    lash = np.exp(-(((y + height) / 0.011) ** 2)) * (np.abs(a) < 1.05)
    fold = 0.3 * np.exp(-(((y + height + 0.032) / 0.010) ** 2)) * (np.abs(a) < 0.95)
    return over(over(eye, 0.8 * lash, [0.012, 0.009, 0.009]), fold, 0.3 * image), opening


def draw_mouth(image: np.ndarray, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `image` with the mouth's interior, and where that is, (S, S) in [0, 1]."""
    depth, side = (v - MOUTH) / GAP, np.abs(u)
    rows = step(depth, -0.03, 0.05) * (1 - step(depth, 0.95, 1.03))
    interior = rows * (1 - step(side, 0.17, 0.2))
    image = over(image, interior, [0.035, 0.010, 0.010])
    gaps = 1 - 0.35 * np.exp(-(((side % 0.045 - 0.0225) / 0.005) ** 2))
    rows = step(depth, 0.05, 0.1) * (1 - step(depth, 0.34, 0.42))
    teeth = rows * (1 - step(side, 0.11, 0.15))
    enamel = np.array([0.58, 0.53, 0.45], np.float32)
    image = over(image, 0.92 * teeth, enamel * gaps[..., None])
    tongue = bump(u, depth, 0, 0.86, 0.07, 0.13)
    return over(image, 0.8 * tongue * interior, [0.22, 0.06, 0.06]), interior
