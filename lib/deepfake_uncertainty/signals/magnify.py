"""A learned motion magnifier: a small network after Oh et al. (2018).

An encoder separates a frame into texture and shape. A manipulator magnifies the change of the shape
since a reference frame, and a decoder composes a frame again. The change of the shape also serves
as a signal of motion. The weights ship with the package; they were trained on synthetic motion
only. `python -m deepfake_uncertainty retrain magnifier` trains them again.
"""

import functools
import json
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from deepfake_uncertainty import files
from deepfake_uncertainty.errors import InputError

WEIGHTS = Path(__file__).parent / "weights"
NAME = "magnifier"
WIDTH, SHAPE = 32, 16


class Residual(nn.Module):
    """Two 3 x 3 convolutions with a skip connection."""

    def __init__(self, width: int, bias: bool = True) -> None:
        super().__init__()
        self.first, self.second = (
            nn.Conv2d(width, width, 3, padding=1, bias=bias) for _ in range(2)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return maps (N, width, H, W) of maps of the same shape."""
        return x + self.second(functional.relu(self.first(x)))


class Magnifier(nn.Module):
    """Magnifies the motion between frames (N, 3, H, W) in [0, 1] (Oh et al. 2018).

    H and W must be multiples of 4. The encoder separates frames into texture (N, 32, H / 4, W / 4)
    and shape (N, 16, H / 2, W / 2).
    """

    def __init__(self) -> None:
        super().__init__()
        relu = nn.ReLU()
        self.common = nn.Sequential(
            nn.Conv2d(3, 16, 7, padding=3),
            relu,
            nn.Conv2d(16, WIDTH, 3, stride=2, padding=1),
            relu,
            Residual(WIDTH),
            relu,
        )
        self.texture = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1), relu, Residual(WIDTH)
        )
        self.shape = nn.Sequential(nn.Conv2d(WIDTH, SHAPE, 3, padding=1), relu, Residual(SHAPE))
        # Without biases, a frame without motion gives zero through both layers, at any factor.
        self.change = nn.Sequential(nn.Conv2d(SHAPE, SHAPE, 5, padding=2, bias=False), relu)
        self.apply_change = nn.Sequential(
            nn.Conv2d(SHAPE, SHAPE, 3, padding=1, bias=False), Residual(SHAPE, bias=False)
        )
        self.join = nn.Sequential(
            nn.Conv2d(WIDTH + SHAPE, WIDTH, 3, padding=1),
            relu,
            Residual(WIDTH),
            relu,
            Residual(WIDTH),
            relu,
        )
        self.finish = nn.Sequential(
            nn.Conv2d(WIDTH, 16, 3, padding=1), relu, nn.Conv2d(16, 3, 7, padding=3)
        )

    def encode(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (texture, shape) of frames (N, 3, H, W) in [0, 1]."""
        common = self.common(2 * frames - 1)
        return self.texture(common), self.shape(common)

    def magnified_change(
        self, reference: torch.Tensor, shape: torch.Tensor, factor: torch.Tensor | float
    ) -> torch.Tensor:
        """Return the term that, added to `shape` (N, 16, h, w), magnifies its motion.

        The motion is that since the shape `reference`; `factor` is (N, 1, 1, 1) or a number.
        """
        return self.apply_change(factor * self.change(shape - reference))

    def forward(
        self, reference: torch.Tensor, frames: torch.Tensor, factor: torch.Tensor
    ) -> torch.Tensor:
        """Return `frames` with 1 + factor times their motion since `reference`.

        factor (N, 1, 1, 1) >= 0.
        """
        _, before = self.encode(reference)
        texture, shape = self.encode(frames)
        return self.decode(frames, texture, shape + self.magnified_change(before, shape, factor))

    def decode(
        self, frames: torch.Tensor, texture: torch.Tensor, shape: torch.Tensor
    ) -> torch.Tensor:
        """Return frames (N, 3, H, W) composed from texture and shape, as a change of `frames`."""
        joined = self.join(torch.cat([_double(texture), shape], 1))
        return frames + self.finish(_double(joined))


def _double(maps: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False)


@torch.no_grad()
def shapes(network: Magnifier, frames: np.ndarray) -> torch.Tensor:
    """Return the shapes float32 (F, 16, H / 2, W / 2) of frames float32 (F, H, W, 3) in [0, 1]."""
    # Channels last in memory, as the weights are.
    x = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
    return network.shape(network.common(2 * x - 1))


@torch.no_grad()
def changes(network: Magnifier, shapes: torch.Tensor, factor: float) -> np.ndarray:
    """Return the magnified changes float32 (F, 16, h, w) of shapes (F, 16, h, w) since the first.

    They are linear in factor >= 0.
    """
    return network.magnified_change(shapes[:1], shapes, factor).numpy()


def save_weights(network: Magnifier, card: dict) -> None:
    """Write the weights of a trained Magnifier and its card: data, steps, seconds, loss, seed."""
    weights = {key: value.contiguous() for key, value in network.state_dict().items()}
    with files.atomic_path(WEIGHTS / f"{NAME}.safetensors") as temporary:
        save_file(weights, temporary)
    files.write_json(WEIGHTS / f"{NAME}.json", card)


def read_card() -> dict:
    """Return the card of the shipped magnifier: data, steps, seconds, loss, seed."""
    return json.loads((WEIGHTS / f"{NAME}.json").read_text())


@functools.cache
def load_weights() -> Magnifier:
    """Return the Magnifier with its shipped weights, in evaluation mode and without gradients.

    Raises InputError when the weights are missing or do not fit.
    """
    path, network = WEIGHTS / f"{NAME}.safetensors", Magnifier()
    try:
        network.load_state_dict(load_file(path))
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        command = f"python -m deepfake_uncertainty retrain {NAME}"
        raise InputError(
            f"{path} is missing or does not fit the code: check the clone, or run: {command}"
        ) from error
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
