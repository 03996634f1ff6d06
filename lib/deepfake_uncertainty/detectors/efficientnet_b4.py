"""EfficientNet-B4 on single frames (Tan and Le 2019)."""

from dataclasses import replace

from deepfake_uncertainty.detectors import images
from deepfake_uncertainty.detectors.base import Classifier, DetectorSpec


def build(n_classes: int, dropout: float, pretrained: bool = False) -> Classifier:
    """Return timm's EfficientNet-B4 as a `Classifier` of (N, 3, 64, 64) in [0, 1].

    pretrained: start from ImageNet weights; raises InputError when they cannot be loaded.
    """
    network = images.backbone("efficientnet_b4", pretrained)
    return images.classifier(network, images.block_stages(network), n_classes, dropout)


# These epochs take a minute of one thread. They are too few to learn the task.
RECIPE = replace(images.RECIPE, epochs=2, lr=2e-3)
DETECTORS = [
    DetectorSpec(
        "efficientnet_b4",
        "EfficientNet-B4",
        build,
        images.frames,
        window=1,
        pixels_to_inputs=images.pixels_to_frames,
        recipe=RECIPE,
        full_recipe=replace(RECIPE, epochs=6),
        year=2019,
        color="#073806",
        linestyle="-.",
    )
]
