"""Random numbers that are a function of a key and a position: a counter-based generator.

Number i of key k is SplitMix64's output i from the state k (Steele et al. 2014). It is made with
whole-number arithmetic on the tensor's own device, so a value depends on neither the device, the
number of threads, nor on what was drawn before. Only the last bits of normal numbers may differ
between devices.
"""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import torch

from deepfake_uncertainty.errors import InputError

# The constants of SplitMix64 as signed numbers, because PyTorch has no unsigned products.
STEP, FIRST, SECOND = (
    value - (1 << 64) for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
# Numbers made at a time: they stay in a processor's cache; a GPU wants many.
CHUNK = {"cpu": 1 << 16}
LARGE_CHUNK = 1 << 24


def key(*parts: int | str) -> int:
    """Return a key, a whole number of 64 bits with sign, of numbers and texts."""
    # The same for a number of NumPy, which is written in another way.
    plain = tuple(part.item() if isinstance(part, np.generic) else part for part in parts)
    digest = hashlib.blake2b(repr(plain).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def label_keys(labels: Sequence | np.ndarray | torch.Tensor) -> torch.Tensor:
    """Return int64 (N,): whole numbers as they are, and a key of every other label.

    Raises InputError for labels that are no numbers or texts.
    """
    try:
        array = labels.cpu().numpy() if isinstance(labels, torch.Tensor) else np.asarray(labels)
    except ValueError:  # lists of different lengths
        array = np.empty(())
    if array.ndim != 1:
        raise InputError("keys hold lists or tuples: give one number or text per input")
    if array.dtype.kind in "iu":
        return torch.as_tensor(array.astype(np.int64))
    known = {label: key(label) for label in dict.fromkeys(array.tolist())}
    return torch.tensor([known[label] for label in array.tolist()], dtype=torch.int64)


def _mixed(state: torch.Tensor) -> torch.Tensor:
    """Return the output of SplitMix64 for states int64, in place."""
    for shift, factor in ((30, FIRST), (27, SECOND), (31, 1)):
        # A shift of a signed number repeats its sign bit: the mask clears these copies.
        state.bitwise_xor_((state >> shift).bitwise_and_((1 << (64 - shift)) - 1))
        state.mul_(factor)
    return state


def row_keys(key: int, rows: torch.Tensor) -> torch.Tensor:
    """Return the keys int64 (n,) of rows int64 (n,) under one key."""
    return _mixed((rows * STEP).add_(key))


def words(keys: torch.Tensor, count: int) -> torch.Tensor:
    """Return `count` random words int32 (n, count) per key int64 (n,)."""
    steps = torch.arange((count + 1) // 2, dtype=torch.int64, device=keys.device).mul_(STEP)
    return _mixed(keys[:, None] + steps).view(torch.int32)[:, :count]


def uniform(keys: torch.Tensor, count: int) -> torch.Tensor:
    """Return `count` uniform numbers float32 (n, count) in [0, 1) per key int64 (n,)."""
    return ((words(keys, count) >> 8).bitwise_and_((1 << 24) - 1)).float().mul_(2.0**-24)


def kept(keys: torch.Tensor, count: int, probability: float) -> torch.Tensor:
    """Return bool (n, count) per key int64 (n,), each True with `probability` in [0, 1]."""
    if probability >= 1:
        return torch.ones(len(keys), count, dtype=torch.bool, device=keys.device)
    return words(keys, count) < round(probability * 2**32) - 2**31


def normal(key: int, shape: Sequence[int], device: torch.device | str = "cpu") -> torch.Tensor:
    """Return standard normal numbers float32 of a shape (Box and Muller 1958)."""
    count, device = math.prod(shape), torch.device(device)
    pairs = (count + 1) // 2
    chunk = CHUNK.get(device.type, LARGE_CHUNK)
    values = torch.empty(2, pairs, device=device)
    for first in range(0, pairs, chunk):
        last = min(first + chunk, pairs)
        steps = torch.arange(first, last, dtype=torch.int64, device=device)
        both = _mixed(steps.mul_(STEP).add_(key)).view(torch.int32).view(-1, 2)
        # |word| is uniform in (0, 2^31]; near 0 it has all its bits, so tails are long (6.6).
        radius = both[:, 0].float().abs_().mul_(2.0**-31).clamp_min_(2.0**-32)
        # Not `sqrt`: that of MKL starts from the processor's estimate of 1 / sqrt(x), which is not
        # the same on Intel and AMD.
        radius.log_().mul_(-2).rsqrt_().reciprocal_()
        angle = both[:, 1].float().mul_(math.pi * 2.0**-31)
        torch.mul(radius, angle.cos(), out=values[0, first:last])
        torch.mul(radius, angle.sin_(), out=values[1, first:last])
    return values.flatten()[:count].view(tuple(shape))
