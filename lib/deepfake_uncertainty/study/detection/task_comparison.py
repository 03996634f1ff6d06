"""Detectors by task: real or fake, real or which generator, and the same on an unseen data set."""

from collections.abc import Iterable, Mapping
from typing import overload

import numpy as np
import pandas as pd

from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.evaluation import metric_tables, significance
from deepfake_uncertainty.training import tasks
from deepfake_uncertainty.training.config import Run
from deepfake_uncertainty.training.predict import Samples

KEYS = ["detector", "method"]
KINDS = "blind", "biological"
PerSeed = Samples | dict[int, Samples]  # of one training, or of several by their seed


@overload
def to_binary(samples: Samples) -> Samples: ...
@overload
def to_binary(samples: dict[int, Samples]) -> dict[int, Samples]: ...
def to_binary(samples):
    """Return Samples over (real, fake) from Samples over (real, generator, ...).

    The probability of fake is the sum over the generators. Of {training seed: Samples} each is
    converted.
    """
    if isinstance(samples, dict):
        return {seed: to_binary(one) for seed, one in samples.items()}
    real = samples.probabilities[..., :1]
    index = samples.index.assign(label=(samples.index["label"] > 0).astype(int))
    return Samples(np.concatenate([real, 1 - real], -1), index)


def sample_generators(
    index: pd.DataFrame, detectors: Iterable[str], methods: Iterable[str], runs: Iterable[Run]
) -> dict[str, tasks.Sampled]:
    """Return {data set: {(detector, method): {training seed: Samples}}} of the test rows.

    The classes are real and every generator of `index`: one network names the generators of all its
    data sets.
    """
    methods, runs = list(methods), list(runs)
    keys = [(detector, method) for detector in detectors for method in methods]
    sampled: dict[str, tasks.Sampled] = {
        name: {key: {} for key in keys} for name in pd.unique(index["dataset"])
    }
    for key in keys:
        for run in runs:
            samples = tasks.sample_sources(*key, index, run)
            for name, of_dataset in sampled.items():
                rows = samples.index["dataset"].eq(name).to_numpy()
                of_dataset[key][run.seed] = samples.rows(rows)
    return sampled


def task_tables(
    sampled: Mapping[str, Mapping[tuple[str, str], PerSeed]],
    seed: int,
    n_boot: int,
    level: str = "video",
) -> pd.DataFrame:
    """Return `significance.seed_tables` of every task of {task: {(detector, method): Samples}}.

    The index levels are task, detector, method and metric.
    """
    tables = {
        task: significance.seed_tables(samples, seed, n_boot, level)
        for task, samples in sampled.items()
    }
    return pd.concat(tables, names=["task", *KEYS, "metric"])


def metric_shift(near: PerSeed, far: PerSeed, seed: int, n_boot: int) -> pd.DataFrame:
    """Return how each metric changes from Samples `near` to Samples `far` of other videos.

    The frame has one row per metric of `metric_tables.metric_table`; the columns value, low, high
    (95 % interval) are those of far less near. The videos differ, so each side is resampled alone.
    """
    first, second = (
        significance.pooled_values(samples, seed + k, n_boot)
        for k, samples in enumerate((near, far))
    )
    changes = {name: second[name] - first[name] for name in first}
    return metric_tables.interval_frame(changes, ["metric"])


def difference_to_best(
    sampled: Mapping[str, PerSeed], metric: str, seed: int, n_boot: int
) -> pd.DataFrame:
    """Return how much worse each of {name: Samples} is than the best in `metric`.

    A higher metric is better; differences are on the same resamples. The frame has one row per name
    but the best. The columns are value, low, high, p (two-sided, bootstrap), p_holm, which is p
    corrected over all rows (Holm 1979), and best (the name of the best).
    """
    values = {
        name: significance.seed_table(samples, seed, 1)["value"][metric]
        for name, samples in sampled.items()
    }
    best = max(values, key=values.__getitem__)
    rows = {
        name: significance.paired_difference(samples, sampled[best], seed, n_boot).loc[metric]
        for name, samples in sampled.items()
        if name != best
    }
    table = pd.DataFrame(rows).T.rename_axis("name")
    return table.assign(p_holm=significance.holm(table["p"]), best=best)


def blind_minus_biological(values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the mean (1 + B,) over blind detectors less that over biological detectors.

    `values` are {registry name: (1 + B,)}. Raises InputError when one kind is absent.
    """
    parts = {
        kind: [value for name, value in values.items() if registry.get(name).kind == kind]
        for kind in KINDS
    }
    if not all(parts.values()):
        raise InputError(
            f"{', '.join(values)}: a comparison of kinds needs a blind and a biological detector"
        )
    blind, biological = (np.mean(parts[kind], axis=0) for kind in KINDS)
    return blind - biological


def majority_accuracy(index: pd.DataFrame) -> float:
    """Return the accuracy on the test videos of a constant answer, the more frequent class."""
    fake = index.loc[index["split"].eq("test"), "generator"].ne("real").mean()
    return max(fake, 1 - fake)
