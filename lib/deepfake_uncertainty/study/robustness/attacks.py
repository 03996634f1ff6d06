"""Gradient attacks on a detector, through its inputs to the pixels, within an L-infinity ball.

They are FGSM (Goodfellow et al. 2015), PGD from a random start (Madry et al. 2018), and PGD with
expectation over the draws of a stochastic network (EOT, Athalye et al. 2018). The attacker knows
the weights and the posterior, but not the draws that the decision rests on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.seeding import threads
from deepfake_uncertainty.study.robustness import clips as clip_module
from deepfake_uncertainty.study.robustness.clips import Clips, Preprocessing
from deepfake_uncertainty.training.predict import Fitted
from deepfake_uncertainty.uncertainty import maps
from deepfake_uncertainty.uncertainty.engine import device_of

# PGD's steps together are this many times the strength, so that any point of the ball can be
# reached (Madry et al. 2018).
REACH = 2.5
FRAMES = 256  # frames attacked at a time
Gradient = Callable[[torch.Tensor, int], torch.Tensor]  # (x, step) -> gradient of the goal, as x


def _error(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy in nats, the mean over the draws (EOT)."""
    return -logits.log_softmax(-1).mean(0).gather(-1, y[:, None])[:, 0]


def _certain(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the negative total uncertainty in nats."""
    return -maps.measures(logits)["total"]


def _certain_error(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the error until the mean decides wrongly, then the certainty."""
    wrong = logits.softmax(-1).mean(0).argmax(-1) != y
    return torch.where(wrong, _certain(logits, y), _error(logits, y).double())


# What an attack maximises: goal(logits (K, N, C) of K draws, labels (N,)) -> (N,).
GOALS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "error": _error,
    "certain error": _certain_error,
    "certain": _certain,
    "uncertain": lambda logits, y: -_certain(logits, y),
}


@dataclass(frozen=True)
class Attack:
    """How an attack is made.

    goal: a name of GOALS; steps: gradient steps (0: noise); draws: draws of the network per step;
    random_start: whether it starts at a random point of the ball.
    """

    goal: str = "error"
    steps: int = 10
    draws: int = 1
    random_start: bool = True

    def __post_init__(self) -> None:
        if self.goal not in GOALS:
            raise InputError(f"unknown goal '{self.goal}': use {', '.join(GOALS)}")
        if self.steps < 0 or self.draws < 1:
            raise InputError(
                f"steps={self.steps}, draws={self.draws}: "
                "give 0 or more steps and a draw or more in each"
            )


def standard_attacks(steps: int, draws: int) -> dict[str, Attack]:
    """Return {name: Attack} of noise, FGSM, PGD and EOT-PGD.

    PGD and EOT-PGD have `steps` steps; EOT-PGD has `draws` draws in each.
    """
    return {
        "noise": Attack(steps=0),
        "FGSM": Attack(steps=1, random_start=False),
        "PGD": Attack(steps=steps),
        "EOT-PGD": Attack(steps=steps, draws=draws),
    }


def noise(x: torch.Tensor, epsilon: torch.Tensor, seed: int) -> torch.Tensor:
    """Return x (N, ...) in [0, 1] with +epsilon or -epsilon (N,) at random in each pixel.

    This perturbation uses no network.
    """
    generator = torch.Generator().manual_seed(seed)
    sign = torch.randint(2, x.shape, generator=generator).to(x) * 2 - 1
    return (x + _each(epsilon, x) * sign).clamp(0, 1)


def fgsm(gradient: Gradient, x: torch.Tensor, epsilon: torch.Tensor) -> torch.Tensor:
    """Return clip(x + epsilon sign g) of x (N, ...) in [0, 1], epsilon (N,), g = gradient(x, 0)."""
    return (x + _each(epsilon, x) * gradient(x, 0).sign()).clamp(0, 1)


def pgd(
    gradient: Gradient,
    x: torch.Tensor,
    epsilon: torch.Tensor,
    steps: int,
    seed: int,
    random_start: bool = True,
) -> torch.Tensor:
    """Return x (N, ...) after `steps` steps of signed gradients, from a uniform start in the ball.

    Each step is 2.5 epsilon / steps, projected on the ball of epsilon (N,) and on [0, 1].
    """
    epsilon = _each(epsilon, x)
    start = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)).to(x) * 2 - 1
    moved = (x + epsilon * start * random_start).clamp(0, 1)
    for step in range(steps):
        moved = moved + REACH / steps * epsilon * gradient(moved, step).sign()
        moved = torch.clamp(torch.maximum(torch.minimum(moved, x + epsilon), x - epsilon), 0, 1)
    return moved


