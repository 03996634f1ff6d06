"""The ledger of claims: each notebook writes the statistics that bear on a claim, one table reads them all.

A statistic is defined so that the claim says "above the bound". Its verdict is read from its 95 percent interval alone.
"""

import math
import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from deepfake_uncertainty import plotting, results
from deepfake_uncertainty.errors import InputError

CLAIMS = {
    "C1": "blind detectors lose more accuracy than biological ones when they are made Bayesian",
    "C2": "biological detectors are better calibrated than blind ones",
    "C3": "uncertainty grows where a detector generalises poorly",
    "C4": "uncertainty alone identifies the generator",
    "C5": "pixel maps of uncertainty show patterns that belong to a generator",
    "C6": "the manipulated regions carry the uncertainty",
    "C7": "the uncertainty notices gradient attacks",
    "Q1": "uncertainty measures predict failure better than softmax response",
    "Q2": "uncertainty rises where accuracy falls (no inversion)",
    "Q3": "deciding by video is more accurate than by frame",
    "Q4": "a vision transformer or a video-level model does better than the older detectors",
    "Q7": "the decision rule keeps its error rate where it was promised",
}
# What the study or its authors published, on FaceForensics++ and FakeAVCeleb: (claim, what, percent).
PUBLISHED = [
    ("C1", "EfficientNet-B4, deterministic: accuracy", 99.38), ("C1", "EfficientNet-B4, Bayesian: accuracy", 90.93),
    ("C1", "Motion, Bayesian: accuracy", 87.40), ("C3", "ResNet18, Bayesian, FF to FAVC: accuracy", 93.54),
    ("C3", "ResNet18, Bayesian, FaceSwap left out: accuracy on it", 18.25),
    ("C3", "Motion, Bayesian, FaceSwap left out: accuracy on it", 52.0),
    ("C4", "Motion, source detection on FF: accuracy", 97.17), ("C4", "Motion, source detection on FAVC: accuracy", 94.03),
    ("C4", "PPG cells, source detection: accuracy", 93.39),
]  # fmt: skip
REACH = 4  # of the figure, in arms of an interval
COLUMNS = ["claim", "statistic", "data", "detector", "value", "low", "high", "bound", "n"]


def row(claim, statistic, interval, bound=0.0, *, data, detector="", n):
    """Return one row of the ledger: `interval` begins with value, low and high of what the claim says is above `bound`.

    `data` names the data set, `detector` the detector and method ('' for all), n the videos or pairs that it rests on. Raises
    InputError for a claim that is not in CLAIMS, and for an interval whose ends are the wrong way round.
    """
    if claim not in CLAIMS:
        raise InputError(f"unknown claim '{claim}': use {', '.join(CLAIMS)}")
    value, low, high = map(float, [*interval][:3])
    if low > high:
        raise InputError(f"{claim}, {statistic}: the interval [{low}, {high}] ends before it begins")
    return dict(zip(COLUMNS, (claim, statistic, data, detector, value, low, high, float(bound), int(n)), strict=True))


def verdict(low, high, bound):
    """Return 'supported' when the interval lies above `bound`, 'contradicted' below it, 'undecided' otherwise or if NaN."""
    if math.isnan(low) or math.isnan(high):
        return "undecided"
    return "supported" if low > bound else "contradicted" if high < bound else "undecided"


def write(notebook, rows, profile, seed):
    """Write the rows of `row` that a notebook (its two digits) found as sidecar `<notebook>_claims`; return them as a frame."""
    results.write_sidecar(f"{notebook}_claims", rows, profile, seed)
    return _judged(pd.DataFrame(rows, columns=COLUMNS))


def ledger(profile):
    """Return all rows on disk for `profile` as a frame of COLUMNS, notebook and verdict, in the order of CLAIMS.

    Raises InputError when no notebook has written any.
    """
    folder = results.folder(profile)
    found = [pd.DataFrame(results.load(path.stem, profile)["numbers"], columns=COLUMNS).assign(notebook=path.stem[:2])
             for path in sorted(folder.glob("[0-9][0-9]_claims.json"))]  # fmt: skip
    if not found:
        raise InputError(f"no claims in {folder}: run the notebooks 01 to 08 first (./run_all.sh)")
    table = _judged(pd.concat(found, ignore_index=True))
    order = {name: place for place, name in enumerate(CLAIMS)}
    return table.sort_values(["claim", "notebook"], key=lambda c: c.map(order) if c.name == "claim" else c, kind="stable")


def _judged(table):
    numbers = table.astype({name: float for name in ("value", "low", "high", "bound")})
    return numbers.assign(verdict=[verdict(*three) for three in numbers[["low", "high", "bound"]].itertuples(index=False)])


def summary(table):
    """Return a frame, one row a claim of CLAIMS: its text, how many statistics support, contradict or leave it undecided,
    and `overall`: the one verdict that all decided statistics share, 'mixed' when they differ, 'not tested' without any."""
    rows = {}
    for name, text in CLAIMS.items():
        counts = table.loc[table["claim"].eq(name), "verdict"].value_counts()
        decided = [word for word in ("supported", "contradicted") if counts.get(word, 0)]
        overall = "not tested" if counts.empty else "mixed" if len(decided) > 1 else decided[0] if decided else "undecided"
        rows[name] = {"claim": text} | {word: int(counts.get(word, 0)) for word in
                                        ("supported", "contradicted", "undecided")} | {"overall": overall}  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index")


def published():
    """Return the published figures as a frame: claim, what, percent."""
    return pd.DataFrame(PUBLISHED, columns=["claim", "what", "percent"])


def distance(table):
    """Return how far the value of each row of a ledger lies beyond its bound, in arms of its 95 percent interval (N,).

    The arm is the one that points to the bound: above 1 the row supports its claim, below -1 it contradicts it, in between it is
    undecided. An arm of no length gives infinity, or 0 at the bound itself; without an interval it is NaN.
    """
    beyond = table["value"] - table["bound"]
    arm = np.where(beyond > 0, table["value"] - table["low"], table["high"] - table["value"])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(beyond == 0, np.where(np.isnan(arm), np.nan, 0.0), beyond / arm)


def draw(table):
    """Return a figure of a ledger: a line each claim that was tested, a dot each statistic at its `distance`."""
    names = [name for name in CLAIMS if name in set(table["claim"])]
    figure, ax = plt.subplots(figsize=(7, 0.42 * len(names) + 0.9))
    for y, name in enumerate(names):
        rows = table[table["claim"].eq(name)]
        place = y + np.linspace(-0.3, 0.3, len(rows) + 2)[1:-1]
        ax.scatter(np.clip(distance(rows), -REACH, REACH), place, s=12, color=[plotting.color(word) for word in rows["verdict"]])
    labels = [textwrap.fill(f"{name} ({table['claim'].eq(name).sum()}): {CLAIMS[name]}", 48) for name in names]
    ax.set_yticks(range(len(names)), labels, fontsize=7)
    ax.set(ylim=(len(names) - 0.5, -0.5), xlim=(-REACH - 0.3, REACH + 0.3))
    for x, style in ((-1, ":"), (0, "-"), (1, ":")):
        ax.axvline(x, color="0.5", linestyle=style, linewidth=0.8, zorder=0)
    ax.set_xlabel(f"value less bound, in arms of the 95 % interval (cut at {REACH})", fontsize=8)
    handles = [plt.Line2D([], [], marker="o", linestyle="", markersize=4, color=plotting.color(word), label=word)
               for word in ("contradicted", "undecided", "supported")]  # fmt: skip
    figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=7)
    return figure
