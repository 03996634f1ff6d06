"""Random changes of training images that keep their label: flip, shift, brightness, contrast."""

import torch
from torch.nn import functional

from deepfake_uncertainty.detectors.base import Recipe


def augment(x: torch.Tensor, recipe: Recipe, generator: torch.Generator) -> torch.Tensor:
    """Return images x (N, C, H, W) in [0, 1] changed at random by the recipe, again in [0, 1].

    The recipe's `flip`, `shift` and `colour` say how; without any of them x itself is returned. All
    channels of an image change in the same manner, and with them all frames of a clip.
    """
    if recipe.flip:
        mirrored = torch.rand(len(x), generator=generator) < 0.5
        x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
    if recipe.shift:
        x = _shifted(x, recipe.shift, generator)
    if recipe.colour:
        x = _recoloured(x, recipe.colour, generator)
    return x


def _shifted(x: torch.Tensor, reach: int, generator: torch.Generator) -> torch.Tensor:
    """Return each image moved by up to `reach` px along both axes, reflected at the edges."""
    height, width = x.shape[2:]
    wide = functional.pad(x, (reach,) * 4, mode="reflect")
    corners = torch.randint(0, 2 * reach + 1, (len(x), 2), generator=generator).tolist()
    moved = [
        image[:, top : top + height, left : left + width]
        for image, (top, left) in zip(wide, corners, strict=True)
    ]
    return torch.stack(moved)


def _recoloured(x: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    gain, contrast = 1 + strength * (2 * torch.rand(2, len(x), 1, 1, 1, generator=generator) - 1)
    x = x * gain
    mean = x.mean((1, 2, 3), keepdim=True)
    return (mean + contrast * (x - mean)).clamp(0, 1)
