"""Is the uncertainty in the manipulated regions? Tables of `occlusion.occlusion_table`."""

import numpy as np
import pandas as pd

from deepfake_uncertainty.datasets.face_regions import REGIONS
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.evaluation import metric_tables, metrics, occlusion
from deepfake_uncertainty.evaluation.resampling import Resamples

SCORES = [*metric_tables.SCORES]


def region_uncertainty(measured: pd.DataFrame) -> pd.DataFrame:
    """Return the rows (video, way, region) of an `occlusion_table` with the scores of each region.

    A score of way 'hidden' becomes that of the whole face less that without the region, in nats
    (softmax: probability). It is negative when the network is less certain without the region. A
    score of way 'alone' stays as it is: only the region is seen.
    """
    whole = measured[measured["way"] == "whole"].set_index(occlusion.KEY)[SCORES]
    rows = measured[measured["way"] != "whole"].reset_index(drop=True)
    keys = list(rows[occlusion.KEY].itertuples(index=False, name=None))
    scores_of_whole, scores = whole.loc[keys].to_numpy(), rows[SCORES].to_numpy()
    hidden = rows["way"].eq("hidden").to_numpy()[:, None]
    rows[SCORES] = np.where(hidden, scores_of_whole - scores, scores)
    return rows


def _by_video(rows: pd.DataFrame, way: str, column: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the videos of a frame (V rows) and one column of it as (V, R), regions in order."""
    part = rows[rows["way"] == way]
    wide = part.pivot(index=occlusion.KEY, columns="region", values=column)[list(REGIONS)]
    return wide.index.to_frame(index=False), wide.to_numpy(float)


def region_table(found: pd.DataFrame, seed: int, n_boot: int = 1000) -> pd.DataFrame:
    """Return the mean of each score of `region_uncertainty` by way, score, generator and region.

    The columns are value, low, high (95 % interval, bootstrap over identities), n (videos) and
    coverage (the mean share of the region that the generator painted).
    """
    rows = {}
    for way in occlusion.WAYS:
        videos, covered = _by_video(found, way, "coverage")
        drawn = metric_tables.cluster_resamples(videos, seed, n_boot)
        for score in SCORES:
            values = _by_video(found, way, score)[1]
            for name in pd.unique(videos["generator"]):
                chosen = videos["generator"].eq(name).to_numpy()
                means, coverage = _means(values[chosen], drawn.of(chosen)), covered[chosen].mean(0)
                for place, region in enumerate(REGIONS):
                    interval = metric_tables.interval(means[:, place])
                    row = [*interval, int(chosen.sum()), coverage[place]]
                    rows[way, score, name, region] = row
    table = pd.DataFrame(rows, index=["value", "low", "high", "n", "coverage"]).T
    return table.rename_axis(["way", "score", "generator", "region"]).astype({"n": int})


def _means(values: np.ndarray, drawn: Resamples) -> np.ndarray:
    """Return the means (1 + B, R) of the columns of values (V, R), over resamples of the videos."""
    return np.stack([metrics.mean(column, drawn) for column in values.T], -1)


def double_centred(cells: np.ndarray) -> np.ndarray:
    """Return cells (B, G, R) without the means of generators and of regions: the interaction."""
    return (
        cells
        - cells.mean(1, keepdims=True)
        - cells.mean(2, keepdims=True)
        + cells.mean((1, 2), keepdims=True)
    )


def painted_correlations(found: pd.DataFrame, seed: int, n_boot: int = 1000) -> pd.DataFrame:
    """Return the correlation of a region's score with its coverage, over cells (generator, region).

    The cells are those of the fakes. The index levels are way, score and kind; the columns are
    value, low, high (95 % interval, bootstrap over identities) and n (cells). Kind 'rank' is
    Spearman's correlation. Kind 'centred' is Pearson's after the means of each generator and of
    each region are taken out, since a region may have a high score in every video, painted or not.
    Raises InputError when fewer than two generators have masks.
    """
    fakes = found[found["generator"].ne("real") & found["coverage"].notna()]
    names = list(pd.unique(fakes["generator"]))
    if len(names) < 2:
        raise InputError(
            f"{len(names)} generators with masks: "
            "a correlation over generators and regions needs two or more"
        )
    rows = {}
    for way in occlusion.WAYS:
        videos, painted = _by_video(fakes, way, "coverage")
        drawn = metric_tables.cluster_resamples(videos, seed, n_boot)
        masks = [videos["generator"].eq(name).to_numpy() for name in names]
        coverage = np.stack([_means(painted[mask], drawn.of(mask)) for mask in masks], 1)
        for score in SCORES:
            values = _by_video(fakes, way, score)[1]
            cells = np.stack([_means(values[mask], drawn.of(mask)) for mask in masks], 1)
            for kind, rho in _correlations(cells, coverage).items():
                rows[way, score, kind] = [*metric_tables.interval(rho), cells[0].size]
    table = pd.DataFrame(rows, index=["value", "low", "high", "n"]).T
    return table.rename_axis(["way", "score", "kind"]).astype({"n": int})


def _correlations(cells: np.ndarray, coverage: np.ndarray) -> dict[str, np.ndarray]:
    """Return the correlations (B,) of scores and coverage (B, G, R): 'rank' and 'centred'."""
    pairs = (cells, coverage), (double_centred(cells), double_centred(coverage))
    rank, centred = ([part.reshape(len(part), -1) for part in pair] for pair in pairs)
    return {"rank": metrics.spearman_rows(*rank), "centred": metrics.pearson_rows(*centred)}
