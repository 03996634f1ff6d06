"""What every detector is: a network with a dropout head, its inputs from a face track, and a recipe to train it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from deepfake_uncertainty.errors import InputError


@dataclass(frozen=True)
class Recipe:
    """How a detector is trained: passes, batch size, AdamW's rate and decay, variational passes, inputs of each video.

    flip mirrors half of the inputs left to right, shift moves each by up to so many pixels and colour scales brightness and
    contrast by up to this fraction: for detectors that read pictures. `threads` of the processor are used to train and to
    sample, whatever the machine has: the last digits depend on them.
    """

    epochs: int
    batch: int
    lr: float
    weight_decay: float
    bayes_epochs: int
    samples_a_video: int
    flip: bool = False
    shift: int = 0
    colour: float = 0.0
    threads: int = 1


@dataclass(frozen=True)
class DetectorSpec:
    """A detector by name.

    build(n_classes, dropout) -> Classifier; inputs(track, n) -> (float32 (m, C, H, W) in [0, 1], first frames int64 (m,))
    with m = min(n, what the clip holds); window is the frames that one input spans. A detector of clips has the frames of
    one stacked in its channels. `recipe` is that of profile quick, `full_recipe` that of the others (None: the same).
    `kind` is blind (it learns from pixels alone) or biological (from a signal of the living body).
    """

    name: str
    label: str
    build: Callable
    inputs: Callable
    window: int
    recipe: Recipe
    full_recipe: Recipe | None = None
    kind: str = "blind"


class Classifier(nn.Module):
    """A network in two parts: `features` (N, C, H, W) in [0, 1] -> (N, D), and a dropout head on them.

    Calling it gives logits (N, n_classes); class 0 is real. What does not depend on the head's dropout mask is `features`.
    `stages` names the stages of its backbone (as `named_modules` does), the last the deepest: where dropout may stand, and
    what may be made Bayesian alone.
    """

    def __init__(self, features, n_features, n_classes, dropout, stages=()):
        super().__init__()
        if n_classes < 2:
            raise InputError(f"a classifier of {n_classes} class(es): give 2 or more")
        if not 0 <= dropout < 1:
            raise InputError(f"dropout rate {dropout}: give a probability in [0, 1)")
        self.features, self.stages = features, tuple(stages)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(n_features, n_classes))
        # The processor's convolutions are up to twice as fast so; inputs follow the weights.
        self.to(memory_format=torch.channels_last)

    def forward(self, x):
        return self.head(self.features(x))


def evenly_spaced(length, n):
    """Return min(n, length) increasing indices int64 spread over the whole of range(length), one at each part's middle.

    Raises InputError when n or length is below 1.
    """
    if n < 1 or length < 1:
        raise InputError(f"{n} of {length} frames or windows asked for: both must be 1 or more")
    n = min(n, length)
    return (2 * np.arange(n, dtype=np.int64) + 1) * length // (2 * n)
