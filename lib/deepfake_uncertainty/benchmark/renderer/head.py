"""Parametric head: a height field over (u, v) that facial expression deforms linearly."""

from typing import Any

import numpy as np

ROWS, COLUMNS = 112, 104
U_RANGE, V_RANGE = (-1.95, 1.95), (-1.5, 1.4)
# The lips meet at MOUTH. The material rows [MOUTH, MOUTH + GAP] are the mouth's interior, which
# has no height while the lips are closed.
MOUTH, GAP = 0.48, 0.10
EYE_U, EYE_V, BROW_V = 0.36, -0.13, -0.32
EXPRESSIONS = ("jaw", "smile", "brow", "tremor_left", "tremor_right")

# {name: (u, v)} in material coordinates; `left` is the left side of the picture.
LANDMARKS = {
    "nose_tip": (0.0, 0.18),
    "nose_bridge": (0.0, -0.13),
    "chin": (0.0, 1.06),
    "forehead": (0.0, -0.5),
    "upper_lip": (0.0, MOUTH - 0.02),
    "lower_lip": (0.0, MOUTH + GAP + 0.02),
    "mouth_left": (-0.2, MOUTH),
    "mouth_right": (0.2, MOUTH),
    "nostril_left": (-0.11, 0.27),
    "nostril_right": (0.11, 0.27),
    "eye_outer_left": (-0.5, EYE_V),
    "eye_inner_left": (-0.22, EYE_V),
    "eye_left": (-EYE_U, EYE_V),
    "eye_outer_right": (0.5, EYE_V),
    "eye_inner_right": (0.22, EYE_V),
    "eye_right": (EYE_U, EYE_V),
    "brow_outer_left": (-0.56, BROW_V),
    "brow_inner_left": (-0.16, BROW_V),
    "brow_outer_right": (0.56, BROW_V),
    "brow_inner_right": (0.16, BROW_V),
    "cheek_left": (-0.55, 0.2),
    "cheek_right": (0.55, 0.2),
    "jaw_left": (-0.85, 0.75),
    "jaw_right": (0.85, 0.75),
}


