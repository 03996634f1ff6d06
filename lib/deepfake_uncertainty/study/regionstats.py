"""Does a manipulated region carry the uncertainty? Tables and correlations of `regions.measured`."""

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from deepfake_uncertainty.datasets.regions import REGIONS
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import evaluate, regions

CARRIED = [*evaluate.SCORES]


def carried(measured):
    """Return the rows (video, way, region) of `regions.measured` with each score as what the region carries.

    hidden: the score of the whole face less that without the region, in nats (softmax: probability); negative when the
    network is less certain without it. alone: the score when nothing but the region is seen.
    """
    whole = measured[measured["way"] == "whole"].set_index(regions.KEY)[CARRIED]
    found = measured[measured["way"] != "whole"].reset_index(drop=True)
    of = whole.loc[list(found[regions.KEY].itertuples(index=False, name=None))].to_numpy()
    hidden = found["way"].eq("hidden").to_numpy()[:, None]
    found[CARRIED] = np.where(hidden, of - found[CARRIED].to_numpy(), found[CARRIED].to_numpy())
    return found


def _cube(found, way, column):
    """Return the videos of a frame (V rows) and one column of it as (V, R), regions in their order."""
    part = found[found["way"] == way]
    wide = part.pivot(index=regions.KEY, columns="region", values=column)[list(REGIONS)]
    return wide.index.to_frame(index=False), wide.to_numpy(float)


def by_region(found, seed, n_boot=1000):
    """Return the mean of each score of `carried` by (way, score, generator, region): value, low, high (95 percent), n, coverage.

    Bootstrap over identities; n counts videos, coverage is the mean share of the region that was painted.
    """
    rows = {}
    for way in regions.WAYS:
        videos, covered = _cube(found, way, "coverage")
        drawn = evaluate.resamples(videos, seed, n_boot)
        for score in CARRIED:
            values = _cube(found, way, score)[1]
            for name in pd.unique(videos["generator"]):
                own = np.vstack([np.ones(len(videos)), drawn]) * videos["generator"].eq(name).to_numpy()
                means = _means(values, own)
                inside = covered[videos["generator"].eq(name).to_numpy()].mean(0)
                for place, region in enumerate(REGIONS):
                    rows[way, score, name, region] = [*evaluate.interval(means[:, place]), int(own[0].sum()), inside[place]]
    names = ["value", "low", "high", "n", "coverage"]
    return pd.DataFrame(rows, index=names).T.rename_axis(["way", "score", "generator", "region"]).astype({"n": int})


def _means(values, weights):
    total = weights.sum(-1, keepdims=True)
    return np.divide(weights @ values, total, out=np.full((len(weights), values.shape[1]), np.nan), where=total > 0)


def pearson(one, other):
    """Return the correlation (B,) of each row of two arrays (B, N); NaN where a row is constant or holds a NaN."""
    one, other = (a - a.mean(-1, keepdims=True) for a in (one, other))
    norm = np.sqrt((one**2).sum(-1) * (other**2).sum(-1))
    # Rounding leaves a trace of the mean in a constant row: what is left of it must not be correlated.
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(norm > 1e-12, (one * other).sum(-1) / norm, np.nan)


def spearman(one, other):
    """Return the rank correlation (B,) of each row of two arrays (B, N), ties at their mean rank."""
    ranks = [rankdata(a, axis=-1, nan_policy="propagate") for a in (one, other)]
    return pearson(*ranks)


def centred(cells):
    """Return cells (B, G, R) less the mean of their generator and of their region: what neither explains."""
    return cells - cells.mean(1, keepdims=True) - cells.mean(2, keepdims=True) + cells.mean((1, 2), keepdims=True)


def correlations(found, seed, n_boot=1000):
    """Return how what a region carries goes with its coverage, over the fakes' cells (generator, region).

    Rows (way, score, kind), columns value, low, high (95 percent, bootstrap over identities) and n cells. Kind 'rank' is
    Spearman's correlation; 'centred' is Pearson's once the mean of each generator and of each region is taken away: a region
    may carry more in every video, painted or not. Raises InputError when fewer than two generators have masks.
    """
    fakes = found[found["generator"].ne("real") & found["coverage"].notna()]
    names = list(pd.unique(fakes["generator"]))
    if len(names) < 2:
        raise InputError(f"{len(names)} generators with masks: a correlation over generators and regions needs two or more")
    rows = {}
    for way in regions.WAYS:
        videos, painted = _cube(fakes, way, "coverage")
        weights = np.vstack([np.ones(len(videos)), evaluate.resamples(videos, seed, n_boot)])
        of = [weights * videos["generator"].eq(name).to_numpy() for name in names]
        inside = np.stack([_means(painted, own) for own in of], 1)
        for score in CARRIED:
            values = _cube(fakes, way, score)[1]
            cells = np.stack([_means(values, own) for own in of], 1)
            flat = [a.reshape(len(weights), -1) for a in (cells, inside, centred(cells), centred(inside))]
            rows[way, score, "rank"] = [*evaluate.interval(spearman(*flat[:2])), cells[0].size]
            rows[way, score, "centred"] = [*evaluate.interval(pearson(*flat[2:])), cells[0].size]
    table = pd.DataFrame(rows, index=["value", "low", "high", "n"]).T.rename_axis(["way", "score", "kind"])
    return table.astype({"n": int})


def verdict(rows):
    """Return 'supported' when every interval of `rows` (low, high) lies above 0, 'contradicted' when every one lies below.

    'undecided' for everything else, a missing interval included.
    """
    if len(rows) and (rows["low"] > 0).all():
        return "supported"
    return "contradicted" if len(rows) and (rows["high"] < 0).all() else "undecided"
