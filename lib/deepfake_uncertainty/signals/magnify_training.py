"""Synthetic sub-pixel motion, and how the magnifier is trained on it.

A scene is a foreground layer of texture that moves over a background layer. The textures are
fractal noise and faces of rendered people of another world than the benchmark's; no clip of any
data set is used. Everything is drawn, so the motion, its magnified form and the outlines of the
layers are exact (Oh et al. 2018).
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch.nn import functional

from deepfake_uncertainty.benchmark import plan
from deepfake_uncertainty.benchmark.generators import learned
from deepfake_uncertainty.benchmark.renderer import render
from deepfake_uncertainty.signals.magnify import Magnifier

WORLD = plan.LEARNING_WORLD
PEOPLE, NOISES = 48, 48
HELD_OUT = 24  # further people and as many textures, for tests
CANVAS, SIZE = 128, 48  # px; layers are drawn at twice the size of a frame
MOST_MOVED, MOST_MAGNIFIED = 1.0, 6.0  # px between the frames, and after magnification
FACTORS = 1.0, 10.0
STEPS, BATCH = 2000, 8


class Pairs(NamedTuple):
    """Frames (N, 3, 48, 48) in [0, 1]: a reference, a moved one, and a magnified one.

    The magnified frame has 1 + factor times the motion of the moved one; factor (N, 1, 1, 1). shift
    (N, 2) is the motion of the foreground from reference to moved, in px (x, y).
    """

    reference: torch.Tensor
    moved: torch.Tensor
    magnified: torch.Tensor
    factor: torch.Tensor
    shift: np.ndarray


def fractal(rng: np.random.Generator, size: int = CANVAS) -> np.ndarray:
    """Return fractal noise float32 (size, size, 3) in [0, 1] between two random colours."""
    field = np.zeros((size, size), np.float32)
    fall = rng.uniform(0.5, 1.2)
    for octave in range(2, 8):
        coarse = rng.normal(size=(2**octave, 2**octave)).astype(np.float32)
        smooth = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
        field += 2.0 ** (-fall * octave) * smooth
    share = (0.5 + 0.5 * np.tanh((field - field.mean()) / field.std()))[..., None]
    dark, bright = rng.uniform(0, 1, (2, 3))
    return (share * bright + (1 - share) * dark).astype(np.float32)


@functools.cache
def textures(held_out: bool = False) -> list[np.ndarray]:
    """Return the pictures float32 (128, 128, 3) in [0, 1] of the layers, faces first.

    They are those for training, or with `held_out` further ones.
    """
    first, people, noises = (PEOPLE, HELD_OUT, HELD_OUT) if held_out else (0, PEOPLE, NOISES)
    faces = [
        render.render_clip(first + k, WORLD, n_frames=1).frames[0] / np.float32(255)
        for k in range(people)
    ]
    return [*faces, *(fractal(np.random.default_rng([WORLD, first + k])) for k in range(noises))]


def _outline(rng: np.random.Generator) -> np.ndarray:
    """Return the mask float32 (128, 128) in [0, 1] of a foreground: a blob, an ellipse, or all."""
    kind = rng.integers(4)
    if kind == 0:
        return np.ones((CANVAS, CANVAS), np.float32)
    if kind == 1:
        mask = np.zeros((CANVAS, CANVAS), np.float32)
        centre, axes = rng.integers(40, 88, 2).tolist(), rng.integers(12, 45, 2).tolist()
        ellipse = cv2.ellipse(mask, centre, axes, rng.uniform(0, 180), 0, 360, 1.0, -1)
        return cv2.GaussianBlur(ellipse, (0, 0), 1.0)
    noise = rng.normal(size=(CANVAS, CANVAS)).astype(np.float32)
    rough = cv2.GaussianBlur(noise, (0, 0), rng.uniform(6, 14))
    return np.clip(0.5 + 2 * (rough / rough.std() + rng.uniform(-0.3, 0.5)), 0, 1)


def _layer(rng: np.random.Generator, bank: Sequence[np.ndarray]) -> np.ndarray:
    """Return a picture (128, 128, 3) drawn from `bank`, at random out of focus or rotated."""
    picture = bank[int(rng.integers(len(bank)))]
    if rng.random() < 0.3:  # defocused, as backgrounds are
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 3))
    return np.rot90(picture, int(rng.integers(4))) if rng.random() < 0.3 else picture


def _moved(layer: np.ndarray, motion: np.ndarray, share: float) -> np.ndarray:
    """Return a layer (128, 128, C) moved by `share` times its motion, a vector as of `_motion`."""
    x, y, angle, growth = share * motion
    matrix = cv2.getRotationMatrix2D((CANVAS / 2, CANVAS / 2), np.degrees(angle), 1 + growth)
    matrix[:, 2] += 2 * x, 2 * y
    return cv2.warpAffine(
        layer, matrix, (CANVAS, CANVAS), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )


def _motion(rng: np.random.Generator, factor: float) -> np.ndarray:
    """Return a motion (4,): shift x, y in frame px, rotation in radians, and relative growth.

    The shift is at most one pixel.
    """
    length = rng.uniform(0, min(MOST_MOVED, MOST_MAGNIFIED / factor))
    direction = rng.uniform(0, 2 * np.pi)
    angle, growth = rng.normal(0, 0.2 * length / SIZE, 2)
    return np.array([length * np.cos(direction), length * np.sin(direction), angle, growth])


def _scene(
    rng: np.random.Generator, bank: Sequence[np.ndarray], factor: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the three frames (3, 48, 48, 3) of one scene and the foreground's shift (2,) in px."""
    back, front = _layer(rng, bank), np.dstack([_layer(rng, bank), _outline(rng)])
    motion, still = _motion(rng, factor), rng.random() < 0.5
    back_motion = np.zeros(4) if still else _motion(rng, factor)
    row, column = rng.integers(0, (CANVAS - 2 * SIZE) + 1, 2)
    frames = []
    for share in (0, 1, 1 + factor):
        top = _moved(front, motion, share)
        mask = top[..., 3:].clip(0, 1)
        whole = mask * top[..., :3] + (1 - mask) * _moved(back, back_motion, share)
        part = whole[row : row + 2 * SIZE, column : column + 2 * SIZE]
        frames.append(cv2.resize(part, (SIZE, SIZE), interpolation=cv2.INTER_AREA))
    return np.clip(frames, 0, 1), motion[:2]


