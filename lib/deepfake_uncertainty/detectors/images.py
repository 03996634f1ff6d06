"""What blind detectors share: inputs from single frames, normalised colours, timm's networks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import cv2
import numpy as np
import timm
import torch
from torch import nn

from deepfake_uncertainty.detectors.base import Classifier, Recipe, evenly_spaced
from deepfake_uncertainty.errors import InputError

if TYPE_CHECKING:
    from deepfake_uncertainty.datasets.tracks import Track

SIZE = 64
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Learning rates and augmentation were chosen on the validation split of SynthFF quick. The epochs
# take a minute of one thread there. Frames of one video are similar: ResNet18 learns as much from
# four per video in ten epochs as from eight per video in eight epochs.
RECIPE = Recipe(
    epochs=10,
    batch=32,
    lr=1e-3,
    weight_decay=1e-2,
    variational_epochs=3,
    inputs_per_video=4,
    flip=True,
)


class Normalise(nn.Module):
    """Subtract the mean of each RGB channel and divide by its deviation, by default ImageNet's.

    This layer is part of the network, so that attacks and pixel maps are in pixels of [0, 1].
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self, mean: Iterable[float] = IMAGENET_MEAN, std: Iterable[float] = IMAGENET_STD
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the normalised images of x (N, 3, H, W) in [0, 1]."""
        return (x - self.mean) / self.std


def backbone(name: str, pretrained: bool) -> nn.Module:
    """Return timm's network `name` without its classifier.

    pretrained: start from ImageNet weights; raises InputError when they cannot be loaded.
    """
    if not pretrained:
        return timm.create_model(name, pretrained=False, num_classes=0)
    try:
        return timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # hub, network, disk and format errors share no base class
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        advice = "connect to the hub once, or use pretrained=False"
        raise InputError(f"no ImageNet weights for {name} ({reason}): {advice}") from error


def classifier(
    network: nn.Module,
    stages: Iterable[str],
    n_classes: int,
    dropout: float,
    normalise: nn.Module | None = None,
) -> Classifier:
    """Return a `Classifier` of a normalisation (by default ImageNet's) and a backbone.

    network: (N, 3, H, W) -> (N, D), with its D as the attribute num_features or head_hidden_size.
    stages: the names of its stages.
    """
    features = nn.Sequential(normalise or Normalise(), network)
    width = "head_hidden_size" if hasattr(network, "head_hidden_size") else "num_features"
    names = [f"features.1.{name}" for name in stages]
    return Classifier(features, getattr(network, width), n_classes, dropout, names)


def block_stages(network: nn.Module) -> list[str]:
    """Return the names of the stages of one of timm's networks that is made of `blocks`.

    A stage ends with the last block before each halving of the size, or with the last block.
    """
    modules = [info["module"] for info in network.feature_info]  # type: ignore[union-attr]
    return [name for name in modules if name.startswith("blocks")]


def resized(crops: np.ndarray, size: int = SIZE) -> np.ndarray:
    """Return crops uint8 (F, S, S, 3) as float32 (F, 3, size, size) RGB in [0, 1]."""
    small = [
        cv2.resize(np.ascontiguousarray(crop), (size, size), interpolation=cv2.INTER_AREA)
        for crop in crops
    ]
    return np.stack(small).transpose(0, 3, 1, 2).astype(np.float32) / 255


def frames(track: Track, n: int, size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Return frames float32 (m, 3, size, size) RGB in [0, 1] and their indices int64 (m,).

    They are m = min(n, F) frames, spread evenly over the whole clip.
    """
    starts = evenly_spaced(len(track.crops), n)
    return resized(track.crops[starts], size), starts


@functools.cache
def _area_means(size: int) -> torch.Tensor:
    """Return the matrix (SIZE, size) of means over areas: OpenCV's INTER_AREA along one axis."""
    edges = np.arange(SIZE + 1) * size / SIZE
    ends = np.minimum(edges[1:, None], np.arange(1, size + 1))
    overlap = ends - np.maximum(edges[:-1, None], np.arange(size))
    return torch.from_numpy((overlap.clip(0) * SIZE / size).astype(np.float32))


def pixels_to_frames(track: Track) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a differentiable function (F, 3, S, S) -> (F, 3, SIZE, SIZE) of crops to inputs.

    It resizes as `frames` does.
    """
    means = _area_means(track.crops.shape[1])
    return lambda crops: means.to(crops) @ crops @ means.to(crops).T
