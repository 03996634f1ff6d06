"""SynthFF: the embedded benchmark in the layout of FaceForensics++ (Rössler 2019), silent as that is.

Beside the layout lie `truth/<id>.npz` and `.json` (what the renderer knows), `generators/Deepfakes_<split>.json` (how
well the trained generator learnt) and the stamp `synthff.json`.
"""

from dataclasses import dataclass

from deepfake_uncertainty import files
from deepfake_uncertainty.benchmark import plan
from deepfake_uncertainty.benchmark.generators import deepfakes, registry


@dataclass(frozen=True)
class SynthFF(plan.Plan):
    """The Plan of SynthFF; `steps` are Deepfakes training steps a split."""

    families: tuple = registry.FF
    steps: int = 700

    DATASET, FAMILIES, TRAINED = "SynthFF", registry.FF, ("Deepfakes",)
    TOP = ("original_sequences", "manipulated_sequences", "truth", "generators", plan.MASTERS)

    def name(self, number):
        """Return the name of an identity, as '000'."""
        return f"{number:03d}"

    def real(self, number, compression):
        """Return the path of a real clip."""
        return self.root / "original_sequences/youtube" / compression / "videos" / f"{number:03d}.mp4"

    def fake(self, family, source, target, compression):
        """Return the path of a fake clip."""
        folder = self.root / "manipulated_sequences" / family / compression / "videos"
        return folder / f"{target:03d}_{source:03d}.mp4"

    def mask(self, *job):
        """Return the path of a fake's mask clip: one, of all compressions."""
        return self.fake(*job, "masks")

    def write_lists(self):
        """Write the split files: pairs of identities."""
        for split in ("train", "val", "test"):
            numbers = plan.members(split, self.identities)[::2]
            files.write_json(self.root / f"{split}.json", [[f"{a:03d}", f"{a + 1:03d}"] for a in numbers])

    def weights(self, split):
        """Return the path of a split's Deepfakes network, which stands while the data set is built."""
        return self.root / plan.MASTERS / f"deepfakes_{split}.safetensors"

    def train(self, split, clips):
        """Train the Deepfakes autoencoder of a split on its Footage; its card stays with the benchmark."""
        from safetensors.torch import save_file

        network, card = deepfakes.train(clips, self.seed, self.steps)
        files.write_json(self.root / "generators" / f"Deepfakes_{split}.json", card)
        with files.whole(self.weights(split)) as temporary:
            save_file({key: value.contiguous() for key, value in network.state_dict().items()}, temporary)

    def forge(self, family, source, target, rng):
        """Return (frames uint8 (F, H, W, 3), mask bool (F, H, W), sound None) of a fake, from two Footage."""
        network = self._deepfakes(plan.split_of(target.identity)) if family in self.TRAINED else None
        return *registry.generate(family, source, target, rng, network), None

    def _deepfakes(self, split):
        from safetensors.torch import load_file

        network = deepfakes.Autoencoder(plan.members(split, self.identities))
        network.load_state_dict(load_file(self.weights(split)))
        return network.eval()
