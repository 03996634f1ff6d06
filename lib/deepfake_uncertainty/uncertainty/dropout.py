"""Monte Carlo dropout (Gal and Ghahramani 2016) of any network, and where a study places dropout.

Everything that the network drops at random in training is dropped in its samples, the rest of it is
in evaluation mode: layers, functions, attention and stochastic depth. The masks of sample t depend
on (seed, t, the call within a pass, the key of the input).
"""

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import fx, nn
from torch.nn import functional
from torch.nn.modules.dropout import _DropoutNd

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty import engine, graphs, masks, noise, prefix
from deepfake_uncertainty.uncertainty.inputs import Adapted, Tensors, checked_logits

PLACES = "head", "last_stage", "every_stage"


Keys = Sequence | np.ndarray | None  # a label per input


class Staged(Protocol):
    """A network that names the stages of its backbone, the deepest last."""

    stages: tuple[str, ...]


Network = TypeVar("Network", bound=nn.Module)


class StageDropout(_DropoutNd):
    """Dropout behind a stage.

    It drops whole channels of maps (N, C, H, W) (Tompson et al. 2015) and single values of tokens.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x with dropout in training mode, and x itself in evaluation mode."""
        drop = functional.dropout2d if x.ndim == 4 else functional.dropout
        return drop(x, self.p, self.training)


class StageWithDropout(nn.Module):
    """A stage with dropout behind it."""

    def __init__(self, stage: nn.Module, rate: float) -> None:
        super().__init__()
        self.stage, self.dropout = stage, StageDropout(rate)

    def forward(self, *arguments, **options) -> torch.Tensor:
        """Return the stage's output with dropout; the arguments are those of the stage."""
        return self.dropout(self.stage(*arguments, **options))


def place_dropout(network: Network, rate: float, where: str) -> Network:
    """Return a network with dropout of `rate` at the place `where`.

    'head' returns the network as it is; 'last_stage' and 'every_stage' add dropout behind these
    stages to a copy. Raises InputError for another place, or when the network names no stages.
    """
    if where not in PLACES:
        raise InputError(f"dropout placed at '{where}': use {', '.join(PLACES)}")
    if where == "head":
        return network
    stages: tuple[str, ...] = getattr(network, "stages", ())
    if not stages:
        raise InputError(f"dropout placed at '{where}': this network names no stages, use head")
    network = copy.deepcopy(network)
    for name in stages[-1:] if where == "last_stage" else stages:
        network.set_submodule(name, StageWithDropout(network.get_submodule(name), rate))
    return network


