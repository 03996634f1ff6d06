"""Is a video like those that a decision rule was calibrated on? A conformal test of its face track and of its deep features.

The properties of a video are plain ones of its face track and, for what those miss, the distance of its features to those of
the training videos (Sun et al. 2022). How far the worst of them lies off the known videos is ranked among these, which gives a
p-value whatever the distributions are (conformal anomaly detection: Laxhammar and Falkman 2015; Bates et al. 2023).
"""

from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
import torch

from deepfake_uncertainty import files, paths, results
from deepfake_uncertainty.datasets import leakage, tracks
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.detectors.base import evenly_spaced
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.seeding import threads
from deepfake_uncertainty.study import predict
from deepfake_uncertainty.uncertainty import sampling

ALPHA = 0.05  # share of familiar videos that may be called unlike
NEIGHBOURS = 5
LOOKED_AT = 16  # frames of a video for its brightness, contrast and sharpness
LEAST = 0.05  # spread in log units below which nothing counts as spread: a difference of 5 % is none
TINY = 1e-6
EYE_CORNERS = 33, 263  # outer, in the face mesh
FEATURES = "features"
# Each check, and what a value above and below those calibrated on is called.
WORDS = {
    "size": ("larger face", "smaller face"), "brightness": ("brighter", "darker"), "contrast": ("more contrast", "less contrast"),
    "sharpness": ("sharper", "blurrier"), "redness": ("redder face", "paler face"), "motion": ("more motion", "less motion"),
    "rate": ("higher frame rate", "lower frame rate"), FEATURES: ("features unlike any trained on", ""),
}  # fmt: skip
UNITS = {"size": "px between the eyes", "brightness": "grey level / 255", "contrast": "std of grey / 255",
         "sharpness": "std of the Laplacian / 255", "redness": "red / green", "motion": "eye distances/s",
         "rate": "frames/s", FEATURES: "distance to the training videos"}  # fmt: skip


@dataclass(frozen=True)
class Familiarity:
    """How a video compares with n videos of K people: p-value in (0, 1], `alpha`, and one row a check in the frame `checks`.

    Columns: value and low, high (the middle 95 % of the n videos) in the check's unit, deviation in standard deviations of the
    log, and p_value of this check alone.
    """

    p_value: float
    n: int
    K: int
    alpha: float
    checks: pd.DataFrame

    @property
    def familiar(self):
        """False when the video is unlike those compared with, at error rate alpha."""
        return self.p_value > self.alpha

    def reasons(self):
        """Return in words the checks that a familiar video would not fail, the farthest first; [] for a familiar video."""
        off = self.checks[(self.checks["p_value"] <= self.alpha) & (not self.familiar)]
        order = off["deviation"].abs().sort_values(ascending=False).index
        return [WORDS[name][int(off.loc[name, "deviation"] < 0)] for name in order]

    def text(self):
        """Return one line for a reader."""
        need = int(np.ceil(np.round(1 / self.alpha - 1, 9)))
        if self.K < need:
            return f"no guard against unfamiliar footage: it needs the videos of {need} people, here are {self.K}"
        rank = f"p = {self.p_value:.2f} among {self.n} videos of {self.K} people"
        if self.familiar:
            return f"like the footage trained and calibrated on ({rank})"
        return f"unlike anything this was calibrated on ({rank}), so P(fake) says nothing: {', '.join(self.reasons())}"

    def as_json(self):
        """Return the comparison as JSON types."""
        checks = self.checks.assign(unit=[UNITS[name] for name in self.checks.index])
        return results.plain({"familiar": self.familiar, "p_value": self.p_value, "n": self.n, "people": self.K,
                              "alpha": self.alpha, "reasons": self.reasons(), "checks": checks.to_dict("index")})  # fmt: skip


