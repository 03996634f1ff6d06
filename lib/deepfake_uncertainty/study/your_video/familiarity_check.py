"""Is a video like those that a decision rule was calibrated on? A conformal test.

It compares plain properties of the face track, and the distance of the deep features to those of
the training videos (Sun et al. 2022). The largest deviation from the known videos is ranked among
theirs, which gives a p-value for any distribution (conformal anomaly detection: Laxhammar and
Falkman 2015; Bates et al. 2023).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from deepfake_uncertainty import cache, files, paths
from deepfake_uncertainty.datasets import leakage, tracks
from deepfake_uncertainty.datasets.tracks import Track
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.report import results
from deepfake_uncertainty.study.your_video.properties import (
    FEATURES,
    TINY,
    UNITS,
    WORDS,
    deep_features,
    knn_distance,
    video_properties,
)
from deepfake_uncertainty.training import detector_inputs, predict
from deepfake_uncertainty.training.config import Run

ALPHA = 0.05  # share of familiar videos that may be called unlike
MIN_SPREAD = 0.05  # of the logarithms: a difference of 5 % does not count as one


@dataclass(frozen=True)
class Familiarity:
    """How a video compares with n videos of K people.

    p_value: in (0, 1]; at or below `alpha` the video is unlike them.
    checks: one row per check. The columns are value, low, high (the middle 95 % of the n videos),
    in the unit of the check; deviation, in standard deviations of the logarithm; and p_value, that
    of this check alone.
    """

    p_value: float
    n: int
    K: int
    alpha: float
    checks: pd.DataFrame

    @property
    def familiar(self) -> bool:
        """Return False when the video is unlike those compared with, at error rate alpha."""
        return self.p_value > self.alpha

    def reasons(self) -> list[str]:
        """Return in words the checks that the video fails, the largest deviation first.

        The list is empty for a familiar video.
        """
        failed = self.checks[(self.checks["p_value"] <= self.alpha) & (not self.familiar)]
        order = failed["deviation"].abs().sort_values(ascending=False).index
        return [WORDS[name][int(failed.loc[name, "deviation"] < 0)] for name in order]

    def text(self) -> str:
        """Return the result as one line of text."""
        need = int(np.ceil(np.round(1 / self.alpha - 1, 9)))
        if self.K < need:
            return (
                "no guard against unfamiliar footage: "
                f"it needs the videos of {need} people, here are {self.K}"
            )
        rank = f"p = {self.p_value:.2f} among {self.n} videos of {self.K} people"
        if self.familiar:
            return f"like the footage trained and calibrated on ({rank})"
        reasons = ", ".join(self.reasons())
        unlike = f"unlike anything this was calibrated on ({rank})"
        return f"{unlike}, so P(fake) says nothing: {reasons}"

    def as_json(self) -> dict[str, Any]:
        """Return the comparison as JSON types."""
        checks = self.checks.assign(unit=[UNITS[name] for name in self.checks.index])
        content: dict[str, Any] = {"familiar": self.familiar, "p_value": self.p_value, "n": self.n}
        content |= {"people": self.K, "alpha": self.alpha, "reasons": self.reasons()}
        return results.to_json(content | {"checks": checks.to_dict("index")})


def deviations(values: np.ndarray, people: Sequence | np.ndarray) -> np.ndarray:
    """Return how far each row of values (n, C) lies from the mean of the rows of other people.

    The result (n, C) is in their standard deviations; people (n,) names the person of each row.
    Raises InputError for fewer than two people.
    """
    values, (_, person) = np.asarray(values, np.float64), np.unique(people, return_inverse=True)
    count = np.bincount(person)
    if len(count) < 2:
        raise InputError(f"videos of {len(count)} people to compare: give two or more")
    centred = values - values.mean(0)
    sums, squares = np.zeros((2, len(count), values.shape[1]))
    np.add.at(sums, person, centred)
    np.add.at(squares, person, centred**2)
    others = (len(values) - count)[:, None]
    mean = -sums / others
    variance = (squares.sum(0) - squares) / others - mean**2
    return (centred - mean[person]) / np.sqrt(np.maximum(variance, MIN_SPREAD**2))[person]


def p_values(
    far: np.ndarray, people: Sequence | np.ndarray, new: Sequence[float] | np.ndarray
) -> np.ndarray:
    """Return for each distance of `new` (M,) the share of people at least as far, itself included.

    `far` (n,) are the distances of the videos of people (n,). A person with several videos counts
    with the share of them that lie as far (Dunn, Wasserman and Ramdas 2023): videos of one person
    are alike, so a p-value rests on the number of people.
    """
    shares = [pd.Series(far >= one).groupby(np.asarray(people)).mean() for one in new]
    return np.array([(1 + share.sum()) / (1 + len(share)) for share in shares])


def compare_properties(
    known: pd.DataFrame, video: Mapping[str, float], alpha: float = ALPHA
) -> Familiarity:
    """Return the Familiarity of a video {check: value} with the videos of a frame.

    `known` has one column per check and is indexed by person. The statistic is the largest
    deviation over the checks. Its p-value is at most alpha for about a share alpha of the videos of
    a new person who is exchangeable with these. Raises InputError unless 0 < alpha < 1, all values
    are positive and finite, and there is a video to compare with.
    """
    names = list(known)
    rows = np.vstack([known[names].to_numpy(np.float64), [video[name] for name in names]])
    if not (0 < alpha < 1 and len(known) and np.isfinite(rows).all() and (rows > 0).all()):
        raise InputError(
            f"{len(known)} videos, alpha {alpha}: "
            "give one or more, of positive values, and alpha in (0, 1)"
        )
    people = np.unique(known.index, return_inverse=True)[1]
    deviation = deviations(np.log(rows), [*people, people.max() + 1])
    # Features can be too far from the known ones, but not too near.
    distance = np.where([name == FEATURES for name in names], deviation, np.abs(deviation))
    low, high = np.percentile(rows[:-1], [2.5, 97.5], axis=0)
    p_value = p_values(distance.max(1)[:-1], people, distance[-1])
    columns = {"value": rows[-1], "low": low, "high": high}
    columns |= {"deviation": deviation[-1], "p_value": p_value}
    checks = pd.DataFrame(columns, index=names)
    return Familiarity(
        float(checks["p_value"].min()), len(known), int(people.max()) + 1, alpha, checks
    )


class Guard:
    """The videos that a detector (registry name) was trained and calibrated on, to compare with.

    bank: float32 (M, D), the features of the training inputs; owners (M,): their people.
    known: the properties of the training and validation videos of `index`, indexed by person.
    All are read from the cache when they are there.
    """

    def __init__(self, detector: str, index: pd.DataFrame, run: Run) -> None:
        self.spec = registry.get(detector)
        self.model = predict.fitted(detector, "deterministic", index, run)
        known = index[index["split"] != "test"].reset_index(drop=True)
        code = cache.code_digest(Guard, self.spec.build, self.spec.inputs)
        key = files.digest(self.model.key, predict.file_digest(known), code)
        found = cache.arrays(paths.CACHE / "ood" / f"{key}.npz", lambda: self._read(known))
        self.bank, self.owners = found["bank"], found["owners"]
        names, people = ([str(name) for name in found[part]] for part in ("names", "people"))
        self.known = pd.DataFrame(found["known"], columns=names, index=people)

    def _read(self, videos: pd.DataFrame) -> dict[str, np.ndarray]:
        """Return the arrays of the cache entry; sets `bank` and `owners`, which `measure` reads."""
        x, rows = self._inputs(videos[videos["split"] == "train"])
        self.bank, self.owners = deep_features(self.model, x), rows["identity"].to_numpy(str)
        known = self.measure(videos)
        return {
            "bank": self.bank,
            "owners": self.owners,
            "known": known.to_numpy(),
            "names": np.array(list(known)),
            "people": videos.loc[known.index, "identity"].to_numpy(str),
        }

    def _inputs(self, videos: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
        return detector_inputs.load_inputs(videos, self.spec, self.model.recipe.inputs_per_video)

    def measure(self, videos: pd.DataFrame) -> pd.DataFrame:
        """Return the properties of an index of videos, one row per video, with its row labels.

        Videos that the detector cannot read are left out.
        """
        x, rows = self._inputs(videos)
        place = pd.Series(videos.index, pd.MultiIndex.from_frame(videos[leakage.KEY]))
        measured = {}
        for key, part in rows.groupby(leakage.KEY, sort=False):
            video = videos.loc[place[key]]
            track, person = tracks.load(video["path"]), video["identity"]
            measured[place[key]] = self.properties(track, x[part.index], person)
        return pd.DataFrame.from_dict(measured, orient="index")

    def properties(
        self, track: Track, x: np.ndarray, person: str | None = None
    ) -> dict[str, float]:
        """Return {check: value > 0} of one video, of its track and its inputs x (N, C, H, W).

        The training inputs of the same person do not count as neighbours.
        """
        bank = self.bank[self.owners != str(person)]
        distance = knn_distance(bank, deep_features(self.model, x))
        return video_properties(track, self.spec) | {FEATURES: max(distance, TINY)}

    def judge(self, track: Track, x: np.ndarray, alpha: float = ALPHA) -> Familiarity:
        """Return the Familiarity of a video, of its track and its inputs x (N, C, H, W)."""
        return compare_properties(self.known, self.properties(track, x), alpha)

    def judge_all(self, videos: pd.DataFrame, alpha: float = ALPHA) -> pd.DataFrame:
        """Return a frame with one row per usable video of an index.

        The columns are p_value, unlike (bool) and reasons (a list of words).
        """
        measured = self.measure(videos)
        judged = [compare_properties(self.known, row, alpha) for row in measured.to_dict("records")]
        rows = {
            "p_value": [one.p_value for one in judged],
            "unlike": [not one.familiar for one in judged],
            "reasons": [one.reasons() for one in judged],
        }
        return pd.DataFrame(rows, index=measured.index)
