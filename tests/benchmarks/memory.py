"""Peak memory of sampling, above the model and its inputs: each row runs in a process of its own (on Linux)."""

import subprocess
import sys
from dataclasses import dataclass

SCRIPT = """
import torch
from pathlib import Path
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.uncertainty import bayes, dropout

def status(name):
    return int(Path("/proc/self/status").read_text().split(name + ":")[1].split()[0])

torch.set_num_threads(2)
network = registry.get("resnet18").build(2, 0.3)
network = dropout.place(network, 0.1, "{where}").eval()
images = torch.rand({count}, 3, 64, 64)
with torch.no_grad():
    network(images[:64])
Path("/proc/self/clear_refs").write_text("5")  # the peak so far, of the imports, is forgotten
before = status("VmRSS")
if {bayesian}:
    bayes.samples(bayes.VariationalPosterior(network, parts=bayes.last_stage(network)), images.split(64), {T}, 0)
else:
    dropout.mc_dropout(network, images.split(64), {T}, 0)
print((status("VmHWM") - before) / 2**20)
"""


@dataclass(frozen=True)
class Memory:
    """Peak memory of one way of sampling `count` images T times; `bar` in GiB."""

    name: str
    options: dict
    bar: float

    def measure(self, repeats):
        """Return the row {name, gib, bar, holds} (and the fields of times, empty); `repeats` does not matter here."""
        done = subprocess.run([sys.executable, "-c", SCRIPT.format(**self.options)], capture_output=True, text=True, check=True)
        gib = float(done.stdout)
        return dict(name=self.name, ours_s=None, peer=None, peer_s=None, ratio=None, bar=self.bar, holds=gib <= self.bar,
                    gib=round(gib, 3))  # fmt: skip


def entries(small):
    """Yield the memory of MC dropout in the head and in every stage, and of a Bayesian last stage."""
    count = 64 if small else 5000
    # More samples of the same blocks add nothing but their results, so the costly ones draw fewer.
    ways = [("MC dropout in the head", "head", False, 50), ("MC dropout in every stage", "every_stage", False, 4),
            ("BNN last stage", "head", True, 4)]  # fmt: skip
    for name, where, bayesian, T in ways:
        options = dict(where=where, bayesian=bayesian, count=count, T=T)
        yield Memory(f"peak memory above the model, {name}, {count} images, T={T}", options, 1.5)
