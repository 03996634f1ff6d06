"""Speed of training on a graphics card, against a plain loop and against the card's own limit.

`PYTHONPATH=tests:lib python -m benchmarks.gpu --out FILE.json [--small]` needs PyTorch, timm and
OpenCV, no data and no network. `--small` runs each part once at toy size, on a processor too. The
exit code is 1 when a part failed or a check did not hold.
"""

import argparse
import dataclasses
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from benchmarks import gpu_sampling
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.flop_counter import FlopCounterMode

from deepfake_uncertainty import devices, files
from deepfake_uncertainty.detectors import efficientnet_b4, images, resnet18
from deepfake_uncertainty.seeding import seed_everything
from deepfake_uncertainty.training import train
from deepfake_uncertainty.uncertainty.bayes import VariationalPosterior

SECONDS = 3.0  # of each measurement, after one epoch that warms up
# Name: its builder, side of its pictures in px, inputs per batch, inputs in all.
NETWORKS: dict[str, tuple[Callable, int, int, int]] = {
    "ResNet18, 64 px, batches of 32": (resnet18.build, 64, 32, 4096),
    "ResNet18, 64 px, batches of 512": (resnet18.build, 64, 512, 16384),
    "ResNet18, 224 px, batches of 256": (resnet18.build, 224, 256, 2048),
    "EfficientNet-B4, 224 px, batches of 128": (efficientnet_b4.build, 224, 128, 1024),
}
SMALL = {"ResNet18, 32 px, batches of 4": (resnet18.build, 32, 4, 16)}


@dataclasses.dataclass
class Bench:
    """What all parts share: the device, its peak in bf16 FLOP/s, and whether sizes are toys."""

    device: torch.device
    small: bool
    peak: float = float("nan")

    def clock(self) -> float:
        """Return the time in s, when the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def rate(self, train_epochs: Callable[[int], object], count: int) -> float:
        """Return the inputs per second of train_epochs(n), of `count` inputs an epoch."""
        train_epochs(1)
        start = self.clock()
        train_epochs(1)
        epochs = 1 if self.small else max(1, round(SECONDS / (self.clock() - start)))
        start = self.clock()
        train_epochs(epochs)
        return epochs * count / (self.clock() - start)


def synthetic(count: int, size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs float32 (count, 3, size, size) in [0, 1], bright ones fake, and labels."""
    y = np.arange(count) % 2
    x = np.random.default_rng(seed).random((count, 3, size, size), np.float32)
    return 0.8 * x + 0.2 * y[:, None, None, None].astype(np.float32), y


def recipe(batch: int, epochs: int, **changes):
    """Return a Recipe without augmentation."""
    changed = dict(epochs=epochs, variational_epochs=epochs, batch=batch, flip=False) | changes
    return dataclasses.replace(images.RECIPE, **changed)


class OnDevice:
    """Shuffled batches of inputs and labels that lie on the device."""

    def __init__(self, x: torch.Tensor, y: torch.Tensor, batch: int) -> None:
        self.x, self.y, self.batch = x, y, batch

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for part in torch.randperm(len(self.x), device=self.x.device).split(self.batch):
            yield self.x[part], self.y[part]


