"""The style of all figures, and the plots of the study; each plot draws on a given axes.

Colours are fixed. They can be told apart with colour blindness and in greyscale.
"""

from collections.abc import Mapping
from importlib import resources
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb, to_hex, to_rgb
from numpy.typing import ArrayLike
from scipy.stats import gaussian_kde

from deepfake_uncertainty import files
from deepfake_uncertainty.benchmark.generators import catalogue
from deepfake_uncertainty.benchmark.generators.base import Family
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.detectors.base import DetectorSpec
from deepfake_uncertainty.training import methods
from deepfake_uncertainty.training.methods.base import Method

# In each group the lightness (CIE L*) differs, so that the colours differ in greyscale print; line
# styles repeat the difference. Detectors, methods and generators have colours in their specs.
REAL = {"real": "#1B1B1B"}
OUTCOMES = {"right": "#56B4E9", "wrong": "#A63A00"}
SEEN = {"seen": "#4477AA", "unseen": "#CCBB44"}  # whether a detector was trained on a generator
VERDICTS = {"supported": "#1B6B3A", "undecided": "#9A9A9A", "contradicted": "#D9480F"}
MEASURES = {
    "total": "total: H(mean p)",
    "aleatoric": "aleatoric: mean H(p)",
    "epistemic": "epistemic: mutual information",
}
# Candidates for names without a fixed colour: 24 hues in three levels of lightness.
SPARE = [hsv_to_rgb((hue / 24, 0.75, value)) for value in (0.85, 0.6, 0.4) for hue in range(24)]


def use_style() -> None:
    """Apply the matplotlib style of the project to all later figures."""
    plt.style.use(str(resources.files("deepfake_uncertainty.report") / "paper.mplstyle"))


def spec_of(name: str) -> DetectorSpec | Method | None:
    """Return the spec of a detector or method, None for any other name."""
    return registry.DETECTORS.specs().get(name) or methods.METHODS.specs().get(name)


def fixed_colors() -> dict[str, str]:
    """Return {name: colour} of all names with a fixed colour.

    They are detectors, methods, generators, outcomes and verdicts.
    """
    specs: list[DetectorSpec | Method | Family] = [
        *registry.DETECTORS.specs().values(),
        *methods.METHODS.specs().values(),
        *catalogue.FAMILIES.specs().values(),
    ]
    own = {spec.name: spec.color for spec in specs if spec.color}
    return own | REAL | OUTCOMES | SEEN | VERDICTS


def color(name: str) -> str:
    """Return the colour of a detector, method, generator or outcome, the same in all figures.

    A name without a fixed colour selects eight spare colours; it gets the one that is farthest from
    all fixed colours.
    """
    fixed = fixed_colors()
    if name in fixed:
        return fixed[name]
    start = int(files.digest(name), 16) % len(SPARE)
    candidates = [SPARE[(start + 7 * k) % len(SPARE)] for k in range(8)]
    taken = np.array([to_rgb(value) for value in fixed.values()])
    farthest = max(candidates, key=lambda rgb: np.linalg.norm(taken - rgb, axis=1).min())
    return to_hex((farthest[0], farthest[1], farthest[2]))


def label(name: str) -> str:
    """Return the text for a detector, method or measure in figures; other names are unchanged."""
    spec = spec_of(name)
    return spec.label if spec else MEASURES.get(name, name)


def reliability_diagram(
    ax: Axes,
    confidence: ArrayLike,
    correct: ArrayLike,
    bins: int = 10,
    name: str | None = None,
    **style: Any,
) -> Axes:
    """Draw accuracy against mean confidence in equal bins, with the diagonal; return `ax`.

    confidence (N,) in [0, 1]; correct (N,) boolean. Bars are 95 % Wilson intervals; empty bins are
    left out (Guo et al. 2017).
    """
    confidence, correct = np.asarray(confidence, float), np.asarray(correct, bool)
    _check(confidence, correct)
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    used = np.unique(bin_of)
    count = np.array([(bin_of == b).sum() for b in used])
    mean = np.array([confidence[bin_of == b].mean() for b in used])
    rate = np.array([correct[bin_of == b].mean() for b in used])
    low, high = wilson(rate, count)
    # A rate of 0 or 1 lies on its own bound; rounding must not make the length negative.
    bars = np.maximum(0, [rate - low, high - rate])
    ax.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, zorder=1)
    line: dict[str, Any] = {"marker": "o", "markersize": 4, "capsize": 2} | _style(
        name, style, confidence.size
    )
    ax.errorbar(mean, rate, yerr=bars, **line)
    ax.set(xlim=(0, 1), ylim=(0, 1.02))
    ax.set(xlabel="mean confidence (probability)", ylabel="accuracy (fraction right)")
    return ax


