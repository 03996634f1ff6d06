"""Does uncertainty alone know the generator? Features of videos, a classifier on them held against controls, their picture."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.kernel_ridge import KernelRidge
from sklearn.manifold import TSNE, trustworthiness
from sklearn.model_selection import GroupKFold
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler

from deepfake_uncertainty.datasets.leakage import KEY, PERSON
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import evaluate, significance, sources

MEASURES = "total", "aleatoric", "epistemic"
KINDS = "uncertainty", "softmax", "probabilities"
REGIONAL = "uncertainty by region"
FOLDS = 10


class Told(NamedTuple):
    """Balanced accuracy `drawn` (1 + B,), from the data and resamples of identities, and `shuffled` (P,), of arrangements in
    which the generators have changed places within each person; n test videos, classes."""

    drawn: np.ndarray
    shuffled: np.ndarray
    n: int
    classes: int


def features(sampled, kind, more=()):
    """Return a frame, one row a video (index dataset, generator, video), of one kind of features of {name: Samples}.

    'uncertainty': total, aleatoric and epistemic in nats; 'softmax': 1 - max p; 'probabilities': p of every class; each the
    mean over a video's frames or windows. `more` are further such frames (`by_region`); a video that one of them lacks is
    left out. Raises InputError for another kind, or when nothing is left.
    """
    if kind not in KINDS:
        raise InputError(f"unknown kind of features '{kind}': use {', '.join(KINDS)}")
    parts = []
    for name, (probabilities, index) in sampled.items():
        if kind == "probabilities":
            own = {f"p{k}": part for k, part in enumerate(probabilities.mean(0).T)}
        else:
            found = evaluate.scores(probabilities)
            own = {score: found[score] for score in (MEASURES if kind == "uncertainty" else ["softmax"])}
        keys = [index[level] for level in KEY]
        parts.append(pd.DataFrame(own, index=index.index).groupby(keys, sort=False).mean().add_prefix(f"{name} "))
    joined = pd.concat([*parts, *more], axis=1, join="inner")
    if joined.empty:
        raise InputError("no video has all of the features: give Samples of the same videos")
    return joined


def by_region(measured):
    """Return the features of {name: frame of `regions.measured`}: every measure of every region, hidden and alone."""
    parts = []
    for name, frame in measured.items():
        wide = frame[frame["way"].ne("whole")].pivot(index=KEY, columns=["way", "region"], values=list(MEASURES))
        wide.columns = [" ".join((name, *column)) for column in wide.columns]
        parts.append(wide)
    return parts


def every_kind(sampled, measured):
    """Return {kind: features}: `KINDS` of {name: Samples}, and REGIONAL, uncertainty and that of `by_region` together."""
    kinds = {kind: features(sampled, kind) for kind in KINDS}
    return kinds | {REGIONAL: features(sampled, "uncertainty", by_region(measured))}


def people(index):
    """Return an integer (N,) for each row of an index: rows that share a person, as target or as source, have the same one."""
    columns = [name for name in PERSON if name in index]
    place, name = np.repeat(np.arange(len(index)), len(columns)), index[columns].fillna("").to_numpy().ravel()
    known = name != ""
    place, name = place[known], name[known]
    code = pd.MultiIndex.from_arrays([index["dataset"].to_numpy()[place], name]).factorize()[0]
    size = len(index) + len(code)
    edges = coo_array((np.ones(len(code)), (place, len(index) + code)), shape=(size, size))
    return np.unique(connected_components(edges, directed=False)[1][: len(index)], return_inverse=True)[1]


def _videos(found, index):
    """Return the rows of `index` that the features `found` are of, in their order; InputError for one that was trained on."""
    rows = index.set_index(KEY).loc[found.index].reset_index()
    if rows["split"].eq("train").any():
        raise InputError("features of videos that the detectors were trained on: give those of the val and test splits")
    return rows


def _arrangements(labels, persons, seed, count):
    """Return labels (1 + count, N): the data's own, then such that change places within each person."""
    rng, found = np.random.default_rng(seed), np.tile(labels, (count + 1, 1))
    for person in np.unique(persons):
        own = np.flatnonzero(persons == person)
        found[1:, own] = rng.permuted(found[1:, own], axis=1)
    return found


def _decided(x, labels, groups):
    """Return the class (P, N) for each arrangement of labels (P, N) by kernel ridge regression, groups held out in folds."""
    found, classes = np.empty_like(labels), int(labels.max()) + 1
    for known, out in GroupKFold(min(FOLDS, len(np.unique(groups)))).split(x, groups=groups):
        member = np.eye(classes)[labels[:, known]].transpose(1, 0, 2)
        share = member.mean(0)
        # Indicators over their share, less one: a rare class weighs as much as a common one, and nothing known is a draw.
        target = np.divide(member, share, out=np.zeros_like(member), where=share > 0) - 1
        ranks = QuantileTransformer(n_quantiles=min(100, len(known)))
        model = make_pipeline(ranks, StandardScaler(), KernelRidge(kernel="rbf"))
        said = model.fit(x[known], target.reshape(len(known), -1)).predict(x[out])
        said = said.reshape(len(out), *share.shape)
        found[:, out] = np.where(share > 0, said, -np.inf).argmax(-1).T
    return found


