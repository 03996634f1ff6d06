"""Samples to tables: per video, per generator, with intervals from a bootstrap over identities."""

import numpy as np
import pandas as pd

from deepfake_uncertainty.datasets.leakage import KEY
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import metrics
from deepfake_uncertainty.study.resampling import Resamples
from deepfake_uncertainty.uncertainty.measures import measures

SCORES = "softmax", "total", "aleatoric", "epistemic"
LEVEL = 95  # percent


def _checked(samples, index):
    samples = np.asarray(samples, dtype=np.float64)
    if samples.ndim != 3 or samples.shape[1] != len(index) or not samples.size:
        raise InputError(f"samples have shape {samples.shape}: give (T, {len(index)}, C), one item a row of the index")
    missing = [name for name in [*KEY, "identity", "label"] if name not in index]
    if missing:
        raise InputError(f"the index lacks the columns {', '.join(missing)}: make it with predict.load_inputs")
    metrics.finite("samples", samples, 3)
    return samples


def by_video(samples, index):
    """Return samples (T, V, C), the mean probability of each video in each sample, and the index of V rows.

    The rows of a video are those of one (dataset, generator, video). Raises InputError when they differ in label or
    identity.
    """
    samples = _checked(samples, index)
    groups = index.groupby(KEY, sort=False)
    if (groups[["label", "identity"]].nunique(dropna=False) > 1).any(axis=None):
        raise InputError("a video has rows of two labels or two identities: check the index of the data set")
    code = groups.ngroup().to_numpy()
    total = np.zeros((len(samples), groups.ngroups, samples.shape[2]))
    np.add.at(total, (slice(None), code), samples)
    first = index.iloc[np.unique(code, return_index=True)[1]].drop(columns="start", errors="ignore")
    return total / np.bincount(code)[None, :, None], first.reset_index(drop=True)


def scores(samples):
    """Return the uncertainty scores (N,) of samples (T, N, C): softmax = 1 - max mean p, then the measures in nats."""
    samples = np.asarray(samples)
    found = {name: np.asarray(value, dtype=np.float64) for name, value in measures(samples).items()}
    return {"softmax": 1 - samples.mean(0).max(1)} | {name: found[name] for name in SCORES[1:]}


def clustered(index, seed, n_boot):
    """Return Resamples (1 + n_boot, K) of the rows of `index`, the first the data, then draws of whole identities.

    The K identities of each (dataset, identity) are drawn with replacement; `seed` and the identities alone fix the draws,
    so that two sets of rows of the same identities are resampled alike.
    """
    cluster = index.groupby(["dataset", "identity"], sort=True, dropna=False).ngroup().to_numpy()
    count = cluster.max() + 1
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=n_boot)
    return Resamples(np.vstack([np.ones(count), drawn]), cluster)


def resamples(index, seed, n_boot):
    """Return weights (n_boot, N): how often each row is drawn when whole identities are drawn with replacement."""
    return clustered(index, seed, n_boot).dense()[1:]


def _values(mean, labels, uncertain, drawn):
    """Return {metric: (1 + B,)} of mean probabilities (N, C), labels (N,) and {score: (N,)}, over Resamples of N items."""
    wrong = metrics.errors(mean, labels)
    found = {name: getattr(metrics, name)(mean, labels, drawn) for name in ("accuracy", "nll", "brier", "ece")}
    found["auroc"] = metrics.class_auroc(mean, labels, drawn)
    for name, score in uncertain.items():
        found |= {f"{name}_mean": metrics.mean(score, drawn),
                  f"{name}_failure_auroc": metrics.failure_auroc(score, wrong, drawn),
                  f"{name}_aurc": metrics.aurc(score, wrong, drawn),
                  f"{name}_augrc": metrics.augrc(score, wrong, drawn)}
    # The two are correlated: the interval of their difference needs both on the same resamples.
    for name in SCORES[1:]:
        found[f"{name}_gain"] = found[f"{name}_failure_auroc"] - found["softmax_failure_auroc"]
    return found


