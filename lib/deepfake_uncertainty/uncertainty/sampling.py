"""What every way of sampling shares: evaluation mode, batches, probabilities float32 (T, N, C)."""

from contextlib import contextmanager

import torch


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
    """Return function(batch) of every batch, concatenated on `device`."""
    return torch.cat([function(batch.to(device)) for batch in batches])


def deterministic(network, batches):
    """Return the network's own probabilities float32 (1, N, C) for an iterable of input batches."""
    with evaluation(network):
        logits = over(batches, network, device_of(network))
        return logits.softmax(-1).float().cpu().numpy()[None]
