"""The look of a person: skin, hair and eyes, and how colours are composited in a texture."""

from typing import Any

import cv2
import numpy as np
from numba import njit
from scipy.ndimage import gaussian_filter

from deepfake_uncertainty.benchmark.renderer.head import COLUMNS, ROWS, grid, pair, step

SIZE = 256  # texels per side of the textures, S below
# Absorption for R, G, B per unit of melanin and haemoglobin (shape of the spectra: Jacques 2013),
# and the reflectance of the dermis without blood.
MELANIN = np.array([1.20, 1.60, 1.85], np.float32)
HAEMOGLOBIN = np.array([0.25, 1.25, 0.85], np.float32)
DERMIS = np.array([0.92, 0.82, 0.70], np.float32)
TONES = (0.04, 0.14, 0.28, 0.46, 0.70, 1.05, 1.55)  # edges of melanin for tones 1 to 6
# Amplitude of the visible haemoglobin, as a share of its mean, per standard deviation of the
# pulse. It changes the green of the 8-bit picture by 0.4 to 1.5 % peak to peak (median 0.85 %:
# about one level), as found on resting faces (Verkruysse 2008). Nobody sees it. H.264 at CRF 23
# keeps it, but erased an amplitude of half that size.
PERFUSION = 0.015, 0.025
HAIR = dict(black=(0.012, 0.010, 0.010), brown=(0.06, 0.032, 0.018), chestnut=(0.12, 0.055, 0.028),
            blond=(0.42, 0.29, 0.14), red=(0.26, 0.085, 0.03))  # fmt: skip
IRIS = dict(brown=(0.06, 0.03, 0.015), hazel=(0.14, 0.10, 0.04),
            blue=(0.14, 0.25, 0.36), green=(0.12, 0.20, 0.11))  # fmt: skip
GREY = np.array([0.42, 0.42, 0.43])
BEARDS = ("none", "stubble", "moustache", "full")
# {name: (v of the hairline at the centre, v of its lower end at the sides, volume)}
STYLES = dict(
    bald=(-9, -9, 0.0),
    receding=(-1.0, 0.0, 0.03),
    crop=(-0.72, 0.02, 0.04),
    short=(-0.66, 0.08, 0.10),
    fringe=(-0.44, 0.3, 0.11),
    bob=(-0.64, 0.95, 0.14),
    long=(-0.70, 1.4, 0.15),
)


def appearance(rng: np.random.Generator, tone: int, age: float) -> dict[str, Any]:
    """Return the colours and the hair of one person as a dict.

    `tone` is a skin tone 1 to 6, similar to Fitzpatrick's; `age` is in years.
    """
    dark = tone >= 4
    hair_shares = (0.75, 0.2, 0.05, 0, 0) if dark else (0.12, 0.28, 0.2, 0.28, 0.12)
    iris_shares = (0.9, 0.1, 0, 0) if dark else (0.35, 0.15, 0.35, 0.15)
    hair = rng.choice(list(HAIR), p=hair_shares)
    style = rng.choice(list(STYLES), p=(0.10, 0.10, 0.20, 0.20, 0.10, 0.12, 0.18))
    masculine = style in ("bald", "receding", "crop") or (style == "short" and rng.random() < 0.6)
    return dict(
        melanin=float(rng.uniform(TONES[tone - 1], TONES[tone])),
        haemoglobin=float(rng.uniform(0.15, 0.30)),
        hair=str(hair),
        iris=str(rng.choice(list(IRIS), p=iris_shares)),
        grey=_grey_share(rng, age),
        style=str(style),
        hairline=float(0.05 * rng.standard_normal()),
        part=float(rng.uniform(-0.12, 0.12)),
        brow=float(rng.uniform(0.7, 1.4) if masculine else rng.uniform(0.45, 0.9)),
        arch=float(rng.uniform(0.1, 1.2)),
        beard=str(rng.choice(BEARDS, p=(0.4, 0.25, 0.1, 0.25)) if masculine else "none"),
        lips=float(rng.uniform(0.25, 0.5) if masculine else rng.uniform(0.4, 0.95)),
        freckles=float(max(0, rng.standard_normal()) if tone <= 3 else 0),
        perfusion=float(rng.uniform(*PERFUSION)),
        wrinkles=float(np.clip((age - 30) / 40, 0, 1)),
        gloss=float(rng.uniform(0.02, 0.07)),
    )


