"""Decisions from a score: real, fake, or cannot tell, at an error rate chosen beforehand."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.evaluation import metric_tables, metrics
from deepfake_uncertainty.evaluation.metrics import finite

REAL, FAKE, CANNOT_TELL = "real", "fake", "cannot tell"


@dataclass(frozen=True)
class Rule:
    """A decision rule for p(fake): "real" fits up to `reals_below`, "fake" from `fakes_above` on.

    Where both fit, or neither, the decision is "cannot tell". alpha: the error rate; `reals_below`
    is an upper bound of p(fake) for a share 1 - alpha of real videos, `fakes_above` a lower bound
    for that share of fake videos; n_real, n_fake: the videos that the rule was calibrated on.
    """

    alpha: float
    reals_below: float
    fakes_above: float
    n_real: int
    n_fake: int


def _checked(p_fake: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    p_fake, labels = finite("p_fake", p_fake), np.asarray(labels)
    if (p_fake < 0).any() or (p_fake > 1).any():
        raise InputError(
            "p_fake must be a probability in [0, 1]: pass the mean probability of class 1"
        )
    if labels.shape != p_fake.shape or not np.isin(labels, (0, 1)).all():
        raise InputError(
            f"labels must be {len(p_fake)} values, 0 = real or 1 = fake, one for each p_fake"
        )
    return p_fake, labels.astype(int)


def check_alpha(alpha: float) -> None:
    """Raise InputError unless 0 < alpha < 1."""
    if not 0 < alpha < 1:
        raise InputError(f"alpha is {alpha}: give an error rate between 0 and 1, such as 0.1")


def threshold_rank(count: int, alpha: float) -> int:
    """Return ceil((count + 1)(1 - alpha)), the rank (from 1) of the threshold among `count` scores.

    Scores are sorted upwards. A rank above `count` stands for an infinite threshold.
    """
    # Rounded first: (n + 1)(1 - alpha) is often a whole number, and floating point lands just
    # above.
    return int(np.ceil(np.round((count + 1) * (1 - alpha), 9)))


def _quantile(scores: np.ndarray, alpha: float) -> float:
    """Return the score of rank `threshold_rank`; infinity where there are too few scores."""
    rank = threshold_rank(len(scores), alpha)
    return np.inf if rank > len(scores) else np.sort(scores)[rank - 1]


def calibrate(p_fake: ArrayLike, labels: ArrayLike, alpha: float) -> Rule:
    """Return the Rule with error rate at most alpha in each class, from validation videos.

    p_fake (V,) in [0, 1]; labels (V,), 0 = real or 1 = fake. Split conformal prediction with one
    threshold per class (Mondrian; Vovk et al. 2005). The guarantee is that at most a share alpha of
    real videos is called fake, and of fake videos real. It holds on average over new videos that
    are exchangeable with these: from the same generators, and the model was neither selected nor
    tuned on these. With fewer than 1 / alpha - 1 videos of a class its threshold is infinite: no
    video is called the other class. Raises InputError unless 0 < alpha < 1 and both classes are
    present.
    """
    p_fake, labels = _checked(p_fake, labels)
    check_alpha(alpha)
    real, fake = p_fake[labels == 0], p_fake[labels == 1]
    if not (len(real) and len(fake)):
        raise InputError(
            f"calibration has {len(real)} real, {len(fake)} fake videos: "
            "the validation split needs both"
        )
    reals_below, fakes_above = float(_quantile(real, alpha)), float(-_quantile(-fake, alpha))
    return Rule(alpha, reals_below, fakes_above, len(real), len(fake))


def _fits(p_fake: np.ndarray, rule: Rule) -> tuple[np.ndarray, np.ndarray]:
    return p_fake <= rule.reals_below, p_fake >= rule.fakes_above


def decide(p_fake: ArrayLike, rule: Rule) -> np.ndarray:
    """Return REAL, FAKE or CANNOT_TELL (V,) for p_fake (V,).

    A class is named only where it alone fits. A video that fits neither class, unlike all videos of
    the calibration, is CANNOT_TELL too.
    """
    fits_real, fits_fake = _fits(finite("p_fake", p_fake), rule)
    return np.select([fits_real & ~fits_fake, fits_fake & ~fits_real], [REAL, FAKE], CANNOT_TELL)


class Outcomes(NamedTuple):
    """Outcomes of a rule for V videos, bool (V,) each.

    covered: the true class fits; decided: a class is named; error: the wrong class is named.
    """

    covered: np.ndarray
    decided: np.ndarray
    error: np.ndarray


def outcomes(p_fake: ArrayLike, labels: ArrayLike, rule: Rule) -> Outcomes:
    """Return the Outcomes of p_fake (V,) with labels (V,) under `rule`.

    The guarantee is about `covered`: its share is at least 1 - alpha in each class. An error is a
    video that is not covered and fits the other class, hence errors are at most as frequent.
    """
    p_fake, labels = _checked(p_fake, labels)
    fits_real, fits_fake = _fits(p_fake, rule)
    covered = np.where(labels == 1, fits_fake, fits_real)
    fits_wrong = np.where(labels == 1, fits_real, fits_fake)
    return Outcomes(covered, fits_real != fits_fake, fits_wrong & ~covered)


def score_videos(samples: np.ndarray, index: pd.DataFrame) -> pd.DataFrame:
    """Return the index of V videos with their mean probability of fake as column `p_fake`.

    samples (T, N, 2) with N index rows. Raises InputError for another number of classes.
    """
    probabilities, rows = metric_tables.by_video(samples, index)
    if probabilities.shape[2] != 2:
        raise InputError(
            f"samples have {probabilities.shape[2]} classes: a decision needs two, real and fake"
        )
    return rows.assign(p_fake=probabilities.mean(0)[:, 1])


def class_masks(videos: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return {name: mask (V,)} of a frame of videos: real, fake (all), and each generator of fakes.

    No mask is empty.
    """
    fake, generator = videos["label"].to_numpy() == 1, videos["generator"].to_numpy()
    masks = {REAL: ~fake, FAKE: fake} | {
        name: fake & (generator == name) for name in pd.unique(generator[fake])
    }
    return {name: mask for name, mask in masks.items() if mask.any()}


