"""What a network drops at random in training, with masks that depend on a key alone.

Every kind of dropout of PyTorch, timm and torchvision (layers, functions, attention, stochastic
depth) draws its mask by one of a few operators. `Masks` puts numbers of its own in their place.
"""

import functools
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.dropout import _DropoutNd
from torch.utils._python_dispatch import TorchDispatchMode

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty import noise

log = logging.getLogger(__name__)
aten = torch.ops.aten
Shape = tuple[int, ...]


UNSTEADY = (
    "the network drops at random more often in some passes than in others, such as LayerDrop:"
    " its masks belong to no call"
)


class FusedAttention(Exception):
    """Attention drops at random inside one operator of a GPU, where no mask can be given."""


class Axis(NamedTuple):
    """Where the inputs lie in a tensor: along `axis`, each with `width` neighbouring places."""

    axis: int
    width: int


Layout = dict[int, Axis | None]  # by call of a pass; None: the tensor has no axis of inputs


def layout(two: list[Shape], three: list[Shape]) -> Layout:
    """Return the Layout of the calls of a pass, from their shapes with two and three inputs."""
    found: Layout = {}
    for call, (of_two, of_three) in enumerate(zip(two, three, strict=True)):
        axes = range(len(of_two)) if len(of_two) == len(of_three) else ()
        places = [k for k in axes if of_two[k] != of_three[k]]
        single = len(places) == 1 and 3 * of_two[places[0]] == 2 * of_three[places[0]]
        found[call] = Axis(places[0], of_two[places[0]] // 2) if single else None
    return found


def usual_layout(shapes: list[Shape], count: int) -> Layout:
    """Return the Layout of calls whose first axis holds `count` inputs, where it can."""
    return {
        call: Axis(0, shape[0] // count) if shape and shape[0] % count == 0 else None
        for call, shape in enumerate(shapes)
    }


class Masks(TorchDispatchMode):
    """One pass of a network whose dropout is drawn under `seed`, for the samples `ts` in turn.

    `rows` int64 (n,) are the keys of the inputs; those of the first sample come first, then those
    of the next. The numbers of call k depend on (seed, sample, k, row) alone. Without a layout the
    first axis holds the inputs. `shapes` are those of the calls so far, `widest` is the number of
    bytes of the largest tensor. Raises InputError for random numbers of any other operator.
    """

    def __init__(
        self, seed: int, ts: range, rows: torch.Tensor, places: Layout | None = None
    ) -> None:
        super().__init__()
        self.seed, self.ts, self.rows, self.places = seed, ts, rows, places
        self.shapes: list[Shape] = []
        self.widest = 0

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Run an operator, or draw what it would draw."""
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in operator.tags:
            result = operator(*args, **kwargs)
            if self.places is None and isinstance(result, torch.Tensor):
                self.widest = max(self.widest, result.numel() * result.element_size())
            return result
        draw = OPERATORS.get(operator)
        if draw:
            return draw(self, *args, **kwargs)
        if self._is_off(operator, args, kwargs):
            return operator(*args, **kwargs)
        if "scaled_dot_product" in str(operator):
            raise FusedAttention(str(operator))
        raise InputError(f"the network draws random numbers by {operator}: only dropout is sampled")

    @staticmethod
    def _is_off(operator: Any, args: tuple, kwargs: dict) -> bool:
        """Return True for an operator that draws nothing: by its mode, or at a rate of 0."""
        given = {argument.name: argument.default_value for argument in operator._schema.arguments}
        names = [argument.name for argument in operator._schema.arguments]
        given |= dict(zip(names, args, strict=False)) | kwargs
        if given.get("train") is False or given.get("training") is False:
            return True
        return given.get("dropout_p", given.get("dropout", 1)) == 0

    def _keys(self, shape: Shape, device: torch.device) -> tuple[torch.Tensor, Axis | None]:
        """Return the keys int64 (n,) of the next call and the axis of the inputs."""
        call = len(self.shapes)
        self.shapes.append(shape)
        keys = [noise.key(self.seed, t, call) for t in self.ts]
        count = len(keys) * len(self.rows)
        if self.places is None:
            place = usual_layout([shape], count)[0]
        elif call in self.places:
            place = self.places[call]
        else:
            raise InputError(UNSTEADY)
        if place is None:
            if len(keys) > 1:
                raise InputError("a mask without an axis of inputs serves one sample at a time")
            return torch.tensor(keys, device=device), None
        if len(shape) <= place.axis or shape[place.axis] != count * place.width:
            raise InputError(
                f"a mask of shape {shape} does not fit {count} inputs: give batches of one size,"
                " and networks that drop the same in every pass"
            )
        rows = self.rows.to(device)
        return torch.cat([noise.row_keys(key, rows) for key in keys]), place

    def drawn(
        self,
        shape: Shape,
        device: torch.device,
        draw: Callable[[torch.Tensor, int], torch.Tensor],
    ) -> torch.Tensor:
        """Return draw(keys, count per key) as a tensor of `shape`."""
        keys, place = self._keys(tuple(shape), device)
        count = math.prod(shape) // len(keys)
        values = draw(keys, count)
        if place is None:
            return values.view(shape)
        others = shape[: place.axis] + shape[place.axis + 1 :]
        return values.reshape(shape[place.axis], *others).movedim(0, place.axis)


class Refused(Masks):
    """Passes of a network that is to draw no random numbers."""

    def __init__(self) -> None:
        super().__init__(0, range(1), torch.arange(1))

    def _keys(self, shape: Shape, device: torch.device) -> tuple[torch.Tensor, Axis | None]:
        raise InputError(
            "the network draws random numbers in evaluation mode: sample it alone, not in a list"
        )


def _bernoulli_(
    masks: Masks, target: torch.Tensor, p: float = 0.5, generator: Any = None
) -> torch.Tensor:
    def draw(keys: torch.Tensor, count: int) -> torch.Tensor:
        return noise.kept(keys, count, p)

    return target.copy_(masks.drawn(tuple(target.shape), target.device, draw))


def _native_dropout(
    masks: Masks, x: torch.Tensor, p: float, train: bool | None = True
) -> tuple[torch.Tensor, torch.Tensor]:
    mask = _bernoulli_(masks, torch.empty_like(x, dtype=torch.bool), 1 - p)
    return x * mask * (1 / (1 - p) if p < 1 else 0), mask


def _rand(masks: Masks, size: list[int], **options: Any) -> torch.Tensor:
    kind = {name: options[name] for name in ("dtype", "device") if options.get(name) is not None}
    target = torch.empty(size, **kind)
    return target.copy_(masks.drawn(tuple(target.shape), target.device, noise.uniform))


OPERATORS: dict[Any, Callable] = {
    aten.bernoulli_.float: _bernoulli_,
    aten.native_dropout.default: _native_dropout,
    aten.rand.default: _rand,
}


def _has_statistics(module: nn.Module) -> bool:
    return hasattr(module, "running_mean")


@contextmanager
def modes(
    network: nn.Module, training: Callable[[str, nn.Module], bool], in_steps: bool = False
) -> Iterator[None]:
    """Put the modules into training mode that `training(name, module)` chooses, others not.

    The network is as it was afterwards. PyTorch's fused path of transformers, which knows no
    dropout, is off meanwhile. `in_steps`: attention is computed step by step, so that its masks can
    be given.
    """
    before = {module: module.training for module in network.modules()}
    fused = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        for name, module in network.named_modules():
            module.training = training(name, module)
        with sdpa_kernel(SDPBackend.MATH) if in_steps else nullcontext():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for module, was_training in before.items():
            module.training = was_training


class _Callers(Masks):
    """A pass that also notes the modules whose own code draws random numbers."""

    def __init__(self, seed: int, rows: torch.Tensor) -> None:
        super().__init__(seed, range(1), rows)
        self.stack: list[str] = [""]
        self.names: dict[str, None] = {}

    def enter(self, name: str, *_: Any) -> None:
        """Note that the forward pass of a module begins."""
        self.stack.append(name)

    def leave(self, *_: Any) -> None:
        """Note that it ends."""
        self.stack.pop()

    def _keys(self, shape: Shape, device: torch.device) -> tuple[torch.Tensor, Axis | None]:
        self.names[self.stack[-1]] = None
        return super()._keys(shape, device)


Buffers = list[tuple[dict[str, torch.Tensor | None], str, torch.Tensor, torch.Tensor]]


def _buffers(network: nn.Module) -> Buffers:
    """Return where each buffer is held, its name, the buffer, and a copy of it."""
    return [
        (module._buffers, name, buffer, buffer.clone())
        for module in network.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]


@torch.no_grad()
def _put_back(buffers: Buffers) -> None:
    """Put the buffers back that may have been replaced or written into."""
    for held, name, buffer, value in buffers:
        held[name] = buffer
        buffer.copy_(value)


def callers(
    network: nn.Module, run: Callable[[], object], rows: torch.Tensor, in_steps: bool = False
) -> list[str]:
    """Return the names of the modules whose own code drops at random when they are in training.

    `run` makes one pass of the network over inputs with the keys `rows`. All modules but those with
    running statistics are in training mode meanwhile. Where this pass fails (a network may do more
    in training), they are the dropout layers. Buffers are as they were afterwards. Raises
    FusedAttention where `in_steps` (as in `modes`) is wanted.
    """
    buffers = _buffers(network)
    found = _Callers(0, rows)
    handles = []
    for name, module in network.named_modules():
        handles.append(module.register_forward_pre_hook(functools.partial(found.enter, name)))
        handles.append(module.register_forward_hook(found.leave))
    try:
        with modes(network, lambda _, module: not _has_statistics(module), in_steps), found:
            run()
    except FusedAttention:
        raise
    except InputError as error:
        raise InputError(f"module '{found.stack[-1]}': {error}") from error
    except Exception as error:  # training mode may want what a trial cannot give, such as targets
        layers = network.named_modules()
        known = [name for name, layer in layers if isinstance(layer, _DropoutNd) and layer.p > 0]
        log.warning(
            "a pass in training mode fails (%s): only dropout layers and what ran before it count",
            str(error).partition("\n")[0],
        )
        return list(dict.fromkeys([*found.names, *known]))
    finally:
        for handle in handles:
            handle.remove()
        _put_back(buffers)
    return list(found.names)