def properties(track, spec):
    """Return {check: value > 0} of a face track; the frame rate only for detectors that read signals over time."""
    chosen = evenly_spaced(len(track.crops), LOOKED_AT)
    crops = np.array(track.crops[chosen])
    grey = np.stack([cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) for crop in crops]).astype(np.float64) / 255
    edges = [cv2.Laplacian(frame, cv2.CV_64F).std() for frame in grey]
    left, right = (track.landmarks[:, corner].astype(np.float64) for corner in EYE_CORNERS)
    size = np.median(np.linalg.norm(right - left, axis=1))
    seconds = max(track.times[-1] - track.times[0], 1 / track.fps)
    path = np.linalg.norm(np.diff((left + right) / 2, axis=0), axis=1).sum()
    red, green = crops[..., 0].mean(), crops[..., 1].mean()
    found = {"size": size, "brightness": grey.mean(), "contrast": grey.std(axis=(1, 2)).mean(), "sharpness": np.mean(edges),
             "redness": (red + 1) / (green + 1), "motion": path / size / seconds}  # fmt: skip
    found |= {"rate": track.fps} if spec.window > 1 else {}
    # A black or a frozen picture has zeros, of which there is no logarithm.
    return {name: max(float(value), TINY) for name, value in found.items()}


def deviations(values, people):
    """Return how far each row of values (n, C) lies from the mean of other people's rows, in their standard deviations (n, C).

    people (n,) names the person of each row. Raises InputError for fewer than two people.
    """
    values, (_, person) = np.asarray(values, np.float64), np.unique(people, return_inverse=True)
    count = np.bincount(person)
    if len(count) < 2:
        raise InputError(f"videos of {len(count)} people to compare: give two or more")
    centred = values - values.mean(0)
    own, squares = np.zeros((2, len(count), values.shape[1]))
    np.add.at(own, person, centred)
    np.add.at(squares, person, centred**2)
    others = (len(values) - count)[:, None]
    mean = -own / others
    variance = (squares.sum(0) - squares) / others - mean**2
    return (centred - mean[person]) / np.sqrt(np.maximum(variance, LEAST**2))[person]


def p_values(far, people, new):
    """Return for each of `new` (M,) the share of people, the new one among them, who lie as far off; far (n,) of people (n,).

    A person with several videos counts with the share of them that do (Dunn, Wasserman and Ramdas 2023): videos of one person
    are alike, so the number of people is what a p-value can rest on.
    """
    shares = [pd.Series(far >= one).groupby(np.asarray(people)).mean() for one in new]
    return np.array([(1 + share.sum()) / (1 + len(share)) for share in shares])


def compare(known, video, alpha=ALPHA):
    """Return the Familiarity of a video {check: value} with videos in a frame, one column a check, indexed by person.

    The statistic is the largest deviation of the checks; its p-value is at most alpha for about alpha of the videos of a new
    person who is exchangeable with these. Raises InputError unless 0 < alpha < 1, all values are positive and finite, and
    there is a video to compare with.
    """
    names = list(known)
    rows = np.vstack([known[names].to_numpy(np.float64), [video[name] for name in names]])
    if not (0 < alpha < 1 and len(known) and np.isfinite(rows).all() and (rows > 0).all()):
        raise InputError(f"{len(known)} videos, alpha {alpha}: give one or more, of positive values, and alpha in (0, 1)")
    people = np.unique(known.index, return_inverse=True)[1]
    deviation = deviations(np.log(rows), [*people, people.max() + 1])
    # Features can only be too far off, never too near.
    away = np.where([name == FEATURES for name in names], deviation, np.abs(deviation))
    far = away.max(1)
    low, high = np.percentile(rows[:-1], [2.5, 97.5], axis=0)
    checks = pd.DataFrame({"value": rows[-1], "low": low, "high": high, "deviation": deviation[-1],
                           "p_value": p_values(far[:-1], people, away[-1])}, index=names)  # fmt: skip
    return Familiarity(float(checks["p_value"].min()), len(known), int(people.max()) + 1, alpha, checks)


