"""Decisions among several classes: confusion matrix, balanced accuracy, groups of confusions."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from deepfake_uncertainty.datasets import leakage
from deepfake_uncertainty.evaluation import metric_tables, resampling, significance
from deepfake_uncertainty.evaluation.resampling import Resamples
from deepfake_uncertainty.training.predict import Samples


def balanced_accuracy(
    decided: np.ndarray, label: np.ndarray, drawn: Resamples | np.ndarray | None = None
) -> np.ndarray:
    """Return the mean over classes of the recall (...), in [0, 1].

    decided and label (N,) int; `drawn` are `resampling.Resamples` (...) of the items (None: each
    item counts once). A class without items in a resample is left out of its mean.
    """
    decided, label = np.asarray(decided), np.asarray(label)
    drawn = resampling.resamples(drawn, len(label)) if drawn is not None else None
    weighted_sum = np.sum if drawn is None else drawn.sum
    recalls = []
    with np.errstate(invalid="ignore"):
        for k in np.unique(label):
            of_class = (label == k).astype(float)
            recalls.append(
                np.divide(weighted_sum(of_class * (decided == k)), weighted_sum(of_class))
            )
    return np.nanmean(recalls, axis=0)


def confusion_groups(shares: pd.DataFrame) -> pd.DataFrame:
    """Return what the fakes of each generator are taken for, from shares of `confusion_matrix`.

    Columns: itself, a relative (a generator with a tool in common, as hybrids have), real, another
    generator. One row per generator of fakes; each row sums to 1.
    """
    rows = {}
    for name, row in shares.drop(index="real").iterrows():
        relatives = leakage.relatives(str(name), row.index)
        kin = [generator for generator in relatives if generator in row.index and generator != name]
        rows[name] = {"itself": row[name], "a relative": row[kin].sum(), "real": row["real"]}
        rows[name]["another generator"] = row.drop([name, "real", *kin]).sum()
    return pd.DataFrame(rows).T.rename_axis("made by")


def _shares(samples: Samples, count: int, seed: int, n_boot: int) -> tuple[np.ndarray, np.ndarray]:
    """Return shares (1 + B, C, C) of video-level decisions, and the videos per class (C,)."""
    probabilities, index = metric_tables.by_video(*samples)
    decided, label = probabilities.mean(0).argmax(1), index["label"].to_numpy()
    drawn = metric_tables.cluster_resamples(index, seed, n_boot)
    by_cluster = np.zeros((drawn.counts.shape[1], count, count))
    np.add.at(by_cluster, (drawn.cluster, label, decided), 1)
    counts = np.tensordot(drawn.counts, by_cluster, 1)
    with np.errstate(invalid="ignore"):
        return counts / counts.sum(2, keepdims=True), np.bincount(label, minlength=count)


def confusion_matrix(
    samples: Samples | dict[int, Samples], classes: Sequence[str], seed: int, n_boot: int = 1000
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return (shares, recalls) of video-level decisions for the most probable class.

    samples: Samples, or {training seed: Samples} for the mean over trainings. shares: frame (C, C),
    rows the generator of a video, columns the generator that is named; each row sums to 1. recalls:
    frame, one row per class and one for 'balanced accuracy' (their mean); columns value, low, high
    (95 % interval, bootstrap over identities and trainings), n (videos) and chance (1 / C). A class
    without videos is NaN and is left out of the mean.
    """
    parts = [_shares(part, len(classes), seed, n_boot) for part in significance.per_seed(samples)]
    recalls = [np.einsum("bcc->cb", shares) for shares, _ in parts]
    values = [
        dict(zip(classes, recall, strict=True)) | {"balanced accuracy": np.nanmean(recall, axis=0)}
        for recall in recalls
    ]
    table = metric_tables.interval_frame(significance.pool_seeds(values, seed), "name")
    videos = parts[0][1]
    table = table.assign(n=[*videos, videos.sum()], chance=1 / len(classes))
    mean_shares = np.mean([shares[0] for shares, _ in parts], axis=0)
    rows, columns = pd.Index(classes, name="made by"), pd.Index(classes, name="taken for")
    return pd.DataFrame(mean_shares, rows, columns), table
