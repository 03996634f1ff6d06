"""Training of a network, deterministic or Bayesian.

Batches are class-balanced, the optimiser is AdamW, and the learning rate follows one cycle.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from deepfake_uncertainty import devices
from deepfake_uncertainty.detectors import augment
from deepfake_uncertainty.detectors.base import Recipe
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.seeding import seed_everything
from deepfake_uncertainty.uncertainty.bayes import VariationalPosterior

RESIDENT = 2 << 30  # bytes of inputs that stay on a card: 40,000 pictures of 64 px


def _checked(x: np.ndarray, y: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Return inputs and labels as tensors; raises InputError when they are unfit for training."""
    images = torch.as_tensor(np.asarray(x, dtype=np.float32))
    labels = torch.as_tensor(np.array(y), dtype=torch.long)
    if len(images) != len(labels) or len(images) < 2:
        raise InputError(
            f"{len(images)} inputs and {len(labels)} labels: training needs at least two inputs, "
            "and one label per input"
        )
    if not torch.isfinite(images).all():
        raise InputError("the inputs hold NaN or infinite values: find the video they come from")
    if len(labels.unique()) < 2:
        raise InputError(
            f"all training labels are {int(labels[0])}: a detector needs two classes to learn from"
        )
    return images, labels


def balanced_epoch(y: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return about N shuffled indices int64 into labels y (N,), equally many per class.

    The items of a class are taken in a random order: those of a rare class several times, of a
    frequent class only a part.
    """
    classes = y.unique()
    share = math.ceil(len(y) / len(classes))
    chosen = []
    for label in classes:
        items = torch.nonzero(y == label).flatten()
        rounds = [
            items[torch.randperm(len(items), generator=generator)]
            for _ in range(math.ceil(share / len(items)))
        ]
        chosen.append(torch.cat(rounds)[:share])
    order = torch.cat(chosen)
    return order[torch.randperm(len(order), generator=generator)]


def _batches(y: torch.Tensor, size: int, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    """Return the indices of the batches of one epoch, of nearly equal size.

    A last batch of one input would break batch normalisation.
    """
    order = balanced_epoch(y, generator)
    return torch.tensor_split(order, max(1, min(math.ceil(len(order) / size), len(order) // 2)))


class _Feed:
    """Batches of inputs and labels on a device; a card is never waited for.

    Inputs up to `RESIDENT` bytes are on it once and for all. Larger ones are gathered from the
    memory of the processor while the card still computes on the batch before.
    """

    def __init__(self, x: torch.Tensor, y: torch.Tensor, device: torch.device) -> None:
        self.on_device = device.type == "cpu" or x.nbytes <= RESIDENT
        self.x, self.y, self.device = x.to(device) if self.on_device else x, y.to(device), device

    def __call__(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the inputs and labels of a batch of indices int64 (n,)."""
        place = devices.send(batch, self.device)
        inputs = self.x[place] if self.on_device else devices.send(self.x[batch], self.device)
        return inputs, self.y[place]


def _descend(
    module: nn.Module,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    y: torch.Tensor,
    recipe: Recipe,
    epochs: int,
    seed: int,
) -> list[dict]:
    """Minimise loss(x, y) on balanced batches; return one {'loss': its mean} per epoch."""
    generator = torch.Generator().manual_seed(seed)
    device = next(module.parameters()).device
    # Fused: one pass over the weights instead of ten takes a third of the time.
    optimiser = torch.optim.AdamW(
        module.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True
    )
    steps = epochs * len(_batches(y, recipe.batch, torch.Generator().manual_seed(seed)))
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.lr, total_steps=steps)
    feed, half, history = _Feed(x, y, device), devices.halves(device), []
    for epoch in range(epochs):
        module.train()
        # Added up on the device: to read the loss of each step would be to wait for a card.
        total = torch.zeros((), dtype=torch.float64, device=device)
        batches = _batches(y, recipe.batch, generator)
        for batch in batches:
            images, labels = feed(batch)
            images = _laid_out(augment.augment(images, recipe, generator))
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                value = loss(images, labels)
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
            rate.step()
            total += value.detach()
        history.append({"loss": _checked_loss(total.item() / len(batches), epoch)})
    module.eval()
    return history


def _laid_out(images: torch.Tensor) -> torch.Tensor:
    """Return images in the layout of the weights, in which a card converts nothing."""
    if images.device.type == "cpu" or images.ndim != 4:
        return images
    return images.contiguous(memory_format=torch.channels_last)


def _checked_loss(value: float, epoch: int) -> float:
    if not math.isfinite(value):
        raise InputError(
            f"the loss is {value} in epoch {epoch + 1}: lower the learning rate of the recipe"
        )
    return value


def fit(network: nn.Module, x: np.ndarray, y: np.ndarray, recipe: Recipe, seed: int) -> list[dict]:
    """Train a network in place on x float32 (N, C, H, W) and y int (N,).

    The loss is the cross-entropy on class-balanced batches. Returns the history, one dict per
    epoch. Raises InputError for bad inputs and for a loss that diverges.
    """
    inputs, targets = _checked(x, y)
    seed_everything(seed)

    def loss(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(network(images), labels)

    with devices.training(next(network.parameters()).device):
        return _descend(network, loss, inputs, targets, recipe, recipe.epochs, seed)


def fit_bayes(
    posterior: VariationalPosterior,
    x: np.ndarray,
    y: np.ndarray,
    recipe: Recipe,
    seed: int,
    beta: float = 1.0,
) -> list[dict]:
    """Train a VariationalPosterior in place on x (N, C, H, W) and y (N,) by its ELBO loss.

    `beta` >= 0 is the weight of the KL term (summed over all weights, divided by N); 1 is the ELBO.
    There is no weight decay: the prior takes its place. Returns the history, one dict per epoch.
    Raises InputError as `fit` does, and for a negative beta.
    """
    if not beta >= 0:
        raise InputError(f"beta is {beta}: give a weight of the KL that is at least 0")
    inputs, targets = _checked(x, y)
    seed_everything(seed)
    undecayed = dataclasses.replace(recipe, weight_decay=0.0)

    def loss(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return posterior.elbo_loss(images, labels, len(inputs), beta)

    with devices.training(next(posterior.parameters()).device):
        epochs = recipe.variational_epochs
        return _descend(posterior, loss, inputs, targets, undecayed, epochs, seed)
