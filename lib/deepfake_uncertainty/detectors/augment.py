"""Random changes of training images that leave their label: mirrored, moved, brighter or flatter."""

import torch
from torch.nn import functional


def augmented(x, recipe, generator):
    """Return images x (N, C, H, W) in [0, 1] changed at random as the Recipe says (flip, shift, colour), in [0, 1].

    All channels of an image change alike, so that the frames of a clip stay together; without any of the three, x itself.
    """
    if recipe.flip:
        turn = torch.rand(len(x), generator=generator) < 0.5
        x = torch.where(turn[:, None, None, None], x.flip(-1), x)
    if recipe.shift:
        x = _shifted(x, recipe.shift, generator)
    if recipe.colour:
        x = _recoloured(x, recipe.colour, generator)
    return x


def _shifted(x, reach, generator):
    """Return each image moved by whole pixels, up to `reach` each way; what comes in at an edge is its reflection."""
    height, width = x.shape[2:]
    wide = functional.pad(x, (reach,) * 4, mode="reflect")
    places = torch.randint(0, 2 * reach + 1, (len(x), 2), generator=generator).tolist()
    return torch.stack([image[:, i : i + height, j : j + width] for image, (i, j) in zip(wide, places, strict=True)])


def _recoloured(x, strength, generator):
    gain, contrast = 1 + strength * (2 * torch.rand(2, len(x), 1, 1, 1, generator=generator) - 1)
    x = x * gain
    mean = x.mean((1, 2, 3), keepdim=True)
    return (mean + contrast * (x - mean)).clamp(0, 1)
