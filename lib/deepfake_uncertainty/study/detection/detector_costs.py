"""The costs of all detectors: how many parameters they have and how fast they are."""

import time
from collections.abc import Iterable

import pandas as pd
import torch
from torch import nn

from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.seeding import threads
from deepfake_uncertainty.training import detector_inputs, models, predict
from deepfake_uncertainty.training.config import Run
from deepfake_uncertainty.uncertainty import sample


def cost_table(
    index: pd.DataFrame, detectors: Iterable[str], run: Run, count: int = 64
) -> pd.DataFrame:
    """Return a frame with one row per detector, for networks trained on `index`.

    The columns are label, parameters, frames (of one input), train_s (seconds) and inputs_per_s.
    The seconds of training are those that the model's card noted when it was trained. The speed is
    measured now, on `count` inputs of the first video of `index`, repeated, with the threads of the
    recipe. Neither of the two repeats from run to run.
    """
    rows = {}
    for name in detectors:
        spec, model = registry.get(name), predict.fitted(name, "deterministic", index, run)
        x, _ = detector_inputs.load_inputs(index[:1], spec, model.recipe.inputs_per_video)
        batch = torch.from_numpy(x)[torch.arange(count) % len(x)]
        rows[name] = {
            "label": spec.label,
            "parameters": count_parameters(model.model),
            "frames": spec.window,
            "train_s": sum(models.read_card(key)["seconds"] for key in model.keys),
            "inputs_per_s": inputs_per_second(model.model, batch, model.recipe.threads),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("detector")


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable parameters of a network."""
    return sum(value.numel() for value in network.parameters() if value.requires_grad)


def inputs_per_second(network: nn.Module, x: torch.Tensor, count: int, repeats: int = 3) -> float:
    """Return how many inputs per second a network classifies, in the fastest of `repeats` calls.

    Each call is one batch x (N, C, H, W) with `count` threads.
    """
    seconds = []
    with threads(count):
        for _ in range(repeats + 1):
            start = time.perf_counter()
            sample([network], [x])
            seconds.append(time.perf_counter() - start)
    return len(x) / min(seconds[1:])  # the first call warms up