def _each(epsilon: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return epsilon (N,) in a shape that broadcasts to x (N, ...)."""
    return torch.as_tensor(epsilon, dtype=x.dtype, device=x.device).reshape(-1, *[1] * (x.ndim - 1))


def perturb(
    attack: Attack, gradient: Gradient, x: torch.Tensor, epsilon: torch.Tensor, seed: int
) -> torch.Tensor:
    """Return x (N, ...) under an Attack of strength epsilon (N,) >= 0."""
    if not attack.steps:
        return noise(x, epsilon, seed)
    if attack.steps == 1 and not attack.random_start:
        return fgsm(gradient, x, epsilon)
    return pgd(gradient, x, epsilon, attack.steps, seed, attack.random_start)


class Attacked(NamedTuple):
    """The result of one strength on N clips.

    inputs: float32 (N m, C, H, W), m per clip, not rounded; pictures: uint8 (N, F, S, S, 3).
    """

    inputs: np.ndarray
    pictures: np.ndarray


def attack_clips(
    model: Fitted,
    detector: str,
    clips: Clips,
    attack: Attack,
    strengths: Sequence[float],
    seed: int,
) -> dict[float, Attacked]:
    """Return {strength: Attacked} of Clips attacked against a Fitted.

    A strength is the largest change of a pixel, of 255. Each clip is attacked alone; the draws of a
    step are the same for all clips and strengths. Raises InputError for a strength outside
    [0, 255], and for a detector or method that has no gradient.
    """
    if not all(0 <= strength <= 255 for strength in strengths):
        raise InputError(f"strengths {list(strengths)}: give values in [0, 255], of 255")
    preprocessing = clip_module.differentiable_preprocessing(detector)
    size = max(1, FRAMES // (len(strengths) * len(clips.tracks[0].crops)))
    parts = []
    with threads(model.recipe.threads):
        for first in range(0, len(clips.tracks), size):
            chosen, part_seed = slice(first, first + size), seed * 1_000_003 + first
            part = Clips(clips.tracks[chosen], clips.index[chosen])
            parts.append(_attack_part(model, preprocessing, part, attack, strengths, part_seed))
    return {
        strength: Attacked(*map(np.concatenate, zip(*(part[k] for part in parts), strict=True)))
        for k, strength in enumerate(strengths)
    }


def _attack_part(
    model: Fitted,
    preprocessing: Preprocessing,
    clips: Clips,
    attack: Attack,
    strengths: Sequence[float],
    seed: int,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return [(inputs, pictures)] of a few clips, one entry per strength."""
    to_inputs = [preprocessing(track) for track in clips.tracks] * len(strengths)
    device, count = device_of(model.model), len(clips.tracks)
    pixels = torch.from_numpy(clips.pixels).to(device)
    x = pixels.repeat(len(strengths), 1, 1, 1, 1)
    epsilon = torch.tensor(strengths, dtype=x.dtype).repeat_interleave(count).to(device) / 255
    y = torch.as_tensor(np.tile(clips.index["label"].to_numpy(), len(strengths))).to(device)
    # Strength 0 is the clean clip, and needs no gradient.
    rows = np.flatnonzero(np.repeat(strengths, count))
    moved, live = x.clone(), torch.from_numpy(rows).to(device)
    if len(rows):
        live_inputs = [to_inputs[row] for row in rows]

        def gradient(at, step):
            # Not the draws of the model's own seed, which decide, and other ones at each step.
            return _gradient(model, live_inputs, attack, at, y[live], model.seed + 1 + step)

        moved[live] = perturb(attack, gradient, x[live], epsilon[live], seed)
    with torch.no_grad():
        inputs = [one(crops) for one, crops in zip(to_inputs, moved, strict=True)]
        stacked = torch.stack(inputs).cpu().numpy()
    pictures = clip_module.to_uint8(moved.cpu().numpy())
    return [
        (stacked[k : k + count].reshape(-1, *stacked.shape[2:]), pictures[k : k + count])
        for k in range(0, len(stacked), count)
    ]


def _gradient(
    model: Fitted,
    to_inputs: Sequence[Callable[[torch.Tensor], torch.Tensor]],
    attack: Attack,
    x: torch.Tensor,
    y: torch.Tensor,
    seed: int,
) -> torch.Tensor:
    """Return the gradient of the goal to pixels x (N, F, 3, S, S), from fresh draws of `seed`."""
    x = x.detach().requires_grad_(True)
    inputs = [one(crops) for one, crops in zip(to_inputs, x, strict=True)]
    labels = y.repeat_interleave(len(inputs[0]))
    logits = torch.stack([draw(torch.cat(inputs)) for draw in model.draws(attack.draws, seed)])
    return torch.autograd.grad(GOALS[attack.goal](logits, labels).sum(), x)[0]
