"""What every way of sampling shares: evaluation mode, batches, probabilities float32 (T, N, C)."""

from contextlib import contextmanager

import torch

from deepfake_uncertainty.errors import InputError


@contextmanager
def evaluation(network):
    """Put `network` in evaluation mode without gradients, and its modules back as they were."""
    before = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in before.items():
            module.training = training


def device_of(network):
    """Return the device of the network's parameters."""
    return next(network.parameters()).device


def over(batches, function, device):
    """Return function(batch) of every batch, concatenated on `device`; raises InputError when there is no batch."""
    found = [function(batch.to(device)) for batch in batches]
    if not found:
        raise InputError("no batch to predict: the inputs are empty")
    return torch.cat(found)


def probabilities(logits):
    """Return softmax of logits (..., C), in float32: in half precision the rows would not sum to 1."""
    return logits.float().softmax(-1)


def stacked(sample, T):
    """Return sample(0), ..., sample(T - 1), each probabilities (N, C), as float32 (T, N, C); InputError when T < 1."""
    if T < 1:
        raise InputError(f"T is {T}: give at least one sample")
    return torch.stack([sample(t) for t in range(T)]).cpu().numpy()


def deterministic(network, batches):
    """Return the network's own probabilities float32 (1, N, C) for an iterable of input batches."""
    with evaluation(network):
        return stacked(lambda _: probabilities(over(batches, network, device_of(network))), 1)
