"""Xception on single frames (Chollet 2017)."""

from collections import OrderedDict
from dataclasses import replace

from torch import nn

from deepfake_uncertainty.detectors import images
from deepfake_uncertainty.detectors.base import Classifier, DetectorSpec

FLOWS = ("entry", "conv1", "block3"), ("middle", "block4", "block11"), ("exit", "block12", "act4")


def build(n_classes: int, dropout: float, pretrained: bool = False) -> Classifier:
    """Return timm's Xception as a `Classifier` of (N, 3, 64, 64) in [0, 1].

    Its stages are the three flows of the paper. pretrained: start from ImageNet weights; raises
    InputError when they cannot be loaded.
    """
    layers = dict(images.backbone("legacy_xception", pretrained).named_children())
    del layers["fc"]
    names, flows = list(layers), OrderedDict()
    for flow, first, last in FLOWS:
        inside = names[names.index(first) : names.index(last) + 1]
        flows[flow] = nn.Sequential(OrderedDict((name, layers[name]) for name in inside))
    network = nn.Sequential(flows | {"pool": layers["global_pool"]})
    network.num_features = layers["bn4"].num_features
    return images.classifier(network, flows, n_classes, dropout)


# These epochs take a minute of one thread. They are too few to learn the task.
RECIPE = replace(images.RECIPE, epochs=3)
DETECTORS = [
    DetectorSpec(
        "xception",
        "Xception",
        build,
        images.frames,
        window=1,
        pixels_to_inputs=images.pixels_to_frames,
        recipe=RECIPE,
        full_recipe=replace(RECIPE, epochs=8),
        year=2017,
        color="#7C1212",
        linestyle="--",
    )
]
