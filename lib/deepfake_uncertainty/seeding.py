"""One call that makes a run repeatable."""

import os
import random

import numpy as np
import torch


def seed_everything(seed, threads=None):
    """Seed Python, NumPy and PyTorch with `seed` (integer >= 0) and, when given, set PyTorch's CPU `threads` (>= 1).

    Deterministic algorithms are asked for where PyTorch has them; where it has none it warns and goes on.
    """
    # cuBLAS reads this when its handle is made, so it must stand before the first CUDA call.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - libraries below us still draw from the global state
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    if threads is not None:
        torch.set_num_threads(threads)
