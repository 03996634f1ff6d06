"""Synthetic sub-pixel motion, and how the magnifier learns from it: one layer of texture moves before another.

The textures are fractal noise and faces of rendered people of another world than the benchmark's; no clip of any data set
is seen. Motion, its magnified form and the layers' outlines are exact, as everything is drawn (Oh et al. 2018).
"""

import functools
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch.nn import functional

from deepfake_uncertainty.benchmark import plan, render
from deepfake_uncertainty.benchmark.generators import learned
from deepfake_uncertainty.signals.magnify import Magnifier

WORLD = plan.LEARNING_WORLD
PEOPLE, NOISES = 48, 48
HELD_OUT = 24  # further people and textures, for tests
CANVAS, SIZE = 128, 48  # px; layers are drawn at twice the size of a frame
MOST_MOVED, MOST_MAGNIFIED = 1.0, 6.0  # px between the frames, and after magnification
FACTORS = 1.0, 10.0
STEPS, BATCH = 2000, 8


class Pairs(NamedTuple):
    """Frames (N, 3, 48, 48) in [0, 1]: reference, moved, and magnified, the moved one with 1 + factor times the motion.

    factor (N, 1, 1, 1); shift (N, 2) is the foreground's motion from reference to moved, in px (x, y).
    """

    reference: torch.Tensor
    moved: torch.Tensor
    magnified: torch.Tensor
    factor: torch.Tensor
    shift: np.ndarray


def fractal(rng, size=CANVAS):
    """Return fractal noise float32 (size, size, 3) in [0, 1]: octaves of random strength in two random colours."""
    field = np.zeros((size, size), np.float32)
    fall = rng.uniform(0.5, 1.2)
    for octave in range(2, 8):
        coarse = rng.normal(size=(2**octave, 2**octave)).astype(np.float32)
        field += 2.0 ** (-fall * octave) * cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    share = (0.5 + 0.5 * np.tanh((field - field.mean()) / field.std()))[..., None]
    dark, bright = rng.uniform(0, 1, (2, 3))
    return (share * bright + (1 - share) * dark).astype(np.float32)


@functools.cache
def textures(held_out=False):
    """Return the pictures float32 (128, 128, 3) in [0, 1] that the layers are cut from, faces first, or further ones."""
    first, people, noises = (PEOPLE, HELD_OUT, HELD_OUT) if held_out else (0, PEOPLE, NOISES)
    faces = [render.render_clip(first + k, WORLD, n_frames=1).frames[0] / np.float32(255) for k in range(people)]
    return [*faces, *(fractal(np.random.default_rng([WORLD, first + k])) for k in range(noises))]


def _outline(rng):
    """Return the outline of a foreground float32 (128, 128) in [0, 1]: a blot, an ellipse, or the whole picture."""
    kind = rng.integers(4)
    if kind == 0:
        return np.ones((CANVAS, CANVAS), np.float32)
    if kind == 1:
        mask = np.zeros((CANVAS, CANVAS), np.float32)
        centre, axes = rng.integers(40, 88, 2).tolist(), rng.integers(12, 45, 2).tolist()
        return cv2.GaussianBlur(cv2.ellipse(mask, centre, axes, rng.uniform(0, 180), 0, 360, 1.0, -1), (0, 0), 1.0)
    rough = cv2.GaussianBlur(rng.normal(size=(CANVAS, CANVAS)).astype(np.float32), (0, 0), rng.uniform(6, 14))
    return np.clip(0.5 + 2 * (rough / rough.std() + rng.uniform(-0.3, 0.5)), 0, 1)


def _layer(rng, bank):
    picture = bank[rng.integers(len(bank))]
    if rng.random() < 0.3:  # defocused, as backgrounds are
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 3))
    return np.rot90(picture, rng.integers(4)) if rng.random() < 0.3 else picture


