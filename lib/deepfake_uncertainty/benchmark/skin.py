"""Skin, hair, eyes and mouth, painted on the (u, v) chart of the head."""

import cv2
import numpy as np
from numba import njit
from scipy.ndimage import gaussian_filter

from deepfake_uncertainty.benchmark.head import (
    BROW_V,
    COLUMNS,
    EYE_U,
    EYE_V,
    GAP,
    MOUTH,
    ROWS,
    bump,
    grid,
    pair,
    step,
)  # fmt: skip

SIZE = 256
# Absorption for R, G, B per unit of melanin and haemoglobin (shape of the spectra: Jacques 2013), and bloodless dermis.
MELANIN = np.float32([1.20, 1.60, 1.85])
HAEMOGLOBIN = np.float32([0.25, 1.25, 0.85])
DERMIS = np.float32([0.92, 0.82, 0.70])
TONES = (0.04, 0.14, 0.28, 0.46, 0.70, 1.05, 1.55)  # Edges of melanin for tones 1 to 6.
# Swing of the haemoglobin that the light meets, as a share of it, per standard deviation of the pulse. It moves the green
# of the 8-bit picture by 0.4 to 1.5 % peak to peak (median 0.85 %: about one level), the order found on resting faces
# (Verkruysse 2008): nobody sees it, but H.264 at CRF 23 does not erase it, as it did half of that.
PERFUSION = 0.015, 0.025
HAIR = dict(black=(0.012, 0.010, 0.010), brown=(0.06, 0.032, 0.018), chestnut=(0.12, 0.055, 0.028),
            blond=(0.42, 0.29, 0.14), red=(0.26, 0.085, 0.03))  # fmt: skip
IRIS = dict(brown=(0.06, 0.03, 0.015), hazel=(0.14, 0.10, 0.04), blue=(0.14, 0.25, 0.36), green=(0.12, 0.20, 0.11))
GREY = np.array([0.42, 0.42, 0.43])
BEARDS = ("none", "stubble", "moustache", "full")
# name: (hair line v at the centre, how far down the sides it goes, volume)
STYLES = dict(bald=(-9, -9, 0.0), receding=(-1.0, 0.0, 0.03), crop=(-0.72, 0.02, 0.04), short=(-0.66, 0.08, 0.10),
              fringe=(-0.44, 0.3, 0.11), bob=(-0.64, 0.95, 0.14), long=(-0.70, 1.4, 0.15))  # fmt: skip


def look(rng, tone, age):
    """Return the colours and hair of one person (a dict) with Fitzpatrick-like `tone` 1 to 6 and `age` in years."""
    dark = tone >= 4
    hair = rng.choice(list(HAIR), p=(0.75, 0.2, 0.05, 0, 0) if dark else (0.12, 0.28, 0.2, 0.28, 0.12))
    styles = list(STYLES)
    style = rng.choice(styles, p=(0.10, 0.10, 0.20, 0.20, 0.10, 0.12, 0.18))
    masculine = style in ("bald", "receding", "crop") or (style == "short" and rng.random() < 0.6)
    return dict(
        melanin=float(rng.uniform(TONES[tone - 1], TONES[tone])), haemoglobin=float(rng.uniform(0.15, 0.30)),
        hair=str(hair), iris=str(rng.choice(list(IRIS), p=(0.9, 0.1, 0, 0) if dark else (0.35, 0.15, 0.35, 0.15))),
        grey=float(np.clip((age - 52) / 25 + 0.25 * rng.standard_normal(), 0, 1) if age > 35 else 0), style=str(style),
        hairline=float(0.05 * rng.standard_normal()), part=float(rng.uniform(-0.12, 0.12)),
        brow=float(rng.uniform(0.7, 1.4) if masculine else rng.uniform(0.45, 0.9)), arch=float(rng.uniform(0.1, 1.2)),
        beard=str(rng.choice(BEARDS, p=(0.4, 0.25, 0.1, 0.25)) if masculine else "none"),
        lips=float(rng.uniform(0.25, 0.5) if masculine else rng.uniform(0.4, 0.95)),
        freckles=float(max(0, rng.standard_normal()) if tone <= 3 else 0), perfusion=float(rng.uniform(*PERFUSION)),
        wrinkles=float(np.clip((age - 30) / 40, 0, 1)), gloss=float(rng.uniform(0.02, 0.07)),
    )  # fmt: skip


def smooth(field, sigma):
    """Return `field` (S, S) as float32, smoothed by `sigma` texels (or rows, columns), mirrored at its borders."""
    down, across = np.broadcast_to(np.asarray(sigma, float), 2)
    sides = [2 * int(4 * s + 0.5) + 1 for s in (across, down)]
    return cv2.GaussianBlur(field.astype(np.float32), sides, across, sigmaY=down, borderType=cv2.BORDER_REFLECT)


