"""From what a user has (arrays, a DataLoader, dicts) to batches, and from outputs to logits."""

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.utils import _pytree as pytree

from deepfake_uncertainty.errors import InputError

Tensors = tuple[torch.Tensor, ...]
Forward = Callable[[nn.Module, Any], Any]
ADVICE = "give output=, a function from what the network returns to logits (N, classes)"


class Batch(NamedTuple):
    """The tensors (n, ...) of one batch, and the structure that they were found in."""

    tensors: Tensors
    structure: pytree.TreeSpec


def batches(
    inputs: Any, size: int, whole: bool, device: torch.device, dtype: torch.dtype | None
) -> Iterator[Batch]:
    """Yield batches on a device, one at a time.

    `inputs` is an array or tensor (N, ...), a dict of such, which is cut into batches of `size`,
    or an iterable of batches, each an array, a dict, or a pair (inputs, labels). Of a pair the
    first part counts, unless `whole` is True. Floating-point inputs get the `dtype`. Raises
    InputError when there is no input, or when parts of a batch differ in length.
    """
    known: pytree.TreeSpec | None = None
    for batch in _cut(inputs, size):
        if not whole and isinstance(batch, tuple | list) and batch:
            batch = batch[0]
        if isinstance(batch, Mapping):  # by name, whatever their order
            batch = dict(sorted(batch.items()))
        leaves, structure = pytree.tree_flatten(batch)
        tensors = tuple(_tensor(leaf, device, dtype) for leaf in leaves)
        lengths = {len(tensor) if tensor.ndim else 0 for tensor in tensors}
        if len(lengths) != 1:
            raise InputError(f"the parts of a batch have {sorted(lengths)} inputs: give one number")
        if not all(tensor.ndim for tensor in tensors):
            raise InputError("a batch is a single number: give arrays (n, ...) of n inputs")
        if lengths == {0}:
            continue
        if known is not None and structure != known:
            raise InputError(f"a batch is {structure}, the first one was {known}: give one kind")
        known = structure
        yield Batch(tensors, structure)
    if known is None:
        raise InputError("no batch to predict: the inputs are empty")


def _cut(inputs: Any, size: int) -> Iterable[Any]:
    if not isinstance(size, int) or size < 1:
        raise InputError(f"a batch of {size} inputs: give a whole number, at least one")
    if isinstance(inputs, np.ndarray | torch.Tensor):
        count = len(inputs) if inputs.ndim else 0
        return (inputs[first : first + size] for first in range(0, count, size))
    if isinstance(inputs, Mapping):
        lengths = {name: len(value) for name, value in inputs.items()}
        if len(set(lengths.values())) > 1:
            raise InputError(f"inputs of different lengths, {lengths}: give one number of inputs")
        starts = range(0, next(iter(lengths.values()), 0), size)
        return ({k: v[first : first + size] for k, v in inputs.items()} for first in starts)
    if isinstance(inputs, Iterable) and not isinstance(inputs, str | bytes):
        return inputs
    raise InputError(
        f"inputs of type {type(inputs).__name__}: give an array, a dict of arrays or a DataLoader"
    )


def _tensor(value: Any, device: torch.device, dtype: torch.dtype | None) -> torch.Tensor:
    if isinstance(value, np.ndarray):
        # PyTorch has no read-only tensors, no negative strides, and one order of bytes.
        reads = value.flags.writeable and min((0, *value.strides)) == 0
        value = value.astype(value.dtype.newbyteorder("="), copy=not reads)
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        kind = type(value).__name__
        advice = "give arrays, or a loader that yields them"
        raise InputError(f"a batch holds a {kind} where numbers are wanted: {advice}") from error
    wanted = dtype if dtype and tensor.is_floating_point() else tensor.dtype
    # A copy back from a card would be read before it has arrived.
    return tensor.to(device, wanted, non_blocking=device.type == "cuda")


def _itself(output: Any) -> Any:
    return output


def _attribute(output: Any) -> Any:
    return output.logits


