"""Peak memory of sampling, above the model and its inputs.

Each row runs in a process of its own, on Linux.
"""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

SCRIPT = """
import torch
from pathlib import Path
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.uncertainty import bayes, dropout, sample

def status(name):
    return int(Path("/proc/self/status").read_text().split(name + ":")[1].split()[0])

torch.set_num_threads(2)
network = registry.get("resnet18").build(2, 0.3)
network = dropout.place_dropout(network, 0.1, "{where}").eval()
images = torch.rand({count}, 3, 64, 64)
with torch.no_grad():
    network(images[:64])
Path("/proc/self/clear_refs").write_text("5")  # resets the peak, which the imports caused
before = status("VmRSS")
if {bayesian}:
    posterior = bayes.VariationalPosterior(network, parts=bayes.last_stage(network))
    sample(posterior, images.split(64), {T}, 0)
else:
    sample(network, images.split(64), {T}, 0)
print((status("VmHWM") - before) / 2**20)
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
    count = 64 if small else 5000
    # More samples of the same blocks only add their results, so the costly methods draw fewer.
    cases = [
        ("MC dropout in the head", "head", False, 50),
        ("MC dropout in every stage", "every_stage", False, 4),
        ("BNN last stage", "head", True, 4),
    ]
    for name, where, bayesian, T in cases:
        options = dict(where=where, bayesian=bayesian, count=count, T=T)
        yield Memory(f"peak memory above the model, {name}, {count} images, T={T}", options, 1.5)
