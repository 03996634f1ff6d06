"""Train the generators whose weights ship: `python -m deepfake_uncertainty.benchmark.generators [NAME ...]`."""

import importlib
import sys

import torch

from deepfake_uncertainty.benchmark.generators import learned

MODULES = {"FaceShifter": "faceshifter", "NeuralTextures": "neuraltextures", "faceswap": "styleswap", "fsgan": "fsgan",
           "wav2lip": "wav2lip"}  # fmt: skip


def main(names):
    """Train the named generators, or all of them, and ship their weights and cards."""
    torch.set_num_threads(2)
    for name in names or MODULES:
        if name not in MODULES:
            sys.exit(f"error: no trained generator {name!r}: choose among {', '.join(MODULES)}")
        module = importlib.import_module(f"deepfake_uncertainty.benchmark.generators.{MODULES[name]}")
        network, card = module.teach()
        learned.ship(name, network, card)
        print(name, card)


main(sys.argv[1:])