def noise(rng, sigma):
    """Return Gaussian noise (S, S) smoothed by `sigma` texels (or rows, columns), unit standard deviation."""
    field = smooth(rng.standard_normal((SIZE, SIZE)), sigma)
    return field / field.std()


def over(image, mask, colour):
    """Return `image` (S, S, 3) float32 with `colour` (3,) or (S, S, 3) laid over it where `mask` (clipped to [0, 1]) is set."""
    return _over(image, mask.astype(np.float32), np.broadcast_to(np.asarray(colour, np.float32), image.shape))


@njit(cache=True, nogil=True)
def _over(image, mask, colour):
    out = np.empty_like(image)
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            cover = min(max(mask[i, j], np.float32(0)), np.float32(1))
            for k in range(3):
                out[i, j, k] = image[i, j, k] + cover * (colour[i, j, k] - image[i, j, k])
    return out


def hair_mask(person, u, v, wobble=0.0):
    """Return where hair grows, in [0, 1], same shape as u; `wobble` roughens its edge."""
    line, side, _ = STYLES[person["style"]]
    if person["style"] == "bald":
        return np.zeros(np.broadcast_shapes(u.shape, v.shape), u.dtype)
    line = line + person["hairline"] + person["part"] * np.clip(u, -0.8, 0.8)
    edge = line + (side - line) * step(np.abs(u), 0.62, 1.25) + 0.02 * wobble
    mask = 1 - step(v, edge - 0.05, edge + 0.05)
    if person["style"] == "receding":  # A bald crown, a wreath of hair.
        mask = mask * step(np.abs(u), 0.7, 1.1)
    return mask if side > 0.2 else mask * (1 - np.clip(1.5 * pair(u, v, 1.62, 0.02, 0.12, 0.18), 0, 1))


def hair_volume(person):
    """Return how far hair stands off the skull at every vertex, (rows, columns), in head radii."""
    u, v = grid(ROWS, COLUMNS)
    mask = gaussian_filter(hair_mask(person, u, v), 1.5)
    return STYLES[person["style"]][2] * mask * (1 + 0.4 * step(-v, 0.3, 1.2))


def hair_colour(person):
    """Return linear RGB of the hair, (3,)."""
    return np.array(HAIR[person["hair"]]) * (1 - person["grey"]) + GREY * person["grey"]


def optics(melanin, haemoglobin):
    """Return linear RGB reflectance (..., 3) of skin by Beer-Lambert from melanin and haemoglobin (...)."""
    return DERMIS * np.exp(-np.asarray(melanin)[..., None] * MELANIN - np.asarray(haemoglobin)[..., None] * HAEMOGLOBIN)


def below_mouth(v):
    """Return v with the mouth's interior cut out, so that what is painted below the lips sits where the surface is."""
    return np.where(v < MOUTH, v, np.maximum(v - GAP, MOUTH))


def paint(person, rng):
    """Return (texture (S, S, 6), lids (S, S, 4)), float32.

    Texture: linear RGB, haemoglobin that pulses, gloss, face (1 where the face is). Lids: RGB of the closed eye and the
    closure at which it covers the texel (2 where it never does).
    """
    u, v = (axis.astype(np.float32) for axis in grid(SIZE, SIZE, sparse=True))
    w = below_mouth(v)
    fine, middle, coarse = noise(rng, 1.2), noise(rng, 8), noise(rng, 24)
    strands = 1 + 0.3 * noise(rng, (6, 0.7)) + 0.12 * noise(rng, (20, 3))
    hair = np.float32(hair_colour(person)) * np.clip(strands, 0.35, 1.9)[..., None]
    skin, blood = paint_skin(person, u, w, (fine, middle, coarse), rng)
    skin = paint_beard(paint_brows(skin, person, u, w, hair), person, u, w, hair, fine)
    lids = over(skin, 0.5 * pair(u, w, EYE_U, EYE_V + 0.05, 0.1, 0.008), [0.03, 0.02, 0.02])
    eyes, opening = paint_eyes(skin, person, u, w)
    image, interior = paint_mouth(eyes, u, v)
    mask = hair_mask(person, u, w, 0.8 * middle + 0.5 * noise(rng, (5, 1)))
    image = over(image, mask, hair)
    bare = (1 - mask) * (1 - interior) * (1 - opening)
    face = (mask < 0.5) * (np.abs(u) < 1.25) * (w > -0.75) * (w < 1.12)
    gloss = person["gloss"] * bare * (1 + 0.8 * bump(u, w, 0, 0, 0.12, 0.3) + 0.5 * bump(u, w, 0, -0.5, 0.4, 0.15))
    gloss = gloss + 0.05 * mask + 0.25 * opening
    texture = np.dstack([np.clip(image, 0, 1), blood * bare * person["perfusion"], gloss, face])
    level = np.where(opening > 0.02, np.clip((w - EYE_V + 0.07) / 0.13, 0, 0.95), 2.0)
    return texture.astype(np.float32), np.dstack([lids, level]).astype(np.float32)


