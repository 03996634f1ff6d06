"""What makes a run repeatable: seeds, deterministic algorithms, a fixed number of threads."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let PyTorch use `count` (>= 1) threads of the processor inside the block, then as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and PyTorch with `seed` (integer >= 0).

    Choose deterministic algorithms where PyTorch has them; where it has none, PyTorch warns and
    continues.
    """
    # cuBLAS reads this when its handle is created, so it must be set before the first CUDA call.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    random.seed(seed)
    # Libraries below us still draw from NumPy's global state.
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
