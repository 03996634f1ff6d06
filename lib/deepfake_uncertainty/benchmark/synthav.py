"""SynthAV: the embedded benchmark with sound, in the layout of FakeAVCeleb v1.2 (Khalid 2021).

As there, `source` in meta_data.csv is the person on whose clip a fake stands (the folder), `target1` the one whose face
or voice was put there. Two columns of that layout mean something else here: `race` is the rendered skin tone (1 to 6,
light to dark) in three groups, as these heads have no race, and `gender` is the range that the voice's f0 lies in.

FakeAVCeleb has one compression: the root is c23 and has the masks and the truth, and any other rate is a data set of
its own in the folder `c0` or `c40` of the root. `splits.json` gives {identity: split}; the stamp is `synthav.json`.
"""

import csv
from dataclasses import dataclass

import numpy as np

from deepfake_uncertainty import files
from deepfake_uncertainty.benchmark import plan, voice
from deepfake_uncertainty.benchmark.generators import registry

VOICE_ONLY = "rtvc"
COLUMNS = ("source", "target1", "target2", "method", "category", "type", "race", "gender", "path", "")
CATEGORIES = {"RealVideo-RealAudio": "A", "RealVideo-FakeAudio": "B",
              "FakeVideo-RealAudio": "C", "FakeVideo-FakeAudio": "D"}  # fmt: skip
ANOTHER_WORLD = 1_000_000  # no seed of SynthFF that anyone takes has these people


def type_of(method):
    """Return the FakeAVCeleb type of a method: wav2lip and its hybrids bring another's voice, rtvc is a voice only."""
    if method == "real":
        return "RealVideo-RealAudio"
    if method == VOICE_ONLY:
        return "RealVideo-FakeAudio"
    return "FakeVideo-FakeAudio" if "wav2lip" in method else "FakeVideo-RealAudio"


def tone_group(tone):
    """Return the folder of a skin tone 1 to 6: 'tone-1-2', 'tone-3-4' or 'tone-5-6'."""
    first = tone - (tone + 1) % 2
    return f"tone-{first}-{first + 1}"


@dataclass(frozen=True)
class SynthAV(plan.Plan):
    """The Plan of SynthAV: its people are others than those of SynthFF of the same seed."""

    families: tuple = (*registry.AV, VOICE_ONLY)

    DATASET, FAMILIES, SOUND = "SynthAV", (*registry.AV, VOICE_ONLY), True
    TOP = (*CATEGORIES, "masks", "truth", "c0", "c40", plan.MASTERS)

    @property
    def world(self):
        """The seed of the people."""
        return self.seed + ANOTHER_WORLD

    @property
    def roots(self):
        """The folders that a loader reads as a data set: one a compression."""
        return [self._root(name) for name in self.compressions]

    def _root(self, compression):
        return self.root if compression == "c23" else self.root / compression

    def name(self, number):
        """Return the name of an identity, as 'id00000'."""
        return f"id{number:05d}"

    def _folder(self, method, number):
        who = self.person(number)
        gender = voice.Speaker(**who["speaker"]).gender
        return f"{type_of(method)}/{tone_group(who['tone'])}/{gender}/{self.name(number)}"

    def _file(self, method, source, target):
        return f"{target:05d}.mp4" if method == "real" else f"{target:05d}_{self.name(source)}_{method}.mp4"

    def real(self, number, compression):
        """Return the path of a real clip."""
        return self.fake("real", None, number, compression)

    def fake(self, family, source, target, compression):
        """Return the path of a fake clip."""
        return self._root(compression) / self._folder(family, target) / self._file(family, source, target)

    def mask(self, *job):
        """Return the path of a fake's mask clip: under `masks`, the clip's own path."""
        return self.root / "masks" / self.fake(*job, "c23").relative_to(self.root)

    def write_lists(self):
        """Write meta_data.csv and splits.json to every root."""
        jobs = [("real", None, number) for number in range(self.identities)] + self.jobs
        splits = {self.name(number): plan.split_of(number) for number in range(self.identities)}
        for root in self.roots:
            with files.whole(root / "meta_data.csv") as temporary, temporary.open("w", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows([COLUMNS, *map(self._row, jobs)])
            files.write_json(root / "splits.json", splits)

    def _row(self, job):
        method, source, target = job
        folder, donor = self._folder(method, target), "-" if source is None else self.name(source)
        kind, race, gender, name = folder.split("/")
        return name, donor, "-", method, CATEGORIES[kind], kind, race, gender, self._file(*job), f"FakeAVCeleb/{folder}"

    def forge(self, family, source, target, rng):
        """Return (frames uint8 (F, H, W, 3), mask bool (F, H, W) or None, sound float32 (S,)) of a fake of two Footage.

        rtvc is the target's own performance spoken by the source's speaker; its picture is real and has no mask.
        """
        if family == VOICE_ONLY:
            with np.load(self.truth(target.identity), allow_pickle=False) as known:
                act = known["expression"]
            other = voice.Speaker(**self.person(source.identity)["speaker"])
            return target.frames, None, voice.voice(act, plan.FPS, rng, other)
        spoken = source.sound if type_of(family).endswith("FakeAudio") else target.sound
        return *registry.generate(family, source, target, rng), spoken
