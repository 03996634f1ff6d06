"""ViT-tiny, a vision transformer, on single frames (Dosovitskiy et al. 2021)."""

from dataclasses import replace

import timm

from deepfake_uncertainty.detectors import images
from deepfake_uncertainty.detectors.base import Classifier, DetectorSpec


def build(n_classes: int, dropout: float, patch: int = 16) -> Classifier:
    """Return timm's ViT-tiny as a `Classifier` of (N, 3, 64, 64) in [0, 1].

    patch: the side of a patch in px.
    """
    network = timm.create_model(
        "vit_tiny_patch16_224",
        pretrained=False,
        num_classes=0,
        img_size=images.SIZE,
        patch_size=patch,
    )
    stages = [f"blocks.{name}" for name, _ in network.get_submodule("blocks").named_children()]
    return images.classifier(network, stages, n_classes, dropout)


# In profile quick the epochs are too few to learn the task.
RECIPE = replace(images.RECIPE, epochs=8, lr=5e-4, weight_decay=5e-2)
DETECTORS = [
    DetectorSpec(
        "vit_tiny",
        "ViT-tiny",
        build,
        images.frames,
        window=1,
        pixels_to_inputs=images.pixels_to_frames,
        recipe=RECIPE,
        full_recipe=replace(RECIPE, epochs=24),
        year=2021,
        color="#701FB0",
        linestyle=":",
    )
]
