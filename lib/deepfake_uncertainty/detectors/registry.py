"""The detectors by name; a new one is its file and one line here."""

from functools import partial

from deepfake_uncertainty.detectors import blind, fakecatcher, motion
from deepfake_uncertainty.detectors.base import DetectorSpec, Recipe
from deepfake_uncertainty.errors import InputError

# Convolutions over pictures are 1.6 times as fast by two threads.
BLIND = Recipe(epochs=8, batch=32, lr=1e-3, weight_decay=1e-2, bayes_epochs=2, samples_a_video=8, flip=True, threads=2)
PPG = Recipe(epochs=20, batch=32, lr=1e-3, weight_decay=1e-2, bayes_epochs=5, samples_a_video=8)
MOTION = Recipe(epochs=15, batch=32, lr=1e-3, weight_decay=5e-2, bayes_epochs=5, samples_a_video=8)
DEEP = partial(motion.network, channels=motion.DEEP_CHANNELS)

DETECTORS = {
    spec.name: spec
    for spec in (
        DetectorSpec("resnet18", "ResNet18", blind.resnet18, blind.frames, 1, BLIND),
        DetectorSpec("fakecatcher", "FakeCatcher", fakecatcher.network, fakecatcher.maps, 64, PPG),
        DetectorSpec(
            "fakecatcher128", "FakeCatcher, 128 frames", fakecatcher.network, partial(fakecatcher.maps, window=128), 128, PPG
        ),
        DetectorSpec("motion_phase", "Motion, phase", motion.network, motion.phase_maps, motion.WINDOW, MOTION),
        DetectorSpec("motion_deep", "Motion, deep", DEEP, motion.deep_maps, motion.WINDOW, MOTION),
    )
}


def get(name):
    """Return the `DetectorSpec` called `name`; raises InputError that lists the known names."""
    if name not in DETECTORS:
        raise InputError(f"unknown detector '{name}': use {', '.join(DETECTORS)}")
    return DETECTORS[name]
