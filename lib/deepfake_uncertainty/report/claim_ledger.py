"""The ledger of claims: each notebook writes the statistics that test a claim.

The notebook of claims reads them all. A statistic is defined so that the claim says "above the
bound". Its verdict depends on its 95 % interval only.
"""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.report import results

CLAIMS = {
    "C1": "blind detectors lose more accuracy than biological ones when they are made Bayesian",
    "C2": "biological detectors are better calibrated than blind ones",
    "C3": "uncertainty grows where a detector generalises poorly",
    "C4": "uncertainty alone identifies the generator",
    "C5": "pixel maps of uncertainty show patterns that belong to a generator",
    "C6": "uncertainty is higher in manipulated regions",
    "C7": "uncertainty is higher under gradient attacks",
    "Q1": "uncertainty measures predict failure better than softmax response",
    "Q2": "uncertainty rises where accuracy falls (no inversion)",
    "Q3": "deciding by video is more accurate than by frame",
    "Q4": "a vision transformer or a video-level model does better than the older detectors",
    "Q7": "the decision rule keeps its error rate on data like those it was calibrated on",
}
COLUMNS = ["claim", "statistic", "data", "detector", "value", "low", "high", "bound", "n"]


def claim_row(
    claim: str,
    statistic: str,
    interval: Sequence[float],
    bound: float = 0.0,
    *,
    data: str,
    detector: str = "",
    n: int,
) -> dict[str, Any]:
    """Return one row of the ledger as a dict of COLUMNS.

    interval: value, low and high of a statistic that the claim says is above `bound`; further
    entries are ignored. data: the name of the data set; detector: the detector and method ('' for
    all); n: the number of videos or pairs. Raises InputError for a claim that is not in CLAIMS, and
    for an interval with low > high.
    """
    if claim not in CLAIMS:
        raise InputError(f"unknown claim '{claim}': use {', '.join(CLAIMS)}")
    value, low, high = map(float, [*interval][:3])
    if low > high:
        raise InputError(
            f"{claim}, {statistic}: the interval [{low}, {high}] ends before it begins"
        )
    row = (claim, statistic, data, detector, value, low, high, float(bound), int(n))
    return dict(zip(COLUMNS, row, strict=True))


def verdict(low: float, high: float, bound: float) -> str:
    """Return the verdict of an interval: 'supported' above `bound`, 'contradicted' below it.

    'undecided' when the interval contains the bound, or is NaN.
    """
    if math.isnan(low) or math.isnan(high):
        return "undecided"
    return "supported" if low > bound else "contradicted" if high < bound else "undecided"


def write_claims(
    notebook: str, rows: Sequence[dict[str, Any]], profile: str, seed: int
) -> pd.DataFrame:
    """Write the rows (`claim_row`) of a notebook as `<notebook>_claims`; return them judged.

    `notebook` is its two digits.
    """
    results.write_sidecar(f"{notebook}_claims", rows, profile, seed)
    return judged(pd.DataFrame(rows, columns=COLUMNS))


def judged(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of rows of `claim_row` with numbers as floats and the verdict of each row."""
    numbers = table.astype({name: float for name in ("value", "low", "high", "bound")})
    ends = numbers[["low", "high", "bound"]].itertuples(index=False)
    return numbers.assign(verdict=[verdict(low, high, bound) for low, high, bound in ends])


def joint_verdict(rows: pd.DataFrame) -> str:
    """Return the verdict of several intervals (columns low, high) with the bound 0.

    'supported' when all of them lie above 0, 'contradicted' when all lie below. 'undecided' for
    everything else, also when there is none or one is NaN.
    """
    if len(rows) and (rows["low"] > 0).all():
        return "supported"
    return "contradicted" if len(rows) and (rows["high"] < 0).all() else "undecided"
