"""What is to be built: the sizes, splits and identity pairs that SynthFF and SynthAV share.

Each of the two adds its own paths, lists and generators.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from deepfake_uncertainty.benchmark.generators.base import Footage
from deepfake_uncertainty.benchmark.renderer import render
from deepfake_uncertainty.errors import InputError

CRFS = {"c0": 0, "c23": 23, "c40": 40}  # constant rate factors of FaceForensics++
FPS, LEARNING_WORLD = render.FPS, render.LEARNING_WORLD
# The split of pair k (identities 2k and 2k + 1) does not depend on the number of pairs.
# Of every ten pairs, 50 / 20 / 30 % are train / val / test. The order makes three pairs enough
# for all three splits.
SPLITS = ("train", "test", "val", "train", "train", "test", "train", "val", "test", "train")
MASTERS = ".masters"
Job = tuple[str, int, int]  # family, source identity, target identity


def split_of(identity: int) -> str:
    """Return 'train', 'val' or 'test' for an identity number >= 0."""
    return SPLITS[identity // 2 % len(SPLITS)]


def members(split: str, identities: int) -> list[int]:
    """Return the identity numbers below `identities` that belong to `split`."""
    return [number for number in range(identities) if split_of(number) == split]


@dataclass(frozen=True)
class Plan(ABC):
    """One data set to build.

    root: folder of the data set. identities: an even number >= 6. n_frames: frames per clip,
    >= 16. seed: seed of the people. compressions: names from `CRFS`, c23 among them.
    families: the generators to use, by default all of the data set.

    Identities 2k and 2k + 1 are each other's source and target in every family.
    Raises InputError for values outside these ranges.
    """

    root: Path
    identities: int
    n_frames: int = 160
    seed: int = 0
    compressions: tuple[str, ...] = ("c23",)
    families: tuple[str, ...] = ()

    # Set by a subclass: its name, the families that are trained on each split of the data set
    # itself, the folders that it writes, and whether its clips have sound.
    DATASET: ClassVar[str] = ""
    TRAINED: ClassVar[tuple[str, ...]] = ()
    TOP: ClassVar[tuple[str, ...]] = ()
    SOUND: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.identities < 6 or self.identities % 2 or self.n_frames < 16:
            sizes = f"identities={self.identities}, n_frames={self.n_frames}"
            raise InputError(f"{sizes}: need an even number >= 6 and >= 16 frames")
        if self.world == LEARNING_WORLD:
            raise InputError(
                f"seed {self.seed}: the generators were trained on these people, use another seed"
            )
        known = self.known_families()
        if unknown := set(self.families) - set(known):
            name = min(unknown)
            raise InputError(f"unknown generator {name!r}: choose from {', '.join(known)}")
        if "c23" not in self.compressions or not set(self.compressions) <= set(CRFS):
            choice = ", ".join(CRFS)
            raise InputError(f"compressions {self.compressions}: give c23, and others of {choice}")

    @classmethod
    @abstractmethod
    def known_families(cls) -> tuple[str, ...]:
        """Return the names of all families of the data set, plug-ins included."""

    @property
    def world(self) -> int:
        """The seed of the people."""
        return self.seed

    @property
    def roots(self) -> list[Path]:
        """The folders that a loader reads as a data set: each gets a stamp."""
        return [self.root]

    @property
    def jobs(self) -> list[Job]:
        """All (family, source, target)."""
        targets = range(self.identities)
        return [(family, target ^ 1, target) for family in self.families for target in targets]

    def parameters(self) -> dict[str, Any]:
        """Return, JSON-able, the parameters that the bytes of the data set depend on."""
        names = [field.name for field in fields(self) if field.name != "root"]
        values = {name: getattr(self, name) for name in names}
        return {
            name: sorted(value) if isinstance(value, tuple) else value
            for name, value in values.items()
        }

    def person(self, number: int) -> dict[str, Any]:
        """Return `render.person` of an identity number."""
        return render.person(number, self.world)

    def master(self, number: int) -> Path:
        """Return the folder of an identity's uncompressed frames, which exists during the build."""
        return self.root / MASTERS / self.name(number)

    def truth(self, number: int) -> Path:
        """Return the path of an identity's truth, an .npz file.

        The renderer's parameters are beside it, as .json.
        """
        return self.root / "truth" / f"{self.name(number)}.npz"

    def reals(self, number: int) -> dict[Path, int]:
        """Return {path: constant rate factor} of the real clips of an identity."""
        return {self.real(number, name): CRFS[name] for name in self.compressions}

    def fakes(self, job: Job) -> dict[Path, int]:
        """Return {path: constant rate factor} of the fake clips of a job."""
        return {self.fake(*job, name): CRFS[name] for name in self.compressions}

    @abstractmethod
    def name(self, number: int) -> str:
        """Return the name of an identity."""

    @abstractmethod
    def real(self, number: int, compression: str) -> Path:
        """Return the path of a real clip."""

    @abstractmethod
    def fake(self, family: str, source: int, target: int, compression: str) -> Path:
        """Return the path of a fake clip."""

    @abstractmethod
    def mask(self, family: str, source: int, target: int) -> Path:
        """Return the path of the mask clip that belongs to a fake, one for all compressions."""

    @abstractmethod
    def write_lists(self) -> None:
        """Write the files that list the clips or the splits."""

    @abstractmethod
    def forge(
        self, family: str, source: Footage, target: Footage, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Return frames uint8 (F, H, W, 3), mask bool (F, H, W) and sound float32 (S,) of a fake.

        The mask is None where the picture is real, the sound where the data set is silent.
        """

    def weights(self, split: str) -> Path:
        """Return the path of the network that is trained on `split`, where `TRAINED` names any."""
        raise NotImplementedError(f"{self.DATASET} trains no network")

    def train(self, split: str, clips: Sequence[Footage]) -> None:
        """Train the network of `split` and write it to `weights(split)`."""
        raise NotImplementedError(f"{self.DATASET} trains no network")
