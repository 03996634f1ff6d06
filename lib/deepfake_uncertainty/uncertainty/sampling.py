"""The engine of all stochastic networks: T samples of N inputs as probabilities float32 (T, N, C).

What all samples share is computed once for a block of inputs (`prefix`), and its outputs stay in memory while the samples
run over them; a block is as many batches as fit into `BLOCK` bytes. Draws come from the seed, the sample and the row alone,
so that neither the size of a batch nor of a block changes a sample.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch
from tqdm.auto import tqdm

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.seeding import threads

BLOCK = 256 << 20  # bytes of prefix outputs that are kept at a time
PACK = 16 << 20  # bytes of prefix outputs up to which several samples go through the suffix as one batch


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


def side_by_side(function, values, device):
    """Return [function(value) for value in values], without gradients, as many at a time as PyTorch has threads.

    Two batches side by side, a thread each, take less time than one after the other on two threads. `function` must not change
    anything that it shares.
    """
    count = min(torch.get_num_threads(), len(values)) if device.type == "cpu" else 1
    half, dtype = torch.is_autocast_enabled(device.type), torch.get_autocast_dtype(device.type)

    def one(value):
        # Gradients and precision are settings of a thread: a new one knows nothing of them.
        with torch.no_grad(), torch.autocast(device.type, dtype, enabled=half):
            return function(value)

    if count < 2:
        return [one(value) for value in values]
    with threads(1), ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(one, values))


def over(batches, function, device):
    """Return function(batch) of every batch, concatenated on `device`; raises InputError when there is no batch."""
    found = side_by_side(lambda batch: function(batch.to(device)), list(batches), device)
    if not found:
        raise InputError("no batch to predict: the inputs are empty")
    return torch.cat(found)


def probabilities(logits):
    """Return softmax of logits (..., C), in float32: in half precision the rows would not sum to 1."""
    return logits.float().softmax(-1)


def deterministic(network, batches):
    """Return the network's own probabilities float32 (1, N, C) for an iterable of input batches."""
    with evaluation(network):
        return probabilities(over(batches, network, device_of(network)))[None].cpu().numpy()


def example(batches):
    """Return (the first batch, all batches); InputError when there is none."""
    batches = list(batches)
    if not batches or not len(batches[0]):
        raise InputError("no batch to predict: the inputs are empty")
    return batches[0], batches


def sampled(batches, T, shared, prepare, device, pack=False, progress=False, half=False):
    """Return probabilities float32 (T, N, C) of batches (n, ...).

    `shared(batch)` gives the shared values, a tuple of tensors (n, ...). `prepare(ts)` makes what runs the samples `ts` (a
    range) on a list of them: to a list of logits (len(ts) * n, C), sample by sample; it is called anew for every block. With
    `pack`, samples that are small go together. `half` runs in bfloat16 where the device gains by it: other digits, same
    draws. Raises InputError when T < 1.
    """
    if T < 1:
        raise InputError(f"T is {T}: give at least one sample")
    parts, bar = [], tqdm(total=T * sum(map(len, batches)), unit="sample", desc="samples", disable=not progress, leave=False)
    with bar, torch.autocast(device.type, torch.bfloat16, enabled=half):
        for block in _blocks(batches, shared, device):
            rows = sum(len(values[0]) for values in block)
            size = max(1, PACK // max(1, max(map(_bytes, block)))) if pack else 1
            logits = []
            for first in range(0, T, size):
                ts = range(first, min(T, first + size))
                found = [part.float().unflatten(0, (len(ts), -1)) for part in prepare(ts)(block)]
                logits.append(torch.cat(found, 1))
                bar.update(len(ts) * rows)
            parts.append(probabilities(torch.cat(logits)).cpu())
    return torch.cat(parts, 1).numpy()


def _bytes(values):
    return sum(value.numel() * value.element_size() for value in values)


def _blocks(batches, shared, device):
    """Yield lists of prefix outputs, each of as many batches as fit into `BLOCK` bytes, and of one at least."""
    block, held = [], 0
    for batch in batches:
        values = shared(batch.to(device))
        if block and held + _bytes(values) > BLOCK:
            yield block
            block, held = [], 0
        block.append(values)
        held += _bytes(values)
    if block:
        yield block
