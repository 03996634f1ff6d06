"""Is the difference real? Paired differences, several training seeds, rank correlations, and many comparisons at once."""

import numpy as np
import pandas as pd

from deepfake_uncertainty.datasets.leakage import KEY
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import evaluate, metrics


def holm(p):
    """Return Holm's adjusted p-values (M,) in [0, 1] of one family of comparisons: reject those at most the level.

    The chance of any false rejection is then at most the level, whatever the dependence (Holm 1979). A NaN stays NaN and
    does not count as a comparison. Raises InputError for values outside [0, 1].
    """
    p = np.asarray(p, dtype=np.float64)
    if p.ndim != 1 or ((p < 0) | (p > 1)).any():
        raise InputError(f"p-values have shape {p.shape} or lie outside [0, 1]: give one axis of probabilities")
    known = np.flatnonzero(~np.isnan(p))
    order, adjusted = known[np.argsort(p[known], kind="stable")], np.full(p.shape, np.nan)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return adjusted


def p_value(values):
    """Return the two-sided bootstrap p-value in (0, 1] of (1 + B,) values, from data and resamples, against zero.

    It turns the percentile interval around: to within its grain, 2 / (B + 1), it is below 0.05 where the 95 percent interval
    leaves zero out. No p-value is smaller than the grain: a family of M comparisons at 0.05 wants B > 40 M. NaN where there
    is no interval.
    """
    values = np.asarray(values, dtype=np.float64)
    if np.isnan(evaluate.interval(values)[1]):
        return np.nan
    drawn = values[1:][np.isfinite(values[1:])]
    tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
    return min(1.0, 2 * (1 + tail) / (1 + len(drawn)))


def pooled(found, seed):
    """Return {metric: (1 + B,)}, the mean over S trainings of a list of `evaluate.values`, with the spread of both in it.

    Each resample of identities also draws S - 1 trainings with replacement: the mean of S - 1 out of S varies as the mean of
    S fresh trainings does, where S out of S would vary too little (McCarthy and Snowden 1985). One training has no spread:
    its resamples are those of the identities alone. A metric that one training does not define is NaN.
    """
    count, first = len(found), found[0]
    if any(list(one) != list(first) for one in found):
        raise InputError("the trainings were measured by other metrics or generators: pool those of one detector and method")
    n_boot, every = len(next(iter(first.values()))) - 1, np.arange(count)
    # The first row is the data: the mean of all.
    drawn = np.random.default_rng([seed, count]).integers(count, size=(n_boot, max(count - 1, 1)))
    merged = {}
    for name in first:
        stacked = np.stack([one[name] for one in found])
        merged[name] = np.r_[stacked[every, 0].mean(), stacked[drawn, np.arange(1, n_boot + 1)[:, None]].mean(1)]
    return merged


def _videos(samples):
    columns = [*KEY, "identity", "label"]
    return set(samples[1][columns].drop_duplicates().itertuples(index=False, name=None))


def _check_same(every):
    """Raise InputError unless all Samples are of the same videos."""
    first, *others = map(_videos, every)
    for other in others:
        if apart := sorted(first ^ other, key=str):
            raise InputError(f"{len(apart)} videos are in one set of samples only, such as {'/'.join(map(str, apart[0][:3]))}: "
                             "a paired comparison wants the same videos on both sides")  # fmt: skip


def in_common(one, other):
    """Return two Samples of one training each, without the videos that the other does not hold."""
    keys = [pd.MultiIndex.from_frame(samples.index[list(KEY)]) for samples in (one, other)]
    held = keys[0].isin(keys[1]), keys[1].isin(keys[0])
    return [samples._replace(probabilities=samples.probabilities[:, rows], index=samples.index[rows].reset_index(drop=True))
            for samples, rows in zip((one, other), held, strict=True)]  # fmt: skip


def trainings(samples):
    """Return the list of Samples of one training, (probabilities, index), or of several, {seed: Samples}."""
    return list(samples.values()) if isinstance(samples, dict) else [samples]


def _drawn(samples, seed, n_boot, level, by_generator):
    of = evaluate.values_by_generator if by_generator else evaluate.values
    return [of(*one, seed, n_boot, level) for one in trainings(samples)]


def _names(by_generator):
    return ["generator", "metric"] if by_generator else "metric"


def values(samples, seed, n_boot=1000, level="video", by_generator=False):
    """Return `evaluate.values`, or `values_by_generator`, of Samples, or of {training seed: Samples} their `pooled` ones."""
    return pooled(_drawn(samples, seed, n_boot, level, by_generator), seed)


def difference(samples, other, seed, n_boot=1000, level="video", by_generator=False):
    """Return a frame of each metric of `evaluate.table` for `samples` less that for `other`: value, low, high (95 percent), p.

    Each is Samples, or {training seed: Samples} for a mean over trainings (`pooled`). Both are of the same videos and on the
    same resamples of identities, so that what is hard for both cancels. p is two-sided (`p_value`); correct a family by
    `holm`. Raises InputError where a video is in one of the two only.
    """
    _check_same([*trainings(samples), *trainings(other)])
    # Trainings of the two are not paired: each side draws its own.
    one, two = (pooled(_drawn(each, seed, n_boot, level, by_generator), 2 * seed + k) for k, each in enumerate((samples, other)))
    change = {name: one[name] - two[name] for name in one}
    return evaluate.frame(change, _names(by_generator)).assign(p=[p_value(value) for value in change.values()])


def over_seeds(sampled, seed, n_boot=1000, level="video", by_generator=False):
    """Return a frame of each metric of `evaluate.table`, the mean over trainings {training seed: Samples} of one kind.

    Columns value, low, high (95 percent, over identities and trainings together: `pooled`), spread (standard deviation over
    trainings, NaN for one) and seeds (their number; with 1 the interval covers the identities alone).
    """
    _check_same(trainings(sampled))
    found = _drawn(sampled, seed, n_boot, level, by_generator)
    spread = [np.std([one[name][0] for one in found], ddof=1) if len(found) > 1 else np.nan for name in found[0]]
    return evaluate.frame(pooled(found, seed), _names(by_generator)).assign(spread=spread, seeds=len(found))


def spearman(one, other, index, seed, n_boot=1000):
    """Return value, low, high (95 percent, bootstrap over identities) of the rank correlation of two scores (N,) of N rows."""
    return evaluate.interval(metrics.spearman(one, other, evaluate.clustered(index, seed, n_boot)))
