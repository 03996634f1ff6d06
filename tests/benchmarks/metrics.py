"""Speed of a bootstrap of AURC, AUGRC and ECE over identities.

The peer is a loop over the metrics of torch-uncertainty.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from benchmarks.runner import Entry
from torch_uncertainty.metrics.classification import AUGRC, AURC, CalibrationError

from deepfake_uncertainty.evaluation import metric_tables, metrics

CLUSTERS = 200


def ours(
    probabilities: np.ndarray, labels: np.ndarray, index: pd.DataFrame, n_boot: int
) -> np.ndarray:
    """Return AURC, AUGRC and ECE (3, n_boot) by the library, all resamples in one call each.

    The first resample is the data.
    """
    drawn = metric_tables.cluster_resamples(index, 0, n_boot - 1)
    wrong = metrics.errors(probabilities, labels)
    score = 1 - probabilities.max(1)
    area, generalised = metrics.aurc(score, wrong, drawn), metrics.augrc(score, wrong, drawn)
    return np.stack([area, generalised, metrics.ece(probabilities, labels, drawn)])


def peer(
    probabilities: np.ndarray, labels: np.ndarray, index: pd.DataFrame, n_boot: int
) -> np.ndarray:
    """Return AURC, AUGRC and ECE (n_boot, 3) by torch-uncertainty, one resample after the other."""
    rng = np.random.default_rng(0)
    rows = [np.flatnonzero(index["identity"] == k) for k in range(CLUSTERS)]
    p, y, found = torch.tensor(probabilities), torch.tensor(labels), []
    for _ in range(n_boot):
        drawn = np.concatenate([rows[k] for k in rng.integers(0, CLUSTERS, CLUSTERS)])
        calibration = CalibrationError(task="multiclass", num_classes=2, num_bins=metrics.BINS)
        tools = AURC(), AUGRC(), calibration
        for tool in tools:
            tool.update(p[drawn], y[drawn])
        found.append([tool.compute().item() for tool in tools])
    return np.array(found)


def entries(small: bool) -> Iterator[Entry]:
    """Yield the entry: 1000 resamples of 20,000 items. The loop is timed on 20 and scaled."""
    n, n_boot, n_loop = (2000, 50, 2) if small else (20_000, 1000, 20)
    rng = np.random.default_rng(0)
    fake = rng.beta(2, 2, n)
    probabilities, labels = np.stack([1 - fake, fake], 1), (rng.random(n) < fake).astype(int)
    index = pd.DataFrame({"dataset": "a", "identity": np.arange(n) % CLUSTERS})
    yield Entry(
        f"AURC, AUGRC, ECE: {n_boot} clustered resamples of {n} (peer timed on {n_loop}, scaled)",
        lambda: ours(probabilities, labels, index, n_boot),
        "torch-uncertainty, loop",
        lambda: peer(probabilities, labels, index, n_loop),
        50,
        peer_units=n_loop / n_boot,
    )
