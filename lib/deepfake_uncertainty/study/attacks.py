"""Gradient attacks on a detector, through its inputs to the pixels of the face, within an L-infinity ball.

FGSM (Goodfellow et al. 2015), PGD from a random start (Madry et al. 2018), and PGD with expectation over the draws of a
stochastic network (EOT, Athalye et al. 2018). The attacker knows weights and posterior, never the draws that decide.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.seeding import threads
from deepfake_uncertainty.study import clips as clip_module
from deepfake_uncertainty.uncertainty import maps
from deepfake_uncertainty.uncertainty.sampling import device_of

REACH = 2.5  # PGD's steps together are so many times the strength: any point of the ball can be reached (Madry et al. 2018)
FRAMES = 256  # frames attacked at a time


def _error(logits, y):
    """The cross-entropy in nats, its mean over the draws: EOT."""
    return -logits.log_softmax(-1).mean(0).gather(-1, y[:, None])[:, 0]


def _certain(logits, y):
    return -maps.measures(logits)["total"]


def _certain_error(logits, y):
    """Until the mean decides wrongly the error, from then on the certainty of it."""
    wrong = logits.softmax(-1).mean(0).argmax(-1) != y
    return torch.where(wrong, _certain(logits, y), _error(logits, y).double())


# goal: what an attack raises, logits (K, N, C) of K draws and labels (N,) -> (N,)
GOALS = {
    "error": _error,
    "certain error": _certain_error,
    "certain": _certain,
    "uncertain": lambda logits, y: -_certain(logits, y),
}


@dataclass(frozen=True)
class Attack:
    """How an attack is made: its goal (of GOALS), steps, draws a step, and whether it starts at random; 0 steps are noise."""

    goal: str = "error"
    steps: int = 10
    draws: int = 1
    random_start: bool = True

    def __post_init__(self):
        if self.goal not in GOALS:
            raise InputError(f"unknown goal '{self.goal}': use {', '.join(GOALS)}")
        if self.steps < 0 or self.draws < 1:
            raise InputError(f"steps={self.steps}, draws={self.draws}: give 0 or more steps and a draw or more in each")


def common(steps, draws):
    """Return {name: Attack} of noise, FGSM, PGD and EOT-PGD, the last two of `steps` steps, EOT of `draws` draws in each."""
    return {
        "noise": Attack(steps=0),
        "FGSM": Attack(steps=1, random_start=False),
        "PGD": Attack(steps=steps),
        "EOT-PGD": Attack(steps=steps, draws=draws),
    }


def noise(x, epsilon, seed):
    """Return x (N, ...) with +-epsilon (N,) at random in each pixel, in [0, 1]: a perturbation that asks no network."""
    generator = torch.Generator().manual_seed(seed)
    sign = torch.randint(2, x.shape, generator=generator).to(x) * 2 - 1
    return (x + _each(epsilon, x) * sign).clamp(0, 1)


def fgsm(gradient, x, epsilon):
    """Return clip(x + epsilon sign g) for x (N, ...) in [0, 1], epsilon (N,) and g = gradient(x, 0) of what is raised."""
    return (x + _each(epsilon, x) * gradient(x, 0).sign()).clamp(0, 1)


def pgd(gradient, x, epsilon, steps, seed, random_start=True):
    """Return x after `steps` steps of signed gradients, each projected on the ball of epsilon (N,) and on [0, 1].

    gradient(x, step) -> as x; a step is 2.5 epsilon / steps. The start is uniform in the ball.
    """
    epsilon = _each(epsilon, x)
    start = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)).to(x) * 2 - 1
    moved = (x + epsilon * start * random_start).clamp(0, 1)
    for step in range(steps):
        moved = moved + REACH / steps * epsilon * gradient(moved, step).sign()
        moved = torch.clamp(torch.maximum(torch.minimum(moved, x + epsilon), x - epsilon), 0, 1)
    return moved


def _each(epsilon, x):
    return torch.as_tensor(epsilon, dtype=x.dtype, device=x.device).reshape(-1, *[1] * (x.ndim - 1))


def perturbed(attack, gradient, x, epsilon, seed):
    """Return x (N, ...) under an Attack of strength epsilon (N,) >= 0."""
    if not attack.steps:
        return noise(x, epsilon, seed)
    if attack.steps == 1 and not attack.random_start:
        return fgsm(gradient, x, epsilon)
    return pgd(gradient, x, epsilon, attack.steps, seed, attack.random_start)


class Attacked(NamedTuple):
    """Of one strength: inputs float32 (N m, C, H, W) unrounded, m a clip, and pictures uint8 (N, F, S, S, 3), rounded."""

    inputs: np.ndarray
    pictures: np.ndarray


def craft(model, detector, clips, attack, strengths, seed):
    """Return {strength: Attacked}: Clips attacked against a `predict.Fitted`, its strength the largest change of a pixel / 255.

    Every clip is attacked alone; the draws of a step serve all clips and strengths. Raises InputError for a strength outside
    [0, 255], and for a detector or method that no gradient goes through.
    """
    if not all(0 <= strength <= 255 for strength in strengths):
        raise InputError(f"strengths {list(strengths)}: give values in [0, 255], of 255")
    front, recipe = clip_module.front(detector), registry.get(detector).recipe
    size = max(1, FRAMES // (len(strengths) * len(clips.tracks[0].crops)))
    parts = []
    with threads(recipe.threads):
        for first in range(0, len(clips.tracks), size):
            chosen = slice(first, first + size)
            part = clip_module.Clips(clips.tracks[chosen], clips.index[chosen])
            parts.append(_crafted(model, front, part, attack, strengths, seed * 1_000_003 + first))
    return {strength: Attacked(*map(np.concatenate, zip(*(part[k] for part in parts), strict=True)))
            for k, strength in enumerate(strengths)}  # fmt: skip


def _crafted(model, front, clips, attack, strengths, seed):
    """Return [(inputs, pictures)], one a strength, of few clips."""
    fronts = [front(track) for track in clips.tracks] * len(strengths)
    device, count = device_of(model.model), len(clips.tracks)
    pixels = torch.from_numpy(clips.pixels).to(device)
    x = pixels.repeat(len(strengths), 1, 1, 1, 1)
    epsilon = torch.tensor(strengths, dtype=x.dtype).repeat_interleave(count).to(device) / 255
    y = torch.as_tensor(np.tile(clips.index["label"].to_numpy(), len(strengths))).to(device)
    moved, live = x.clone(), epsilon > 0  # strength 0 is the clean clip, and needs no gradient
    if live.any():
        ways = [way for way, alive in zip(fronts, live, strict=True) if alive]
        # Other draws than the model's own, which decide, and other ones at each step.
        moved[live] = perturbed(attack, lambda at, step: _gradient(model, ways, attack, at, y[live], model.seed + 1 + step),
                                x[live], epsilon[live], seed)  # fmt: skip
    with torch.no_grad():
        found = torch.stack([way(crops) for way, crops in zip(fronts, moved, strict=True)]).cpu().numpy()
    crops = clip_module.pictures(moved.cpu())
    return [(found[k : k + count].reshape(-1, *found.shape[2:]), crops[k : k + count]) for k in range(0, len(found), count)]


def _gradient(model, fronts, attack, x, y, seed):
    """Return the gradient of the goal to pixels x (N, F, 3, S, S), from K fresh draws."""
    x = x.detach().requires_grad_(True)
    found = [way(crops) for way, crops in zip(fronts, x, strict=True)]
    labels = y.repeat_interleave(len(found[0]))
    logits = torch.stack([draw(torch.cat(found)) for draw in maps.draws(model, attack.draws, seed)])
    return torch.autograd.grad(GOALS[attack.goal](logits, labels).sum(), x)[0]