class Dropout:
    """The dropout of a network as a source of randomness, under a seed (`prefix.Source`)."""

    parameters: set[str] = set()

    def __init__(self, network: nn.Module, seed: int) -> None:
        self.network, self.seed = network, seed
        self.modules: set[str] = set()
        self.places: masks.Layout | None = None
        self.widest = 0.0
        self.in_steps = False  # attention, see `masks.modes`
        self.by_input = True  # False where an input's sample depends on the inputs beside it

    def discover(self, adapted: nn.Module, few: Tensors) -> None:
        """Find the modules that drop at random; raises InputError when none does."""
        rows = torch.arange(len(few[0]))
        run = adapted.raw if isinstance(adapted, Adapted) else adapted
        with torch.no_grad():
            try:
                names = masks.callers(adapted, lambda: run(*few), rows)
            except masks.FusedAttention:
                self.in_steps = True
                names = masks.callers(adapted, lambda: run(*few), rows, True)
        if not names:
            raise InputError(
                "Monte Carlo dropout needs dropout of a rate in (0, 1) that takes part in the pass:"
                f" {type(self.network).__name__} has none"
            )
        self.modules = set(names)

    def modes(self, adapted: nn.Module) -> AbstractContextManager[None]:
        """Return a context in which these modules are in training mode, and no others."""
        return masks.modes(adapted, lambda name, _: name in self.modules, self.in_steps)

    def random_nodes(self, graph: fx.GraphModule, few: Tensors) -> set[fx.Node]:
        """Return the nodes whose modules drop at random; where it is a function, a trial tells."""
        calls = [node for node in graph.graph.nodes if node.op == "call_module"]
        if self.modules <= {str(node.target) for node in calls}:
            return {node for node in calls if node.target in self.modules}
        current, seen = masks.Masks(self.seed, range(1), torch.arange(len(few[0]))), [0]

        def is_random(graph: fx.GraphModule, node: fx.Node) -> bool:
            seen.append(len(current.shapes))
            return seen[-1] > seen[-2]

        return graphs.Trial(graph, is_random, current, few).random

    def packs(self) -> bool:
        """Return True when each mask has an axis of inputs: samples can stand side by side."""
        return all((self.places or {0: None}).values())

    def learn(self, module: nn.Module, values: Tensors) -> None:
        """Find the axis of the inputs in each mask, and whether inputs are sampled one by one."""
        few = prefix.few_of(values, 3)
        three, logits = self._tried(module, few, torch.arange(3))
        two, _ = self._tried(module, prefix.few_of(few, 2), torch.arange(2))
        self.widest = three.widest / 3
        if len(two.shapes) != len(three.shapes):
            raise InputError(masks.UNSTEADY)
        if not two.shapes:
            raise InputError(
                f"no dropout of {type(self.network).__name__} takes part in the pass:"
                " the samples would all be the same"
            )
        checked_logits(logits, 3)
        self.places = masks.layout(two.shapes, three.shapes)
        _, together = self._tried(module, few, torch.arange(3), self.places)
        later = tuple(value[1:] for value in few)
        _, apart = self._tried(module, later, torch.arange(1, 3), self.places)
        self.by_input = prefix.is_close(together[1:], apart)

    def _tried(
        self,
        module: nn.Module,
        values: Tensors,
        rows: torch.Tensor,
        places: masks.Layout | None = None,
    ) -> tuple[masks.Masks, torch.Tensor]:
        """Return the masks and the logits of sample 0 of some inputs."""
        with masks.Masks(self.seed, range(1), rows, places) as drawn:
            return drawn, module(*(value.clone() for value in values))

    def run(
        self, part: prefix.Split, ts: range, values: Tensors, rows: torch.Tensor
    ) -> torch.Tensor:
        """Return the logits (len(ts) * n, C) of the samples `ts`, sample by sample."""
        if len(ts) > 1:
            # Concatenated, not repeated: repetition would lose the memory layout of the images.
            values = tuple(torch.cat([value] * len(ts)) for value in values)
        with masks.Masks(self.seed, ts, rows, self.places) as drawn:
            logits = part.suffix(*values)
        if self.places is not None and len(drawn.shapes) != len(self.places):
            raise InputError(masks.UNSTEADY)
        return logits

    def run_block(
        self, part: prefix.Split, ts: range, block: Sequence[tuple[Tensors, torch.Tensor]]
    ) -> list[torch.Tensor]:
        """Return the logits of every batch of a block, given as (values, keys of the rows)."""
        device = block[0][0][0].device
        return engine.parallel_map(lambda pair: self.run(part, ts, *pair), block, device)


class FixedDropout:
    """One draw of a network's dropout: a function of inputs x (N, C, H, W) to logits (N, classes).

    It is differentiable in x. `keys` (N,) are those of the inputs (default: their numbers).
    """

    def __init__(self, network: nn.Module, seed: int, t: int, keys: Keys = None) -> None:
        self.source, self.network, self.t, self.keys = Dropout(network, seed), network, t, keys

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits (N, classes) of inputs x."""
        source, network = self.source, self.network
        keys = noise.label_keys(range(len(x)) if self.keys is None else self.keys)
        with engine.exclusive():
            if source.places is None:
                few = prefix.few_of((x,), 2)
                source.discover(network, few)
                with torch.no_grad(), source.modes(network):
                    source.learn(network, few)
            with (
                source.modes(network),
                masks.Masks(source.seed, range(self.t, self.t + 1), keys, source.places),
            ):
                logits = network(x)
        checked_logits(logits, len(x))
        return logits
