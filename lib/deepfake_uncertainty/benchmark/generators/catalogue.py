"""The generators of the two embedded data sets by the name of their family.

Each built-in generator has a file of its own in this package. Plug-ins add others.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from torch import nn

from deepfake_uncertainty import plugins
from deepfake_uncertainty.benchmark.generators.base import (
    VOICE_ONLY,
    VOICE_ONLY_NUMBER,
    Family,
    Footage,
)
from deepfake_uncertainty.errors import InputError

FAMILIES = plugins.Registry(
    "generator",
    "deepfake_uncertainty.benchmark.generators",
    "FAMILIES",
    Family,
    order=lambda family: (family.dataset, family.number),
)


def _families() -> dict[str, Family]:
    """Return {name: family}; raises InputError when two of one data set have the same number."""
    holders = {("SynthAV", VOICE_ONLY_NUMBER): VOICE_ONLY}
    for family in FAMILIES.specs().values():
        holder = holders.setdefault((family.dataset, family.number), family.name)
        if holder != family.name:
            free = 1 + max(number for dataset, number in holders if dataset == family.dataset)
            raise InputError(
                f"generator '{family.name}' has number {family.number} of {family.dataset}, "
                f"as '{holder}' has: give it another number, such as {free}"
            )
    return FAMILIES.specs()


def families(dataset: str) -> tuple[str, ...]:
    """Return the names of the families of 'SynthFF' or 'SynthAV', in the order of their numbers."""
    chosen = [family for family in _families().values() if family.dataset == dataset]
    return tuple(family.name for family in sorted(chosen, key=lambda family: family.number))


def number(name: str) -> int:
    """Return the number of a family, which seeds its random draws; raises InputError."""
    return VOICE_ONLY_NUMBER if name == VOICE_ONLY else FAMILIES.get(name).number


def swaps() -> tuple[str, ...]:
    """Return the names of the families that show the source's face.

    The others are reenactments, which keep the target's face.
    """
    return tuple(family.name for family in _families().values() if family.swaps_identity)


def trained() -> dict[str, Callable]:
    """Return {name: train} of the families whose networks ship with their weights."""
    return {family.name: family.train for family in _families().values() if family.train}


def functions(names: Sequence[str]) -> list[Callable]:
    """Return the functions that generate the clips of the families `names`."""
    found = [FAMILIES.get(name).generate for name in names if name != VOICE_ONLY]
    return [generate for generate in found if generate is not None]


def generate(
    name: str,
    source: Footage,
    target: Footage,
    rng: np.random.Generator,
    network: nn.Module | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return frames uint8 (F, H, W, 3) and mask bool (F, H, W) of `target`, forged with `source`.

    `network` is the trained autoencoder of the split, for Deepfakes only. A hybrid, named
    'first-second', runs its two generators in sequence. Raises InputError for an unknown family,
    and for clips that do not come from the benchmark.
    """
    if name == "Deepfakes":
        return _generator(name)(source, target, rng, network)
    is_single = name in FAMILIES and FAMILIES.get(name).generate is not None
    first, *further = [_generator(part) for part in ([name] if is_single else name.split("-"))]
    frames, mask = first(source, target, rng)
    for generator in further:
        # The first generator followed the target's landmarks, so they still fit its frames.
        frames, changed = generator(source, replace(target, frames=frames), rng)
        mask = mask | changed
    return frames, mask


def _generator(name: str) -> Callable:
    generate = FAMILIES.get(name).generate
    if generate is None:
        raise InputError(
            f"generator '{name}' is a hybrid and cannot run alone: "
            "join the names of two others, such as faceswap-wav2lip"
        )
    return generate
