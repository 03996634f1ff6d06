"""The engine of all stochastic networks: T samples of N inputs as probabilities float32 (T, N, C).

What all samples share (`prefix`) is computed once per block of inputs and stays in memory while
the samples are drawn. A block has as many batches as fit into `BLOCK` bytes. Random draws depend
on the seed, the sample and the row only, so neither the size of a batch nor that of a block
changes a sample.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.seeding import threads

BLOCK = 256 << 20  # bytes of prefix outputs that are kept at a time
PACK = 16 << 20  # bytes of prefix outputs up to which several samples form one batch

Value = TypeVar("Value")
Result = TypeVar("Result")
Draw = Callable[[torch.Tensor], torch.Tensor]  # inputs (N, C, H, W) to logits (N, classes)
Tensors = tuple[torch.Tensor, ...]  # the shared values of one batch, each (n, ...)


def draw_seed(seed: int, t: int) -> int:
    """Return the seed of draw `t` of a run with `seed`."""
    return seed * 1_000_003 + t


def draw_generator(seed: int, t: int) -> torch.Generator:
    """Return the random generator of draw `t` of a run with `seed`."""
    return torch.Generator().manual_seed(draw_seed(seed, t))


@contextmanager
def evaluation(network: nn.Module) -> Iterator[None]:
    """Put `network` in evaluation mode without gradients, and restore its modules afterwards."""
    before = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in before.items():
            module.training = training


def device_of(network: nn.Module) -> torch.device:
    """Return the device of the network's parameters."""
    return next(network.parameters()).device


def parallel_map(
    function: Callable[[Value], Result], values: Sequence[Value], device: torch.device
) -> list[Result]:
    """Return [function(value) for value in values], without gradients, on all threads of PyTorch.

    Two batches side by side, one thread each, take less time than one after the other on two
    threads. `function` must not change shared state.
    """
    count = min(torch.get_num_threads(), len(values)) if device.type == "cpu" else 1
    half, dtype = torch.is_autocast_enabled(device.type), torch.get_autocast_dtype(device.type)

    def apply(value: Value) -> Result:
        # Gradient mode and precision are settings per thread, which a new thread does not inherit.
        with torch.no_grad(), torch.autocast(device.type, dtype, enabled=half):
            return function(value)

    if count < 2:
        return [apply(value) for value in values]
    pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))
    with threads(1), pool:
        return list(pool.map(apply, values))


def map_batches(
    batches: Iterable[torch.Tensor], function: Draw, device: torch.device
) -> torch.Tensor:
    """Return function(batch) of every batch, concatenated on `device`.

    Raises InputError when there is no batch.
    """
    outputs = parallel_map(lambda batch: function(batch.to(device)), list(batches), device)
    if not outputs:
        raise InputError("no batch to predict: the inputs are empty")
    return torch.cat(outputs)


def probabilities(logits: torch.Tensor) -> torch.Tensor:
    """Return the softmax of logits (..., C) in float32: in half precision rows do not sum to 1."""
    return logits.float().softmax(-1)


def deterministic(network: nn.Module, batches: Iterable[torch.Tensor]) -> np.ndarray:
    """Return the network's own probabilities float32 (1, N, C) for batches of inputs."""
    with evaluation(network):
        return probabilities(map_batches(batches, network, device_of(network)))[None].cpu().numpy()


def first_batch(batches: Iterable[torch.Tensor]) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return the first batch and the list of all batches; raises InputError when there is none."""
    batches = list(batches)
    if not batches or not len(batches[0]):
        raise InputError("no batch to predict: the inputs are empty")
    return batches[0], batches


def sampled(
    batches: Sequence[torch.Tensor],
    T: int,
    shared: Callable[[torch.Tensor], Tensors],
    prepare: Callable[[range], Callable[[list[Tensors]], list[torch.Tensor]]],
    device: torch.device,
    pack: bool = False,
    progress: bool = False,
    half: bool = False,
) -> np.ndarray:
    """Return probabilities float32 (T, N, C) of batches (n, ...).

    `shared(batch)` gives the values that all samples share: a tuple of tensors (n, ...).
    `prepare(ts)` returns a function that runs the samples `ts` (a range) on a list of such tuples.
    That function returns a list of logits (len(ts) * n, C), ordered by sample. It is made anew for
    every block. With `pack`, several small samples run as one batch. With `half`, the device
    computes in bfloat16: other digits, the same draws. Raises InputError when T < 1.
    """
    if T < 1:
        raise InputError(f"T is {T}: give at least one sample")
    count = T * sum(map(len, batches))
    bar = tqdm(total=count, unit="sample", desc="samples", disable=not progress, leave=False)
    parts = []
    with bar, torch.autocast(device.type, torch.bfloat16, enabled=half):
        for block in _blocks(batches, shared, device):
            rows = sum(len(values[0]) for values in block)
            size = max(1, PACK // max(1, max(map(_bytes, block)))) if pack else 1
            logits = []
            for first in range(0, T, size):
                ts = range(first, min(T, first + size))
                run = prepare(ts)
                outputs = [part.float().unflatten(0, (len(ts), -1)) for part in run(block)]
                logits.append(torch.cat(outputs, 1))
                bar.update(len(ts) * rows)
            parts.append(probabilities(torch.cat(logits)).cpu())
    return torch.cat(parts, 1).numpy()


def _bytes(values: Tensors) -> int:
    return sum(value.numel() * value.element_size() for value in values)


def _blocks(
    batches: Iterable[torch.Tensor],
    shared: Callable[[torch.Tensor], Tensors],
    device: torch.device,
) -> Iterator[list[Tensors]]:
    """Yield lists of shared values, each of as many batches as fit into `BLOCK` bytes (min. 1)."""
    block: list[Tensors] = []
    held = 0
    for batch in batches:
        values = shared(batch.to(device))
        if block and held + _bytes(values) > BLOCK:
            yield block
            block, held = [], 0
        block.append(values)
        held += _bytes(values)
    if block:
        yield block
