"""Monte Carlo dropout (Gal and Ghahramani 2016), with what all samples share computed once.

The masks of sample t are drawn from (seed, t) over all N rows, so samples do not depend on the size of a batch.
"""

from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty.sampling import device_of, evaluation, over, probabilities, stacked

CHANNELS = nn.Dropout1d | nn.Dropout2d | nn.Dropout3d


def _generator(seed, sample, call=0):
    # One stream a sample and call: more samples extend a run and never change its first ones.
    return torch.Generator().manual_seed(seed * 1_000_003 + sample + (call << 40))


def _masked(layer, hidden, generator):
    shape = (*hidden.shape[:2], *[1] * (hidden.ndim - 2)) if isinstance(layer, CHANNELS) else hidden.shape
    keep = torch.rand(shape, generator=generator).to(hidden.device) >= layer.p
    return hidden * keep / (1 - layer.p)


def dropped(module, hidden, generator):
    """Return `hidden` (N, D) through a chain of layers, each nn.Dropout with a mask drawn from `generator`."""
    for layer in module:
        hidden = _masked(layer, hidden, generator) if isinstance(layer, nn.Dropout) else layer(hidden)
    return hidden


def mc_dropout(network, batches, T, seed):
    """Return probabilities float32 (T, N, C) of a Classifier whose dropout stands in its head.

    The features are computed in one pass; each sample costs one pass of the head. Raises InputError when the head has no
    dropout, when its rate is not in (0, 1), or when there is dropout in the features (their samples would not share a
    prefix: see `mc_dropout_whole`).
    """
    rates = [layer.p for layer in network.head if isinstance(layer, nn.Dropout)]
    if not rates or not all(0 < rate < 1 for rate in rates):
        raise InputError(f"Monte Carlo dropout needs dropout of a rate in (0, 1) in the head; found rates {rates}")
    shared = [layer for layer in network.head if isinstance(layer, nn.Dropout)]
    outside = [layer for layer in _active(network) if layer not in shared]
    if outside:
        raise InputError(f"mc_dropout takes dropout in the head only, found {len(outside)} more: use mc_dropout_whole")
    with evaluation(network):
        features = over(batches, network.features, device_of(network))
        return stacked(lambda t: probabilities(dropped(network.head, features, _generator(seed, t))), T)


def mc_dropout_whole(network, batches, T, seed):
    """Return probabilities float32 (T, N, C) of any module with dropout layers anywhere, by T passes of the whole network.

    Only dropout layers are stochastic; batch normalisation keeps its running statistics. Equals `mc_dropout` where that
    applies and the head has one dropout layer. Raises InputError when no dropout layer of a rate in (0, 1) takes part in
    the pass, and for alpha dropout.
    """
    layers, batches = _active(network), list(batches)
    other = {type(layer).__name__ for layer in layers if not isinstance(layer, nn.Dropout | CHANNELS) or layer.p >= 1}
    if not layers or other:
        raise InputError(f"Monte Carlo dropout needs dropout of a rate in (0, 1); found {sorted(other) or 'none'}")
    device = device_of(network)

    def sample(t):
        with _stochastic(layers, seed, t) as restart:
            logits = over(batches, lambda x: (restart(), network(x))[1], device)
        return probabilities(logits)

    with evaluation(network):
        return stacked(sample, T)


def _active(network):
    return [layer for layer in network.modules() if isinstance(layer, _DropoutNd) and layer.p > 0]


@contextmanager
def _stochastic(layers, seed, t):
    """Give `layers` (in evaluation mode) masks of sample t, and yield what must be called before each batch.

    The k-th dropout of a pass has a stream of its own that runs on from batch to batch, as if all rows came at once.
    """
    streams, call = [], 0

    def restart():
        nonlocal call
        call = 0

    def hook(layer, _, hidden):
        nonlocal call
        if call == len(streams):
            streams.append(_generator(seed, t, call))
        call += 1
        return _masked(layer, hidden, streams[call - 1])

    handles = [layer.register_forward_hook(hook) for layer in layers]
    try:
        yield restart
    finally:
        for handle in handles:
            handle.remove()
    if not streams:
        raise InputError("no dropout layer took part in the pass: the samples would all be the same")
