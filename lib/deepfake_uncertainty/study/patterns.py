"""Are the maps generator-specific? Mean maps on the canonical face, and the generator told from a map alone."""

import cv2
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import evaluate, localise, metrics

GRID = 16  # cells a side in which patterns are compared: single pixels move with the face


def by_video(values, rows):
    """Return (maps (V, H, W), the frame of V rows): the mean over a video's frames, each map scaled to a mean of 1.

    A map of zeros stays one: how strong a gradient is must not count, only where it lies.
    """
    level = values.mean((1, 2), keepdims=True, dtype=np.float64)
    scaled = np.divide(values, level, out=np.zeros_like(values, dtype=np.float64), where=level > 0)
    groups = rows.groupby(localise.KEY, sort=False)
    code = groups.ngroup().to_numpy()
    total = np.zeros((groups.ngroups, *values.shape[1:]))
    np.add.at(total, code, scaled)
    first = rows.iloc[np.unique(code, return_index=True)[1]].reset_index(drop=True)
    return total / np.bincount(code)[:, None, None], first


def mean_maps(values, rows):
    """Return {generator: map (H, W)}, the mean of `by_video` over its videos, in the order of the rows."""
    own, videos = by_video(values, rows)
    return {name: own[videos["generator"].eq(name).to_numpy()].mean(0) for name in pd.unique(videos["generator"])}


def _patterns(values, rows):
    """Return the logarithms (V, GRID^2) of the videos' maps on a coarse grid, and their frame."""
    own, videos = by_video(values, rows)
    small = np.stack([cv2.resize(part, (GRID, GRID), interpolation=cv2.INTER_AREA).ravel() for part in own])
    return np.log(small + 1e-3), videos


def _decided(patterns, labels, people):
    """Return the label (B, V) of the nearest centroid for each row of labels (B, V) int, persons held out one at a time."""
    found = np.empty_like(labels)
    classes = int(labels.max()) + 1
    for person in np.unique(people):
        out = people == person
        member = np.eye(classes)[labels[:, ~out]]
        count = member.sum(1)[..., None]
        centroids = np.divide(np.einsum("bvc,vd->bcd", member, patterns[~out]), count,
                              out=np.full((len(labels), classes, patterns.shape[1]), np.inf), where=count > 0)  # fmt: skip
        centre = patterns[~out].mean(0)
        # Correlation, not distance: how strong a pattern is says nothing about whose it is.
        held, centroids = patterns[out] - centre, centroids - centre
        norm = np.linalg.norm(centroids, axis=-1)[:, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            like = np.einsum("vd,bcd->bvc", held, np.where(np.isfinite(centroids), centroids, 0)) / norm
        found[:, out] = np.where(np.isfinite(like), like, -np.inf).argmax(-1)
    return found


def told(values, rows, seed, n_boot=1000, permutations=200):
    """Return how often the generator (real included) is told from a video's map alone: one row, the columns below.

    value, low, high: share of the videos whose map is nearest (correlation) to the centroid of their generator, the
    centroids taken without their person; 95 percent, bootstrap over identities. chance is its mean when the generators
    change places within each person, p the share of such permutations that do as well. n videos, classes. Raises InputError
    for fewer than two generators or persons.
    """
    patterns, videos = _patterns(values, rows)
    names, labels = np.unique(videos["generator"], return_inverse=True)
    people = videos.groupby(["dataset", "identity"], sort=False).ngroup().to_numpy()
    if len(names) < 2 or people.max() < 1:
        raise InputError(f"{len(names)} generators of {people.max() + 1} persons: telling them apart needs two of each")
    rng, shuffled = np.random.default_rng(seed), np.tile(labels, (permutations + 1, 1))
    for person in np.unique(people):
        own = np.flatnonzero(people == person)
        shuffled[1:, own] = rng.permuted(shuffled[1:, own], axis=1)
    right = (_decided(patterns, shuffled, people) == shuffled).astype(float)
    share = right.mean(1)
    weights = np.vstack([np.ones(len(videos)), evaluate.resamples(videos, seed, n_boot)])
    value, low, high = evaluate.interval(metrics.mean(right[0], weights))
    # The data themselves are one of the arrangements: p is never 0.
    return {"value": value, "low": low, "high": high, "chance": share[1:].mean(), "p": (share >= share[0]).mean(),
            "n": len(videos), "classes": len(names)}  # fmt: skip


def table(found, rows, seed, n_boot=1000, permutations=200):
    """Return `told` of every map of {name: maps (N, H, W)}, one row each."""
    made = {name: told(values, rows, seed, n_boot, permutations) for name, values in tqdm(found.items(), desc="patterns")}
    return pd.DataFrame(made).T.rename_axis("map").astype({"n": int, "classes": int})
