"""The figures of robustness: curves over strength or severity with intervals, and transfer."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deepfake_uncertainty.report import plotting
from deepfake_uncertainty.study.robustness import corruptions

# Colour, dash and marker: each alone distinguishes the curves, also in greyscale.
STYLES = {
    "noise": ("#9A9A9A", ":", "o"),
    "FGSM": ("#E69F00", "--", "s"),
    "PGD": ("#0072B2", "-", "^"),
    "EOT-PGD": ("#1B1B1B", "-.", "D"),
    "total": ("#1B1B1B", "-", "o"),
    "aleatoric": ("#E69F00", "--", "s"),
    "epistemic": ("#0072B2", ":", "^"),
    "abstention_rate": ("#9A9A9A", "-", "o"),
    "wrong_decision_rate": ("#A63A00", "--", "s"),
}
SHARES = {
    "accuracy": "accuracy",
    "abstention_rate": "cannot tell",
    "wrong_decision_rate": "decided wrongly",
}


LINES = list(
    zip(
        ("#1B1B1B", "#E69F00", "#0072B2", "#9A9A9A", "#A63A00"),
        ("-", "--", "-.", ":", "-"),
        strict=True,
    )
)
Counts = Mapping[tuple[str, str], int]  # {(detector, method): videos}


def draw_curves(ax: Axes, table: pd.DataFrame, named: Mapping[str, str]) -> Axes:
    """Draw the values and intervals of each curve of {curve: label}; return `ax`.

    The index levels of the frame are the curve and x. The curves lie side by side at each x.
    """
    every = sorted(set(table.index.get_level_values(1)))
    for k, (name, label) in enumerate(named.items()):
        if name not in table.index.get_level_values(0):
            continue
        rows = table.xs(name).sort_index()
        color, dash, marker = STYLES[name]
        x = [every.index(value) + 0.12 * (k - (len(named) - 1) / 2) for value in rows.index]
        bars = np.maximum(0, [rows["value"] - rows["low"], rows["high"] - rows["value"]])
        ax.errorbar(
            x,
            rows["value"],
            yerr=bars,
            color=color,
            linestyle=dash,
            marker=marker,
            markersize=3,
            linewidth=1,
            elinewidth=0.6,
            label=label,
        )
    ax.set_xticks(range(len(every)), [f"{value:g}" for value in every])
    ax.set(xlim=(-0.4, len(every) - 0.6), ylim=(-0.03, 1.03))
    return ax


def title(detector: str, method: str, n: int) -> str:
    """Return the title of a panel in three lines: detector, method, number of videos."""
    return f"{plotting.label(detector)}\n{plotting.label(method)}\n(n = {n})"


def accuracy_figure(table: pd.DataFrame, counts: Counts) -> Figure:
    """Return a figure of the accuracy against the strength of each attack.

    `table` comes from `sweeps.attack_sweep`. There is one panel per entry of
    {(detector, method): videos}.
    """
    figure, axes = plt.subplots(1, len(counts), figsize=(7, 2.6), sharey=True, squeeze=False)
    for ax, (key, n) in zip(axes[0], counts.items(), strict=True):
        rows = table.xs((*key, "accuracy"), level=("detector", "method", "metric"))
        draw_curves(ax, rows, {name: name for name in ("noise", "FGSM", "PGD", "EOT-PGD")})
        ax.set_title(title(*key, n), fontsize=7)
        ax.set_xlabel("strength (of 255)", fontsize=7)
    axes[0, 0].set_ylabel("accuracy (share of videos)")
    return _with_legend(figure, axes)


def detection_figure(table: pd.DataFrame, counts: Counts) -> Figure:
    """Return a figure against strength: the AUROC of attacked against clean, and the decisions.

    `table` comes from `sweeps.strongest_attack`. There is one column per entry of
    {(detector, method): videos}.
    """
    size = 7, 4.2
    figure, axes = plt.subplots(
        2, len(counts), figsize=size, sharey=True, sharex="col", squeeze=False
    )
    for column, (key, n) in zip(axes.T, counts.items(), strict=True):
        rows = table.xs(key, level=("detector", "method")).swaplevel()
        single = key[1] in ("deterministic", "temperature")
        scores = ("total",) if single else ("total", "aleatoric", "epistemic")
        by_score = rows.rename(index=lambda name: name.removesuffix("_attack_auroc"), level=0)
        draw_curves(column[0], by_score, {name: name for name in scores})
        column[0].axhline(0.5, color="0.6", linewidth=0.8, zorder=0)
        rates = {name: SHARES[name] for name in ("abstention_rate", "wrong_decision_rate")}
        draw_curves(column[1], rows, rates)
        column[0].set_title(title(*key, n), fontsize=7)
        column[1].set_xlabel("strength (of 255)", fontsize=7)
    axes[0, 0].set_ylabel("AUROC, attacked against clean")
    axes[1, 0].set_ylabel("share of videos")
    return _with_legend(figure, axes)


def _with_legend(figure: Figure, axes: np.ndarray) -> Figure:
    """Add one legend per row of axes, of all curves in it, on the right; return the figure."""
    for row in axes:
        by_label: dict[str, Artist] = {}
        for ax in row:
            handles, labels = ax.get_legend_handles_labels()
            by_label |= dict(zip(labels, handles, strict=True))
        place = {"loc": "center left", "bbox_to_anchor": (1.02, 0.5)}
        row[-1].legend(by_label.values(), by_label.keys(), fontsize=7, **place)
    return figure


def transfer_figure(table: pd.DataFrame, metric: str = "accuracy") -> Figure:
    """Return a figure of the matrix of `metric` of a `sweeps.transfer_table`.

    The rows are detectors and methods, the columns the sources of the attacks.
    """
    values, low, high = (
        table.xs(metric, level="metric")[part].unstack("source", sort=False)
        for part in ("value", "low", "high")
    )
    figure, ax = plt.subplots(figsize=(6.2, 0.26 * len(values) + 1.1))
    shown = ax.imshow(values, vmin=0, vmax=1, cmap="cividis", aspect="auto")
    for row, column in np.ndindex(values.shape):
        value, lower, upper = (part.iloc[row, column] for part in (values, low, high))
        text, color = (
            f"{value:.2f} [{lower:.2f}, {upper:.2f}]",
            "black" if value > 0.55 else "white",
        )
        ax.text(column, row, text, ha="center", va="center", fontsize=6.5, color=color)
    rows = [
        f"{plotting.label(detector)}, {plotting.label(method)}" for detector, method in values.index
    ]
    ax.set_yticks(range(len(rows)), rows, fontsize=7)
    columns = [plotting.label(name) for name in values.columns]
    ax.set_xticks(range(len(columns)), columns, fontsize=7)
    ax.set(xlabel="made against", ylabel="shown to")
    ax.grid(False)
    figure.colorbar(shown, ax=ax, label=metric)
    return figure


def severity_figure(
    table: pd.DataFrame,
    counts: Counts,
    shown: Sequence[str] = ("accuracy", "abstention_rate", "total_attack_auroc"),
) -> Figure:
    """Return a figure against severity 0 to 5 of a `sweeps.corruption_table`.

    There is one column per corruption, one row per metric of `shown`, and one curve per entry of
    {(detector, method): videos}.
    """
    kinds = list(dict.fromkeys(table.index.get_level_values("kind")))
    names = SHARES | {"total_attack_auroc": "AUROC of total,\ncorrupted against clean"}
    size = 7.5, 1.5 * len(shown) + 0.6
    figure, axes = plt.subplots(
        len(shown), len(kinds), figsize=size, sharex=True, sharey=True, squeeze=False
    )
    levels = ("detector", "method", "kind", "metric")
    for row, metric in zip(axes, shown, strict=True):
        for ax, kind in zip(row, kinds, strict=True):
            for key, (color, dash) in zip(counts, LINES * len(counts), strict=False):
                rows = table.xs((*key, kind, metric), level=levels)
                name = f"{plotting.label(key[0])}, {plotting.label(key[1])} (n = {counts[key]})"
                look = {"color": color, "linestyle": dash, "linewidth": 1.2}
                ax.plot(rows.index, rows["value"], label=name, **look)
                interval = rows["low"], rows["high"]
                ax.fill_between(rows.index, *interval, color=color, alpha=0.12, linewidth=0)
        row[0].set_ylabel(names[metric], fontsize=7)
    for ax, kind in zip(axes[0], kinds, strict=True):
        ax.set(title=kind, ylim=(-0.03, 1.03), xticks=corruptions.SEVERITIES)
    figure.supxlabel("severity", fontsize=8)
    legend = axes[0, 0].get_legend_handles_labels()
    figure.legend(*legend, loc="outside upper center", ncols=2, fontsize=7)
    return figure
