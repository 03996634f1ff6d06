"""The networks whose weights ship with the library, and how each is trained again."""

from deepfake_uncertainty.benchmark.generators import catalogue, learned
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.signals import magnify, magnify_training


def names() -> list[str]:
    """Return the names of the networks: the trained generators and the motion magnifier."""
    return [*catalogue.trained(), magnify.NAME]


def retrain(name: str) -> dict:
    """Train a network again, overwrite its shipped weights and card, and return the card.

    The weights depend on the number of threads of PyTorch; the shipped ones are of one thread.
    Raises InputError for an unknown name.
    """
    if name not in names():
        raise InputError(f"no network '{name}' ships with the library: use {', '.join(names())}")
    if name == magnify.NAME:
        network, card = magnify_training.train()
        magnify.save_weights(network, card)
    else:
        network, card = catalogue.trained()[name]()
        learned.save_weights(name, network, card)
    return card