def grid(
    rows: int = ROWS, columns: int = COLUMNS, sparse: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return material coordinates u, v (rows, columns): longitude and latitude in radians, v down.

    With `sparse`, u is (1, columns) and v is (rows, 1). Terms that depend on one of them alone
    are then computed once per column or row.
    """
    axes = np.linspace(*U_RANGE, columns), np.linspace(*V_RANGE, rows)
    u, v = np.meshgrid(*axes, sparse=sparse)
    return u, v


def bump(u: np.ndarray, v: np.ndarray, cu: float, cv: float, su: float, sv: float) -> np.ndarray:
    """Return a Gaussian of unit height at (cu, cv) with widths (su, sv)."""
    return np.exp(-(((u - cu) / su) ** 2) / 2) * np.exp(-(((v - cv) / sv) ** 2) / 2)


def pair(u: np.ndarray, v: np.ndarray, cu: float, cv: float, su: float, sv: float) -> np.ndarray:
    """Return the sum of two `bump`s, mirrored at u = 0."""
    return bump(u, v, -cu, cv, su, sv) + bump(u, v, cu, cv, su, sv)


def step(x: np.ndarray, low: Any, high: Any) -> np.ndarray:
    """Return a smooth step from 0 at `low` to 1 at `high`; both broadcast against `x`."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


# Standard deviation of each proportion about 1.
SPREAD = dict(width=0.06, height=0.04, nose=0.25, nose_width=0.2, bridge=0.3, brow=0.4,
              socket=0.25, cheek=0.45, lips=0.4, chin=0.4, ears=0.3)  # fmt: skip


def shape(rng: np.random.Generator, age: float) -> dict[str, float]:
    """Return the proportions of one head of `age` years.

    Those of `SPREAD` are about 1, `jaw` and `sag` are small numbers >= 0.
    """
    proportions = {
        name: float(1 + spread * np.clip(rng.standard_normal(), -2, 2))
        for name, spread in SPREAD.items()
    }
    proportions["jaw"] = float(np.clip(0.24 + 0.09 * rng.standard_normal(), 0.06, 0.42))
    proportions["sag"] = float(max(0.0, (age - 40) / 40) * rng.uniform(0.5, 1.0))
    return proportions


def surface(s: dict[str, float], volume: np.ndarray) -> np.ndarray:
    """Return the neutral head, float32 (rows, columns, 3), with a radius of about 1.

    x points right, y down and z to the camera. `s` comes from `shape`; `volume` (rows, columns)
    is the distance of the hair's surface from the skull.
    """
    u, m = grid()
    v = np.where(m < MOUTH, m, np.maximum(m - GAP, MOUTH))
    radius = np.cos(np.clip(v, -1.52, 1.52)) ** 0.75
    x = 0.76 * s["width"] * np.sin(u) * radius
    y = 1.02 * s["height"] * np.sin(v)
    z = 0.88 * np.cos(u) * radius
    x *= 1 - s["jaw"] * step(v, 0.15, 1.25)
    z += relief(s, u, v)
    ears = s["ears"] * pair(u, v, 1.60, 0.02, 0.09, 0.13) * (volume < 0.05)
    x += np.sign(u) * (0.085 * ears + 0.03 * s["sag"] * pair(u, v, 0.85, 0.7, 0.25, 0.2))
    z -= 0.05 * ears
    normal = np.stack([x / 0.6, y, z / 0.8], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    return (np.stack([x, y, z], -1) + volume[..., None] * normal).astype(np.float32)


def relief(s: dict[str, float], u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the height of the facial features above the skull, (rows, columns)."""
    nose = 0.19 * bump(u, v, 0, 0.17, 0.11 * s["nose_width"], 0.11)
    nose += 0.1 * s["bridge"] * bump(u, v, 0, -0.04, 0.09, 0.2)
    d = s["nose"] * (nose + 0.055 * pair(u, v, 0.12 * s["nose_width"], 0.24, 0.05, 0.045))
    d += 0.045 * s["brow"] * pair(u, v, 0.33, -0.31, 0.24, 0.08)
    eyeball = 0.045 * pair(u, v, EYE_U, EYE_V, 0.09, 0.06)
    d += -0.085 * s["socket"] * pair(u, v, 0.36, -0.12, 0.17, 0.10) + eyeball
    sag = 0.03 * s["sag"] * pair(u, v, 0.5, 0.4, 0.15, 0.15)
    d += 0.05 * s["cheek"] * pair(u, v, 0.55, 0.12, 0.2, 0.16) - sag
    lips = 0.05 * bump(u, v, 0, 0.445, 0.17, 0.035) + 0.055 * bump(u, v, 0, 0.53, 0.15, 0.04)
    line = 0.03 * bump(u, v, 0, MOUTH, 0.2, 0.018)
    d += s["lips"] * lips - line - 0.02 * bump(u, v, 0, 0.36, 0.03, 0.05)
    chin = 0.09 * s["chin"] * bump(u, v, 0, 0.84, 0.2, 0.13)
    return d + chin - 0.03 * bump(u, v, 0, 0.65, 0.22, 0.05)


def expressions(s: dict[str, float]) -> np.ndarray:
    """Return the displacement of every vertex for each of `EXPRESSIONS` at weight 1.

    The result is float32 (5, rows, columns, 3); `s` comes from `shape`.
    """
    u, v = grid()
    field = np.zeros((len(EXPRESSIONS), *u.shape, 3))
    opening = np.clip(1 - (u / 0.19) ** 2, 0, 1) ** 0.6
    jaw = np.exp(-((u / 0.75) ** 4))
    below = v - MOUTH - GAP
    drop = opening + (jaw - opening) * step(below, 0.02, 0.3)
    outside = 1 - 0.5 * step(below, 0.3, 0.8) * (1 - jaw)
    field[0, ..., 1] = 0.17 * drop * np.clip((v - MOUTH) / GAP, 0, 1) * outside
    hollow = 0.12 * opening * bump(u, v, 0, MOUTH + GAP / 2, 9, GAP / 4)
    field[0, ..., 2] = -0.05 * step(below, 0.0, 0.4) * jaw - hollow
    corner = pair(u, v, 0.2, MOUTH + GAP / 2, 0.09, 0.11)
    field[1, ..., 0] = 0.06 * np.sign(u) * corner
    field[1, ..., 1] = -0.07 * corner - 0.03 * pair(u, v, 0.5, 0.2, 0.16, 0.14)
    field[1, ..., 2] = 0.03 * pair(u, v, 0.5, 0.18, 0.16, 0.14) - 0.02 * corner
    field[2, ..., 1] = -0.06 * pair(u, v, 0.36, -0.34, 0.22, 0.1)
    # One twitching cheek and eyelid per side: the sub-pixel motion of living muscle.
    for k, side in ((3, -1), (4, 1)):
        field[k, ..., 1] = 0.02 * bump(u, v, side * 0.5, 0.25, 0.2, 0.25)
        field[k, ..., 1] += 0.012 * bump(u, v, side * 0.4, -0.1, 0.15, 0.1)
    return (field * s["height"]).astype(np.float32)


def landmark_vertices() -> np.ndarray:
    """Return the flat vertex index of each of `LANDMARKS`, (K,)."""
    uv = np.array(list(LANDMARKS.values()))
    columns = np.rint((uv[:, 0] - U_RANGE[0]) / np.ptp(U_RANGE) * (COLUMNS - 1))
    rows = np.rint((uv[:, 1] - V_RANGE[0]) / np.ptp(V_RANGE) * (ROWS - 1))
    return (rows * COLUMNS + columns).astype(np.int64)
