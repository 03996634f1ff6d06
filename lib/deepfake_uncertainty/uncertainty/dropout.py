"""Monte Carlo dropout (Gal and Ghahramani 2016), with what all samples share computed once.

The masks of sample t are drawn from (seed, t) over all N rows, so samples do not depend on the size of a batch.
"""

import copy
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.dropout import _DropoutNd

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty import prefix, sampling

PLACES = "head", "last_stage", "every_stage"
CHANNELS = nn.Dropout1d | nn.Dropout2d | nn.Dropout3d


class StageDropout(_DropoutNd):
    """Dropout behind a stage: of whole channels of maps (N, C, H, W) (Tompson et al. 2015), of single values of tokens."""

    def forward(self, x):
        drop = functional.dropout2d if x.ndim == 4 else functional.dropout
        return drop(x, self.p, self.training)


class Dropped(nn.Module):
    """A stage with dropout behind it."""

    def __init__(self, stage, rate):
        super().__init__()
        self.stage, self.dropout = stage, StageDropout(rate)

    def forward(self, *arguments, **options):
        return self.dropout(self.stage(*arguments, **options))


def place(network, rate, where):
    """Return a Classifier with dropout where it says: in the 'head' as it is, or also behind the last or every stage.

    The network is copied, never changed. Raises InputError for another place, or when the network names no stages.
    """
    if where not in PLACES:
        raise InputError(f"dropout placed at '{where}': use {', '.join(PLACES)}")
    if where == "head":
        return network
    if not network.stages:
        raise InputError(f"dropout placed at '{where}': this network names no stages, use head")
    network = copy.deepcopy(network)
    for name in network.stages[-1:] if where == "last_stage" else network.stages:
        network.set_submodule(name, Dropped(network.get_submodule(name), rate))
    return network


def _generator(seed, sample, call=0):
    """Return one stream per sample and per call of a dropout layer in a pass: more samples extend a run."""
    if not call:
        return torch.Generator().manual_seed(seed * 1_000_003 + sample)
    # PyTorch's generator on the CPU keeps only the low 32 bits of its seed, so these bits must differ.
    (low,) = np.random.SeedSequence((seed, sample, call)).generate_state(1, np.uint32)
    return torch.Generator().manual_seed(int(low))


def _whole_channels(layer, hidden):
    return isinstance(layer, CHANNELS) or (isinstance(layer, StageDropout) and hidden.ndim == 4)


class _Masks:
    """Masks for the dropout layers of a network in evaluation mode: the k-th call of a pass has a stream of its own.

    A stream runs on from batch to batch and from block to block, as if all rows came at once.
    """

    def __init__(self, seed):
        self.seed, self.streams, self.ts, self.call = seed, {}, range(1), 0

    def start(self, ts):
        """Begin a pass of the samples `ts`, which lie one after the other in the rows."""
        self.ts, self.call = ts, 0

    def __call__(self, layer, _, hidden):
        rows = len(hidden) // len(self.ts)
        shape = (rows, *(hidden.shape[1:2] + (1,) * (hidden.ndim - 2) if _whole_channels(layer, hidden) else hidden.shape[1:]))
        masks = [torch.rand(shape, generator=self._stream(t)) >= layer.p for t in self.ts]
        self.call += 1
        keep = (torch.cat(masks) if len(masks) > 1 else masks[0]).to(hidden)
        return hidden * keep.mul_(1 / (1 - layer.p))

    def _stream(self, t):
        key = t, self.call
        if key not in self.streams:
            self.streams[key] = _generator(self.seed, t, self.call)
        return self.streams[key]


def mc_dropout(network, batches, T, seed, progress=False, half=False):
    """Return probabilities float32 (T, N, C) of any module with dropout layers; only these are stochastic.

    What comes before the first of them is computed once (`prefix.split`). Raises InputError when no dropout layer of a rate
    in (0, 1) takes part in the pass, and for alpha dropout.
    """
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, _DropoutNd) and layer.p > 0}
    usable = nn.Dropout | StageDropout | CHANNELS
    other = {type(layer).__name__ for layer in layers.values() if not isinstance(layer, usable) or layer.p >= 1}
    if not layers or other:
        raise InputError(f"Monte Carlo dropout needs dropout of a rate in (0, 1); found {sorted(other) or 'none'}")
    device, masks = sampling.device_of(network), _Masks(seed)
    first, batches = sampling.example(batches)
    with sampling.evaluation(network):
        parts = prefix.split(network, first.to(device), modules=list(layers))
        with _hooked(parts.suffix, masks):
            found = sampling.sampled(batches, T, parts.prefix, lambda ts: _suffix(parts.suffix, masks, ts), device,
                                     pack=True, progress=progress, half=half)  # fmt: skip
    if not masks.streams:
        raise InputError("no dropout layer took part in the pass: the samples would all be the same")
    return found


def _suffix(suffix, masks, ts):
    def run(values):
        masks.start(ts)
        # Joined, not repeated: that would lose the layout of the images.
        return suffix(*(torch.cat([value] * len(ts)) if len(ts) > 1 else value for value in values))

    # One after the other: the streams of masks run on from batch to batch.
    return lambda block: [run(values) for values in block]


@contextmanager
def _hooked(suffix, masks):
    layers = [layer for layer in suffix.modules() if isinstance(layer, _DropoutNd) and layer.p > 0]
    handles = [layer.register_forward_hook(masks) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
