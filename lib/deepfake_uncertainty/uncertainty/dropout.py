"""Monte Carlo dropout (Gal and Ghahramani 2016); what all samples share is computed once.

The masks of sample t depend on (seed, t) and run over all N rows, so samples do not depend on the
size of a batch.
"""

import copy
import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.dropout import _DropoutNd

from deepfake_uncertainty.detectors.base import Classifier
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty import prefix, sampling

PLACES = "head", "last_stage", "every_stage"
CHANNELS = nn.Dropout1d | nn.Dropout2d | nn.Dropout3d


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


def place_dropout(network: Classifier, rate: float, where: str) -> Classifier:
    """Return a Classifier with dropout of `rate` at the place `where`.

    'head' returns the network as it is; 'last_stage' and 'every_stage' add dropout behind these
    stages to a copy. Raises InputError for another place, or when the network names no stages.
    """
    if where not in PLACES:
        raise InputError(f"dropout placed at '{where}': use {', '.join(PLACES)}")
    if where == "head":
        return network
    if not network.stages:
        raise InputError(f"dropout placed at '{where}': this network names no stages, use head")
    network = copy.deepcopy(network)
    for name in network.stages[-1:] if where == "last_stage" else network.stages:
        network.set_submodule(name, StageWithDropout(network.get_submodule(name), rate))
    return network


def _generator(seed: int, sample: int, call: int = 0) -> torch.Generator:
    """Return the generator of one sample and one call of a dropout layer.

    More samples continue a run: the generators of the first ones stay the same.
    """
    if not call:
        return sampling.draw_generator(seed, sample)
    # PyTorch's generator on the CPU keeps only the low 32 bits of its seed, so these must differ.
    (low,) = np.random.SeedSequence((seed, sample, call)).generate_state(1, np.uint32)
    return torch.Generator().manual_seed(int(low))


def _mask_shape(layer: nn.Module, hidden: torch.Tensor, rows: int) -> tuple[int, ...]:
    """Return the shape of a mask for `rows` rows: one value per channel or one per element."""
    by_channel = isinstance(layer, CHANNELS)
    if by_channel or (isinstance(layer, StageDropout) and hidden.ndim == 4):
        return (rows, *hidden.shape[1:2], *(1,) * (hidden.ndim - 2))
    return (rows, *hidden.shape[1:])


class _Masks:
    """A forward hook that applies masks to the dropout layers of a network in evaluation mode.

    Call k of a pass has a generator of its own. It continues from batch to batch and from block to
    block, as if all rows came at once.
    """

    def __init__(self, seed: int) -> None:
        self.seed, self.ts, self.call = seed, range(1), 0
        self.streams: dict[tuple[int, int], torch.Generator] = {}

    def start(self, ts: range) -> None:
        """Begin a pass of the samples `ts`, whose rows follow one another."""
        self.ts, self.call = ts, 0

    def __call__(self, layer: _DropoutNd, _, hidden: torch.Tensor) -> torch.Tensor:
        shape = _mask_shape(layer, hidden, len(hidden) // len(self.ts))
        masks = [torch.rand(shape, generator=self._stream(t)) >= layer.p for t in self.ts]
        self.call += 1
        keep = (torch.cat(masks) if len(masks) > 1 else masks[0]).to(hidden)
        return hidden * keep.mul_(1 / (1 - layer.p))

    def _stream(self, t: int) -> torch.Generator:
        key = t, self.call
        if key not in self.streams:
            self.streams[key] = _generator(self.seed, t, self.call)
        return self.streams[key]


def _active_layers(network: nn.Module) -> dict[str, _DropoutNd]:
    """Return the dropout layers {name: layer} of a rate above 0."""
    return {
        name: layer
        for name, layer in network.named_modules()
        if isinstance(layer, _DropoutNd) and layer.p > 0
    }


def _usable_layers(network: nn.Module) -> dict[str, _DropoutNd]:
    """Return the active dropout layers; raises InputError without any and for unusable ones."""
    layers = _active_layers(network)
    usable = nn.Dropout | StageDropout | CHANNELS
    unusable = {
        type(layer).__name__
        for layer in layers.values()
        if not isinstance(layer, usable) or layer.p >= 1
    }
    if not layers or unusable:
        raise InputError(
            "Monte Carlo dropout needs dropout of a rate in (0, 1);"
            f" found {sorted(unusable) or 'none'}"
        )
    return layers


def mc_dropout(
    network: nn.Module,
    batches: Iterable[torch.Tensor],
    T: int,
    seed: int,
    progress: bool = False,
    half: bool = False,
) -> np.ndarray:
    """Return probabilities float32 (T, N, C) of any module with dropout layers.

    Only these layers are stochastic; what comes before the first of them is computed once
    (`prefix.split`). Raises InputError when no dropout layer of a rate in (0, 1) takes part in the
    pass, for alpha dropout, without inputs, and when T < 1.
    """
    layers = _usable_layers(network)
    device, masks = sampling.device_of(network), _Masks(seed)
    first, batches = sampling.first_batch(batches)
    with sampling.evaluation(network):
        parts = prefix.split(network, first.to(device), modules=list(layers))
        prepare = functools.partial(_run_samples, parts.suffix, masks)
        with _hooked(parts.suffix, masks):
            drawn = sampling.sampled(
                batches, T, parts.prefix, prepare, device, pack=True, progress=progress, half=half
            )
    if not masks.streams:
        raise InputError(
            "no dropout layer took part in the pass: the samples would all be the same"
        )
    return drawn


def _run_samples(
    suffix: nn.Module, masks: _Masks, ts: range
) -> Callable[[list[sampling.Tensors]], list[torch.Tensor]]:
    """Return a function that runs the suffix for the samples `ts` on the batches of a block."""

    def run(values: sampling.Tensors) -> torch.Tensor:
        masks.start(ts)
        if len(ts) > 1:
            # Concatenated, not repeated: repetition would lose the memory layout of the images.
            values = tuple(torch.cat([value] * len(ts)) for value in values)
        return suffix(*values)

    # One after the other: the generators of the masks continue from batch to batch.
    return lambda block: [run(values) for values in block]


@contextmanager
def _hooked(network: nn.Module, masks: _Masks) -> Iterator[None]:
    """Apply `masks` to the active dropout layers of a network within the context."""
    layers = _active_layers(network).values()
    handles = [layer.register_forward_hook(masks) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def draws(network: nn.Module, T: int, seed: int) -> list[sampling.Draw]:
    """Return T fixed functions of inputs x (N, C, H, W) to logits (N, classes).

    They are differentiable in x. Draw t depends on (seed, t) only. Raises InputError when the
    network has no dropout layer of a rate above 0.
    """
    layers = _active_layers(network).values()
    if not layers:
        raise InputError(
            "Monte Carlo dropout needs a dropout layer of a rate above 0: this network has none"
        )

    def draw(x: torch.Tensor, t: int) -> torch.Tensor:
        for layer in layers:
            layer.train()
        try:
            with torch.random.fork_rng():
                torch.manual_seed(sampling.draw_seed(seed, t))
                return network(x)
        finally:
            for layer in layers:
                layer.eval()

    return [functools.partial(draw, t=t) for t in range(T)]
