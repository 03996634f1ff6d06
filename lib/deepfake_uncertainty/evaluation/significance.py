"""Significance: paired differences, training seeds, rank correlation, multiple comparisons."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from deepfake_uncertainty.datasets.leakage import KEY
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.evaluation import metric_tables, metrics
from deepfake_uncertainty.training.predict import Samples

Seeds = Samples | dict[int, Samples]  # of one training, or {training seed: Samples}


def holm(p: ArrayLike) -> np.ndarray:
    """Return Holm's adjusted p-values (M,) in [0, 1] of one family of comparisons.

    Rejecting those that are at most the level keeps the probability of any false rejection at most
    at the level, whatever the dependence (Holm 1979). A NaN stays NaN and does not count as a
    comparison. Raises InputError for values outside [0, 1].
    """
    p = np.asarray(p, dtype=np.float64)
    if p.ndim != 1 or ((p < 0) | (p > 1)).any():
        raise InputError(
            f"p-values have shape {p.shape} or lie outside [0, 1]: give one axis of probabilities"
        )
    known = np.flatnonzero(~np.isnan(p))
    order, adjusted = known[np.argsort(p[known], kind="stable")], np.full(p.shape, np.nan)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return adjusted


def p_value(values: ArrayLike) -> float:
    """Return the two-sided bootstrap p-value in (0, 1] of values (1 + B,) against zero.

    The first value is from the data, the others are from resamples. The p-value inverts the
    percentile interval: up to its resolution 2 / (B + 1) it is below 0.05 where the 95 % interval
    excludes zero. No p-value is smaller than the resolution, so a family of M comparisons at 0.05
    needs B > 40 M. NaN where there is no interval.
    """
    values = np.asarray(values, dtype=np.float64)
    if np.isnan(metric_tables.interval(values)[1]):
        return np.nan
    drawn = values[1:][np.isfinite(values[1:])]
    tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
    return min(1.0, 2 * (1 + tail) / (1 + len(drawn)))


def pool_seeds(found: Sequence[Mapping], seed: int) -> dict[Any, np.ndarray]:
    """Return {metric: (1 + B,)}: the mean over S trainings of `metric_tables.metric_values`.

    The resamples vary as both identities and trainings do. Each resample of identities also draws
    one training less than there are, with replacement: the mean of S - 1 out of S varies as the
    mean of S new trainings does, whereas S out of S would vary too little (McCarthy and Snowden
    1985). One training has no such variance: its resamples are those of the identities alone. A
    metric that one training does not define is NaN. Raises InputError when the trainings have
    different metrics.
    """
    count, first = len(found), found[0]
    if any(list(values) != list(first) for values in found):
        raise InputError(
            "the trainings were measured by other metrics or generators: "
            "pool those of one detector and method"
        )
    n_boot, trainings = len(next(iter(first.values()))) - 1, np.arange(count)
    # The first value is from the data: the mean of all trainings.
    drawn = np.random.default_rng([seed, count]).integers(count, size=(n_boot, max(count - 1, 1)))
    resample, pooled = np.arange(1, n_boot + 1)[:, None], {}
    for name in first:
        stacked = np.stack([values[name] for values in found])
        pooled[name] = np.r_[stacked[trainings, 0].mean(), stacked[drawn, resample].mean(1)]
    return pooled


def _videos(samples: Samples) -> set[tuple]:
    columns = [*KEY, "identity", "label"]
    return set(samples[1][columns].drop_duplicates().itertuples(index=False, name=None))


def _check_same(all_samples: Iterable[Samples]) -> None:
    """Raise InputError unless all Samples are of the same videos."""
    first, *others = map(_videos, all_samples)
    for other in others:
        if unpaired := sorted(first ^ other, key=str):
            example = "/".join(map(str, unpaired[0][:3]))
            raise InputError(
                f"{len(unpaired)} videos are in one set of samples only, such as {example}: "
                "a paired comparison needs the same videos on both sides"
            )


def common_videos(one: Samples, other: Samples) -> list[Samples]:
    """Return two Samples of one training each, without the videos that the other one lacks."""
    keys = [pd.MultiIndex.from_frame(samples.index[list(KEY)]) for samples in (one, other)]
    common = keys[0].isin(keys[1]), keys[1].isin(keys[0])
    return [samples.rows(rows) for samples, rows in zip((one, other), common, strict=True)]


def per_seed(samples: Seeds) -> list[Samples]:
    """Return a list of Samples per training: of one Samples, or of {training seed: Samples}."""
    return list(samples.values()) if isinstance(samples, dict) else [samples]


def _values(
    samples: Seeds, seed: int, n_boot: int, level: str, by_generator: bool
) -> list[dict[Any, np.ndarray]]:
    """Return one dict of metric values per training."""
    if by_generator:
        return [
            metric_tables.metric_values_by_generator(*part, seed, n_boot, level)
            for part in per_seed(samples)
        ]
    return [metric_tables.metric_values(*part, seed, n_boot, level) for part in per_seed(samples)]


def _names(by_generator: bool) -> str | list[str]:
    return ["generator", "metric"] if by_generator else "metric"


def pooled_values(
    samples: Seeds,
    seed: int,
    n_boot: int = 1000,
    level: str = "video",
    by_generator: bool = False,
) -> dict[Any, np.ndarray]:
    """Return `metric_tables.metric_values` of Samples, or of {training seed: Samples}, pooled.

    With `by_generator` they are `metric_tables.metric_values_by_generator`. See `pool_seeds`.
    """
    return pool_seeds(_values(samples, seed, n_boot, level, by_generator), seed)


def paired_difference(
    samples: Seeds,
    other: Seeds,
    seed: int,
    n_boot: int = 1000,
    level: str = "video",
    by_generator: bool = False,
) -> pd.DataFrame:
    """Return each metric of `metric_tables.metric_table` for `samples` minus that for `other`.

    Each is Samples, or {training seed: Samples} for a mean over trainings (`pool_seeds`). Columns
    value, low, high (95 % interval) and p (two-sided, `p_value`; correct a family by `holm`). Both
    sides have the same videos and the same resamples of identities, so that what is hard for both
    cancels. Raises InputError when a video is on one side only.
    """
    _check_same([*per_seed(samples), *per_seed(other)])
    # The trainings of the two sides are not paired: each side draws its own.
    first, second = (
        pool_seeds(_values(side, seed, n_boot, level, by_generator), 2 * seed + k)
        for k, side in enumerate((samples, other))
    )
    change = {name: first[name] - second[name] for name in first}
    return metric_tables.interval_frame(change, _names(by_generator)).assign(
        p=[p_value(value) for value in change.values()]
    )


def seed_table(
    sampled: Seeds,
    seed: int,
    n_boot: int = 1000,
    level: str = "video",
    by_generator: bool = False,
) -> pd.DataFrame:
    """Return each metric of `metric_tables.metric_table`, as mean over {training seed: Samples}.

    Columns value, low, high (95 % interval, over identities and trainings: `pool_seeds`), spread
    (standard deviation over trainings, NaN for one) and seeds (the number of trainings; with 1 the
    interval is over identities alone).
    """
    _check_same(per_seed(sampled))
    found = _values(sampled, seed, n_boot, level, by_generator)
    spread = [
        np.std([values[name][0] for values in found], ddof=1) if len(found) > 1 else np.nan
        for name in found[0]
    ]
    table = metric_tables.interval_frame(pool_seeds(found, seed), _names(by_generator))
    return table.assign(spread=spread, seeds=len(found))


def spearman(
    one: ArrayLike, other: ArrayLike, index: pd.DataFrame, seed: int, n_boot: int = 1000
) -> tuple[float, float, float]:
    """Return value, low, high of the rank correlation of two scores (N,) of N index rows.

    95 % interval, bootstrap over identities.
    """
    drawn = metric_tables.cluster_resamples(index, seed, n_boot)
    return metric_tables.interval(metrics.spearman(one, other, drawn))


def seed_tables(
    sampled: Mapping[tuple[str, str], Seeds], seed: int, n_boot: int, level: str = "video"
) -> pd.DataFrame:
    """Return `seed_table` of each entry of {(detector, method): samples}, stacked.

    Index levels detector, method, metric.
    """
    parts = {name: seed_table(samples, seed, n_boot, level) for name, samples in sampled.items()}
    return pd.concat(parts, names=["detector", "method", "metric"])


def seed_tables_by_generator(
    sampled: Mapping[tuple[str, str], Seeds], seed: int, n_boot: int
) -> pd.DataFrame:
    """Return `seed_tables` per generator: index levels detector, method, generator, metric."""
    parts = {
        name: seed_table(samples, seed, n_boot, by_generator=True)
        for name, samples in sampled.items()
    }
    return pd.concat(parts, names=["detector", "method", "generator", "metric"])
