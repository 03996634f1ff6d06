"""SynthFF: the embedded benchmark in the layout of FaceForensics++ (Rössler 2019), without sound.

Files beside that layout: `truth/<id>.npz` and `.json` (what the renderer knows),
`generators/Deepfakes_<split>.json` (how well the trained generator learned), and the stamp
`synthff.json`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from deepfake_uncertainty import files
from deepfake_uncertainty.benchmark import plan
from deepfake_uncertainty.benchmark.generators import catalogue, deepfakes, deepfakes_training
from deepfake_uncertainty.benchmark.generators.base import Footage


def _families() -> tuple[str, ...]:
    return catalogue.families("SynthFF")


@dataclass(frozen=True)
class SynthFF(plan.Plan):
    """The Plan of SynthFF; `steps` is the number of Deepfakes training steps per split."""

    families: tuple[str, ...] = field(default_factory=_families)
    steps: int = 700

    DATASET, TRAINED = "SynthFF", ("Deepfakes",)
    TOP = ("original_sequences", "manipulated_sequences", "truth", "generators", plan.MASTERS)

    @classmethod
    def known_families(cls) -> tuple[str, ...]:
        """Return the names of all families of SynthFF, plug-ins included."""
        return _families()

    def name(self, number: int) -> str:
        """Return the name of an identity, such as '000'."""
        return f"{number:03d}"

    def real(self, number: int, compression: str) -> Path:
        """Return the path of a real clip."""
        folder = self.root / "original_sequences/youtube" / compression / "videos"
        return folder / f"{number:03d}.mp4"

    def fake(self, family: str, source: int, target: int, compression: str) -> Path:
        """Return the path of a fake clip."""
        folder = self.root / "manipulated_sequences" / family / compression / "videos"
        return folder / f"{target:03d}_{source:03d}.mp4"

    def mask(self, family: str, source: int, target: int) -> Path:
        """Return the path of the mask clip that belongs to a fake, one for all compressions."""
        return self.fake(family, source, target, "masks")

    def write_lists(self) -> None:
        """Write the split files: pairs of identities."""
        for split in ("train", "val", "test"):
            numbers = plan.members(split, self.identities)[::2]
            pairs = [[self.name(number), self.name(number + 1)] for number in numbers]
            files.write_json(self.root / f"{split}.json", pairs)

    def weights(self, split: str) -> Path:
        """Return the path of a split's Deepfakes network, which exists during the build."""
        return self.root / plan.MASTERS / f"deepfakes_{split}.safetensors"

    def train(self, split: str, clips: Sequence[Footage]) -> None:
        """Train the Deepfakes autoencoder of a split; its card stays with the benchmark.

        Raises InputError when the network did not learn.
        """
        from safetensors.torch import save_file

        network, card = deepfakes_training.train(clips, self.seed, self.steps)
        files.write_json(self.root / "generators" / f"Deepfakes_{split}.json", card)
        tensors = {key: value.contiguous() for key, value in network.state_dict().items()}
        with files.atomic_path(self.weights(split)) as temporary:
            save_file(tensors, temporary)

    def forge(
        self, family: str, source: Footage, target: Footage, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Return frames uint8 (F, H, W, 3), mask bool (F, H, W) and, for no sound, None."""
        network = None
        if family in self.TRAINED:
            network = self._deepfakes(plan.split_of(target.identity))
        return *catalogue.generate(family, source, target, rng, network), None

    def _deepfakes(self, split: str) -> deepfakes.Autoencoder:
        from safetensors.torch import load_file

        network = deepfakes.Autoencoder(plan.members(split, self.identities))
        network.load_state_dict(load_file(self.weights(split)))
        return network.eval()