def told(found, index, seed, n_boot=1000, permutations=200):
    """Return how well the generator of a video is Told from its features alone.

    `found` is a frame of `features` of val and test videos, `index` holds their rows. One kernel ridge classifier (Gaussian
    kernel on the ranks of the features, scikit-learn's defaults) learns from all people but those of a fold, targets and
    sources alike; test videos count. Arrangements keep what a person or a data set gives away. Raises InputError for
    training videos, for fewer than two generators or two groups of people, and without test videos.
    """
    rows = _videos(found, index)
    names, labels = np.unique(rows["generator"], return_inverse=True)
    groups, test = people(rows), rows["split"].eq("test").to_numpy()
    if len(names) < 2 or groups.max() < 1 or not test.any():
        raise InputError(f"{len(names)} generators, {groups.max() + 1} groups of people, {test.sum()} test videos: telling "
                         "generators apart needs two, two and one")  # fmt: skip
    persons = rows.groupby(["dataset", "identity"], sort=False).ngroup().to_numpy()
    labels = _arrangements(labels, persons, seed, permutations)
    decided = _decided(found.to_numpy(np.float64), labels, groups)
    drawn = evaluate.clustered(rows[test], seed, n_boot)
    values = sources.balanced_accuracy(decided[0, test], labels[0, test], drawn)
    pairs = zip(decided[1:, test], labels[1:, test], strict=True)
    shuffled = np.array([sources.balanced_accuracy(*pair)[()] for pair in pairs])
    return Told(values, shuffled, int(test.sum()), len(np.unique(labels[0, test])))


def compare(sets, index, seed, n_boot=1000, permutations=200):
    """Return {name: Told} of {training seed: {name: features}}, the mean over trainings: `significance.pooled`.

    All are on the same resamples and arrangements: the difference of two is paired.
    """
    every = [{name: told(found, index, seed, n_boot, permutations) for name, found in one.items()} for one in sets.values()]
    drawn = significance.pooled([{name: one.drawn for name, one in part.items()} for part in every], seed)
    return {name: Told(drawn[name], np.mean([part[name].shuffled for part in every], 0), one.n, one.classes)
            for name, one in every[0].items()}  # fmt: skip


def table(found):
    """Return a frame, one row a name of {name: Told}: value, low, high (95 percent, over identities), chance (the mean over the
    arrangements), p (the share of them, the data among them, that do as well), n test videos, classes."""
    rows = {}
    for name, one in found.items():
        value, low, high = evaluate.interval(one.drawn)
        p = (1 + (one.shuffled >= value - 1e-12).sum()) / (1 + len(one.shuffled))
        rows[name] = {"value": value, "low": low, "high": high, "chance": one.shuffled.mean(), "p": p, "n": one.n,
                      "classes": one.classes}  # fmt: skip
    return pd.DataFrame(rows).T.rename_axis("features").astype({"n": int, "classes": int})


def _points(found):
    ranks = QuantileTransformer(n_quantiles=min(100, len(found)))
    return make_pipeline(ranks, StandardScaler()).fit_transform(found.to_numpy(np.float64))


def neighbours(points, k):
    """Return the k nearest other points (N, k), by number, of points (N, D)."""
    if not 0 < k < len(points):
        raise InputError(f"{k} neighbours of {len(points)} points: give from 1 to {len(points) - 1}")
    return NearestNeighbors(n_neighbors=k).fit(points).kneighbors(return_distance=False)


def embed(found, seeds, perplexity=30.0):
    """Return {seed: points (N, 2)}, t-SNE (van der Maaten and Hinton 2008) of the ranks of features, each from its own start."""
    x = _points(found)
    # From principal components all seeds would start alike, and agree for that reason.
    return {seed: TSNE(perplexity=min(perplexity, (len(x) - 1) / 3), init="random", random_state=seed).fit_transform(x)
            for seed in seeds}  # fmt: skip


def stability(found, embedded, k=10):
    """Return how far to trust the pictures {seed: points (N, 2)} of features: a Series of shares in [0, 1].

    'trustworthiness' (Venna and Kaski 2001), the lowest over seeds; 'overlap': the share of k neighbours that two seeds agree on,
    mean over pairs of seeds (NaN for one); 'chance of overlap': that of unrelated pictures; 'same generator': the share of k
    neighbours, in the features themselves, made by the same generator; 'chance of same generator': that of all others.
    """
    x, generator = _points(found), found.index.get_level_values("generator").to_numpy()
    near = [neighbours(points, k) for points in embedded.values()]
    pairs = [(a, b) for i, a in enumerate(near) for b in near[i + 1 :]]
    shared = [np.mean([len(np.intersect1d(*both)) / k for both in zip(*pair, strict=True)]) for pair in pairs]
    count = pd.Series(generator).map(pd.Series(generator).value_counts()).to_numpy()
    lowest = min(trustworthiness(x, points, n_neighbors=min(k, (len(x) - 1) // 2)) for points in embedded.values())
    return pd.Series({"trustworthiness": lowest, "overlap": np.mean(shared) if shared else np.nan,
                      "chance of overlap": k / (len(x) - 1),
                      "same generator": (generator[neighbours(x, k)] == generator[:, None]).mean(),
                      "chance of same generator": ((count - 1) / (len(x) - 1)).mean()}, name="share")  # fmt: skip
