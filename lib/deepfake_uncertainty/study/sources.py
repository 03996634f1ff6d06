"""Source detection: which generator made a video? One class a generator, real among them, over all data sets at once."""

import numpy as np
import pandas as pd

from deepfake_uncertainty.datasets import leakage
from deepfake_uncertainty.study import comparison, evaluate, predict, resampling


def settings(index):
    """Return `predict.Settings` whose classes are the generators of an index, real first."""
    names = list(dict.fromkeys(index["generator"]))
    return predict.Settings(classes=("real", *(name for name in names if name != "real")))


def samples_for(detector, method, index, seed, T):
    """Return the Samples of a detector that tells the generators of `index` apart, on its test videos."""
    return comparison.of_split(predict.samples_for(detector, method, index, seed, T, settings=settings(index)), "test")


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


def confusion(samples, classes, seed, n_boot=1000):
    """Return (shares, recalls) of video-level decisions, the class of the largest mean probability.

    shares: frame (C, C), rows the generator that made a video, columns the one it is taken for, each row of sum 1. recalls:
    frame with one row a class and 'balanced accuracy' (their mean), columns value, low, high (95 percent, bootstrap over
    identities), n videos and chance (1 / C). A class without videos is NaN, and the mean is over the others.
    """
    probabilities, index = evaluate.by_video(*samples)
    decided, label = probabilities.mean(0).argmax(1), index["label"].to_numpy()
    drawn, cells = evaluate.clustered(index, seed, n_boot), (len(classes), len(classes))
    by_cluster = np.zeros((drawn.counts.shape[1], *cells))
    np.add.at(by_cluster, (drawn.cluster, label, decided), 1)
    count = np.tensordot(drawn.counts, by_cluster, 1)
    with np.errstate(invalid="ignore"):
        shares = count / count.sum(2, keepdims=True)
    recall = np.einsum("bcc->bc", shares)
    rows = {name: evaluate.interval(recall[:, k]) for k, name in enumerate(classes)}
    rows["balanced accuracy"] = evaluate.interval(np.nanmean(recall, axis=1))
    table = pd.DataFrame(rows, index=["value", "low", "high"]).T.rename_axis("name")
    videos = np.bincount(label, minlength=len(classes))
    table = table.assign(n=[*videos, videos.sum()], chance=1 / len(classes))
    return pd.DataFrame(shares[0], pd.Index(classes, name="made by"), pd.Index(classes, name="taken for")), table
