"""Tables of metrics, per video and per generator, with bootstrap intervals over identities."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from deepfake_uncertainty.datasets.leakage import KEY
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.evaluation import metrics
from deepfake_uncertainty.evaluation.resampling import Resamples
from deepfake_uncertainty.uncertainty.measures import measures

SCORES = "softmax", "total", "aleatoric", "epistemic"
LEVEL = 95  # percent
Values = dict[str, np.ndarray]  # {metric: (1 + B,)}, from the data, then one per resample


def _checked(samples: ArrayLike, index: pd.DataFrame) -> np.ndarray:
    samples = np.asarray(samples, dtype=np.float64)
    if samples.ndim != 3 or samples.shape[1] != len(index) or not samples.size:
        raise InputError(
            f"samples have shape {samples.shape}: "
            f"give (T, {len(index)}, C), one item per row of the index"
        )
    missing = [name for name in [*KEY, "identity", "label"] if name not in index]
    if missing:
        raise InputError(
            f"the index lacks the columns {', '.join(missing)}: "
            "make it with predict.samples_for or detector_inputs.load_inputs"
        )
    metrics.finite("samples", samples, 3)
    return samples


def by_video(samples: ArrayLike, index: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
    """Return samples (T, V, C), mean probabilities per video and sample, and an index of V rows.

    The rows of a video are those of one (dataset, generator, video). Raises InputError when they
    differ in label or identity.
    """
    samples = _checked(samples, index)
    groups = index.groupby(KEY, sort=False)
    if (groups[["label", "identity"]].nunique(dropna=False) > 1).any(axis=None):
        raise InputError(
            "a video has rows of two labels or two identities: check the index of the data set"
        )
    video = groups.ngroup().to_numpy()
    total = np.zeros((len(samples), groups.ngroups, samples.shape[2]))
    np.add.at(total, (slice(None), video), samples)  # type: ignore[arg-type]  # numpy accepts it
    rows = index.iloc[np.unique(video, return_index=True)[1]].drop(columns="start", errors="ignore")
    return total / np.bincount(video)[None, :, None], rows.reset_index(drop=True)


def uncertainty_scores(samples: ArrayLike) -> dict[str, np.ndarray]:
    """Return {score: (N,)} of samples (T, N, C).

    softmax = 1 - max mean p, in [0, 1]; total, aleatoric and epistemic in nats.
    """
    samples = np.asarray(samples)
    nats = {name: np.asarray(value, dtype=np.float64) for name, value in measures(samples).items()}
    return {"softmax": 1 - samples.mean(0).max(1)} | {name: nats[name] for name in SCORES[1:]}


def cluster_resamples(index: pd.DataFrame, seed: int, n_boot: int) -> Resamples:
    """Return Resamples (1 + n_boot, K) of the rows of `index`: the data, then draws of identities.

    The K different pairs (dataset, identity) are drawn with replacement. The draws depend only on
    `seed` and on the identities, so two sets of rows of the same identities are resampled alike.
    """
    cluster = index.groupby(["dataset", "identity"], sort=True, dropna=False).ngroup().to_numpy()
    count = cluster.max() + 1
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=n_boot)
    return Resamples(np.vstack([np.ones(count), drawn]), cluster)


def _values(
    mean: np.ndarray, labels: np.ndarray, uncertain: dict[str, np.ndarray], drawn: Resamples
) -> Values:
    """Return {metric: (1 + B,)} of mean probabilities (N, C), labels (N,) and {score: (N,)}."""
    wrong = metrics.errors(mean, labels)
    values = {
        name: getattr(metrics, name)(mean, labels, drawn)
        for name in ("accuracy", "nll", "brier", "ece")
    }
    values["auroc"] = metrics.class_auroc(mean, labels, drawn)
    for name, score in uncertain.items():
        values |= {
            f"{name}_mean": metrics.mean(score, drawn),
            f"{name}_failure_auroc": metrics.failure_auroc(score, wrong, drawn),
            f"{name}_aurc": metrics.aurc(score, wrong, drawn),
            f"{name}_augrc": metrics.augrc(score, wrong, drawn),
        }
    # The two are correlated: the interval of their difference needs both on the same resamples.
    for name in SCORES[1:]:
        values[f"{name}_gain"] = values[f"{name}_failure_auroc"] - values["softmax_failure_auroc"]
    return values


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Return value, low, high (95 % percentile interval) of values (1 + B,), data first.

    Resamples that do not define the metric are left out. low and high are NaN where fewer than half
    of the resamples define it: the interval would describe an unusual part of them.
    """
    drawn = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]) or 2 * len(drawn) < max(len(values) - 1, 1):
        return values[0], np.nan, np.nan
    tail = (100 - LEVEL) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return values[0], low, high


