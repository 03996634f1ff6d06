"""All detectors beside each other: how large and how fast."""

import time

import pandas as pd
import torch

from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.seeding import threads
from deepfake_uncertainty.study import predict, train
from deepfake_uncertainty.uncertainty import sampling


def costs(index, seed, profile="quick", detectors=tuple(registry.DETECTORS), count=64):
    """Return a frame, one row a detector: label, parameters, frames of an input, train_s (s) and inputs_per_s.

    Seconds of training are those which the model's card noted when it was trained; speed is measured now, on `count` inputs
    of the first video of `index`, repeated, with the threads of the recipe: neither repeats from run to run.
    """
    rows = {}
    for name in detectors:
        spec, settings = registry.get(name), predict.Settings(recipe=registry.recipe(name, profile))
        model = predict.fitted(name, "deterministic", index, seed, settings)
        x, _ = predict.load_inputs(index[:1], spec, count=settings.recipe.samples_a_video)
        x = torch.from_numpy(x)[torch.arange(count) % len(x)]
        rows[name] = {"label": spec.label, "parameters": parameters(model.model), "frames": spec.window,
                      "train_s": sum(train.read_card(key)["seconds"] for key in model.keys),
                      "inputs_per_s": speed(model.model, x, settings.recipe.threads)}  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("detector")


def parameters(network):
    """Return how many weights of a network are learnt."""
    return sum(value.numel() for value in network.parameters() if value.requires_grad)


def speed(network, x, count, repeats=3):
    """Return how many inputs x (N, C, H, W) a second a network classifies in one batch with `count` threads, at its quickest."""
    taken = []
    with threads(count):
        for _ in range(repeats + 1):
            begun = time.perf_counter()
            sampling.deterministic(network, [x])
            taken.append(time.perf_counter() - begun)
    return len(x) / min(taken[1:])  # the first call warms up