def outcome_rates(
    videos: pd.DataFrame, rule: Rule, seed: int, n_boot: int = 1000
) -> dict[str, dict[str, np.ndarray]]:
    """Return {group: {metric: (1 + n_boot,)}} of `summary`: from the data, then per resample."""
    observed = outcomes(videos["p_fake"], videos["label"], rule)
    drawn, rates = metric_tables.cluster_resamples(videos, seed, n_boot), {}
    for name, mask in _groups(videos).items():
        rates[name] = {
            key: metrics.mean(value[mask], drawn.of(mask))
            for key, value in observed._asdict().items()
        }
        with np.errstate(invalid="ignore", divide="ignore"):
            rates[name]["error_decided"] = rates[name]["error"] / rates[name]["decided"]
    return rates


def _groups(videos: pd.DataFrame) -> dict[str, np.ndarray]:
    return {"all": np.ones(len(videos), bool)} | class_masks(videos)


def summary(videos: pd.DataFrame, rule: Rule, seed: int, n_boot: int = 1000) -> pd.DataFrame:
    """Return a frame of the outcomes of `rule` on a frame of videos (`score_videos`).

    Rows (group, metric); columns value, low, high (95 % interval, bootstrap over identities) and n
    (videos). Groups: all, and those of `class_masks`. Metrics, shares in [0, 1]: covered (the true
    class fits), decided, error (of all videos), error_decided (of the decided ones; NaN without
    any).
    """
    masks, rates = _groups(videos), outcome_rates(videos, rule, seed, n_boot)
    parts = {
        name: metric_tables.interval_frame(of_group).assign(n=masks[name].sum())
        for name, of_group in rates.items()
    }
    return pd.concat(parts, names=["group", "metric"])
