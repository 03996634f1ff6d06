"""How samples are run: blocks of batches whose shared values stay in memory, several at once.

What all samples share (`prefix`) is computed once per block of inputs and stays in memory while the
samples are drawn. A block has as many batches as fit into `BLOCK` bytes. Random numbers depend on
the seed, the sample and the key of the input only, so neither the size of a batch nor that of a
block changes a sample.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, TypeVar

import torch
from torch import nn
from torch.func import functional_call

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.seeding import threads
from deepfake_uncertainty.uncertainty import prefix
from deepfake_uncertainty.uncertainty.inputs import ADVICE, Tensors, batches

# Bytes of shared values that are kept at a time, and of the largest tensor of a packed batch.
BLOCK = {"cpu": 256 << 20, "cuda": 4 << 30}
PACK = {"cpu": 16 << 20, "cuda": 1 << 30}

Value = TypeVar("Value")
Result = TypeVar("Result")
Rows = tuple[Tensors, torch.Tensor]  # the tensors (n, ...) of a batch and the keys int64 (n,)

# Passes change modes, weights, and switches of the whole process: one caller at a time.
_lock = threading.RLock()
_thread = threading.local()


class Source(prefix.Source, Protocol):
    """A `prefix.Source` that also prepares a network and runs blocks of batches.

    widest: bytes of the largest tensor per input in a pass of the suffix.
    by_input: False where the sample of an input depends on the inputs beside it.
    """

    widest: float
    by_input: bool

    def discover(self, adapted: nn.Module, few: Tensors) -> None:
        """Find what is random; raises InputError for what cannot be sampled."""

    def modes(self, adapted: nn.Module) -> AbstractContextManager[None]:
        """Return the context of a pass: which modules are in training mode."""

    def run_block(self, part: prefix.Split, ts: range, block: Sequence[Rows]) -> list[torch.Tensor]:
        """Return the logits (len(ts) * n, C) of each batch of a block."""


@contextmanager
def exclusive() -> Iterator[None]:
    """Let no other thread sample meanwhile; raises InputError within a pass that is sampled."""
    if getattr(_thread, "is_sampling", False):
        raise InputError("a network that draws samples in its own pass cannot be sampled")
    with _lock:
        yield


@contextmanager
def state(
    adapted: nn.Module, source: Source, device: torch.device, dtype: torch.dtype | None
) -> Iterator[None]:
    """Put a network into the state in which its samples are drawn, and back afterwards."""
    with exclusive(), source.modes(adapted), arithmetic(device, dtype):
        yield


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


def call(network: nn.Module, weights: Mapping[str, torch.Tensor], *arguments: Any) -> Any:
    """Return network(*arguments) with the given weights {name: tensor}, under all their names.

    Every place of a weight is named once: in a network that holds one module under two names,
    `functional_call` would otherwise put the weights in for good.
    """
    named = dict(network.named_parameters(remove_duplicate=False))
    given = {id(named[name]): value for name, value in weights.items()}
    places = {
        f"{path}.{name}" if path else name: given[id(value)]
        for path, module in network.named_modules()
        for name, value in module.named_parameters(recurse=False, remove_duplicate=False)
        if id(value) in given
    }
    return functional_call(network, places, arguments, tie_weights=False)


def device_of(network: nn.Module) -> torch.device:
    """Return the device of the network's parameters; the processor for one without any."""
    return next((value.device for value in network.parameters()), torch.device("cpu"))


def move(network: nn.Module, device: torch.device | str) -> None:
    """Move a network to a device; raises InputError where there is no such device."""
    try:
        network.to(device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"device '{device}' cannot be used: {reason}") from error


def dtype_of(network: nn.Module) -> torch.dtype:
    """Return the type of the first floating-point parameter; float32 for a network without any."""
    values = (value.dtype for value in network.parameters() if value.is_floating_point())
    return next(values, torch.float32)


@contextmanager
def arithmetic(device: torch.device, dtype: torch.dtype | None) -> Iterator[None]:
    """Compute without gradients, in `dtype` where that is safe; None is full precision."""
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    settings = dict(benchmark=cudnn.benchmark, deterministic=cudnn.deterministic)
    before, products.allow_tf32 = products.allow_tf32, dtype is not None
    with (
        torch.inference_mode(False),  # there the operators that drop at random are not seen
        torch.no_grad(),
        # A GPU would otherwise round the inputs of convolutions and products to 10 bits.
        cudnn.flags(enabled=True, allow_tf32=dtype is not None, **settings),
        torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None),
    ):
        try:
            yield
        finally:
            products.allow_tf32 = before


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
        _thread.is_sampling, before = True, getattr(_thread, "is_sampling", False)
        try:
            with torch.no_grad(), torch.autocast(device.type, dtype, enabled=half):
                return function(value)
        finally:
            _thread.is_sampling = before

    if count < 2:
        return [apply(value) for value in values]
    pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))
    with threads(1), pool:
        return list(pool.map(apply, values))


def map_batches(
    data: Any, function: Callable[[torch.Tensor], torch.Tensor], device: torch.device
) -> torch.Tensor:
    """Return function(batch) of every batch, concatenated on `device`.

    Raises InputError when there is no batch.
    """
    given = [batch.tensors[0] for batch in batches(data, 64, False, device, None)]
    return torch.cat(parallel_map(function, given, device))


def size_in_bytes(values: Tensors) -> int:
    """Return the number of bytes of some tensors."""
    return sum(value.numel() * value.element_size() for value in values)


def bytes_of(block: Sequence[Rows]) -> int:
    """Return the number of bytes of the shared values of a block."""
    return sum(size_in_bytes(values) for values, _ in block)


def samples_at_once(part: prefix.Split, widest: float, block: Sequence[Rows], limit: int) -> int:
    """Return how many samples of a block form one batch: as many as fit into `limit` bytes."""
    if not part.packs:
        return 1
    largest = max(max(size_in_bytes(values), widest * len(rows)) for values, rows in block)
    return max(1, int(limit // max(1, largest)))


def block_samples(
    source: Source,
    part: prefix.Split,
    T: int,
    block: Sequence[Rows],
    limit: int,
    done: Callable[[int], object] = lambda count: None,
) -> torch.Tensor:
    """Return logits float (T, n, C) of a block with n inputs; `done` hears of each part's size."""
    size, found = samples_at_once(part, source.widest, block, limit), []
    for first in range(0, T, size):
        ts = range(first, min(T, first + size))
        logits = source.run_block(part, ts, block)
        for values, (_, rows) in zip(logits, block, strict=True):
            if values.ndim != 2 or len(values) != len(ts) * len(rows):
                shape = tuple(values.shape)
                raise InputError(f"the network returns {shape} for {len(rows)} inputs: {ADVICE}")
        parts = [values.float().unflatten(0, (len(ts), -1)) for values in logits]
        found.append(torch.cat(parts, 1))
        done(found[-1].shape[0] * found[-1].shape[1])
    return torch.cat(found)