def interval_frame(
    found: Mapping[Any, np.ndarray], names: str | list[str] | None = None
) -> pd.DataFrame:
    """Return the `interval` of each entry of {key: (1 + B,)}: one row per key.

    Columns value, low, high; `names` are the names of the index levels.
    """
    columns = {key: interval(values) for key, values in found.items()}
    return pd.DataFrame(columns, index=["value", "low", "high"]).T.rename_axis(names)


def _prepared(
    samples: ArrayLike, index: pd.DataFrame, seed: int, n_boot: int, level: str
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], Resamples, pd.DataFrame]:
    """Return mean probabilities (N, C), labels (N,), {score: (N,)}, Resamples, index of N items."""
    if level not in ("video", "window"):
        raise InputError(f"level is {level!r}: give 'video' or 'window'")
    if level == "video":
        samples, index = by_video(samples, index)
    else:
        samples = _checked(samples, index)
    labels, drawn = index["label"].to_numpy(), cluster_resamples(index, seed, n_boot)
    return samples.mean(0), labels, uncertainty_scores(samples), drawn, index


def metric_values(
    samples: ArrayLike, index: pd.DataFrame, seed: int, n_boot: int = 1000, level: str = "video"
) -> Values:
    """Return {metric: (1 + n_boot,)} of `metric_table`: from the data, then per resample.

    Several calls on the same identities with the same seed use the same resamples. The `interval`
    of a difference or mean of their values is therefore a paired one.
    """
    return _values(*_prepared(samples, index, seed, n_boot, level)[:4])


def metric_values_by_generator(
    samples: ArrayLike, index: pd.DataFrame, seed: int, n_boot: int = 1000, level: str = "video"
) -> dict[tuple[str, str], np.ndarray]:
    """Return {(generator, metric): (1 + n_boot,)}: `metric_values` of each generator's rows.

    The auroc of a generator ranks its fakes against the real videos; it is NaN for samples of more
    than two classes, and for real videos.
    """
    mean, labels, uncertain, drawn, index = _prepared(samples, index, seed, n_boot, level)
    generators = index["generator"].to_numpy()
    found: dict[tuple[str, str], np.ndarray] = {}
    for name in pd.unique(index["generator"]):
        own, pair = generators == name, np.isin(generators, [name, "real"])
        scores = {key: score[own] for key, score in uncertain.items()}
        values = _values(mean[own], labels[own], scores, drawn.of(own))
        if mean.shape[1] == 2:
            values["auroc"] = metrics.class_auroc(mean[pair], labels[pair], drawn.of(pair))
        else:
            values["auroc"] = np.full(n_boot + 1, np.nan)  # one class alone has no rank
        found |= {(name, metric): value for metric, value in values.items()}
    return found


def metric_table(
    samples: ArrayLike, index: pd.DataFrame, seed: int, n_boot: int = 1000, level: str = "video"
) -> pd.DataFrame:
    """Return the metrics of samples (T, N, C) with N index rows: one row per metric.

    Columns value, low, high (95 % interval, percentile bootstrap over identities, `n_boot` draws
    from `seed`). Metrics: accuracy, nll, brier, ece, auroc, and for each score (softmax response,
    total, aleatoric, epistemic) its mean, failure AUROC, AURC, AUGRC and gain (its failure AUROC
    minus that of softmax response). A metric that the data do not define (one class only, no errors
    or only errors) is NaN. `level` is 'video' or 'window'.
    """
    return interval_frame(metric_values(samples, index, seed, n_boot, level))


def group_medians(
    rows: pd.DataFrame, by: str, columns: Sequence[str], seed: int, n_boot: int = 1000
) -> pd.DataFrame:
    """Return the median of each column of a frame of videos in each group of `by`.

    One row per (group, metric); columns value, low, high (95 % interval, bootstrap over identities)
    and n (videos of the group).
    """
    parts = {}
    for name, group in rows.groupby(by, sort=False):
        drawn = cluster_resamples(group, seed, n_boot)
        medians = {column: metrics.median(group[column], drawn) for column in columns}
        parts[name] = interval_frame(medians).assign(n=len(group))
    return pd.concat(parts, names=[by, "metric"])