def _grey_share(rng: np.random.Generator, age: float) -> float:
    if age <= 35:
        return 0.0
    return float(np.clip((age - 52) / 25 + 0.25 * rng.standard_normal(), 0, 1))


def smooth(field: np.ndarray, sigma: Any) -> np.ndarray:
    """Return `field` (S, S) as float32, smoothed by a Gaussian and mirrored at its borders.

    `sigma` is in texels: one number, or one for rows and one for columns.
    """
    down, across = np.broadcast_to(np.asarray(sigma, float), 2)
    sides = [2 * int(4 * s + 0.5) + 1 for s in (across, down)]
    values = field.astype(np.float32)
    return cv2.GaussianBlur(values, sides, across, sigmaY=down, borderType=cv2.BORDER_REFLECT)


def noise(rng: np.random.Generator, sigma: Any) -> np.ndarray:
    """Return Gaussian noise (S, S) of unit standard deviation, smoothed as by `smooth`."""
    field = smooth(rng.standard_normal((SIZE, SIZE)), sigma)
    return field / field.std()


def over(image: np.ndarray, mask: np.ndarray, colour: Any) -> np.ndarray:
    """Return `image` float32 (S, S, 3) with `colour` composited over it, with `mask` as alpha.

    `colour` is (3,) or (S, S, 3); `mask` (S, S) is clipped to [0, 1].
    """
    colours = np.broadcast_to(np.asarray(colour, np.float32), image.shape)
    return _over(image, mask.astype(np.float32), colours)


@njit(cache=True, nogil=True)
def _over(image, mask, colour):
    out = np.empty_like(image)
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            cover = min(max(mask[i, j], np.float32(0)), np.float32(1))
            for k in range(3):
                out[i, j, k] = image[i, j, k] + cover * (colour[i, j, k] - image[i, j, k])
    return out


def hair_mask(
    person: dict[str, Any], u: np.ndarray, v: np.ndarray, wobble: np.ndarray | float = 0.0
) -> np.ndarray:
    """Return where hair grows, in [0, 1], of the shape of u and v; `wobble` roughens its edge."""
    line, side, _ = STYLES[person["style"]]
    if person["style"] == "bald":
        return np.zeros(np.broadcast_shapes(u.shape, v.shape), u.dtype)
    line = line + person["hairline"] + person["part"] * np.clip(u, -0.8, 0.8)
    edge = line + (side - line) * step(np.abs(u), 0.62, 1.25) + 0.02 * wobble
    mask = 1 - step(v, edge - 0.05, edge + 0.05)
    if person["style"] == "receding":  # a bald crown
        mask = mask * step(np.abs(u), 0.7, 1.1)
    if side > 0.2:  # the hair covers the ears
        return mask
    return mask * (1 - np.clip(1.5 * pair(u, v, 1.62, 0.02, 0.12, 0.18), 0, 1))


def hair_volume(person: dict[str, Any]) -> np.ndarray:
    """Return the distance of the hair's surface from the skull, (rows, columns), in head radii."""
    u, v = grid(ROWS, COLUMNS)
    mask = gaussian_filter(hair_mask(person, u, v), 1.5)
    return STYLES[person["style"]][2] * mask * (1 + 0.4 * step(-v, 0.3, 1.2))


def hair_colour(person: dict[str, Any]) -> np.ndarray:
    """Return the linear RGB (3,) of the hair."""
    return np.array(HAIR[person["hair"]]) * (1 - person["grey"]) + GREY * person["grey"]


def optics(melanin: Any, haemoglobin: Any) -> np.ndarray:
    """Return the linear RGB reflectance (..., 3) of skin with melanin and haemoglobin (...).

    It follows the Beer-Lambert law.
    """
    pigment = -np.asarray(melanin)[..., None] * MELANIN
    return DERMIS * np.exp(pigment - np.asarray(haemoglobin)[..., None] * HAEMOGLOBIN)
