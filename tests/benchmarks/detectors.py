"""Speed of every detector: one input after the other, in classification and in training."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
import torch
from benchmarks import pulse
from benchmarks.runner import Entry

from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.detectors.base import DetectorSpec
from deepfake_uncertainty.uncertainty import sample


def inputs(spec: DetectorSpec, count: int) -> torch.Tensor:
    """Return `count` inputs of a detector, from a synthetic face."""
    crops, landmarks = pulse.clip(max(spec.window, 8), 96)
    times = np.arange(len(crops)) / 25
    track = SimpleNamespace(crops=crops, crop_landmarks=landmarks, times=times, fps=25.0)
    return torch.from_numpy(spec.inputs(track, 1)[0]).repeat(count, 1, 1, 1)


def step(network: torch.nn.Module, x: torch.Tensor) -> Callable[[], None]:
    """Return a function that runs one step of AdamW on inputs x."""
    optimiser, y = torch.optim.AdamW(network.parameters(), lr=1e-5), torch.arange(len(x)) % 2

    def call() -> None:
        network.train()
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(x), y).backward()
        optimiser.step()

    return call


def entries(small: bool) -> Iterator[Entry]:
    """Yield the entries of each detector: classification of an input, and training on an input."""
    for name, spec in registry.DETECTORS.specs().items():
        torch.manual_seed(0)
        network, threads = spec.build(2, 0.2), spec.recipe.threads
        x = inputs(spec, 2 if small else spec.recipe.batch)

        def classify(network=network, x=x):
            return sample([network], [x])

        for work, call in (("classify", classify), ("train on", step(network, x))):
            yield Entry(f"{work} an input, {name}", call, units=len(x), threads=threads)
