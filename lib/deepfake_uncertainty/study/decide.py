"""What a person does with a score: real, fake, or cannot tell, at an error rate chosen beforehand."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from deepfake_uncertainty.errors import InputError
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


def _quantile(scores, alpha):
    """Return the ceil((n + 1)(1 - alpha))-th smallest score; infinity when n < 1 / alpha - 1 is too few for that."""
    # Rounded first: (n + 1)(1 - alpha) is often a whole number that floating point puts a hair above.
    rank = int(np.ceil(np.round((len(scores) + 1) * (1 - alpha), 9)))
    return np.inf if rank > len(scores) else np.sort(scores)[rank - 1]


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


def decide(p_fake, rule):
    """Return REAL, FAKE or CANNOT_TELL (V,) for p_fake (V,): a class is named only where it alone fits.

    A video that fits neither class (unlike all that was calibrated on) is CANNOT_TELL too.
    """
    p_fake = finite("p_fake", p_fake)
    fits_real, fits_fake = p_fake <= rule.reals_below, p_fake >= rule.fakes_above
    return np.select([fits_real & ~fits_fake, fits_fake & ~fits_real], [REAL, FAKE], CANNOT_TELL)


def _share(part, count):
    return part / count if count else np.nan


def summary(decisions, labels):
    """Return a frame, rows real, fake and all: videos, share decided, error rate (of all), error rate of the decided.

    Shares are in [0, 1]; the error rate of the decided is NaN where nothing was decided. Rows without videos are NaN.
    """
    decisions, labels = np.asarray(decisions), np.asarray(labels)
    if decisions.shape != labels.shape:
        raise InputError(f"{len(decisions)} decisions but {len(labels)} labels: give one of each a video")
    decided = decisions != CANNOT_TELL
    wrong = decided & (decisions != np.where(labels == 1, FAKE, REAL))
    rows = {}
    for name, chosen in ((REAL, labels == 0), (FAKE, labels == 1), ("all", labels >= 0)):
        count, named, failed = chosen.sum(), (decided & chosen).sum(), (wrong & chosen).sum()
        rows[name] = {"videos": count, "decided": _share(named, count), "error": _share(failed, count),
                      "error_decided": _share(failed, named)}
    return pd.DataFrame(rows).T.astype({"videos": int})
