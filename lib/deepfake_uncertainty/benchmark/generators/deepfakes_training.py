"""Training of the Deepfakes autoencoder on the clips of one split.

Faces are warped at random, as in the original. The network reconstructs the faces without the warp.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from deepfake_uncertainty.benchmark.generators import base
from deepfake_uncertainty.benchmark.generators.aligned import EYES, SIZE, template
from deepfake_uncertainty.benchmark.generators.deepfakes import (
    SUPERVISED,
    Autoencoder,
    aligned_faces,
    enlarge,
    read_at,
)
from deepfake_uncertainty.benchmark.generators.learned import reconstruction
from deepfake_uncertainty.errors import InputError

SUPERVISION_WEIGHT, SMOOTHNESS_WEIGHT = 0.1, 0.05  # in the loss
RIDGE = 0.02  # penalty of the regression for the traits
# Limit for a network that has learned: its error as a share of the mean face's, and the share of
# the variance of the mouth's opening that its code misses.
MAX_MISSED = 0.7
Tensors = Sequence[torch.Tensor]  # one per clip


def distort(faces: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return the faces (N, 3, 64, 64) warped by a smooth random field of 5 x 5 knots."""
    knots = torch.randn(len(faces), 2, 5, 5, generator=generator) * 0.03
    return read_at(faces, enlarge(knots, "bicubic"))


