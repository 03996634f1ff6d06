"""Notebook 09: the ledger of claims, what the study published, and a figure of the verdicts."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.report import claim_ledger, plotting, results

# What the study or its authors published, on FaceForensics++ and FakeAVCeleb.
# Columns: claim, what, percent.
PUBLISHED = [
    ("C1", "EfficientNet-B4, deterministic: accuracy", 99.38),
    ("C1", "EfficientNet-B4, Bayesian: accuracy", 90.93),
    ("C1", "Motion, Bayesian: accuracy", 87.40),
    ("C3", "ResNet18, Bayesian, FF to FAVC: accuracy", 93.54),
    ("C3", "ResNet18, Bayesian, FaceSwap left out: accuracy on it", 18.25),
    ("C3", "Motion, Bayesian, FaceSwap left out: accuracy on it", 52.0),
    ("C4", "Motion, source detection on FF: accuracy", 97.17),
    ("C4", "Motion, source detection on FAVC: accuracy", 94.03),
    ("C4", "PPG cells, source detection: accuracy", 93.39),
]
REACH = 4  # the largest distance that the figure shows, in arms of an interval


def ledger(profile: str) -> pd.DataFrame:
    """Return all rows on disk for `profile`, in the order of `claim_ledger.CLAIMS`.

    The columns are `claim_ledger.COLUMNS`, notebook (its two digits) and verdict. Raises InputError
    when no notebook has written any.
    """
    folder = results.folder(profile)
    parts = []
    for path in sorted(folder.glob("[0-9][0-9]_claims.json")):
        rows = results.load(path.stem, profile)["numbers"]
        part = pd.DataFrame(rows, columns=claim_ledger.COLUMNS)
        parts.append(part.assign(notebook=path.stem[:2]))
    if not parts:
        raise InputError(f"no claims in {folder}: run the notebooks 01 to 08 first (./run_all.sh)")
    table = claim_ledger.judged(pd.concat(parts, ignore_index=True))
    order = {name: place for place, name in enumerate(claim_ledger.CLAIMS)}
    return table.sort_values(
        ["claim", "notebook"], key=lambda c: c.map(order) if c.name == "claim" else c, kind="stable"
    )


def claim_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with one row per claim of `claim_ledger.CLAIMS`.

    The columns are its text (claim), how many statistics are 'supported', 'contradicted' and
    'undecided', and overall: the verdict that all decided statistics share, 'mixed' when they
    differ, 'undecided' when none is decided, 'not tested' without any statistic.
    """
    rows = {}
    for name, text in claim_ledger.CLAIMS.items():
        verdicts = table.loc[table["claim"].eq(name), "verdict"].value_counts()
        words = ("supported", "contradicted", "undecided")
        counts = {word: int(verdicts.get(word, 0)) for word in words}
        rows[name] = {"claim": text, **counts, "overall": _overall(counts)}
    return pd.DataFrame.from_dict(rows, orient="index")


def _overall(counts: dict[str, int]) -> str:
    """Return one verdict for the counts of all verdicts of a claim."""
    if not any(counts.values()):
        return "not tested"
    decided = [word for word in ("supported", "contradicted") if counts[word]]
    if len(decided) > 1:
        return "mixed"
    return decided[0] if decided else "undecided"


def published() -> pd.DataFrame:
    """Return the published figures as a frame: claim, what, percent."""
    return pd.DataFrame(PUBLISHED, columns=["claim", "what", "percent"])


def distance_in_arms(table: pd.DataFrame) -> np.ndarray:
    """Return how far the values of a ledger lie beyond their bounds, in arms of the interval (N,).

    The arm is the half of the 95 % interval that points to the bound. Above 1 the row supports its
    claim, below -1 it contradicts it, in between it is undecided. An arm of length zero gives
    infinity, or 0 at the bound itself. Without an interval the distance is NaN.
    """
    beyond = table["value"] - table["bound"]
    arm = np.where(beyond > 0, table["value"] - table["low"], table["high"] - table["value"])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(beyond == 0, np.where(np.isnan(arm), np.nan, 0.0), beyond / arm)


def ledger_figure(table: pd.DataFrame) -> Figure:
    """Return a figure of a ledger: one line per claim that was tested, one dot per statistic.

    A dot lies at the statistic's `distance_in_arms`, in the colour of its verdict.
    """
    names = [name for name in claim_ledger.CLAIMS if name in set(table["claim"])]
    figure, ax = plt.subplots(figsize=(7, 0.42 * len(names) + 0.9))
    labels = []
    for y, name in enumerate(names):
        rows = table[table["claim"].eq(name)]
        x = np.clip(distance_in_arms(rows), -REACH, REACH)
        heights = y + np.linspace(-0.3, 0.3, len(rows) + 2)[1:-1]
        ax.scatter(x, heights, s=12, color=[plotting.color(word) for word in rows["verdict"]])
        labels.append(textwrap.fill(f"{name} ({len(rows)}): {claim_ledger.CLAIMS[name]}", 48))
    ax.set_yticks(range(len(names)), labels, fontsize=7)
    ax.set(ylim=(len(names) - 0.5, -0.5), xlim=(-REACH - 0.3, REACH + 0.3))
    for place, style in ((-1, ":"), (0, "-"), (1, ":")):
        ax.axvline(place, color="0.5", linestyle=style, linewidth=0.8, zorder=0)
    ax.set_xlabel(f"(value - bound) / half of the 95 % interval, clipped at {REACH}", fontsize=8)
    handles = [_dot(word) for word in ("contradicted", "undecided", "supported")]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=7)
    return figure


def _dot(verdict: str) -> Line2D:
    """Return the entry of a verdict in the legend."""
    color = plotting.color(verdict)
    return Line2D([], [], marker="o", linestyle="", markersize=4, color=color, label=verdict)
