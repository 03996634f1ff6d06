"""Are the maps generator-specific? Mean maps per generator, and the generator from a map alone."""

from collections.abc import Mapping

import cv2
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.evaluation import metric_tables, metrics, permutation
from deepfake_uncertainty.study.pixel_uncertainty import localization

GRID = 16  # cells per side in which patterns are compared: single pixels move with the face


def video_maps(values: np.ndarray, rows: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
    """Return the mean maps (V, H, W) of V videos and the frame of V rows, of maps (N, H, W).

    Each map is first scaled to a mean of 1, so that the place of a gradient counts and not its
    strength. A map of zeros stays one.
    """
    level = values.mean((1, 2), keepdims=True, dtype=np.float64)
    scaled = np.divide(values, level, out=np.zeros_like(values, dtype=np.float64), where=level > 0)
    groups = rows.groupby(localization.KEY, sort=False)
    code = groups.ngroup().to_numpy()
    total = np.zeros((groups.ngroups, *values.shape[1:]))
    np.add.at(total, code, scaled)
    first = rows.iloc[np.unique(code, return_index=True)[1]].reset_index(drop=True)
    return total / np.bincount(code)[:, None, None], first


def mean_maps(values: np.ndarray, rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return {generator: map (H, W)}, the mean of `video_maps`, in the order of the rows."""
    of_videos, videos = video_maps(values, rows)
    return {
        name: of_videos[videos["generator"].eq(name).to_numpy()].mean(0)
        for name in pd.unique(videos["generator"])
    }


def _patterns(values: np.ndarray, rows: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
    """Return the logarithms (V, GRID^2) of the video maps on a coarse grid, and their frame."""
    of_videos, videos = video_maps(values, rows)
    size = GRID, GRID
    small = [cv2.resize(part, size, interpolation=cv2.INTER_AREA).ravel() for part in of_videos]
    return np.log(np.stack(small) + 1e-3), videos


def _predictions(patterns: np.ndarray, labels: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Return the label (B, V) of the nearest centroid, for each row of labels (B, V) int.

    The centroids are those of all other persons: people (V,) are held out one at a time.
    """
    predicted = np.empty_like(labels)
    classes = int(labels.max()) + 1
    for person in np.unique(people):
        out = people == person
        member = np.eye(classes)[labels[:, ~out]]
        count = member.sum(1)[..., None]
        sums = np.einsum("bvc,vd->bcd", member, patterns[~out])
        empty = np.full((len(labels), classes, patterns.shape[1]), np.inf)
        centroids = np.divide(sums, count, out=empty, where=count > 0)
        centre = patterns[~out].mean(0)
        # Correlation instead of distance: the strength of a pattern does not identify a generator.
        held, centroids = patterns[out] - centre, centroids - centre
        norm = np.linalg.norm(centroids, axis=-1)[:, None]
        finite = np.where(np.isfinite(centroids), centroids, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation = np.einsum("vd,bcd->bvc", held, finite) / norm
        correlation = np.where(np.isfinite(correlation), correlation, -np.inf)
        predicted[:, out] = correlation.argmax(-1)
    return predicted


def generator_accuracy(
    values: np.ndarray, rows: pd.DataFrame, seed: int, n_boot: int = 1000, permutations: int = 200
) -> dict[str, float]:
    """Return how often the generator (real included) is identified from a video's map alone.

    The keys are: value, low, high, the share of the videos whose map is nearest (by correlation) to
    the centroid of their generator (95 % interval, bootstrap over identities); chance, its mean
    when the generators are permuted within each person; p, the share of such permutations, the data
    among them, that do at least as well; n (videos) and classes. The centroids are taken without
    the person of the video. Raises InputError for fewer than two generators or persons.
    """
    patterns, videos = _patterns(values, rows)
    names, labels = np.unique(videos["generator"], return_inverse=True)
    people = videos.groupby(["dataset", "identity"], sort=False).ngroup().to_numpy()
    if len(names) < 2 or people.max() < 1:
        found = f"{len(names)} generators of {people.max() + 1} persons"
        raise InputError(f"{found}: telling them apart needs two of each")
    shuffled = permutation.shuffle_within(labels, people, seed, permutations)
    right = (_predictions(patterns, shuffled, people) == shuffled).astype(float)
    share = right.mean(1)
    drawn = metric_tables.cluster_resamples(videos, seed, n_boot)
    value, low, high = metric_tables.interval(metrics.mean(right[0], drawn))
    # The data themselves are one of the permutations: p is never 0.
    return {
        "value": value,
        "low": low,
        "high": high,
        "chance": share[1:].mean(),
        "p": (share >= share[0]).mean(),
        "n": len(videos),
        "classes": len(names),
    }


def generator_accuracy_table(
    found: Mapping[str, np.ndarray],
    rows: pd.DataFrame,
    seed: int,
    n_boot: int = 1000,
    permutations: int = 200,
) -> pd.DataFrame:
    """Return `generator_accuracy` of every map of {name: maps (N, H, W)}, one row per name."""
    table = {
        name: generator_accuracy(values, rows, seed, n_boot, permutations)
        for name, values in tqdm(found.items(), desc="patterns")
    }
    return pd.DataFrame(table).T.rename_axis("map").astype({"n": int, "classes": int})
