"""Monte Carlo dropout (Gal and Ghahramani 2016), with what all samples share computed once.

The masks of sample t are drawn from (seed, t) over all N rows at once, so samples do not depend on the size of a batch.
"""

import torch
from torch import nn

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty.sampling import device_of, evaluation, over


def _generator(seed, sample):
    # One stream a sample: more samples extend a run and never change its first ones.
    return torch.Generator().manual_seed(seed * 1_000_003 + sample)


def dropped(module, hidden, generator):
    """Return `hidden` (N, D) through a chain of layers, each nn.Dropout with a mask drawn from `generator`."""
    for layer in module:
        if isinstance(layer, nn.Dropout):
            keep = torch.rand(hidden.shape, generator=generator).to(hidden.device) >= layer.p
            hidden = hidden * keep / (1 - layer.p)
        else:
            hidden = layer(hidden)
    return hidden


def mc_dropout(network, batches, T, seed):
    """Return probabilities float32 (T, N, C) of a Classifier whose dropout stands in its head.

    The features are computed in one pass; each sample costs one pass of the head. Raises InputError when the head has no
    dropout, when its rate is not in (0, 1), or when there is dropout in the features (their samples would not share a prefix).
    """
    rates = [layer.p for layer in network.head if isinstance(layer, nn.Dropout)]
    if not rates or not all(0 < rate < 1 for rate in rates):
        raise InputError(f"Monte Carlo dropout needs dropout of a rate in (0, 1) in the head; found rates {rates}")
    outside = [m for m in network.modules() if isinstance(m, nn.Dropout) and m.p > 0 and m not in list(network.head)]
    if outside:
        raise InputError(f"Monte Carlo dropout here takes dropout in the head only; found {len(outside)} more in the features")
    with evaluation(network):
        features = over(batches, network.features, device_of(network))
        samples = [dropped(network.head, features, _generator(seed, t)).softmax(-1) for t in range(T)]
        return torch.stack(samples).float().cpu().numpy()
