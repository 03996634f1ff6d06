"""What a person does with a score: real, fake, or cannot tell, at an error rate chosen beforehand."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import evaluate, metrics
from deepfake_uncertainty.study.metrics import finite

REAL, FAKE, CANNOT_TELL = "real", "fake", "cannot tell"


@dataclass(frozen=True)
class Rule:
    """A decision rule: p(fake) fits real up to `reals_below` and fake from `fakes_above` on; both or neither: "cannot tell".

    `reals_below` bounds p(fake) of a share 1 - alpha of real videos from above, `fakes_above` that of fakes from below.
    """

    alpha: float
    reals_below: float
    fakes_above: float
    n_real: int
    n_fake: int


def _checked(p_fake, labels):
    p_fake, labels = finite("p_fake", p_fake), np.asarray(labels)
    if (p_fake < 0).any() or (p_fake > 1).any():
        raise InputError("p_fake must be a probability in [0, 1]: pass the mean probability of class 1")
    if labels.shape != p_fake.shape or not np.isin(labels, (0, 1)).all():
        raise InputError(f"labels must be {len(p_fake)} values, 0 = real or 1 = fake, one for each p_fake")
    return p_fake, labels.astype(int)


def check_alpha(alpha):
    """Raise InputError unless 0 < alpha < 1."""
    if not 0 < alpha < 1:
        raise InputError(f"alpha is {alpha}: give an error rate between 0 and 1, such as 0.1")


def rank(count, alpha):
    """Return ceil((count + 1)(1 - alpha)), the place of the threshold among `count` sorted scores, from 1; beyond: infinite."""
    # Rounded first: (n + 1)(1 - alpha) is often a whole number that floating point puts a hair above.
    return int(np.ceil(np.round((count + 1) * (1 - alpha), 9)))


def _quantile(scores, alpha):
    """Return the ceil((n + 1)(1 - alpha))-th smallest score; infinity when n < 1 / alpha - 1 is too few for that."""
    place = rank(len(scores), alpha)
    return np.inf if place > len(scores) else np.sort(scores)[place - 1]


def calibrate(p_fake, labels, alpha):
    """Return the Rule with error rate at most alpha within each class, from validation videos p_fake (V,), labels (V,).

    Split conformal with one threshold a class (Mondrian; Vovk et al. 2005). The promise, at most a share alpha of real
    videos called fake and of fake ones called real, holds on average for new videos exchangeable with these: the same
    generators, and these neither chosen nor tuned on. With fewer than 1 / alpha - 1 videos of a class its threshold is
    infinite: no video is called the other class.
    Raises InputError unless 0 < alpha < 1 and both classes are there.
    """
    p_fake, labels = _checked(p_fake, labels)
    check_alpha(alpha)
    real, fake = p_fake[labels == 0], p_fake[labels == 1]
    if not (len(real) and len(fake)):
        raise InputError(f"calibration has {len(real)} real, {len(fake)} fake videos: the validation split needs both")
    return Rule(alpha, float(_quantile(real, alpha)), float(-_quantile(-fake, alpha)), len(real), len(fake))


def _fits(p_fake, rule):
    return p_fake <= rule.reals_below, p_fake >= rule.fakes_above


def decide(p_fake, rule):
    """Return REAL, FAKE or CANNOT_TELL (V,) for p_fake (V,): a class is named only where it alone fits.

    A video that fits neither class (unlike all that was calibrated on) is CANNOT_TELL too.
    """
    fits_real, fits_fake = _fits(finite("p_fake", p_fake), rule)
    return np.select([fits_real & ~fits_fake, fits_fake & ~fits_real], [REAL, FAKE], CANNOT_TELL)


class Outcomes(NamedTuple):
    """What a rule does with each of V videos, bool (V,): its class fits (covered), a class is named, the other one is."""

    covered: np.ndarray
    decided: np.ndarray
    error: np.ndarray


def outcomes(p_fake, labels, rule):
    """Return the Outcomes of p_fake (V,) with labels (V,) under `rule`.

    The promise is about `covered`: its share is at least 1 - alpha within each class. An error is a video not covered that
    fits the other class, hence rarer still.
    """
    p_fake, labels = _checked(p_fake, labels)
    fits_real, fits_fake = _fits(p_fake, rule)
    covered, other = np.where(labels == 1, fits_fake, fits_real), np.where(labels == 1, fits_real, fits_fake)
    return Outcomes(covered, fits_real != fits_fake, other & ~covered)


def scored(samples, index):
    """Return the index of V videos with their mean probability of fake `p_fake`, of samples (T, N, 2) with N index rows."""
    probabilities, rows = evaluate.by_video(samples, index)
    if probabilities.shape[2] != 2:
        raise InputError(f"samples have {probabilities.shape[2]} classes: a decision wants two, real and fake")
    return rows.assign(p_fake=probabilities.mean(0)[:, 1])


def groups(videos):
    """Return {name: mask (V,)} of a frame of videos: real, fake (every one), and each generator of fakes; none is empty."""
    fake, family = videos["label"].to_numpy() == 1, videos["generator"].to_numpy()
    found = {REAL: ~fake, FAKE: fake} | {name: fake & (family == name) for name in pd.unique(family[fake])}
    return {name: mask for name, mask in found.items() if mask.any()}


def shares(videos, rule, seed, n_boot=1000):
    """Return {group: {metric: (1 + n_boot,)}} of `summary`, the first value from the data, then one a resample."""
    found = outcomes(videos["p_fake"], videos["label"], rule)
    drawn, parts = evaluate.clustered(videos, seed, n_boot), {}
    for name, own in _every(videos).items():
        parts[name] = {key: metrics.mean(value[own], drawn.of(own)) for key, value in found._asdict().items()}
        with np.errstate(invalid="ignore", divide="ignore"):
            parts[name]["error_decided"] = parts[name]["error"] / parts[name]["decided"]
    return parts


def _every(videos):
    return {"all": np.ones(len(videos), bool)} | groups(videos)


def summary(videos, rule, seed, n_boot=1000):
    """Return a frame of what `rule` does with a frame of videos (`scored`), by (group, metric); value, low, high, n.

    Groups: all, and those of `groups`. Metrics, shares in [0, 1]: covered (the true class fits), decided, error (of all
    videos), error_decided (of those decided; NaN where none is). 95 percent intervals by bootstrap over identities; n videos.
    """
    count, found = _every(videos), shares(videos, rule, seed, n_boot)
    parts = {name: evaluate.frame(own).assign(n=count[name].sum()) for name, own in found.items()}
    return pd.concat(parts, names=["group", "metric"])
