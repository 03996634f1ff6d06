"""Train the generators whose weights ship: `python -m deepfake_uncertainty.benchmark.generators [NAME ...]`."""

import sys

import torch

from deepfake_uncertainty.benchmark.generators import learned, registry

TAUGHT = {name: module for name, module in registry.MODULES.items() if hasattr(module, "teach")}


def main(names):
    """Train the named generators, or all of them, and ship their weights and cards."""
    torch.set_num_threads(1)  # the weights must not depend on the number of cores
    if unknown := set(names) - set(TAUGHT):
        sys.exit(f"error: no trained generator {sorted(unknown)[0]!r}: choose among {', '.join(TAUGHT)}")
    for name in names or TAUGHT:
        network, card = TAUGHT[name].teach()
        learned.ship(name, network, card)
        print(name, card, flush=True)


main(sys.argv[1:])
