"""A pretend graphics card, for tests on machines that have none.

    with pretend_cuda() as card:
        model = network().to("cuda")  # model(x) of an x on the processor raises WrongDevice
        ...
        assert card.waits == 1  # times that the processor waited for the card

On the pretend card, tensors say that they are on cuda:0, and are computed by the processor, so
that values, gradients and whole trainings come out as they do there. What PyTorch would refuse on
a real card raises WrongDevice: tensors of both devices in one operation (numbers and copies
excepted), a generator of one device that fills a tensor of the other, NumPy views. Indices must be
on the card as well: a real card would take them from the processor, and wait for each. This holds
for the thread that entered the block, and autocast changes no value in it.

`CARDS` are the cards that are there, the pretend one first: parametrize a test over them.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

CARD, PROCESSOR = torch.device("cuda", 0), torch.device("cpu")
COPIES = torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default
# The processor needs the value, or the shape that depends on it, before it goes on.
WAITING = {
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten.nonzero.default,
    torch.ops.aten.masked_select.default,
    torch.ops.aten.equal.default,
}
MOVES = torch.Tensor.to, torch.Tensor.cpu, torch.Tensor.cuda
FACTORIES = torch.tensor, torch.as_tensor


class WrongDevice(RuntimeError):
    """A tensor or generator was on another device than it had to be."""


class OnCard(torch.Tensor):
    """A tensor that says it is on the card; `held` has its values."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> "OnCard":
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=PROCESSOR,  # what autograd and the choice of kernels see
        )
        made.held = held
        return made

    def __repr__(self, *, tensor_contents=None) -> str:
        return f"OnCard({self.held})"

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in _ANSWERS:
            return _ANSWERS[function](*args, **kwargs)
        with torch._C.DisableTorchFunctionSubclass():
            return function(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return _computed(operation, args, kwargs or {})


class AnyGenerator(torch.Generator):
    """A generator that says it is on the device that it was made for."""

    def __new__(cls, device: Any = "cpu") -> "AnyGenerator":
        made = super().__new__(cls)
        made.place = torch.device(device)
        return made

    @property
    def device(self) -> torch.device:
        """Return the device of the tensors that it fills."""
        return self.place


class Card:
    """What a pretend card has seen: `waits`, the times that the processor waited for it."""

    waits = 0


_card = Card()


def _waited() -> None:
    _card.waits += 1


def _no_numpy(tensor: OnCard, *args: Any, **kwargs: Any) -> None:
    raise WrongDevice("NumPy cannot read the card: copy the tensor with .cpu() first")


def _to_list(tensor: OnCard) -> Any:
    _waited()
    return tensor.held.tolist()


def _deep_copy(tensor: OnCard, memo: dict) -> torch.Tensor:
    if id(tensor) not in memo:
        copied = OnCard(tensor.held.clone())
        if isinstance(tensor, torch.nn.Parameter):
            copied = torch.nn.Parameter(copied, tensor.requires_grad)
        memo[id(tensor)] = copied
    return memo[id(tensor)]


_ANSWERS: dict[Callable, Callable] = {
    torch.Tensor.device.__get__: lambda tensor: CARD,  # type: ignore[attr-defined]
    torch.Tensor.is_cuda.__get__: lambda tensor: True,  # type: ignore[attr-defined]
    torch.Tensor.is_cpu.__get__: lambda tensor: False,  # type: ignore[attr-defined]
    torch.Tensor.get_device: lambda tensor: 0,
    torch.Tensor.numpy: _no_numpy,
    torch.Tensor.__array__: _no_numpy,
    torch.Tensor.tolist: _to_list,
    torch.Tensor.__deepcopy__: _deep_copy,
}


def _computed(operation: Callable, args: tuple, kwargs: dict) -> Any:
    """Return what an operation of tensors gives, on the device that its tensors are on."""
    values = tree_leaves((args, kwargs))
    held = [value for value in values if isinstance(value, OnCard)]
    others = [
        value
        for value in values
        if isinstance(value, torch.Tensor) and not isinstance(value, OnCard) and value.ndim
    ]
    if held and others and operation not in COPIES:
        raise WrongDevice(f"{operation} of tensors on the card and on the processor")
    if held and operation in WAITING or _masks(operation, args):
        _waited()
    on_card, device = bool(held), kwargs.get("device")
    if operation is torch.ops.aten.copy_.default:
        on_card = isinstance(args[0], OnCard)
    elif device is not None:
        # Formulas of gradients repeat the device that `OnCard` was made with.
        on_card, kwargs = on_card or device.type == "cuda", kwargs | {"device": PROCESSOR}
    found = operation(*tree_map(_held, args), **tree_map(_held, kwargs))
    known = {id(value.held): value for value in held}

    def labelled(value: Any) -> Any:
        if not on_card or not isinstance(value, torch.Tensor):
            return value
        return known[id(value)] if id(value) in known else OnCard(value)

    return tree_map(labelled, found)


def _held(value: Any) -> Any:
    return value.held if isinstance(value, OnCard) else value


def _masks(operation: Callable, args: tuple) -> bool:
    """Return True when a tensor on the card is indexed by a mask, whose count must be known."""
    if operation is not torch.ops.aten.index.Tensor or not isinstance(args[0], OnCard):
        return False
    return any(part is not None and part.dtype is torch.bool for part in args[1])


class _Operations(TorchDispatchMode):
    """Make tensors on the card, and keep the devices apart."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return _computed(operation, args, kwargs or {})


class _Functions(TorchFunctionMode):
    """Move tensors between the devices, which the operations below cannot tell apart."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in MOVES:
            return _moved(function, args, kwargs)
        if function in FACTORIES and "device" in kwargs:
            device = kwargs.pop("device")
            return _moved(torch.Tensor.to, (function(*args, **kwargs), device), {})
        if function is torch.Tensor.pin_memory or function is torch.Tensor.is_pinned:
            return args[0] if function is torch.Tensor.pin_memory else False
        kwargs.pop("pin_memory", None)
        _check_generator(function, args, kwargs)
        return function(*args, **kwargs)


def _check_generator(function: Callable, args: tuple, kwargs: dict) -> None:
    if (generator := kwargs.get("generator")) is None:
        return
    filled = args[0].device if args and isinstance(args[0], torch.Tensor) else PROCESSOR
    if torch.device(kwargs.get("device") or filled).type != generator.device.type:
        raise WrongDevice(f"{function} with a generator of the other device")


class _Move(torch.autograd.Function):
    """A copy to the card or from it; its gradient takes the way back."""

    @staticmethod
    def forward(ctx, tensor: torch.Tensor, to_card: bool) -> torch.Tensor:
        ctx.back = not to_card
        if to_card:
            return OnCard(tensor.detach().clone())
        _waited()
        return tensor.held.clone()

    @staticmethod
    def backward(ctx, slope: torch.Tensor) -> tuple[torch.Tensor, None]:
        return _Move.apply(slope, ctx.back), None


def _moved(function: Callable, args: tuple, kwargs: dict) -> torch.Tensor:
    """Return what .to, .cpu or .cuda gives."""
    tensor, *rest = args
    if function is torch.Tensor.to and rest and isinstance(rest[0], torch.Tensor):
        rest = [rest[0].device, rest[0].dtype, *rest[1:]]
    if function is not torch.Tensor.to:
        rest = [CARD if function is torch.Tensor.cuda else PROCESSOR]
    copy = kwargs.pop("copy", False)
    device, dtype, _, layout = torch._C._nn._parse_to(*rest, **kwargs)
    here = isinstance(tensor, OnCard)
    there = here if device is None else device.type == "cuda"
    if dtype is not None or layout is not None:
        options = {"memory_format": layout} if layout is not None else {}
        tensor = torch.Tensor.to(tensor, dtype=dtype or tensor.dtype, **options)
    if here != there:
        return _Move.apply(tensor, there)
    return tensor.clone() if copy else tensor


def _swapped(one: torch.Tensor, other: torch.Tensor) -> None:
    both = isinstance(one, OnCard) and isinstance(other, OnCard)
    if both and one.held.data_ptr() == other.held.data_ptr():
        return  # a weight that is on the card already stays what it is
    _swap_tensors(one, other)


_swap_tensors = torch.utils.swap_tensors


@contextlib.contextmanager
def pretend_cuda() -> Iterator[Card]:
    """Let PyTorch find one card inside the block, that the processor plays; see above."""
    global _card
    _card, swaps = Card(), torch.__future__.get_swap_module_params_on_conversion()
    with pytest.MonkeyPatch.context() as patch, _Operations(), _Functions():
        patch.setattr(torch.cuda, "_lazy_init", lambda: None)
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.cuda, "current_device", lambda: 0)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
        # Optimisers ask it for the card's graphs, which there are none of.
        patch.setattr(torch.accelerator, "current_accelerator", lambda **_: None)
        patch.setattr(torch.utils, "swap_tensors", _swapped)
        patch.setattr(torch, "Generator", AnyGenerator)
        torch.__future__.set_swap_module_params_on_conversion(True)
        try:
            yield _card
        finally:
            torch.__future__.set_swap_module_params_on_conversion(swaps)


# Where code that says "cuda" can run here, and how near its numbers are to the processor's.
CARDS = [
    pytest.param((pretend_cuda, 1e-5), id="pretend"),
    *[pytest.param((contextlib.nullcontext, 2e-3), id="card")] * torch.cuda.is_available(),
]
