"""Blind detectors: they learn from pixels alone, one frame at a time, with no prior about the body."""

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
    """Map RGB in [0, 1] to ImageNet's zero mean and unit spread; inside the network, so that attacks stay in pixels."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))

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
    stages = [f"features.1.layer{k}" for k in range(1, 5)]
    network = Classifier(nn.Sequential(Normalise(), backbone), backbone.num_features, n_classes, dropout, stages)
    # The processor's convolutions are 40 % faster so; inputs follow the weights.
    return network.to(memory_format=torch.channels_last)


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


def frames(track, n):
    """Return (float32 (m, 3, 64, 64) RGB in [0, 1], frame indices int64 (m,)): m = min(n, F) frames of the whole clip."""
    starts = evenly_spaced(len(track.crops), n)
    small = [cv2.resize(np.ascontiguousarray(track.crops[i]), (SIZE, SIZE), interpolation=cv2.INTER_AREA) for i in starts]
    return np.stack(small).transpose(0, 3, 1, 2).astype(np.float32) / 255, starts