def features(model, x):
    """Return the penultimate features float32 (N, D), of length 1, of inputs x (N, C, H, W) to a deterministic Fitted."""
    with threads(model.recipe.threads), sampling.evaluation(model.model):
        batches = torch.from_numpy(np.ascontiguousarray(x)).split(predict.BATCH)
        found = sampling.over(batches, model.model.features, sampling.device_of(model.model))
    return torch.nn.functional.normalize(found, dim=1).cpu().numpy()


def distance(bank, vectors):
    """Return the mean over vectors (N, D) of the distance to the k-th nearest row of `bank` (M, D), k = min(5, M)."""
    squared = (vectors**2).sum(1)[:, None] + (bank**2).sum(1) - 2 * vectors @ bank.T
    k = min(NEIGHBOURS, len(bank))
    return float(np.sqrt(np.maximum(np.partition(squared, k - 1, axis=1)[:, k - 1], 0)).mean())


class Guard:
    """What videos are compared with: those that the detector (registry name) was trained and calibrated on.

    `bank` float32 (M, D) are the features of the training inputs, `owners` (M,) their people, and `known` the properties of
    the training and validation videos of `index`, indexed by person. All are read from the cache when there.
    """

    def __init__(self, detector, index, seed):
        self.spec, self.model = registry.get(detector), predict.fitted(detector, "deterministic", index, seed)
        known = index[index["split"] != "test"].reset_index(drop=True)
        code = results.code_digest("study/ood.py", "study/predict.py", "datasets", "detectors", "signals")
        path = paths.CACHE / "ood" / f"{files.digest(self.model.key, predict.fingerprint(known), code)}.npz"
        found = predict.stored(path, lambda: self._read(known))
        self.bank, self.owners = found["bank"], found["owners"]
        columns, people = [str(name) for name in found["names"]], [str(name) for name in found["people"]]
        self.known = pd.DataFrame(found["known"], columns=columns, index=people)

    def _read(self, videos):
        x, rows = predict.load_inputs(videos[videos["split"] == "train"], self.spec)
        self.bank, self.owners = features(self.model, x), rows["identity"].to_numpy(str)
        known = self.measure(videos)
        people = videos.loc[known.index, "identity"].to_numpy(str)
        return {"bank": self.bank, "owners": self.owners, "known": known.to_numpy(), "names": np.array(list(known)),
                "people": people}  # fmt: skip

    def measure(self, videos):
        """Return the properties of the videos of an index, one row a video that the detector can read, same labels."""
        x, rows = predict.load_inputs(videos, self.spec)
        place = pd.Series(videos.index, pd.MultiIndex.from_frame(videos[leakage.KEY]))
        found = {}
        for key, part in rows.groupby(leakage.KEY, sort=False):
            video = videos.loc[place[key]]
            found[place[key]] = self.properties(tracks.load(video["path"]), x[part.index], video["identity"])
        return pd.DataFrame.from_dict(found, orient="index")

    def properties(self, track, x, person=None):
        """Return {check: value > 0} of one video, its track and its inputs x (N, C, H, W); its own person is no neighbour."""
        bank = self.bank[self.owners != str(person)]
        return properties(track, self.spec) | {FEATURES: max(distance(bank, features(self.model, x)), TINY)}

    def judge(self, track, x, alpha=ALPHA):
        """Return the Familiarity of a video, given its track and its inputs x (N, C, H, W)."""
        return compare(self.known, self.properties(track, x), alpha)

    def judge_all(self, videos, alpha=ALPHA):
        """Return a frame, one row a usable video of an index: p_value, unlike (bool), and its reasons in words."""
        measured = self.measure(videos)
        found = [compare(self.known, row, alpha) for row in measured.to_dict("records")]
        rows = {"p_value": [one.p_value for one in found], "unlike": [not one.familiar for one in found],
                "reasons": [one.reasons() for one in found]}  # fmt: skip
        return pd.DataFrame(rows, index=measured.index)