def plain_loop(network: nn.Module, loader: Iterable, epochs: int, half: bool) -> None:
    """Train as tutorials do, with AdamW, and read the loss of each step."""
    device = next(network.parameters()).device
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    network.train()
    for _ in range(epochs):
        for x, y in loader:
            x, y = x.to(device, non_blocking=True), y.to(device, non_blocking=True)
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                loss = functional.cross_entropy(network(x), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            loss.item()


def flops_per_input(network: nn.Module, x: torch.Tensor) -> float:
    """Return the floating-point operations of one input, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        network(x).sum().backward()
    return counter.get_total_flops() / len(x)


def peak(bench: Bench) -> dict:
    """Return the bf16 FLOP/s of products of two matrices of 8192 x 8192; `bench` keeps them."""
    size, times = (64, 1) if bench.small else (8192, 10)
    a, b = (torch.randn(size, size, device=bench.device).bfloat16() for _ in range(2))
    for _ in range(3):
        a @ b
    start = bench.clock()
    for _ in range(times):
        a @ b
    bench.peak = 2 * size**3 * times / (bench.clock() - start)
    return {"tflops": bench.peak / 1e12}


def training(bench: Bench, name: str, build: Callable, size: int, batch: int, count: int) -> dict:
    """Return the inputs per second of our training and of plain loops, and shares of the peak."""
    x, y = synthetic(count, size)
    tensors = torch.from_numpy(x), torch.from_numpy(y)
    pinned = bench.device.type == "cuda"
    loader = DataLoader(TensorDataset(*tensors), batch, shuffle=True, pin_memory=pinned)
    resident = OnDevice(*(part.to(bench.device) for part in tensors), batch)

    def made() -> nn.Module:
        seed_everything(0)
        return build(2, 0.2).to(bench.device)

    def plain(batches: Iterable, half: bool) -> float:
        network = made().to(memory_format=torch.contiguous_format)
        torch.use_deterministic_algorithms(False)
        return bench.rate(lambda epochs: plain_loop(network, batches, epochs, half), count)

    def ours(resident: int) -> float:
        network = made()
        with mock.patch.object(train, "RESIDENT", resident):
            return bench.rate(lambda n: train.fit(network, x, y, recipe(batch, n), 0), count)

    work = flops_per_input(made(), torch.from_numpy(x[:8]).to(bench.device))
    rates = {
        "ours": ours(1 << 40),
        "ours, streamed from the host": ours(0),
        "plain loop, bfloat16": plain(resident, True),
        "plain loop, bfloat16, PyTorch's loader": plain(loader, True),
        "plain loop, float32": plain(resident, False),
    }
    return {
        "name": name,
        "inputs_per_s": rates,
        "gflop_per_input": work / 1e9,
        "share_of_peak": {key: rate * work / bench.peak for key, rate in rates.items()},
        "ratio": rates["ours"] / rates["plain loop, bfloat16"],
    }


def posterior_training(bench: Bench) -> dict:
    """Return the inputs per second of the training of a Bayesian ResNet18 at 64 px."""
    batch, count, size = (4, 16, 32) if bench.small else (512, 16384, 64)
    x, y = synthetic(count, size)
    seed_everything(0)
    model = VariationalPosterior(resnet18.build(2, 0.2).to(bench.device)).to(bench.device)
    rate = bench.rate(lambda n: train.fit_bayes(model, x, y, recipe(batch, n), 0), count)
    return {"inputs_per_s": rate}


def waits(bench: Bench) -> dict:
    """Return how often the processor waits for the card in a step: twice the steps, no more."""
    if bench.device.type != "cuda":
        return {"waits_per_step": None, "holds": None}

    def counted(count: int) -> int:
        x, y = synthetic(count, 64)
        seed_everything(0)
        network = resnet18.build(2, 0.2).to(bench.device)
        changed = recipe(32, 1, flip=True, shift=4, colour=0.2)
        train.fit(network, x, y, changed, 0)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                train.fit(network, x, y, changed, 0)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        return sum("synchroniz" in str(one.message) for one in seen)

    one, two = counted(320), counted(640)
    return {"waits": [one, two], "waits_per_step": (two - one) / 10, "holds": one == two > 0}


def same_as_the_processor(bench: Bench) -> dict:
    """Return the losses of one training on the device and on the processor, from one seed."""
    x, y = synthetic(64 if bench.small else 256, 32)
    chosen = recipe(32, 3, flip=True, shift=2, colour=0.1)
    losses = {}
    for name, device, half in (
        ("processor", torch.device("cpu"), False),
        ("float32", bench.device, False),
        ("bfloat16", bench.device, True),
    ):
        seed_everything(0)
        network = resnet18.build(2, 0.0).to(device)  # dropout would draw other masks
        with mock.patch.object(devices, "halves", lambda _, half=half: half):
            losses[name] = [epoch["loss"] for epoch in train.fit(network, x, y, chosen, 0)]
    near = {name: np.abs(np.subtract(losses[name], losses["processor"])).max() for name in losses}
    return {
        "losses": losses,
        "largest_difference": near,
        "holds": bool(near["float32"] < 0.02 and near["bfloat16"] < 0.1),
    }


def parts(bench: Bench) -> Iterator[tuple[str, Callable[[], dict]]]:
    """Yield the name and function of each part; the peak comes first."""
    yield "peak of the card, bfloat16", lambda: peak(bench)
    yield "training on the device and on the processor", lambda: same_as_the_processor(bench)
    yield "waits in a step", lambda: waits(bench)
    for name, sizes in (SMALL if bench.small else NETWORKS).items():
        yield f"training, {name}", lambda name=name, sizes=sizes: training(bench, name, *sizes)
    yield "training, Bayesian ResNet18, 64 px", lambda: posterior_training(bench)
    yield from gpu_sampling.parts(bench)


def main() -> int:
    """Run all parts, print each, and write them to --out; return the exit code."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--small", action="store_true")
    given = options.parse_args()
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cpu" and not given.small:
        print("error: PyTorch finds no CUDA card here; try --small", file=sys.stderr)
        return 2
    bench, failed = Bench(torch.device(kind), given.small), False
    name = torch.cuda.get_device_name() if kind == "cuda" else "processor"
    found: dict = {"device": name, "torch": torch.__version__, "parts": {}}
    for title, run in parts(bench):
        start = time.perf_counter()
        try:
            row = run()
        except Exception as error:  # the parts after it are measured all the same
            traceback.print_exc()
            row = {"error": f"{type(error).__name__}: {error}", "holds": False}
        row["seconds"] = time.perf_counter() - start
        failed |= row.get("holds") is False
        found["parts"][title] = row
        print(title, row, flush=True)
        files.write_json(given.out, found)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
