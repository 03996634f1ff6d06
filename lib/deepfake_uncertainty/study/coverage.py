"""Does the decision rule keep its promise? Coverage over repeated splits by identity, beside what conformal theory gives."""

import functools

import numpy as np
import pandas as pd
from scipy.stats import betabinom

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import decide, evaluate

KNOWN, SHIFTED = "calibrated", "shifted"
SHARES = "coverage", "error", "cannot_tell"


@functools.lru_cache(maxsize=4096)
def theory(calibration, count, alpha):
    """Return (mean, low, high) in [0, 1] of the coverage of `count` new videos by a rule of `calibration` videos of a class.

    The mean and the 95 percent interval of the beta-binomial law of split conformal prediction (Vovk 2012, 1209.2673;
    Angelopoulos and Bates 2021, 2107.07511): exact for exchangeable videos without ties; ties only raise coverage.
    """
    place = decide.rank(calibration, alpha)
    if place > calibration:
        return 1.0, 1.0, 1.0
    law = betabinom(count, place, calibration + 1 - place)
    tail = (1 - evaluate.LEVEL / 100) / 2
    return place / (calibration + 1), float(law.ppf(tail) / count), float(law.ppf(1 - tail) / count)


def _joined(videos, shifted):
    """Return all videos in one frame, with the columns part and person (a number)."""
    parts = [videos.assign(part=KNOWN)] + ([] if shifted is None else [shifted.assign(part=SHIFTED)])
    rows = pd.concat(parts, ignore_index=True)
    return rows.assign(person=rows.groupby(["dataset", "identity"], dropna=False).ngroup())


def _one_split(rows, members, chosen, alphas):
    """Yield (alpha, part, group, calibration, n, three shares) of one split that calibrates on the persons `chosen`."""
    person, known = rows["person"].to_numpy(), rows["part"].eq(KNOWN).to_numpy()
    p_fake, labels = rows["p_fake"].to_numpy(), rows["label"].to_numpy()
    held = np.isin(person, chosen)
    for alpha in alphas:
        rule = decide.calibrate(p_fake[held & known], labels[held & known], alpha)
        found = decide.outcomes(p_fake, labels, rule)
        for (part, name), member in members.items():
            own = member & ~held
            if own.any():
                calibration = rule.n_real if name == decide.REAL else rule.n_fake
                shares = found.covered[own].mean(), found.error[own].mean(), 1 - found.decided[own].mean()
                yield alpha, part, name, calibration, own.sum(), *shares


def repeated(videos, alphas, seed, splits=200, share=0.5, shifted=None):
    """Return the coverage of the decision rule over random splits of a frame of videos (`decide.scored`) by identity.

    In each split a `share` of the identities calibrates, the others are tested: give validation and test videos, no training
    ones. `shifted` are videos that never calibrate (a generator left out of training and calibration, scored by the same
    network); they are tested where their identity does not calibrate. Rows (alpha, part, group): part 'calibrated' or
    'shifted', group real, fake, or a generator. Columns: coverage (mean over splits; the promise is 1 - alpha for real and for
    fake, not for a generator, nor under a shift), low, high (95 percent of the splits, no interval of the mean), expected,
    theory_low, theory_high (`theory`, for the median sizes), within (share of splits inside the theory of their own sizes; it
    wants independent videos, and is lower where fakes of one person are alike), error and cannot_tell (means), calibration
    and n (median videos of the class, of the group). Raises InputError when a split leaves a class without calibration.
    """
    rows, rng = _joined(videos, shifted), np.random.default_rng(seed)
    persons = np.unique(rows.loc[rows["part"] == KNOWN, "person"])
    size = round(share * len(persons))
    if not 0 < size < len(persons):
        raise InputError(f"a share of {share} of {len(persons)} identities leaves nobody to calibrate on, or to test")
    if splits < 1:
        raise InputError(f"splits is {splits}: give at least 1")
    members = {(part, name): mask & rows["part"].eq(part).to_numpy()
               for part in (KNOWN, SHIFTED) for name, mask in decide.groups(rows).items()}  # fmt: skip
    found = [row for _ in range(splits) for row in _one_split(rows, members, rng.permutation(persons)[:size], alphas)]
    frame = pd.DataFrame(found, columns=["alpha", "part", "group", "calibration", "n", *SHARES])
    table = frame.groupby(["alpha", "part", "group"], sort=False).apply(_over_splits)
    return table.astype({"calibration": int, "n": int})


def _over_splits(rows):
    """Return the columns of `repeated` for the splits of one alpha, part and group."""
    alpha = rows.name[0]
    _, lows, highs = np.array([theory(c, n, alpha) for c, n in zip(rows["calibration"], rows["n"], strict=True)]).T
    inside = rows["coverage"].between(lows - 1e-9, highs + 1e-9)
    low, high = np.percentile(rows["coverage"], [(100 - evaluate.LEVEL) / 2, (100 + evaluate.LEVEL) / 2])
    calibration, n = int(rows["calibration"].median()), int(rows["n"].median())
    expected, theory_low, theory_high = theory(calibration, n, alpha)
    return pd.Series({"coverage": rows["coverage"].mean(), "low": low, "high": high, "expected": expected,
                      "theory_low": theory_low, "theory_high": theory_high, "within": inside.mean(),
                      "error": rows["error"].mean(), "cannot_tell": rows["cannot_tell"].mean(),
                      "calibration": calibration, "n": n})  # fmt: skip


def decisions(calibration, videos, alphas, seed, n_boot=1000):
    """Return `decide.summary` of videos by the rule of each alpha, calibrated on other videos; levels alpha, group, metric.

    Both are frames of `decide.scored`. Raises InputError when an identity is in both.
    """
    persons = [set(zip(part["dataset"], part["identity"], strict=True)) for part in (calibration, videos)]
    if both := persons[0] & persons[1]:
        raise InputError(f"{len(both)} identities are calibrated on and tested: use the validation and the test split")
    rules = {alpha: decide.calibrate(calibration["p_fake"], calibration["label"], alpha) for alpha in alphas}
    return pd.concat({a: decide.summary(videos, rule, seed, n_boot) for a, rule in rules.items()}, names=["alpha"])
