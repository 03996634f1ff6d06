"""What is to be built: sizes, splits and swaps that SynthFF and SynthAV share; each adds its paths, lists and forgeries."""

from dataclasses import dataclass, fields
from pathlib import Path

from deepfake_uncertainty.benchmark import render
from deepfake_uncertainty.errors import InputError

CRFS = {"c0": 0, "c23": 23, "c40": 40}  # constant rate factors of FaceForensics++
FPS = 25.0
# The split of pair k (identities 2k and 2k + 1) does not depend on how many there are: 50 / 20 / 30 % of every ten
# pairs, ordered so that three pairs already hold all three splits.
SPLITS = ("train", "test", "val", "train", "train", "test", "train", "val", "test", "train")
MASTERS = ".masters"
LEARNING_WORLD = 1000  # the people that the shipped generators learnt from


def split_of(identity):
    """Return 'train', 'val' or 'test' for an identity number >= 0."""
    return SPLITS[identity // 2 % len(SPLITS)]


def members(split, identities):
    """Return the identity numbers below `identities` that belong to `split`."""
    return [number for number in range(identities) if split_of(number) == split]


@dataclass(frozen=True)
class Plan:
    """One data set to build: folder, even number of identities >= 6, frames a clip >= 16, seed, compressions of `CRFS`.

    Identities 2k and 2k + 1 swap in every family, so a job is (family, source, target). Bad values raise InputError.
    """

    root: Path
    identities: int
    n_frames: int = 160
    seed: int = 0
    compressions: tuple = ("c23",)
    families: tuple = ()

    # Of a subclass: its name, all its families, those trained on each split, the folders it writes, whether it has sound.
    DATASET, FAMILIES, TRAINED, TOP, SOUND = "", (), (), (), False

    def __post_init__(self):
        if self.identities < 6 or self.identities % 2 or self.n_frames < 16:
            raise InputError(
                f"identities={self.identities}, n_frames={self.n_frames}: need an even number >= 6 and >= 16 frames"
            )
        if self.world == LEARNING_WORLD:
            raise InputError(f"seed {self.seed}: the generators learnt from these people, take another seed")
        if unknown := set(self.families) - set(self.FAMILIES):
            raise InputError(f"unknown generator {sorted(unknown)[0]!r}: choose among {', '.join(self.FAMILIES)}")
        if "c23" not in self.compressions or not set(self.compressions) <= set(CRFS):
            raise InputError(f"compressions {self.compressions}: choose c23, and others of {', '.join(CRFS)}")

    @property
    def world(self):
        """The seed of the people."""
        return self.seed

    @property
    def roots(self):
        """The folders that a loader reads as a data set: each gets a stamp."""
        return [self.root]

    @property
    def jobs(self):
        """All (family, source, target)."""
        return [(family, target ^ 1, target) for family in self.families for target in range(self.identities)]

    def parameters(self):
        """Return what the bytes of the data set depend on besides the code, JSON-able."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "root"}
        return {name: sorted(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def person(self, number):
        """Return `render.person` of an identity number."""
        return render.person(number, self.world)

    def master(self, number):
        """Return the folder of an identity's uncompressed frames, which stands while the data set is built."""
        return self.root / MASTERS / self.name(number)

    def truth(self, number):
        """Return the path of an identity's truth (.npz; the renderer's parameters lie beside it as .json)."""
        return self.root / "truth" / f"{self.name(number)}.npz"

    def reals(self, number):
        """Return {path: constant rate factor} of the real clips of an identity."""
        return {self.real(number, name): CRFS[name] for name in self.compressions}

    def fakes(self, job):
        """Return {path: constant rate factor} of the fake clips of a job."""
        return {self.fake(*job, name): CRFS[name] for name in self.compressions}
