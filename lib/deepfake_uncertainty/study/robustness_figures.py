"""The figures of robustness: curves over the strength of what is done, with their intervals, and a matrix of transfer."""

import matplotlib.pyplot as plt
import numpy as np

from deepfake_uncertainty import plotting
from deepfake_uncertainty.study import corruptions

# Colour, dash and marker: each tells the curves apart by itself, in greyscale too.
STYLES = {
    "noise": ("#9A9A9A", ":", "o"), "FGSM": ("#E69F00", "--", "s"), "PGD": ("#0072B2", "-", "^"),
    "EOT-PGD": ("#1B1B1B", "-.", "D"), "total": ("#1B1B1B", "-", "o"), "aleatoric": ("#E69F00", "--", "s"),
    "epistemic": ("#0072B2", ":", "^"), "abstained": ("#9A9A9A", "-", "o"), "fooled": ("#A63A00", "--", "s"),
}  # fmt: skip
SHARES = {"accuracy": "accuracy", "abstained": "cannot tell", "fooled": "decided wrongly"}


def curves(ax, table, named):
    """Draw value and interval of a frame (index levels curve, x) for each curve of {curve: label}, side by side; return `ax`."""
    every = sorted(set(table.index.get_level_values(1)))
    for k, (name, label) in enumerate(named.items()):
        if name not in table.index.get_level_values(0):
            continue
        own = table.xs(name).sort_index()
        color, dash, marker = STYLES[name]
        x = [every.index(value) + 0.12 * (k - (len(named) - 1) / 2) for value in own.index]
        bars = np.maximum(0, [own["value"] - own["low"], own["high"] - own["value"]])
        ax.errorbar(x, own["value"], yerr=bars, color=color, linestyle=dash, marker=marker, markersize=3, linewidth=1,
                    elinewidth=0.6, label=label)  # fmt: skip
    ax.set_xticks(range(len(every)), [f"{value:g}" for value in every])
    ax.set(xlim=(-0.4, len(every) - 0.6), ylim=(-0.03, 1.03))
    return ax


def title(detector, method, n):
    """Return the title of a panel in three lines: detector, method, videos."""
    return f"{plotting.label(detector)}\n{plotting.label(method)}\n(n = {n})"


def accuracy(table, counts):
    """Return a figure of the accuracy against the strength of each attack, a panel each (detector, method) of counts {…: n}."""
    figure, axes = plt.subplots(1, len(counts), figsize=(7, 2.6), sharey=True, squeeze=False)
    for ax, (key, n) in zip(axes[0], counts.items(), strict=True):
        rows = table.xs((*key, "accuracy"), level=("detector", "method", "metric"))
        curves(ax, rows, {name: name for name in ("noise", "FGSM", "PGD", "EOT-PGD")})
        ax.set_title(title(*key, n), fontsize=7)
        ax.set_xlabel("strength (of 255)", fontsize=7)
    axes[0, 0].set_ylabel("accuracy (share of videos)")
    return _with_legend(figure, axes)


def noticed(table, counts):
    """Return a figure against strength, a column each (detector, method): AUROC attacked against clean, and what is decided."""
    figure, axes = plt.subplots(2, len(counts), figsize=(7, 4.2), sharey=True, sharex="col", squeeze=False)
    for column, (key, n) in zip(axes.T, counts.items(), strict=True):
        rows = table.xs(key, level=("detector", "method")).swaplevel()
        scores = ("total", "aleatoric", "epistemic") if key[1] not in ("deterministic", "temperature") else ("total",)
        told = rows.rename(index=lambda name: name.removesuffix("_noticed"), level=0)
        curves(column[0], told, {name: name for name in scores}).axhline(0.5, color="0.6", linewidth=0.8, zorder=0)
        curves(column[1], rows, {name: SHARES[name] for name in ("abstained", "fooled")})
        column[0].set_title(title(*key, n), fontsize=7)
        column[1].set_xlabel("strength (of 255)", fontsize=7)
    axes[0, 0].set_ylabel("AUROC, attacked against clean")
    axes[1, 0].set_ylabel("share of videos")
    return _with_legend(figure, axes)


def _with_legend(figure, axes):
    """One legend for each row, of all curves in it, on the right."""
    for row in axes:
        found = {}
        for ax in row:
            found |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
        row[-1].legend(found.values(), found.keys(), loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=7)
    return figure


def transfer(table, metric="accuracy"):
    """Return a figure, a matrix of `metric`: every detector and method (rows) under attacks against the sources (columns)."""
    values = {part: table.xs(metric, level="metric")[part].unstack("source", sort=False) for part in ("value", "low", "high")}
    shape = values["value"].shape
    figure, ax = plt.subplots(figsize=(6.2, 0.26 * shape[0] + 1.1))
    shown = ax.imshow(values["value"], vmin=0, vmax=1, cmap="cividis", aspect="auto")
    for row, column in np.ndindex(shape):
        value, low, high = (values[part].iloc[row, column] for part in ("value", "low", "high"))
        ax.text(column, row, f"{value:.2f} [{low:.2f}, {high:.2f}]", ha="center", va="center", fontsize=6.5,
                color="black" if value > 0.55 else "white")  # fmt: skip
    rows = [f"{plotting.label(detector)}, {plotting.label(method)}" for detector, method in values["value"].index]
    ax.set_yticks(range(shape[0]), rows, fontsize=7)
    ax.set_xticks(range(shape[1]), [plotting.label(name) for name in values["value"].columns], fontsize=7)
    ax.set(xlabel="made against", ylabel="shown to")
    ax.grid(False)
    figure.colorbar(shown, ax=ax, label=metric)
    return figure


def severities(table, counts, shown=("accuracy", "abstained", "total_noticed")):
    """Return a figure against severity 0 to 5: a column a corruption, a row each of `shown`, a curve each (detector, method)."""
    kinds = list(dict.fromkeys(table.index.get_level_values("kind")))
    names = SHARES | {"total_noticed": "AUROC of total,\ncorrupted against clean"}
    size = 7.5, 1.5 * len(shown) + 0.6
    figure, axes = plt.subplots(len(shown), len(kinds), figsize=size, sharex=True, sharey=True, squeeze=False)
    looks = list(zip(("#1B1B1B", "#E69F00", "#0072B2", "#9A9A9A", "#A63A00"), ("-", "--", "-.", ":", "-"), strict=True))
    for row, metric in zip(axes, shown, strict=True):
        for ax, kind in zip(row, kinds, strict=True):
            for key, (color, dash) in zip(counts, looks * len(counts), strict=False):
                own = table.xs((*key, kind, metric), level=("detector", "method", "kind", "metric"))
                name = f"{plotting.label(key[0])}, {plotting.label(key[1])} (n = {counts[key]})"
                ax.plot(own.index, own["value"], color=color, linestyle=dash, linewidth=1.2, label=name)
                ax.fill_between(own.index, own["low"], own["high"], color=color, alpha=0.12, linewidth=0)
        row[0].set_ylabel(names[metric], fontsize=7)
    for ax, kind in zip(axes[0], kinds, strict=True):
        ax.set(title=kind, ylim=(-0.03, 1.03), xticks=corruptions.SEVERITIES)
    figure.supxlabel("severity", fontsize=8)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=7)
    return figure