def _first(output: Any) -> Any:
    return output[0]


def reader(output: Any) -> Callable[[Any], Any]:
    """Return the function that takes the logits out of what a network returned.

    That is the output itself, its `logits` (the outputs of Hugging Face), or its first part. Raises
    InputError where there is none.
    """
    if isinstance(output, torch.Tensor):
        return _itself
    if isinstance(getattr(output, "logits", None), torch.Tensor):
        return _attribute
    if isinstance(output, tuple | list) and output and isinstance(output[0], torch.Tensor):
        return _first
    raise InputError(f"the network returns a {type(output).__name__}: {ADVICE}")


def checked_logits(logits: Any, count: int) -> None:
    """Raise InputError unless `logits` is a tensor (count, classes) of two classes or more."""
    if not isinstance(logits, torch.Tensor):
        raise InputError(f"the network returns a {type(logits).__name__}: {ADVICE}")
    shape = tuple(logits.shape)
    if len(shape) != 2 or shape[0] != count:
        raise InputError(f"the network returns {shape} for {count} inputs: {ADVICE}")
    if shape[1] < 2:
        advice = "give output=lambda z: torch.cat([torch.zeros_like(z), z], 1)"
        raise InputError(f"the network returns one logit per input: {advice}")
    if not logits.isfinite().all():
        raise InputError("the network returns NaN or infinity for the first inputs: look at these")


@contextmanager
def explained(network: nn.Module, few: Tensors) -> Iterator[None]:
    """Say in one line what is wrong where the reason is that the network cannot take its inputs."""
    try:
        yield
    except Exception:
        try:
            network(*few)
        except InputError:
            raise
        except Exception as error:
            given = ", ".join(f"{str(one.dtype)[6:]} {tuple(one.shape)}" for one in few)
            reason = str(error).partition("\n")[0]
            raise InputError(f"the network cannot take a batch {given}: {reason}") from error
        raise


class Adapted(nn.Module):
    """A network as a module from the tensors of a batch to logits (n, classes)."""

    def __init__(
        self,
        network: nn.Module,
        structure: pytree.TreeSpec,
        forward: Forward | None = None,
        output: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__()
        self.network, self.structure = network, structure
        self.call, self.output = forward, output

    def raw(self, *tensors: torch.Tensor) -> Any:
        """Return what the network returns for the tensors of a batch."""
        batch = pytree.tree_unflatten(tensors, self.structure)
        if self.call:
            return self.call(self.network, batch)
        if isinstance(batch, dict):
            return self.network(**batch)
        return self.network(*batch) if isinstance(batch, tuple | list) else self.network(batch)

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        """Return the logits of the tensors of a batch."""
        found = self.raw(*tensors)
        if self.output is None:
            self.output = reader(found)
        return self.output(found)


class AdaptedOne(Adapted):
    """An `Adapted` network of one tensor, which can be traced."""

    # One named argument: a tracer cannot tell how many there are in a list.
    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Return the logits of a batch of one tensor."""
        return super().forward(x)


def adapted(
    network: nn.Module,
    batch: Batch,
    forward: Forward | None = None,
    output: Callable[[Any], Any] | None = None,
) -> Adapted:
    """Return a network as a module from the tensors of batches like `batch` to logits."""
    kind = AdaptedOne if len(batch.tensors) == 1 else Adapted
    return kind(network, batch.structure, forward, output)


def whole_seed(seed: Any) -> int:
    """Return a seed as a whole number; raises InputError for others."""
    try:
        return operator.index(seed)
    except TypeError as error:
        raise InputError(f"seed is {seed!r}: give a whole number") from error


def whole_number_of_samples(T: Any) -> int:
    """Return a number of samples >= 1; raises InputError for others."""
    try:
        count = 0 if isinstance(T, bool) else operator.index(T)
    except TypeError:
        count = 0
    if count < 1:
        raise InputError(f"T is {T}: give a whole number of samples, at least one")
    return count
