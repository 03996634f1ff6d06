"""Speed of every detector: its passes, one by one, forward and in training."""

from types import SimpleNamespace

import numpy as np
import torch
from benchmarks import pulse
from benchmarks.runner import Entry

from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.uncertainty import sampling


def inputs(spec, count):
    """Return `count` inputs of a detector, made from a made-up face."""
    crops, landmarks = pulse.clip(max(spec.window, 8), 96)
    track = SimpleNamespace(crops=crops, crop_landmarks=landmarks, times=np.arange(len(crops)) / 25, fps=25.0)
    return torch.from_numpy(spec.inputs(track, 1)[0]).repeat(count, 1, 1, 1)


def step(network, x):
    """Return a call that is one step of AdamW on inputs x."""
    optimiser, y = torch.optim.AdamW(network.parameters(), lr=1e-5), torch.arange(len(x)) % 2

    def call():
        network.train()
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(x), y).backward()
        optimiser.step()

    return call


def entries(small):
    """Yield, for each detector, an input classified and an input trained on."""
    for name, spec in registry.DETECTORS.items():
        torch.manual_seed(0)
        network = spec.build(2, 0.2)
        x = inputs(spec, 2 if small else spec.recipe.batch)
        for work, call in (("classify", lambda n=network, x=x: sampling.deterministic(n, [x])), ("train on", step(network, x))):
            yield Entry(f"{work} an input, {name}", call, units=len(x), threads=spec.recipe.threads)
