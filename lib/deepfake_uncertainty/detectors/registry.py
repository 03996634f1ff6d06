"""The detectors by name; a new one is its file and one line here."""

from dataclasses import replace
from functools import partial

from deepfake_uncertainty.detectors import blind, clip, efficientnet_lite, fakecatcher, motion
from deepfake_uncertainty.detectors.base import DetectorSpec, Recipe
from deepfake_uncertainty.errors import InputError

# Rates and changes of the images are judged by the validation split of SynthFF quick; passes are what a minute or less of one
# thread allows there, which is too few for Xception, EfficientNet-B4, ViT-tiny and the clip transformer: their `full_recipe`
# gives them more. Two jobs side by side do more than one on two threads, which is 1.7 times as fast. Frames of one video are
# alike: ResNet18 learns as much from four of each in ten passes as from eight in eight.
BLIND = Recipe(epochs=10, batch=32, lr=1e-3, weight_decay=1e-2, bayes_epochs=3, samples_a_video=4, flip=True)
# Only weights that know pictures already get moved and recoloured ones: from scratch a minute is too short for them (nll of
# MobileNet on validation videos 0.51 with, 0.37 without). On larger data, what learns late gets more passes.
LITE = replace(BLIND, epochs=8, weight_decay=5e-2, shift=4, colour=0.2)
MOBILENET = replace(BLIND, epochs=8, lr=3e-3, bayes_epochs=2, samples_a_video=8)
XCEPTION = replace(BLIND, epochs=3)
B4 = replace(BLIND, epochs=2, lr=2e-3)
VIT = replace(BLIND, epochs=8, lr=5e-4, weight_decay=5e-2)
CLIP = replace(BLIND, epochs=3, batch=8, bayes_epochs=2)
PPG = Recipe(epochs=12, batch=32, lr=1e-3, weight_decay=1e-2, bayes_epochs=3, samples_a_video=8)
MOTION = Recipe(epochs=12, batch=32, lr=1e-3, weight_decay=5e-2, bayes_epochs=3, samples_a_video=8)
DEEP = partial(motion.network, channels=motion.DEEP_CHANNELS)
BIOLOGICAL = "biological"
PPG128 = partial(fakecatcher.maps, window=128)

DETECTORS = {
    spec.name: spec
    for spec in (
        DetectorSpec("resnet18", "ResNet18", blind.resnet18, blind.frames, 1, BLIND),
        DetectorSpec("xception", "Xception", blind.xception, blind.frames, 1, XCEPTION, replace(XCEPTION, epochs=8)),
        DetectorSpec("efficientnet_b4", "EfficientNet-B4", blind.efficientnet_b4, blind.frames, 1, B4, replace(B4, epochs=6)),
        DetectorSpec(
            "efficientnet_lite0", "EfficientNet-lite0, ImageNet", efficientnet_lite.efficientnet_lite0, blind.frames, 1, LITE
        ),
        DetectorSpec("mobilenet", "MobileNet", blind.mobilenet, blind.frames, 1, MOBILENET, replace(MOBILENET, epochs=12)),
        DetectorSpec("vit_tiny", "ViT-tiny", blind.vit_tiny, blind.frames, 1, VIT, replace(VIT, epochs=24)),
        DetectorSpec(
            "clip_transformer", "Clip transformer", clip.clip_transformer, clip.clips, clip.FRAMES, CLIP, replace(CLIP, epochs=10)
        ),
        DetectorSpec("fakecatcher", "FakeCatcher", fakecatcher.network, fakecatcher.maps, 64, PPG, kind=BIOLOGICAL),
        DetectorSpec("fakecatcher128", "FakeCatcher, 128 frames", fakecatcher.network, PPG128, 128, PPG, kind=BIOLOGICAL),
        DetectorSpec("motion_phase", "Motion, phase", motion.network, motion.phase_maps, motion.WINDOW, MOTION, kind=BIOLOGICAL),
        DetectorSpec("motion_deep", "Motion, deep", DEEP, motion.deep_maps, motion.WINDOW, MOTION, kind=BIOLOGICAL),
    )
}


def get(name):
    """Return the `DetectorSpec` called `name`; raises InputError that lists the known names."""
    if name not in DETECTORS:
        raise InputError(f"unknown detector '{name}': use {', '.join(DETECTORS)}")
    return DETECTORS[name]


def recipe(name, profile):
    """Return the Recipe of detector `name` under `profile` ('quick', 'full' or 'paper'); InputError for an unknown detector."""
    spec = get(name)
    return spec.recipe if profile == "quick" else spec.full_recipe or spec.recipe
