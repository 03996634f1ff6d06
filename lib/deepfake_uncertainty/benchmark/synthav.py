"""SynthAV: the embedded benchmark with sound, in the layout of FakeAVCeleb v1.2 (Khalid 2021).

As in that data set, `source` in meta_data.csv is the person on whose clip a fake is based (the
folder), and `target1` is the person whose face or voice replaces theirs. Two columns of the layout
have another meaning here. `race` is the rendered skin tone (1 to 6, light to dark) in three
groups, because the rendered heads have no race. `gender` is the range that the voice's f0 lies in.

FakeAVCeleb has one compression. Here the root is c23 and has the masks and the truth. Any other
compression is a data set of its own in the folder `c0` or `c40` of the root. `splits.json` gives
{identity: split}; the stamp is `synthav.json`.
"""

import csv
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from deepfake_uncertainty import files
from deepfake_uncertainty.benchmark import plan
from deepfake_uncertainty.benchmark.generators import catalogue
from deepfake_uncertainty.benchmark.generators.base import VOICE_ONLY, Footage
from deepfake_uncertainty.benchmark.renderer import voice

COLUMNS = ("source", "target1", "target2", "method", "category", "type", "race", "gender",
           "path", "")  # fmt: skip
CATEGORIES = {"RealVideo-RealAudio": "A", "RealVideo-FakeAudio": "B",
              "FakeVideo-RealAudio": "C", "FakeVideo-FakeAudio": "D"}  # fmt: skip
WORLD_OFFSET = 1_000_000  # keeps the people apart from those of SynthFF with any usual seed


def type_of(method: str) -> str:
    """Return the FakeAVCeleb type of a method, such as 'FakeVideo-RealAudio'.

    wav2lip and its hybrids bring the source's voice; rtvc changes the voice only.
    """
    if method == "real":
        return "RealVideo-RealAudio"
    if method == VOICE_ONLY:
        return "RealVideo-FakeAudio"
    return "FakeVideo-FakeAudio" if "wav2lip" in method else "FakeVideo-RealAudio"


def tone_group(tone: int) -> str:
    """Return the folder of a skin tone 1 to 6: 'tone-1-2', 'tone-3-4' or 'tone-5-6'."""
    first = tone - (tone + 1) % 2
    return f"tone-{first}-{first + 1}"


def _families() -> tuple[str, ...]:
    return (*catalogue.families("SynthAV"), VOICE_ONLY)


@dataclass(frozen=True)
class SynthAV(plan.Plan):
    """The Plan of SynthAV: its people differ from those of SynthFF with the same seed."""

    families: tuple[str, ...] = field(default_factory=_families)

    DATASET, SOUND = "SynthAV", True
    TOP = (*CATEGORIES, "masks", "truth", "c0", "c40", plan.MASTERS)

    @classmethod
    def known_families(cls) -> tuple[str, ...]:
        """Return the names of all families of SynthAV, plug-ins and the voice-only one included."""
        return _families()

    @property
    def world(self) -> int:
        """The seed of the people."""
        return self.seed + WORLD_OFFSET

    @property
    def roots(self) -> list[Path]:
        """The folders that a loader reads as a data set: one per compression."""
        return [self._root(name) for name in self.compressions]

    def _root(self, compression: str) -> Path:
        return self.root if compression == "c23" else self.root / compression

    def name(self, number: int) -> str:
        """Return the name of an identity, such as 'id00000'."""
        return f"id{number:05d}"

    def _folder(self, method: str, number: int) -> str:
        person = self.person(number)
        gender = voice.Speaker(**person["speaker"]).gender
        return f"{type_of(method)}/{tone_group(person['tone'])}/{gender}/{self.name(number)}"

    def _file(self, method: str, source: int | None, target: int) -> str:
        if source is None:
            return f"{target:05d}.mp4"
        return f"{target:05d}_{self.name(source)}_{method}.mp4"

    def _path(self, method: str, source: int | None, target: int, compression: str) -> Path:
        folder = self._root(compression) / self._folder(method, target)
        return folder / self._file(method, source, target)

    def real(self, number: int, compression: str) -> Path:
        """Return the path of a real clip."""
        return self._path("real", None, number, compression)

    def fake(self, family: str, source: int, target: int, compression: str) -> Path:
        """Return the path of a fake clip."""
        return self._path(family, source, target, compression)

    def mask(self, family: str, source: int, target: int) -> Path:
        """Return the path of the mask clip that belongs to a fake: its own path, under `masks`."""
        clip = self.fake(family, source, target, "c23")
        return self.root / "masks" / clip.relative_to(self.root)

    def write_lists(self) -> None:
        """Write meta_data.csv and splits.json to every root."""
        rows = [self._row("real", None, number) for number in range(self.identities)]
        rows += [self._row(*job) for job in self.jobs]
        splits = {self.name(number): plan.split_of(number) for number in range(self.identities)}
        for root in self.roots:
            with files.atomic_path(root / "meta_data.csv") as temporary:
                with temporary.open("w", newline="") as file:
                    csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
            files.write_json(root / "splits.json", splits)

    def _row(self, method: str, source: int | None, target: int) -> tuple[str, ...]:
        folder = self._folder(method, target)
        donor = "-" if source is None else self.name(source)
        kind, race, gender, name = folder.split("/")
        labels = name, donor, "-", method, CATEGORIES[kind], kind, race, gender
        return *labels, self._file(method, source, target), f"FakeAVCeleb/{folder}"

    def forge(
        self, family: str, source: Footage, target: Footage, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Return frames uint8 (F, H, W, 3), mask bool (F, H, W) and sound float32 (S,) of a fake.

        rtvc gives the target's own performance the source's voice. Its picture is real, and its
        mask is None.
        """
        if family == VOICE_ONLY:
            with np.load(self.truth(target.identity), allow_pickle=False) as truth:
                expression = truth["expression"]
            speaker = voice.Speaker(**self.person(source.identity)["speaker"])
            return target.frames, None, voice.voice(expression, plan.FPS, rng, speaker)
        sound = source.sound if type_of(family).endswith("FakeAudio") else target.sound
        return *catalogue.generate(family, source, target, rng), sound