def draw(
    rng: np.random.Generator, count: int, noise: float = 0.01, held_out: bool = False
) -> Pairs:
    """Return `count` Pairs, from the pictures for training or, with `held_out`, from further ones.

    `noise` is the largest standard deviation of the camera noise on reference and moved frames,
    whose values are in [0, 1].
    """
    bank, scenes, shifts = textures(held_out), [], []
    low, high = np.log(FACTORS)
    factors = np.exp(rng.uniform(low, high, count))
    for factor in factors:
        frames, shift = _scene(rng, bank, factor)
        frames[:2] += rng.normal(0, 1, frames[:2].shape) * rng.uniform(0, noise)
        scenes.append(frames)
        shifts.append(shift)
    stacked = torch.from_numpy(np.array(scenes, np.float32)).permute(1, 0, 4, 2, 3).contiguous()
    reference, moved, magnified = stacked
    column = torch.from_numpy(factors.astype(np.float32)).view(-1, 1, 1, 1)
    return Pairs(reference, moved, magnified, column, np.array(shifts))


def _loss(network: Magnifier, pairs: Pairs, rng: np.random.Generator) -> torch.Tensor:
    """Return the L1 error of the magnified frame, plus a penalty on the two representations.

    The penalty keeps motion out of the texture and changes of light out of the shape.
    """
    light = torch.from_numpy(np.float32(np.exp(rng.normal(0, 0.25, (len(pairs.moved), 3, 1, 1)))))
    texture_before, before = network.encode(pairs.reference)
    texture, shape = network.encode(pairs.moved)
    _, relit = network.encode(pairs.moved.clamp(0, 1) ** light)
    change = network.magnified_change(before, shape, pairs.factor)
    guess = network.decode(pairs.moved, texture, shape + change)
    penalty = functional.l1_loss(texture, texture_before) + functional.l1_loss(relit, shape)
    return functional.l1_loss(guess, pairs.magnified) + 0.1 * penalty


def train(seed: int = 0, steps: int = STEPS) -> tuple[Magnifier, dict]:
    """Train a Magnifier on synthetic motion; return it and its card, a JSON-able dict."""
    torch.manual_seed(seed)
    network = Magnifier()

    def step(rng: np.random.Generator) -> torch.Tensor:
        return _loss(network, draw(rng, BATCH), rng)

    before = float(np.mean([step(np.random.default_rng(k)).item() for k in range(4)]))
    seconds, loss = learned.descend(network, step, steps, seed)
    return network, dict(
        people=PEOPLE,
        noises=NOISES,
        world=WORLD,
        steps=steps,
        batch=BATCH,
        size=SIZE,
        seed=seed,
        factors=list(FACTORS),
        most_moved_px=MOST_MOVED,
        most_magnified_px=MOST_MAGNIFIED,
        seconds=round(seconds),
        loss=round(loss, 5),
        loss_before=round(before, 5),
    )
