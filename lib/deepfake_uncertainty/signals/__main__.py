"""Train the learned magnifier whose weights ship: `python -m deepfake_uncertainty.signals`."""

import torch

from deepfake_uncertainty.signals import magnify, magnify_training

if __name__ == "__main__":
    torch.set_num_threads(1)  # the weights must not depend on the number of cores
    network, card = magnify_training.teach()
    magnify.ship(network, card)
    print(card, flush=True)
