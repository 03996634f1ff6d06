"""One call that makes a run repeatable."""

import os
import random
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def threads(count):
    """Let PyTorch use `count` (>= 1) threads of the processor, and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def seed_everything(seed):
    """Seed Python, NumPy and PyTorch with `seed` (integer >= 0).

    Deterministic algorithms are asked for where PyTorch has them; where it has none it warns and goes on.
    """
    # cuBLAS reads this when its handle is made, so it must stand before the first CUDA call.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - libraries below us still draw from the global state
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