def wilson(rate: ArrayLike, count: ArrayLike, z: float = 1.96) -> tuple[np.ndarray, np.ndarray]:
    """Return the Wilson score interval (low, high) of binomial rates in [0, 1] (Wilson 1927).

    count: the number of trials; z: the quantile of the normal distribution.
    """
    rate, count = np.asarray(rate, float), np.asarray(count, float)
    middle = (rate + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(rate * (1 - rate) / count + z**2 / (4 * count**2))
    return np.maximum(0, middle - half), np.minimum(1, middle + half)


def risk_coverage(
    ax: Axes,
    coverage: ArrayLike,
    risk: ArrayLike,
    name: str | None = None,
    n: int | None = None,
    **style: Any,
) -> Axes:
    """Draw selective risk (error rate of the kept items) against coverage; return `ax`.

    Both (M,) in [0, 1]. The curve has steps, because a threshold keeps whole items (Geifman and
    El-Yaniv 2017).
    """
    coverage, risk = np.asarray(coverage, float), np.asarray(risk, float)
    _check(coverage, risk)
    ax.plot(coverage, risk, drawstyle="steps-pre", **_style(name, style, n))
    top = max([0.05, 1.05 * risk.max(), *(np.max(line.get_ydata()) * 1.05 for line in ax.lines)])
    ax.set(xlim=(0, 1), ylim=(0, min(1, top)), xlabel="coverage (fraction decided)")
    ax.set_ylabel("selective risk (error rate)")
    return ax


def densities(
    ax: Axes,
    groups: Mapping[str, ArrayLike],
    xlabel: str = "uncertainty (nats)",
    upper: float | None = None,
) -> Axes:
    """Draw the density of each group {name: (N,) nats, >= 0}; return `ax`.

    Values are clipped at `upper` (default: the largest). The density is reflected at zero and at
    the upper end, so that no mass lies outside (Silverman 1986). A group with fewer than five
    different values is drawn as ticks. The legend gives n. Raises ValueError for negative or
    non-finite values.
    """
    arrays = {name: np.asarray(values, float) for name, values in groups.items()}
    for name, values in arrays.items():
        if not np.isfinite(values).all() or (values < -1e-6).any():
            raise ValueError(f"densities: group '{name}' holds negative or non-finite values")
    largest = max([values.max() for values in arrays.values() if values.size], default=1.0)
    top = upper or largest or 1.0
    grid = np.linspace(0, top, 256)
    for name, values in arrays.items():
        style = _style(name, {}, values.size)
        if np.unique(values).size < 5:
            ticks: dict[str, Any] = {"marker": "|", "markersize": 12, **style, "linestyle": "none"}
            ax.plot(values, np.zeros_like(values), **ticks)
            continue
        height = reflected_density(np.clip(values, 0, top), grid, top)
        ax.plot(grid, height, **style)
        ax.fill_between(grid, height, color=style["color"], alpha=0.15, linewidth=0)
    ax.set(xlim=(0, top), xlabel=xlabel, ylabel="density (1/nat)")
    ax.set_ylim(bottom=0)
    ax.legend()
    return ax


def reflected_density(values: np.ndarray, grid: np.ndarray, top: float) -> np.ndarray:
    """Return the kernel density (G,) of `values` (N,) on `grid`, reflected at 0 and at `top`."""
    kernel = gaussian_kde(values)
    return kernel(grid) + kernel(-grid) + kernel(2 * top - grid)


def intervals(
    ax: Axes,
    frame: pd.DataFrame,
    value: str = "value",
    low: str = "low",
    high: str = "high",
    name: str = "name",
) -> Axes:
    """Draw one point with its interval per row of `frame`, the first row on top; return `ax`.

    The other arguments are names of columns. Where there is a column n, the labels give it.
    """
    rows = frame.reset_index(drop=True)
    for y, row in rows.iterrows():
        style = _style(row[name], {}, None)
        ax.plot([row[low], row[high]], [y, y], color=style["color"], linewidth=2)
        ax.plot(row[value], y, "o", color=style["color"], markersize=5)
    count = [f" (n = {n})" for n in rows["n"]] if "n" in rows else [""] * len(rows)
    ax.set_yticks(
        range(len(rows)), [label(item) + n for item, n in zip(rows[name], count, strict=True)]
    )
    ax.set_ylim(len(rows) - 0.5, -0.5)
    return ax


def grouped_intervals(ax: Axes, frame: pd.DataFrame) -> Axes:
    """Draw the intervals of a frame (columns value, low, high), one row per item; return `ax`.

    The index levels are item and name (of a method or detector). The names of an item are one below
    the other, each in its colour, and occur once in the legend.
    """
    items, names = (list(dict.fromkeys(frame.index.get_level_values(level))) for level in (0, 1))
    for k, name in enumerate(names):
        own, style = frame.xs(name, level=1), _style(name, {}, None)
        y = [items.index(item) + 0.7 * ((k + 0.5) / len(names) - 0.5) for item in own.index]
        ax.hlines(y, own["low"], own["high"], color=style["color"], linewidth=2)
        size = 5 - len(names) // 3
        ax.plot(own["value"], y, "o", color=style["color"], markersize=size, label=style["label"])
    ax.set_yticks(range(len(items)), [label(item) for item in items])
    ax.set_ylim(len(items) - 0.5, -0.5)
    return ax


def _style(name: str | None, style: dict[str, Any], n: int | None) -> dict[str, Any]:
    """Return the line keywords of `name`: colour, dashes, label with n; `style` overrides them."""
    spec = spec_of(name) if name else None
    base = {"color": "0.35", "linestyle": spec.linestyle if spec else "-"}
    if name and (spec or name in fixed_colors()):
        base["color"] = color(name)
    if name is not None:
        base["label"] = label(name) if n is None else f"{label(name)} (n = {n})"
    return base | style


def _check(first: np.ndarray, second: np.ndarray) -> None:
    """Raise ValueError unless both arrays have one axis, the same length, and are not empty."""
    if first.ndim != 1 or first.shape != second.shape or not first.size:
        raise ValueError(
            f"two arrays (N,) with N >= 1 are needed, not {first.shape} and {second.shape}"
        )
