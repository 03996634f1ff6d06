"""Peak memory of sampling, above the model and its inputs.

Each row runs in a process of its own, on Linux.
"""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

SCRIPT = """
import tempfile
from pathlib import Path

import numpy as np
import torch
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.uncertainty import VariationalPosterior, bayes, dropout, sample

def status(name):
    return int(Path("/proc/self/status").read_text().split(name + ":")[1].split()[0])

def read(images):
    for first in range(0, len(images), 64):
        yield torch.from_numpy(images[first : first + 64] / np.float32(255))

torch.set_num_threads(2)
network = registry.get("resnet18").build(2, 0.3)
network = dropout.place_dropout(network, 0.1, "{where}").eval()
with tempfile.NamedTemporaryFile(dir=".") as file:
    pictures = np.memmap(file, np.uint8, "w+", shape=({count}, 3, 64, 64))
    pictures[::2] = 90
    with torch.no_grad():
        network(next(read(pictures)))
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak, which the imports caused
    before = status("RssAnon")
    if {bayesian}:
        network = VariationalPosterior(network, parts=bayes.last_stage(network))
    sample(network, read(pictures), {T}, 0)
    # Pages of the file are the system's: it takes them back when it needs memory.
    print((status("VmHWM") - status("RssFile") - before) / 2**20)
"""


@dataclass(frozen=True)
class Memory:
    """Peak memory of one method of sampling.

    `options` fills `SCRIPT`; `bar` is the largest allowed memory in GiB.
    """

    name: str
    options: dict[str, Any]
    bar: float

    def measure(self, repeats: int) -> dict[str, Any]:
        """Return the row {name, gib, bar, holds} with the fields of times set to None.

        `repeats` is not used: memory is measured once.
        """
        command = [sys.executable, "-c", SCRIPT.format(**self.options)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        gib = float(done.stdout)
        times = dict.fromkeys(("ours_s", "peer", "peer_s", "ratio"))
        verdict = dict(bar=self.bar, holds=gib <= self.bar, gib=round(gib, 3))
        return dict(name=self.name, **times, **verdict)


def entries(small: bool) -> Iterator[Memory]:
    """Yield the entries: MC dropout in the head and in every stage, and a Bayesian last stage."""
    few, many = (64, 128) if small else (5000, 50_000)
    # More samples of the same blocks only add their results, so the costly methods draw fewer.
    cases = [
        ("MC dropout in the head", "head", False, 50, many),
        ("MC dropout in every stage", "every_stage", False, 4, few),
        ("BNN last stage", "head", True, 4, few),
    ]
    for name, where, bayesian, T, count in cases:
        options = dict(where=where, bayesian=bayesian, count=count, T=T)
        yield Memory(
            f"peak memory above the model, {name}, {count} images from disk, T={T}", options, 1.5
        )
