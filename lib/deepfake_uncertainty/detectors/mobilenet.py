"""MobileNetV3-small on single frames (Howard et al. 2019)."""

from dataclasses import replace

from torch import nn

from deepfake_uncertainty.detectors import images
from deepfake_uncertainty.detectors.base import Classifier, DetectorSpec


def build(n_classes: int, dropout: float, pretrained: bool = False) -> Classifier:
    """Return timm's MobileNetV3-small as a `Classifier` of (N, 3, 64, 64) in [0, 1].

    pretrained: start from ImageNet weights; raises InputError when they cannot be loaded.
    """
    network = images.backbone("mobilenetv3_small_100", pretrained)
    # Five halvings of 64 px leave 2 x 2 positions; with a stem of stride 1 they are 4 x 4.
    stem = network.get_submodule("conv_stem")
    assert isinstance(stem, nn.Conv2d)
    stem.stride = 1, 1
    return images.classifier(network, images.block_stages(network), n_classes, dropout)


RECIPE = replace(images.RECIPE, epochs=8, lr=3e-3, variational_epochs=2, inputs_per_video=8)
DETECTORS = [
    DetectorSpec(
        "mobilenet",
        "MobileNet",
        build,
        images.frames,
        window=1,
        pixels_to_inputs=images.pixels_to_frames,
        recipe=RECIPE,
        full_recipe=replace(RECIPE, epochs=12),
        year=2019,
        color="#D774C7",
        linestyle="-.",
    )
]
