"""Blind detectors: they learn from pixels alone, one frame at a time, with no prior about the body."""

from collections import OrderedDict

import cv2
import numpy as np
import timm
import torch
from torch import nn

from deepfake_uncertainty.detectors.base import Classifier, evenly_spaced
from deepfake_uncertainty.errors import InputError

SIZE = 64
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Normalise(nn.Module):
    """Map RGB in [0, 1] to zero mean and unit spread, ImageNet's unless told; inside the network: attacks stay in pixels."""

    def __init__(self, mean=IMAGENET_MEAN, std=IMAGENET_STD):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, x):
        return (x - self.mean) / self.std


def resnet18(n_classes, dropout, pretrained=False):
    """Return timm's ResNet18 as a `Classifier` of (N, 3, 64, 64) in [0, 1].

    pretrained: start from ImageNet weights; raises InputError when they cannot be had (He et al. 2016).
    """
    backbone = _backbone("resnet18", pretrained)
    # On 64 px a 7 x 7 kernel spans a third of a mouth: its centre is the stem. The strides stay, and so does the cost.
    stem = nn.Conv2d(3, 64, 3, stride=2, padding=1, bias=False)
    if pretrained:
        stem.weight.data.copy_(backbone.conv1.weight.data[:, :, 2:5, 2:5])
    else:
        nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    backbone.conv1 = stem
    return classifier(backbone, [f"layer{k}" for k in range(1, 5)], n_classes, dropout)


def xception(n_classes, dropout, pretrained=False):
    """Return timm's Xception as a `Classifier` of (N, 3, 64, 64) in [0, 1], its stages the three flows (Chollet 2017).

    pretrained: start from ImageNet weights; raises InputError when they cannot be had.
    """
    layers = dict(_backbone("legacy_xception", pretrained).named_children())
    del layers["fc"]
    names, flows = list(layers), OrderedDict()
    for flow, first, last in (("entry", "conv1", "block3"), ("middle", "block4", "block11"), ("exit", "block12", "act4")):
        inside = names[names.index(first) : names.index(last) + 1]
        flows[flow] = nn.Sequential(OrderedDict((name, layers[name]) for name in inside))
    backbone = nn.Sequential(flows | {"pool": layers["global_pool"]})
    backbone.num_features = layers["bn4"].num_features
    return classifier(backbone, flows, n_classes, dropout)


def efficientnet_b4(n_classes, dropout, pretrained=False):
    """Return timm's EfficientNet-B4 as a `Classifier` of (N, 3, 64, 64) in [0, 1] (Tan and Le 2019).

    pretrained: start from ImageNet weights; raises InputError when they cannot be had.
    """
    backbone = _backbone("efficientnet_b4", pretrained)
    return classifier(backbone, blocks(backbone), n_classes, dropout)


def mobilenet(n_classes, dropout, pretrained=False):
    """Return timm's MobileNetV3-small as a `Classifier` of (N, 3, 64, 64) in [0, 1] (Howard et al. 2019).

    pretrained: start from ImageNet weights; raises InputError when they cannot be had.
    """
    backbone = _backbone("mobilenetv3_small_100", pretrained)
    # Its five halvings leave 2 x 2 places of 64 px; a stem without one leaves 4 x 4.
    backbone.conv_stem.stride = 1, 1
    return classifier(backbone, blocks(backbone), n_classes, dropout)


def vit_tiny(n_classes, dropout, patch=16):
    """Return timm's ViT-tiny, patches of `patch` px, as a `Classifier` of (N, 3, 64, 64) in [0, 1] (Dosovitskiy et al. 2021)."""
    backbone = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=0, img_size=SIZE, patch_size=patch)
    return classifier(backbone, [f"blocks.{k}" for k in range(len(backbone.blocks))], n_classes, dropout)


def blocks(backbone):
    """Return the names of the stages of one of timm's networks of `blocks`, each the last before a halving or the end."""
    return [info["module"] for info in backbone.feature_info if info["module"].startswith("blocks")]


def classifier(backbone, stages, n_classes, dropout, normalise=None):
    """Return a `Classifier` of a backbone (N, 3, H, W) -> (N, num_features) behind its normalisation, by default ImageNet's."""
    features = nn.Sequential(normalise or Normalise(), backbone)
    stages = [f"features.1.{name}" for name in stages]
    return Classifier(features, getattr(backbone, "head_hidden_size", backbone.num_features), n_classes, dropout, stages)


def _backbone(name, pretrained):
    if not pretrained:
        return timm.create_model(name, pretrained=False, num_classes=0)
    try:
        return timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # hub, network, disk and format errors share no base class
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"no ImageNet weights for {name} ({reason}): connect to the hub once, or use pretrained=False"
        ) from error


def resized(crops, size=SIZE):
    """Return crops uint8 (F, S, S, 3) as float32 (F, 3, size, size) RGB in [0, 1]."""
    small = [cv2.resize(np.ascontiguousarray(crop), (size, size), interpolation=cv2.INTER_AREA) for crop in crops]
    return np.stack(small).transpose(0, 3, 1, 2).astype(np.float32) / 255


def frames(track, n, size=SIZE):
    """Return (float32 (m, 3, size, size) RGB in [0, 1], frame indices int64 (m,)): m = min(n, F) frames of the whole clip."""
    starts = evenly_spaced(len(track.crops), n)
    return resized(track.crops[starts], size), starts
