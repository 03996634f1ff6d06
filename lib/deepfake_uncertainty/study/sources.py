"""Source detection: which generator made a video? One class a generator, real among them, over all data sets at once."""

import numpy as np
import pandas as pd

from deepfake_uncertainty.datasets import leakage
from deepfake_uncertainty.study import evaluate, predict, resampling, significance


def settings(index):
    """Return `predict.Settings` whose classes are the generators of an index, real first."""
    names = list(dict.fromkeys(index["generator"]))
    return predict.Settings(classes=("real", *(name for name in names if name != "real")))


def samples_for(detector, method, index, seed, T):
    """Return the Samples of a detector that tells the generators of `index` apart, on its test videos."""
    return predict.samples_for(detector, method, index, seed, T, index[index["split"].eq("test")], settings(index))


def balanced_accuracy(decided, label, drawn=None):
    """Return the mean over classes of the share (...) in [0, 1] of their items that are decided rightly.

    decided and label (N,) int; `drawn` are `resampling.Resamples` (...) of the items (None: each once). A class without items in
    a resample does not count there.
    """
    decided, label = np.asarray(decided), np.asarray(label)
    drawn = resampling.resamples(drawn, len(label)) if drawn is not None else None
    weigh = np.sum if drawn is None else drawn.sum
    recalls = []
    with np.errstate(invalid="ignore"):
        for k in np.unique(label):
            own = (label == k).astype(float)
            recalls.append(np.divide(weigh(own * (decided == k)), weigh(own)))
    return np.nanmean(recalls, axis=0)


def kinship(shares):
    """Return the frame of what generators are taken for, from the shares of `confusion`: itself, a relative (a tool in common,
    as hybrids have), another generator, real; one row a generator of fakes, of sum 1."""
    rows = {}
    for name, row in shares.drop(index="real").iterrows():
        kin = [other for other in leakage.relatives(name) if other in row.index and other != name]
        rows[name] = {"itself": row[name], "a relative": row[kin].sum(), "real": row["real"]}
        rows[name]["another generator"] = row.drop([name, "real", *kin]).sum()
    return pd.DataFrame(rows).T.rename_axis("made by")


def _confused(samples, count, seed, n_boot):
    """Return the shares (1 + B, count, count) of video-level decisions, and how many videos each class has (count,)."""
    probabilities, index = evaluate.by_video(*samples)
    decided, label = probabilities.mean(0).argmax(1), index["label"].to_numpy()
    drawn = evaluate.clustered(index, seed, n_boot)
    by_cluster = np.zeros((drawn.counts.shape[1], count, count))
    np.add.at(by_cluster, (drawn.cluster, label, decided), 1)
    found = np.tensordot(drawn.counts, by_cluster, 1)
    with np.errstate(invalid="ignore"):
        return found / found.sum(2, keepdims=True), np.bincount(label, minlength=count)


def confusion(samples, classes, seed, n_boot=1000):
    """Return (shares, recalls) of video-level decisions, the class of the largest mean probability, of Samples or of
    {training seed: Samples}, the mean over trainings.

    shares: frame (C, C), rows the generator that made a video, columns the one it is taken for, each row of sum 1. recalls:
    frame with one row a class and 'balanced accuracy' (their mean), columns value, low, high (95 percent, bootstrap over
    identities and trainings), n videos and chance (1 / C). A class without videos is NaN, and the mean is over the others.
    """
    parts = [_confused(one, len(classes), seed, n_boot) for one in significance.trainings(samples)]
    recalls = [np.einsum("bcc->cb", shares) for shares, _ in parts]
    every = [dict(zip(classes, recall, strict=True)) | {"balanced accuracy": np.nanmean(recall, axis=0)} for recall in recalls]
    table = evaluate.frame(significance.pooled(every, seed), "name")
    videos = parts[0][1]
    table = table.assign(n=[*videos, videos.sum()], chance=1 / len(classes))
    shares = np.mean([shares[0] for shares, _ in parts], axis=0)
    return pd.DataFrame(shares, pd.Index(classes, name="made by"), pd.Index(classes, name="taken for")), table
