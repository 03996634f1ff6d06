"""Random changes of training images that keep their label: flip, shift, brightness, contrast."""

import torch
from torch.nn import functional

from deepfake_uncertainty import devices
from deepfake_uncertainty.detectors.base import Recipe


def augment(x: torch.Tensor, recipe: Recipe, generator: torch.Generator) -> torch.Tensor:
    """Return images x (N, C, H, W) in [0, 1] changed at random by the recipe, again in [0, 1].

    The recipe's `flip`, `shift` and `colour` say how; without any of them x itself is returned. All
    channels of an image change in the same manner, and with them all frames of a clip. `generator`
    is of the processor, so that the changes are the same on every device.
    """
    if recipe.flip:
        mirrored = devices.send(torch.rand(len(x), generator=generator) < 0.5, x.device)
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
    # All places that a picture can be moved to, as views of the same pixels.
    moved = wide.unfold(2, height, 1).unfold(3, width, 1)
    corners = torch.randint(0, 2 * reach + 1, (len(x), 2), generator=generator)
    rows, columns = devices.send(corners, x.device).unbind(1)
    return moved[torch.arange(len(x), device=x.device), :, rows, columns]


def _recoloured(x: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    drawn = 1 + strength * (2 * torch.rand(2, len(x), 1, 1, 1, generator=generator) - 1)
    gain, contrast = devices.send(drawn, x.device)
    x = x * gain
    mean = x.mean((1, 2, 3), keepdim=True)
    return (mean + contrast * (x - mean)).clamp(0, 1)
