"""The interface of a detector: a network with a dropout head, its inputs, and its recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from deepfake_uncertainty.errors import InputError

if TYPE_CHECKING:
    from deepfake_uncertainty.datasets.tracks import Track

KINDS = "blind", "biological"


@dataclass(frozen=True)
class Recipe:
    """How a detector is trained.

    epochs: of the network; variational_epochs: of its Bayesian posterior.
    batch: the number of inputs per batch.
    lr, weight_decay: of AdamW.
    inputs_per_video: for training and for sampling.
    flip: mirror half of the inputs left to right.
    shift: move each input by up to this number of pixels.
    colour: scale brightness and contrast by up to this fraction.
    threads: of the processor, for training and sampling on every machine: the last digits of the
    results depend on them.
    """

    epochs: int
    batch: int
    lr: float
    weight_decay: float
    variational_epochs: int
    inputs_per_video: int
    flip: bool = False
    shift: int = 0
    colour: float = 0.0
    threads: int = 1


@dataclass(frozen=True)
class DetectorSpec:
    """A detector.

    name: on the command line and in tables; label: in figures.
    build(n_classes, dropout): returns an untrained Classifier.
    inputs(track, n): returns inputs float32 (m, C, H, W) in [0, 1] and their first frames int64
    (m,), where m = min(n, inputs in the clip). Several frames of an input are stacked in C.
    window: the number of frames of an input.
    recipe: for profile quick; full_recipe: for all other profiles (None: the same recipe).
    kind: 'blind' (learns from pixels alone) or 'biological' (from a signal of the living body).
    input_kind: 'pixels', or 'ppg' for PPG maps, whose rows are regions of the face.
    pixels_to_inputs(track): returns a differentiable function of crops (F, 3, S, S) in [0, 1] to
    inputs (m, C, H, W), for gradient attacks (None: the detector is not attacked).
    year: of its publication; detectors of a kind are listed by year.
    color, linestyle: in figures (None: chosen from the name).
    Raises InputError for an unknown kind or a window below 1.
    """

    name: str
    label: str
    build: Callable[[int, float], Classifier]
    inputs: Callable[[Track, int], tuple[np.ndarray, np.ndarray]]
    window: int
    recipe: Recipe
    full_recipe: Recipe | None = None
    kind: str = "blind"
    input_kind: str = "pixels"
    pixels_to_inputs: Callable[[Track], Callable[[torch.Tensor], torch.Tensor]] | None = None
    year: int = 9999
    color: str | None = None
    linestyle: str = "-"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(
                f"detector '{self.name}' is of kind '{self.kind}': use {' or '.join(KINDS)}"
            )
        if self.input_kind not in ("pixels", "ppg"):
            problem = f"detector '{self.name}' has input_kind '{self.input_kind}'"
            raise InputError(f"{problem}: use pixels or ppg")
        if self.window < 1:
            raise InputError(
                f"detector '{self.name}' has a window of {self.window} frames: give 1 or more"
            )


class Classifier(nn.Module):
    """A network in two parts: `features` (N, C, H, W) in [0, 1] -> (N, D), and a dropout head.

    A call gives logits (N, n_classes); class 0 is real. `features` does not depend on the dropout
    mask of the head. `stages` names the stages of the backbone as `named_modules` does, the deepest
    last: dropout can be placed behind a stage, and the last stage alone can be made Bayesian.
    Raises InputError for fewer than two classes, or a dropout rate outside [0, 1).
    """

    stages: tuple[str, ...]

    def __init__(
        self,
        features: nn.Module,
        n_features: int,
        n_classes: int,
        dropout: float,
        stages: Iterable[str] = (),
    ) -> None:
        super().__init__()
        if n_classes < 2:
            raise InputError(f"a classifier of {n_classes} class(es): give 2 or more")
        if not 0 <= dropout < 1:
            raise InputError(f"dropout rate {dropout}: give a probability in [0, 1)")
        self.features, self.stages = features, tuple(stages)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(n_features, n_classes))
        # Convolutions on the processor are up to twice as fast. Inputs follow the weights' layout.
        self.to(memory_format=torch.channels_last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits (N, n_classes) of inputs (N, C, H, W)."""
        return self.head(self.features(x))


def evenly_spaced(length: int, n: int) -> np.ndarray:
    """Return m = min(n, length) increasing indices int64 from the whole of range(length).

    They are the middles of m parts of equal length. Raises InputError when n or length is below 1.
    """
    if n < 1 or length < 1:
        raise InputError(f"{n} of {length} frames or windows: both numbers must be 1 or more")
    n = min(n, length)
    return (2 * np.arange(n, dtype=np.int64) + 1) * length // (2 * n)


def window_starts(
    n_frames: int, window: int, stride: int, n: int, what: str = "input"
) -> np.ndarray:
    """Return the first frames int64 (m,) of m = min(n, all) windows of `window` frames.

    The windows are taken evenly from those that start every `stride` frames of the clip. Raises
    InputError for a clip shorter than the window; `what` names the window in the message.
    """
    if n_frames < window:
        raise InputError(
            f"clip of {n_frames} frames is shorter than the {what} of {window}: give a longer clip"
        )
    starts = np.arange(0, n_frames - window + 1, stride, dtype=np.int64)
    return starts[evenly_spaced(len(starts), n)]