def interval(values):
    """Return value, low, high of (1 + B,) values, the first from the data; resamples that define none are left out.

    No interval is given where fewer than half of the resamples define the metric: it would describe the lucky ones.
    """
    drawn = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]) or 2 * len(drawn) < max(len(values) - 1, 1):
        return values[0], np.nan, np.nan
    tail = (100 - LEVEL) / 2
    return values[0], *np.percentile(drawn, [tail, 100 - tail])


def frame(found, names=None):
    """Return a frame, one row a key of {key: (1 + B,)}, columns value, low, high of its `interval`; `names` its index."""
    return pd.DataFrame({name: interval(v) for name, v in found.items()}, index=["value", "low", "high"]).T.rename_axis(names)


def _prepared(samples, index, seed, n_boot, level):
    if level not in ("video", "window"):
        raise InputError(f"level is {level!r}: give 'video' or 'window'")
    samples, index = by_video(samples, index) if level == "video" else (_checked(samples, index), index)
    return samples.mean(0), index["label"].to_numpy(), scores(samples), clustered(index, seed, n_boot), index


def values(samples, index, seed, n_boot=1000, level="video"):
    """Return {metric: (1 + n_boot,)} of the metrics of `table`, the first value from the data, then one a resample.

    What is computed from the values of several calls on the same identities, with the same seed, is paired: its `interval`
    is that of a difference, or a mean, on the same resamples.
    """
    return _values(*_prepared(samples, index, seed, n_boot, level)[:4])


def values_by_generator(samples, index, seed, n_boot=1000, level="video"):
    """Return {(generator, metric): (1 + n_boot,)} of the metrics of `table_by_generator`, as `values` does."""
    mean, labels, uncertain, drawn, index = _prepared(samples, index, seed, n_boot, level)
    family, found = index["generator"].to_numpy(), {}
    for name in pd.unique(index["generator"]):
        own, pair = family == name, np.isin(family, [name, "real"])
        one = _values(mean[own], labels[own], {key: score[own] for key, score in uncertain.items()}, drawn.of(own))
        if mean.shape[1] == 2:
            one["auroc"] = metrics.class_auroc(mean[pair], labels[pair], drawn.of(pair))
        else:
            one["auroc"] = np.full(n_boot + 1, np.nan)  # one class alone has no rank
        found |= {(name, metric): value for metric, value in one.items()}
    return found


def table(samples, index, seed, n_boot=1000, level="video"):
    """Return a frame, one row a metric, columns value, low, high (95 percent), of samples (T, N, C) with N index rows.

    Metrics: accuracy, nll, brier, ece, auroc, and for each score (softmax response, total, aleatoric, epistemic) its
    mean, failure AUROC, AURC, AUGRC and gain (its failure AUROC less that of softmax response). Percentile bootstrap over
    identities, `n_boot` draws from `seed`. A metric that the data do not define (one class only, no error or nothing but
    errors) is NaN. `level` is 'video' or 'window'.
    """
    return frame(values(samples, index, seed, n_boot, level))


def table_by_generator(samples, index, seed, n_boot=1000, level="video"):
    """Return `table` for each generator (index levels generator, metric), on its rows alone and on the same resamples.

    With two classes the AUROC of a generator ranks its rows against the real ones; with more it is NaN, as only one
    class is left.
    """
    return frame(values_by_generator(samples, index, seed, n_boot, level), ["generator", "metric"])


def medians(rows, by, columns, seed, n_boot=1000):
    """Return the median of each column of a frame of videos within each group of `by`, with its interval over identities.

    One row a (group, metric); columns value, low, high (95 percent) and n, the videos of the group.
    """
    parts = {}
    for name, group in rows.groupby(by, sort=False):
        drawn = clustered(group, seed, n_boot)
        found = frame({column: metrics.median(group[column], drawn) for column in columns})
        parts[name] = found.assign(n=len(group))
    return pd.concat(parts, names=[by, "metric"])
