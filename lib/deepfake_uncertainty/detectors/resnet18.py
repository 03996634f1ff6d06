"""ResNet18 on single frames (He et al. 2016)."""

from torch import nn

from deepfake_uncertainty.detectors import images
from deepfake_uncertainty.detectors.base import Classifier, DetectorSpec


def build(n_classes: int, dropout: float, pretrained: bool = False) -> Classifier:
    """Return timm's ResNet18 as a `Classifier` of (N, 3, 64, 64) in [0, 1].

    pretrained: start from ImageNet weights; raises InputError when they cannot be loaded.
    """
    network = images.backbone("resnet18", pretrained)
    # A 7 x 7 kernel is a third of a mouth on 64 px, so the stem is its centre, at the same cost.
    stem = nn.Conv2d(3, 64, 3, stride=2, padding=1, bias=False)
    if pretrained:
        weight = network.get_parameter("conv1.weight")
        stem.weight.data.copy_(weight.data[:, :, 2:5, 2:5])
    else:
        nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    network.conv1 = stem
    return images.classifier(network, [f"layer{k}" for k in range(1, 5)], n_classes, dropout)


DETECTORS = [
    DetectorSpec(
        "resnet18",
        "ResNet18",
        build,
        images.frames,
        window=1,
        pixels_to_inputs=images.pixels_to_frames,
        recipe=images.RECIPE,
        year=2016,
        color="#0072B2",
    )
]
