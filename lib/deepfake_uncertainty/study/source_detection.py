"""Does uncertainty alone identify the generator? Features of videos, a classifier, its controls."""

from collections.abc import Mapping, Sequence

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
from deepfake_uncertainty.evaluation import confusion, metric_tables, permutation, significance
from deepfake_uncertainty.evaluation.permutation import PermutationTest
from deepfake_uncertainty.training.predict import Samples

MEASURES = "total", "aleatoric", "epistemic"
KINDS = "uncertainty", "softmax", "probabilities"
REGIONAL = "uncertainty by region"
FOLDS = 10


def video_features(
    sampled: Mapping[str, Samples], kind: str, more: Sequence[pd.DataFrame] = ()
) -> pd.DataFrame:
    """Return one kind of features of {name: Samples}, one row per video.

    The index is dataset, generator, video. 'uncertainty' has the total, aleatoric and epistemic
    uncertainty in nats; 'softmax' has 1 - max p; 'probabilities' has p of every class. Each is the
    mean over the frames or windows of a video. `more` are further frames of features, such as those
    of `region_features`; a video that one of them lacks is left out. Raises InputError for another
    kind, or when no video is left.
    """
    if kind not in KINDS:
        raise InputError(f"unknown kind of features '{kind}': use {', '.join(KINDS)}")
    parts = []
    for name, (probabilities, index) in sampled.items():
        rows = pd.DataFrame(_row_features(probabilities, kind), index=index.index)
        means = rows.groupby([index[level] for level in KEY], sort=False).mean()
        parts.append(means.add_prefix(f"{name} "))
    joined = pd.concat([*parts, *more], axis=1, join="inner")
    if joined.empty:
        raise InputError("no video has all of the features: give Samples of the same videos")
    return joined


def _row_features(probabilities: np.ndarray, kind: str) -> dict[str, np.ndarray]:
    """Return {feature: (N,)} of one kind, of probabilities (T, N, C)."""
    if kind == "probabilities":
        return {f"p{k}": part for k, part in enumerate(probabilities.mean(0).T)}
    scores = metric_tables.uncertainty_scores(probabilities)
    return {name: scores[name] for name in (MEASURES if kind == "uncertainty" else ["softmax"])}


def region_features(measured: Mapping[str, pd.DataFrame]) -> list[pd.DataFrame]:
    """Return every measure of every region, hidden and alone, of {name: an `occlusion_table`}."""
    parts = []
    for name, frame in measured.items():
        wide = frame[frame["way"].ne("whole")].pivot(
            index=KEY, columns=["way", "region"], values=list(MEASURES)
        )
        wide.columns = [" ".join((name, *column)) for column in wide.columns]
        parts.append(wide)
    return parts


def feature_sets(
    sampled: Mapping[str, Samples], measured: Mapping[str, pd.DataFrame]
) -> dict[str, pd.DataFrame]:
    """Return {kind: features}: those of KINDS, and REGIONAL.

    REGIONAL joins the features 'uncertainty' of {name: Samples} with `region_features`.
    """
    kinds = {kind: video_features(sampled, kind) for kind in KINDS}
    return kinds | {REGIONAL: video_features(sampled, "uncertainty", region_features(measured))}


def connected_people(index: pd.DataFrame) -> np.ndarray:
    """Return the group (N,) int of each row: rows that share a person are in the same group.

    A row has its target and its source as persons. Groups that share a person are one group.
    """
    columns = [name for name in PERSON if name in index]
    place = np.repeat(np.arange(len(index)), len(columns))
    name = index[columns].fillna("").to_numpy().ravel()
    known = name != ""
    place, name = place[known], name[known]
    code = pd.MultiIndex.from_arrays([index["dataset"].to_numpy()[place], name]).factorize()[0]
    size = len(index) + len(code)
    edges = coo_array((np.ones(len(code)), (place, len(index) + code)), shape=(size, size))
    component = connected_components(edges, directed=False)[1][: len(index)]
    return np.unique(component, return_inverse=True)[1]