def eye_contrast(frames: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Return the standard deviation (F,) of grey inside the eyes.

    It falls in a blink, which found landmarks hardly show.
    """
    values = []
    for frame, points in zip(frames, landmarks, strict=True):
        eyes = [base.polygon(base.enlarge(points[eye], 1.2), frame.shape) for eye in EYES]
        inside = np.maximum(*eyes) > 0
        values.append(frame.mean(-1)[inside].std() if inside.any() else 0.0)
    return np.array(values)


def training_frames(clip: base.Footage, most: int = 96) -> tuple[torch.Tensor, torch.Tensor]:
    """Return faces uint8 (N, 3, 64, 64) and features (N, 4) of at most `most` even-spaced frames.

    The features are mouth, eyes, pitch and yaw. Mouth, eyes and pitch are relative to the clip's
    own state of rest; yaw means the same in every face.
    """
    usable = np.flatnonzero(clip.found)
    picked = usable[np.linspace(0, len(usable) - 1, min(most, len(usable))).round().astype(int)]
    mouth, _, yaw, pitch = base.pose_and_expression(clip.landmarks[picked]).T
    eyes = eye_contrast(clip.frames[picked], clip.landmarks[picked])
    rest = np.quantile(mouth, 0.2)
    features = [mouth - rest, eyes / (np.median(eyes) + 1e-6), pitch - pitch.mean(), yaw]
    return aligned_faces(clip, picked), torch.from_numpy(np.stack(features, 1)).float()


def face_window() -> torch.Tensor:
    """Return the indicator (64, 64) of the face in the aligned square, an ellipse."""
    axis = torch.linspace(-1, 1, SIZE)
    return ((axis / 0.72) ** 2 + (axis[:, None] / 0.95) ** 2 < 1).float()


def loss_weights(clips: Sequence[base.Footage]) -> torch.Tensor:
    """Return loss weights (64, 64) of mean 1: 0 outside the face, up to 7-fold at lips and eyes."""
    parts = np.zeros((SIZE, SIZE), np.float32)
    for goal in map(template, clips):
        for part in (base.LIPS, *EYES):
            parts += base.polygon(base.enlarge(goal[part], 1.5), parts.shape)
    weights = face_window() * (1 + 6 * torch.from_numpy(parts / parts.max()))
    return weights / weights.mean()


def train(
    clips: Sequence[base.Footage], seed: int, steps: int = 700, batch: int = 32
) -> tuple[Autoencoder, dict[str, Any]]:
    """Return an Autoencoder trained on `clips`, and its card.

    The card is a JSON-able dict of the training data and the errors. The result is deterministic
    in `seed` on one thread. Raises InputError for clips that do not come from the benchmark, and
    for a network that did not learn.
    """
    base.require_benchmark_clip(*clips)
    pools, measured = zip(*map(training_frames, clips), strict=True)
    scale = torch.cat(measured).std(0) + 1e-6
    centre = torch.tensor([0, 1.0, 0, 0])
    features = [(part - centre) / scale for part in measured]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Autoencoder([clip.identity for clip in clips])
    for k, (pool, part) in enumerate(zip(pools, features, strict=True)):
        network.likeness.data[k] = pool[part.square().sum(1).argmin()].flatten() / 255
    _descend(network, pools, features, loss_weights(clips), seed, steps, batch)
    fit_traits(network, pools)
    error, mean_error = mean_errors(network, pools)
    missed = missed_mouth(network, pools, features)
    _check_learned(steps, len(clips), error, mean_error, missed)
    card: dict[str, Any] = dict(identities=network.identities, frames=sum(map(len, pools)))
    card |= dict(steps=steps, seed=seed, loss=round(error, 6), mean_face_loss=round(mean_error, 6))
    return network.eval(), card | dict(mouth_missed=round(missed, 4))


def _check_learned(
    steps: int, identities: int, error: float, mean_error: float, missed: float
) -> None:
    """Raise InputError when the errors of a network are above the limit."""
    if error > MAX_MISSED * mean_error or missed > MAX_MISSED:
        raise InputError(
            f"Deepfakes of {identities} identities did not learn in {steps} steps: "
            f"error {error:.4f}, the mean face's {mean_error:.4f}, {missed:.0%} of the mouth's "
            f"motion missed, allowed are {MAX_MISSED:.0%} of either: give more steps"
        )


def _descend(
    network: Autoencoder,
    pools: Tensors,
    features: Tensors,
    weights: torch.Tensor,
    seed: int,
    steps: int,
    batch: int,
) -> None:
    """Train by Adam to reconstruct distorted faces.

    Every other face is mirrored, so that all decoders see both sides.
    """
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.tensor([len(pool) for pool in pools])
    decoders = torch.repeat_interleave(torch.arange(len(pools)), sizes)
    pool, measured = torch.cat(list(pools)), torch.cat(list(features))
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3, betas=(0.8, 0.99))
    cycle = torch.optim.lr_scheduler.OneCycleLR
    schedule = cycle(optimiser, 3e-3, total_steps=max(steps, 2), pct_start=0.15)
    for _ in range(steps):
        k = torch.randint(len(pool), (batch,), generator=generator)
        sharp, wanted = pool[k].float() / 255, measured[k]
        sharp[::2], wanted[::2, 3] = sharp[::2].flip(3), -wanted[::2, 3]
        codes = network.encode(distort(sharp, generator))
        field = network.flow_field(codes, decoders[k])
        bending = sum(field.diff(dim=d).square().mean() for d in (2, 3))
        deviation = (codes[:, :SUPERVISED] - wanted).square().mean()
        # The traits are fitted after the training.
        guess = network.move(network.likeness[decoders[k]], codes, decoders[k])
        error = reconstruction(guess, sharp, weights)
        loss = error + SUPERVISION_WEIGHT * deviation + SMOOTHNESS_WEIGHT * bending
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()


@torch.no_grad()
def fit_traits(network: Autoencoder, pools: Tensors, rounds: int = 3) -> None:
    """Set each identity's traits: a ridge regression of the residual faces on the supervised units.

    Residuals are brought back to the likeness by the opposite flow. That is only nearly its
    inverse, so there are several rounds. The solution is in closed form, because a stochastic
    descent sees an identity's few blinks too rarely.
    """
    for k, pool in enumerate(pools):
        decoders, truth = torch.full((len(pool),), k), pool.float() / 255
        codes = network.encode(truth)
        units = codes[:, :SUPERVISED]
        network.range[:, k] = torch.stack([units.quantile(q, 0) for q in (0.03, 0.97)])
        terms = network.terms(codes, decoders)
        back = -0.1 * enlarge(network.flow_field(codes, decoders))
        penalty = RIDGE * len(pool) * torch.eye(SUPERVISED + 1)
        solve = torch.linalg.inv(terms.T @ terms + penalty) @ terms.T
        for _ in range(rounds):
            residual = read_at(truth - network.decode(codes, decoders), back)
            network.traits[k] += solve @ residual.flatten(1)


@torch.no_grad()
def mean_errors(network: Autoencoder, pools: Tensors) -> tuple[float, float]:
    """Return the mean absolute error inside the face of decoded faces, and of the mean faces.

    Both are in [0, 1]. Differences are first averaged over 2 x 2 px, because the rest is camera
    noise, which no network could decode.
    """
    inside = face_window()[::2, ::2] > 0
    found = []
    for k, pool in enumerate(pools):
        truth = pool.float() / 255
        guesses = network(truth, torch.full((len(pool),), k)), truth.mean(0)
        errors = (nn.functional.avg_pool2d(guess - truth, 2) for guess in guesses)
        found.append([error[..., inside].abs().mean().item() for error in errors])
    decoded, means = zip(*found, strict=True)
    return float(np.mean(decoded)), float(np.mean(means))


@torch.no_grad()
def missed_mouth(network: Autoencoder, pools: Tensors, features: Tensors) -> float:
    """Return the share of the variance of the mouth's opening that the codes miss.

    `features` (N, 4) per pool come from `training_frames`.
    """
    codes = torch.cat([network.encode(pool.float() / 255) for pool in pools])
    mouth = torch.cat(list(features))[:, 0]
    return ((codes[:, 0] - mouth).square().mean() / mouth.var()).item()
