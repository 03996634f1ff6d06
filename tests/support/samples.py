"""Samples of known sharpness, with their index, for tests of metrics and of their intervals."""

import numpy as np
import pandas as pd


def make_index(identities=20, windows=3, generators=("real", "A", "B")):
    rows = [
        ("set", g, f"{i:03d}", f"{i:03d}", "test", 10 * w, int(g != "real"))
        for i in range(identities)
        for g in generators
        for w in range(windows)
    ]
    return pd.DataFrame(
        rows, columns=["dataset", "generator", "video", "identity", "split", "start", "label"]
    )


def make_samples(index, count=4, seed=0, sharp=1.5):
    rng = np.random.default_rng(seed)
    logit = rng.normal(size=(count, len(index))) + sharp * (2 * index["label"].to_numpy() - 1)
    p = 1 / (1 + np.exp(-logit))
    return np.stack([1 - p, p], 2).astype(np.float32)