def _placed(layer, motion, share):
    """Return a layer (128, 128, C) moved by `share` times its motion: shift x, y in frame px, turn, growth."""
    x, y, turn, growth = share * motion
    matrix = cv2.getRotationMatrix2D((CANVAS / 2, CANVAS / 2), np.degrees(turn), 1 + growth)
    matrix[:, 2] += 2 * x, 2 * y
    return cv2.warpAffine(layer, matrix, (CANVAS, CANVAS), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def _motion(rng, factor):
    """Return shift x, y in frame px, turn in radians and growth, with a shift of at most a pixel."""
    length = rng.uniform(0, min(MOST_MOVED, MOST_MAGNIFIED / factor))
    angle, (turn, growth) = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.2 * length / SIZE, 2)
    return np.array([length * np.cos(angle), length * np.sin(angle), turn, growth])


def _scene(rng, bank, factor):
    """Return the three frames (3, 48, 48, 3) of one scene and the foreground's shift (2,) px."""
    back, front = _layer(rng, bank), np.dstack([_layer(rng, bank), _outline(rng)])
    moves, still = _motion(rng, factor), rng.random() < 0.5
    behind = np.zeros(4) if still else _motion(rng, factor)
    corner, frames = rng.integers(0, (CANVAS - 2 * SIZE) + 1, 2), []
    for share in (0, 1, 1 + factor):
        top = _placed(front, moves, share)
        mask = top[..., 3:].clip(0, 1)
        whole = mask * top[..., :3] + (1 - mask) * _placed(back, behind, share)
        part = whole[corner[0] : corner[0] + 2 * SIZE, corner[1] : corner[1] + 2 * SIZE]
        frames.append(cv2.resize(part, (SIZE, SIZE), interpolation=cv2.INTER_AREA))
    return np.clip(frames, 0, 1), moves[:2]


def draw(rng, count, noise=0.01, held_out=False):
    """Return `count` Pairs drawn by the generator `rng`, from the pictures for training or from further ones.

    `noise` is the greatest standard deviation of the camera noise on reference and moved frames, in [0, 1].
    """
    bank, scenes, shifts = textures(held_out), [], []
    factors = np.exp(rng.uniform(*np.log(FACTORS), count))
    for factor in factors:
        frames, shift = _scene(rng, bank, factor)
        frames[:2] += rng.normal(0, 1, frames[:2].shape) * rng.uniform(0, noise)
        scenes.append(frames)
        shifts.append(shift)
    reference, moved, magnified = torch.from_numpy(np.float32(scenes)).permute(1, 0, 4, 2, 3).contiguous()
    return Pairs(reference, moved, magnified, torch.from_numpy(np.float32(factors)).view(-1, 1, 1, 1), np.array(shifts))


def _loss(network, pairs, rng):
    """Return the L1 error of the magnified frame, and what keeps light in the texture and motion in the shape."""
    light = torch.from_numpy(np.float32(np.exp(rng.normal(0, 0.25, (len(pairs.moved), 3, 1, 1)))))
    (texture_before, before), (texture, shape) = network.encode(pairs.reference), network.encode(pairs.moved)
    _, relit = network.encode(pairs.moved.clamp(0, 1) ** light)
    made = network.decode(pairs.moved, texture, shape + network.magnified_change(before, shape, pairs.factor))
    apart = functional.l1_loss(texture, texture_before) + functional.l1_loss(relit, shape)
    return functional.l1_loss(made, pairs.magnified) + 0.1 * apart


def teach(seed=0, steps=STEPS):
    """Train a Magnifier on synthetic motion and return (network, card)."""
    torch.manual_seed(seed)
    network = Magnifier()
    before = float(np.mean([_loss(network, draw(rng, BATCH), rng).item() for rng in map(np.random.default_rng, range(4))]))
    seconds, loss = learned.descend(network, lambda rng: _loss(network, draw(rng, BATCH), rng), steps, seed)
    return network, dict(people=PEOPLE, noises=NOISES, world=WORLD, steps=steps, batch=BATCH, size=SIZE, seed=seed,
                         factors=list(FACTORS), most_moved_px=MOST_MOVED, most_magnified_px=MOST_MAGNIFIED,
                         seconds=round(seconds), loss=round(loss, 5), loss_before=round(before, 5))  # fmt: skip
