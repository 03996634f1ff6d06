"""Every generator of the two embedded data sets, by the name of its family."""

from dataclasses import replace

from deepfake_uncertainty.benchmark.generators import (
    deepfakes,
    face2face,
    faceshifter,
    faceswap,
    fsgan,
    neuraltextures,
    styleswap,
    wav2lip,
)
from deepfake_uncertainty.datasets import faceforensics, leakage
from deepfake_uncertainty.errors import InputError

FF, AV = faceforensics.FAMILIES, leakage.FAMILIES
# What a family does with the identity: a swap shows the source's face, a reenactment keeps the target's.
SWAPS = ("Deepfakes", "FaceSwap", "FaceShifter", "faceswap", "fsgan", "faceswap-wav2lip", "fsgan-wav2lip")
MODULES = {"Face2Face": face2face, "FaceSwap": faceswap, "NeuralTextures": neuraltextures, "FaceShifter": faceshifter,
            "faceswap": styleswap, "fsgan": fsgan, "wav2lip": wav2lip}  # fmt: skip


def generate(family, source, target, rng, network=None):
    """Return frames uint8 (F, H, W, 3) and mask bool (F, H, W) of `target` forged by `family` with Footage `source`.

    `network` is the trained autoencoder of the split, for Deepfakes only. A hybrid runs its two in sequence, as in
    FakeAVCeleb. Raises InputError for an unknown family and outside the benchmark.
    """
    if family == "Deepfakes":
        return deepfakes.generate(source, target, rng, network)
    first, *second = family.split("-")
    if unknown := {first, *second} - set(MODULES):
        raise InputError(f"unknown generator {sorted(unknown)[0]!r}: choose among {', '.join((*FF, *AV))}")
    frames, mask = MODULES[first].generate(source, target, rng)
    for name in second:
        # The swap was drawn on the target's landmarks, so they are those of the swapped face.
        frames, painted = MODULES[name].generate(source, replace(target, frames=frames), rng)
        mask = mask | painted
    return frames, mask
