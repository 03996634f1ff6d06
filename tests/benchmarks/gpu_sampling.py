"""Speed and sameness of sampling on a graphics card: parts of `benchmarks.gpu`."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import timm
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from deepfake_uncertainty.detectors import efficientnet_b4, resnet18
from deepfake_uncertainty.seeding import seed_everything
from deepfake_uncertainty.uncertainty import VariationalPosterior, laplace, sample
from deepfake_uncertainty.uncertainty.dropout import place_dropout

T = 50
# Name: its builder, side of its pictures in px, inputs per batch, inputs in all.
NETWORKS: dict[str, tuple[Callable, int, int, int]] = {
    "ResNet18, 64 px": (resnet18.build, 64, 512, 2048),
    "ResNet18, 224 px": (resnet18.build, 224, 256, 512),
    "EfficientNet-B4, 224 px": (efficientnet_b4.build, 224, 128, 256),
}
SMALL = {"ResNet18, 32 px": (resnet18.build, 32, 4, 8)}


def vision_transformer() -> nn.Module:
    """Return a small ViT with dropout of values, attention and whole paths."""
    rates = dict(proj_drop_rate=0.1, attn_drop_rate=0.1, drop_path_rate=0.2, drop_rate=0.1)
    return timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=2, **rates)


def models(x: torch.Tensor) -> Iterator[tuple[str, nn.Module]]:
    """Yield the name and model of what is sampled on both devices."""
    seed_everything(0)
    network = resnet18.build(2, 0.3)
    yield "MC dropout in the head", network
    yield "MC dropout in every stage", place_dropout(network, 0.1, "every_stage")
    yield "MC dropout of a ViT: values, attention, paths", vision_transformer()
    yield "Bayesian network", VariationalPosterior(network)
    yield "last-layer Laplace", laplace(network, x, torch.arange(len(x)) % 2)


def same_samples(device: torch.device) -> dict:
    """Return the largest difference of samples on the device and on the processor."""
    x = torch.rand(12, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    largest, half = {}, {}
    for name, model in models(x):
        expected = sample(model.cpu(), x, 5, 0, batch=5)
        found = sample(model, x, 5, 0, batch=12, device=device)
        largest[name] = float(np.abs(found - expected).max())
        halved = sample(model, x, 5, 0, batch=12, device=device, dtype=torch.bfloat16)
        half[name] = float(np.abs(halved - expected).max())
    return {
        "largest_difference": largest,
        "in_bfloat16": half,
        "holds": max(largest.values()) < 1e-4 and max(half.values()) < 0.05,
    }


def looped(network: nn.Module, batches: list[torch.Tensor], half: bool) -> None:
    """Sample as tutorials do: T whole passes with the dropout layers in training mode."""
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.train()
    kind = batches[0].device.type
    with torch.no_grad(), torch.autocast(kind, torch.bfloat16, enabled=half):
        for x in batches:
            torch.stack([network(x).float().softmax(-1) for _ in range(T)]).cpu()


def speed(bench, build: Callable, size: int, batch: int, count: int) -> dict:
    """Return the inputs per second of T samples each, ours and a loop's, and shares of the peak."""
    count = count if not bench.small else 8
    seed_everything(0)
    network = build(2, 0.2).to(bench.device)
    everywhere = place_dropout(network, 0.1, "every_stage")
    posterior = VariationalPosterior(network).to(bench.device)
    x = torch.rand(count, 3, size, size, device=bench.device)
    x = x.contiguous(memory_format=torch.channels_last)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(x[:8])
    work = counter.get_total_flops() / 8
    half = torch.bfloat16
    calls: dict[str, Callable[[], object]] = {
        "head, bfloat16": lambda: sample(network, x, T, batch=batch, dtype=half),
        "every stage, bfloat16": lambda: sample(everywhere, x, T, batch=batch, dtype=half),
        "every stage, float32": lambda: sample(everywhere, x, T, batch=batch),
        "Bayesian, bfloat16": lambda: sample(posterior, x, T, batch=batch, dtype=half),
        "loop, every stage, bfloat16": partial(looped, everywhere, list(x.split(batch)), True),
        "loop, head, bfloat16": partial(looped, network, list(x.split(batch)), True),
        "loop, every stage, float32": partial(looped, everywhere, list(x.split(batch)), False),
    }
    rates = {
        name: bench.rate(lambda n, c=call: [c() for _ in range(n)], count)
        for name, call in calls.items()
    }
    return {
        "T": T,
        "inputs_per_s": rates,
        "gflop_per_pass": work / 1e9,
        "share_of_peak": {
            name: rate * T * work / bench.peak for name, rate in rates.items() if "head" not in name
        },
        "ratios": {
            kind: rates[kind] / rates[f"loop, {kind}"]
            for kind in ("head, bfloat16", "every stage, bfloat16", "every stage, float32")
        },
    }


def parts(bench) -> Iterator[tuple[str, Callable[[], dict]]]:
    """Yield the name and function of each part."""
    yield "samples on the device and on the processor", lambda: same_samples(bench.device)
    for name, sizes in (SMALL if bench.small else NETWORKS).items():
        yield f"sampling, {name}", lambda sizes=sizes: speed(bench, *sizes)