def _index_rows(features: pd.DataFrame, index: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `index` of the videos of `features`, in their order.

    Raises InputError for a video that was trained on.
    """
    rows = index.set_index(KEY).loc[features.index].reset_index()
    if rows["split"].eq("train").any():
        raise InputError(
            "features of videos that the detectors were trained on: "
            "give those of the val and test splits"
        )
    return rows


def _predictions(x: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the predicted class (P, N) for each arrangement of labels (P, N).

    The model is kernel ridge regression on features x (N, D); groups (N,) are held out in folds.
    """
    predicted, classes = np.empty_like(labels), int(labels.max()) + 1
    for known, out in GroupKFold(min(FOLDS, len(np.unique(groups)))).split(x, groups=groups):
        member = np.eye(classes)[labels[:, known]].transpose(1, 0, 2)
        share = member.mean(0)
        # Indicators over their share, less one: rare and common classes have the same weight, and
        # without information all scores are equal.
        target = np.divide(member, share, out=np.zeros_like(member), where=share > 0) - 1
        ranks = QuantileTransformer(n_quantiles=min(100, len(known)))
        model = make_pipeline(ranks, StandardScaler(), KernelRidge(kernel="rbf"))
        scores = model.fit(x[known], target.reshape(len(known), -1)).predict(x[out])
        scores = scores.reshape(len(out), *share.shape)
        predicted[:, out] = np.where(share > 0, scores, -np.inf).argmax(-1).T
    return predicted


def generator_accuracy(
    features: pd.DataFrame,
    index: pd.DataFrame,
    seed: int,
    n_boot: int = 1000,
    permutations: int = 200,
) -> PermutationTest:
    """Return how well the generator of a video is identified from its features alone.

    `features` come from `video_features`, of val and test videos; `index` holds their rows. One
    kernel ridge classifier (Gaussian kernel on the ranks of the features, scikit-learn's defaults)
    learns from all people but those of a fold, targets and sources alike. The accuracy is that on
    the test videos. The permutations change labels within a person only, so that they keep what the
    person or the data set reveals. Raises InputError for training videos, for fewer than two
    generators or two groups of people, and without test videos.
    """
    rows = _index_rows(features, index)
    names, labels = np.unique(rows["generator"], return_inverse=True)
    groups, test = connected_people(rows), rows["split"].eq("test").to_numpy()
    if len(names) < 2 or groups.max() < 1 or not test.any():
        found = f"{len(names)} generators, {groups.max() + 1} groups of people, {test.sum()} test"
        raise InputError(f"{found} videos: telling generators apart needs two, two and one")
    persons = rows.groupby(["dataset", "identity"], sort=False).ngroup().to_numpy()
    labels = permutation.shuffle_within(labels, persons, seed, permutations)
    predicted = _predictions(features.to_numpy(np.float64), labels, groups)
    drawn = metric_tables.cluster_resamples(rows[test], seed, n_boot)
    values = confusion.balanced_accuracy(predicted[0, test], labels[0, test], drawn)
    pairs = zip(predicted[1:, test], labels[1:, test], strict=True)
    shuffled = np.array([confusion.balanced_accuracy(*pair)[()] for pair in pairs])
    classes = len(np.unique(labels[0, test]))
    return PermutationTest(values, shuffled, int(test.sum()), classes)


def compare_features(
    sets: Mapping[int, Mapping[str, pd.DataFrame]],
    index: pd.DataFrame,
    seed: int,
    n_boot: int = 1000,
    permutations: int = 200,
) -> dict[str, PermutationTest]:
    """Return {name: PermutationTest} of {training seed: {name: features}}, the mean over trainings.

    The trainings are pooled by `significance.pool_seeds`. All names have the same resamples and the
    same permutations, so that the difference of two is paired.
    """
    tests = [
        {
            name: generator_accuracy(part, index, seed, n_boot, permutations)
            for name, part in features.items()
        }
        for features in sets.values()
    ]
    drawn = significance.pool_seeds(
        [{name: one.drawn for name, one in part.items()} for part in tests], seed
    )
    pooled = {}
    for name, one in tests[0].items():
        shuffled = np.mean([part[name].shuffled for part in tests], 0)
        pooled[name] = PermutationTest(drawn[name], shuffled, one.n, one.classes)
    return pooled


def permutation_table(tests: Mapping[str, PermutationTest]) -> pd.DataFrame:
    """Return a frame with one row per name of {name: PermutationTest}.

    The columns are value, low, high (95 % interval over identities), chance (the mean over the
    permutations), p (the share of the permutations, the data among them, that do at least as well),
    n (test videos) and classes.
    """
    rows = {}
    for name, one in tests.items():
        value, low, high = metric_tables.interval(one.drawn)
        p = (1 + (one.shuffled >= value - 1e-12).sum()) / (1 + len(one.shuffled))
        row = {"value": value, "low": low, "high": high, "chance": one.shuffled.mean(), "p": p}
        rows[name] = row | {"n": one.n, "classes": one.classes}
    return pd.DataFrame(rows).T.rename_axis("features").astype({"n": int, "classes": int})


def _points(features: pd.DataFrame) -> np.ndarray:
    """Return the standardised ranks (N, D) of features."""
    ranks = QuantileTransformer(n_quantiles=min(100, len(features)))
    return make_pipeline(ranks, StandardScaler()).fit_transform(features.to_numpy(np.float64))


def neighbours(points: np.ndarray, k: int) -> np.ndarray:
    """Return the indices (N, k) of the k nearest other points, for each of points (N, D)."""
    if not 0 < k < len(points):
        raise InputError(
            f"{k} neighbours of {len(points)} points: give from 1 to {len(points) - 1}"
        )
    return NearestNeighbors(n_neighbors=k).fit(points).kneighbors(return_distance=False)


def embed(
    features: pd.DataFrame, seeds: Sequence[int], perplexity: float = 30.0
) -> dict[int, np.ndarray]:
    """Return {seed: points (N, 2)}, t-SNE of the ranks of features (van der Maaten, Hinton 2008).

    Each seed gives its own random start.
    """
    x = _points(features)
    perplexity = min(perplexity, (len(x) - 1) / 3)

    def embedded(seed):
        # A start from principal components would be the same for all seeds: they would agree.
        return TSNE(perplexity=perplexity, init="random", random_state=seed).fit_transform(x)

    return {seed: embedded(seed) for seed in seeds}


def embedding_stability(
    features: pd.DataFrame, embedded: Mapping[int, np.ndarray], k: int = 10
) -> pd.Series:
    """Return how far the embeddings {seed: points (N, 2)} of features can be trusted.

    The values are shares in [0, 1]. 'trustworthiness' (Venna and Kaski 2001) is the lowest over
    seeds. 'overlap' is the share of k neighbours that two seeds have in common, the mean over pairs
    of seeds (NaN for one seed); 'chance of overlap' is that of unrelated embeddings. 'same
    generator' is the share of k neighbours, in the features themselves, that were made by the same
    generator; 'chance of same generator' is that share among all other videos.
    """
    x, generator = _points(features), features.index.get_level_values("generator").to_numpy()
    near = [neighbours(points, k) for points in embedded.values()]
    pairs = [(a, b) for i, a in enumerate(near) for b in near[i + 1 :]]
    shared = [
        np.mean([len(np.intersect1d(*both)) / k for both in zip(*pair, strict=True)])
        for pair in pairs
    ]
    count = pd.Series(generator).map(pd.Series(generator).value_counts()).to_numpy()
    size = min(k, (len(x) - 1) // 2)
    values = {
        "trustworthiness": min(
            trustworthiness(x, points, n_neighbors=size) for points in embedded.values()
        ),
        "overlap": np.mean(shared) if shared else np.nan,
        "chance of overlap": k / (len(x) - 1),
        "same generator": (generator[neighbours(x, k)] == generator[:, None]).mean(),
        "chance of same generator": ((count - 1) / (len(x) - 1)).mean(),
    }
    return pd.Series(values, name="share")