def paint_skin(person, u, v, noises, rng):
    """Return (linear RGB with lips and folds (S, S, 3), haemoglobin (S, S))."""
    fine, middle, coarse = noises
    freckles = smooth(rng.random((SIZE, SIZE)) > 0.994, 0.9) * pair(u, v, 0.35, 0.1, 0.35, 0.2)
    shadow = pair(u, v, EYE_U, EYE_V + 0.1, 0.13, 0.04) * (0.06 + 0.1 * person["wrinkles"])
    melanin = person["melanin"] * (1 + 0.06 * middle + 0.035 * fine + shadow) + 0.5 * person["freckles"] * freckles
    flush = 0.25 * pair(u, v, 0.5, 0.18, 0.22, 0.18) + 0.25 * bump(u, v, 0, 0.18, 0.12, 0.1)
    blood = person["haemoglobin"] * (1 + 0.08 * coarse + 0.05 * middle + flush)
    half = np.clip(1 - (u / 0.235) ** 2, 0, 1)
    bow = 0.012 * np.cos(u * 26) * (np.abs(u) < 0.12)
    upper = step(v, MOUTH - 0.065 * half**0.7 + bow - 0.012, MOUTH - 0.065 * half**0.7 + bow + 0.012) * (v <= MOUTH)
    lower = (1 - step(v, MOUTH + 0.075 * half**0.6 - 0.015, MOUTH + 0.075 * half**0.6 + 0.015)) * (v >= MOUTH)
    lips = np.maximum(upper, lower) * (half > 0) * step(half, 0, 0.2)
    image = optics(melanin, blood + person["lips"] * lips)
    fold = np.abs(u) - 0.17 - 0.35 * (v - 0.2)
    creases = 0.35 * np.exp(-((fold / 0.02) ** 2)) * step(v, 0.18, 0.3) * (1 - step(v, 0.4, 0.52))
    for line in (-0.46, -0.54, -0.62):
        creases = creases + 0.25 * np.exp(-(((v - line - 0.03 * np.cos(3 * u)) / 0.012) ** 2)) * (np.abs(u) < 0.5)
    creases = person["wrinkles"] * creases
    hollows = 0.45 * pair(u, v, 0.07, 0.275, 0.032, 0.014) + 0.2 * bump(u, v, 0, 0.3, 0.12, 0.02)
    hollows = hollows + 0.25 * pair(u, v, 0.3, EYE_V - 0.02, 0.17, 0.06) + 0.3 * step(v, 0.98, 1.25)
    hollows = hollows + 0.12 * bump(u, v, 0, 0.62, 0.13, 0.025) + 0.35 * pair(u, v, 1.62, 0.02, 0.035, 0.07)
    image = image * (1 - np.clip(creases + hollows, 0, 0.85))[..., None]
    return over(image, 0.75 * np.exp(-(((v - MOUTH) / 0.008) ** 2)) * (half > 0), 0.15 * image), blood


def paint_brows(image, person, u, v, hair):
    """Lay two brows over `image`: a tapering arc each, nothing elsewhere."""
    t = (np.abs(u) - EYE_U) / 0.22
    inside = step(t, -1.05, -0.8) * (1 - step(t, 0.6, 1.1))
    centre = BROW_V + 0.01 - 0.045 * person["arch"] * (1 - (np.clip(t, -1, 1) - 0.25) ** 2)
    thick = 0.030 * person["brow"] * (1 - 0.45 * step(t, -0.2, 1.0))
    mask = inside * (1 - step(np.abs(v - centre), 0.5 * thick, 1.3 * thick))
    return over(image, 0.85 * mask, hair * 0.75)


def paint_beard(image, person, u, v, hair, fine):
    """Lay stubble, a moustache or a full beard over `image`."""
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
    return over(image, strength * area * (1 - lips) * np.clip(0.85 + 0.18 * fine, 0, 1), hair * 0.8)


def paint_eyes(image, person, u, v):
    """Return (image with eyes, where the eyes are (S, S) in [0, 1])."""
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


def paint_mouth(image, u, v):
    """Return (image with the mouth's interior, where it is (S, S) in [0, 1])."""
    depth = (v - MOUTH) / GAP
    interior = step(depth, -0.03, 0.05) * (1 - step(depth, 0.95, 1.03)) * (1 - step(np.abs(u), 0.17, 0.2))
    image = over(image, interior, [0.035, 0.010, 0.010])
    gaps = 1 - 0.35 * np.exp(-(((np.abs(u) % 0.045 - 0.0225) / 0.005) ** 2))
    teeth = step(depth, 0.05, 0.1) * (1 - step(depth, 0.34, 0.42)) * (1 - step(np.abs(u), 0.11, 0.15))
    image = over(image, 0.92 * teeth, np.float32([0.58, 0.53, 0.45]) * gaps[..., None])
    tongue = bump(u, depth, 0, 0.86, 0.07, 0.13)
    return over(image, 0.8 * tongue * interior, [0.22, 0.06, 0.06]), interior
