"""The figures' one style: fixed colours (told apart by the colour-blind and in greyscale), plots that take an axes."""

from importlib import resources

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import gaussian_kde

from deepfake_uncertainty.errors import InputError

# Within each group the lightness (CIE L*) differs, so that greyscale print tells them apart; line styles repeat it.
DETECTORS = {
    "resnet18": "#0072B2", "xception": "#7C1212", "efficientnet_b4": "#073806", "efficientnet_lite0": "#1FDC54",
    "mobilenet": "#D774C7", "vit_tiny": "#701FB0", "clip_transformer": "#000579", "fakecatcher": "#E69F00",
    "fakecatcher128": "#914A08", "motion_phase": "#159090", "motion_deep": "#B5DBE3",
}  # fmt: skip
METHODS = {
    "deterministic": "#333333", "temperature": "#DDAA33", "mc_dropout": "#CC6677", "bnn": "#88CCEE", "laplace": "#882255",
    "ensemble": "#117733",
}  # fmt: skip
GENERATORS = {
    "real": "#1B1B1B", "Deepfakes": "#721449", "Face2Face": "#0B77A8", "FaceSwap": "#DA5819", "NeuralTextures": "#40BAA0",
    "FaceShifter": "#EBB24A", "faceswap": "#9E403C", "fsgan": "#072963", "wav2lip": "#215922",
    "faceswap-wav2lip": "#FDC1C9", "fsgan-wav2lip": "#A685CA",
}  # fmt: skip
OUTCOMES = {"right": "#56B4E9", "wrong": "#A63A00"}
TRAININGS = {"seen": "#4477AA", "unseen": "#CCBB44"}  # a generator that a detector was trained on, or never met
VERDICTS = {"supported": "#1B6B3A", "undecided": "#9A9A9A", "contradicted": "#D9480F"}
LABELS = {
    "resnet18": "ResNet18", "xception": "Xception", "efficientnet_b4": "EfficientNet-B4",
    "efficientnet_lite0": "EfficientNet-lite0, ImageNet", "mobilenet": "MobileNet", "vit_tiny": "ViT-tiny",
    "clip_transformer": "Clip transformer", "fakecatcher": "FakeCatcher", "fakecatcher128": "FakeCatcher, 128 frames",
    "motion_phase": "Motion, phase", "motion_deep": "Motion, deep",
    "deterministic": "deterministic", "mc_dropout": "MC dropout", "bnn": "Bayesian network",
    "temperature": "temperature scaling", "laplace": "last-layer Laplace", "ensemble": "deep ensemble",
    "total": "total: H(mean p)", "aleatoric": "aleatoric: mean H(p)", "epistemic": "epistemic: mutual information",
}  # fmt: skip
STYLES = {
    "deterministic": "-", "temperature": ":", "mc_dropout": "--", "bnn": "-.", "laplace": ":", "ensemble": "--",
    "resnet18": "-", "xception": "--", "efficientnet_b4": "-.", "efficientnet_lite0": ":", "mobilenet": "-.", "vit_tiny": ":",
    "clip_transformer": "-", "fakecatcher": "--", "fakecatcher128": ":", "motion_phase": "-.", "motion_deep": "-",
}  # fmt: skip


def use_style():
    """Apply the project's matplotlib style to all later figures."""
    plt.style.use(str(resources.files("deepfake_uncertainty") / "paper.mplstyle"))


def color(name):
    """Return the fixed colour of a detector, method, generator or outcome; raises InputError for a name without one."""
    known = DETECTORS | METHODS | GENERATORS | OUTCOMES | TRAININGS | VERDICTS
    if name not in known:
        raise InputError(f"no colour for '{name}': add it to plotting.py (known: {', '.join(known)})")
    return known[name]


def label(name):
    """Return how a detector, method or measure is written in figures; other names stand for themselves."""
    return LABELS.get(name, name)


def reliability_diagram(ax, confidence, correct, bins=10, name=None, **style):
    """Draw accuracy against mean confidence in `bins` equal bins, 95 % Wilson intervals, the diagonal; return `ax`.

    confidence (N,) in [0, 1]; correct (N,) boolean; empty bins are left out (Guo et al. 2017).
    """
    confidence, correct = np.asarray(confidence, float), np.asarray(correct, bool)
    _check(confidence, correct)
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    used = np.unique(place)
    count = np.array([(place == b).sum() for b in used])
    mean = np.array([confidence[place == b].mean() for b in used])
    rate = np.array([correct[place == b].mean() for b in used])
    low, high = wilson(rate, count)
    # A rate of 0 or 1 lies on its own bound; rounding must not make the bar negative.
    bars = np.maximum(0, [rate - low, high - rate])
    ax.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, zorder=1)
    ax.errorbar(mean, rate, yerr=bars, marker="o", markersize=4, capsize=2, **_style(name, style, confidence.size))
    ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="mean confidence (probability)", ylabel="accuracy (fraction right)")
    return ax


def wilson(rate, count, z=1.96):
    """Return the Wilson score interval (low, high) of binomial rates in [0, 1] from `count` trials (Wilson 1927)."""
    rate, count = np.asarray(rate, float), np.asarray(count, float)
    middle = (rate + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(rate * (1 - rate) / count + z**2 / (4 * count**2))
    return np.maximum(0, middle - half), np.minimum(1, middle + half)


def risk_coverage(ax, coverage, risk, name=None, n=None, **style):
    """Draw the selective risk (error rate of the kept) against coverage, both (M,) in [0, 1]; return `ax`.

    The curve is a step: a threshold keeps whole samples (Geifman and El-Yaniv 2017).
    """
    coverage, risk = np.asarray(coverage, float), np.asarray(risk, float)
    _check(coverage, risk)
    ax.plot(coverage, risk, drawstyle="steps-pre", **_style(name, style, n))
    top = max([0.05, 1.05 * risk.max(), *(line.get_ydata().max() * 1.05 for line in ax.lines)])
    ax.set(xlim=(0, 1), ylim=(0, min(1, top)), xlabel="coverage (fraction decided)")
    ax.set_ylabel("selective risk (error rate)")
    return ax


def coverage(ax, frame):
    """Draw the coverage of a decision rule against 1 - alpha, one line a group, the diagonal that is promised; return `ax`.

    `frame` is a part of `coverage.repeated` (index levels alpha, group): points are means over splits, bars hold 95 percent of
    the splits; the band is what theory gives the first group.
    """
    frame = frame.sort_index(level="alpha", ascending=False, sort_remaining=False)
    names = list(dict.fromkeys(frame.index.get_level_values("group")))
    first = frame.xs(names[0], level="group")
    ax.fill_between(1 - first.index, first["theory_low"], first["theory_high"], color="0.9", linewidth=0,
                    label=f"theory, {label(names[0])}")  # fmt: skip
    ax.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, zorder=1)
    for k, name in enumerate(names):
        own = frame.xs(name, level="group")
        # The mean may lie outside the bulk of the splits; a bar has no negative half.
        bars = np.maximum(0, [own["coverage"] - own["low"], own["high"] - own["coverage"]])
        place = 1 - own.index + 0.006 * (k - (len(names) - 1) / 2)
        ax.errorbar(place, own["coverage"], yerr=bars, marker="o", markersize=3, capsize=2,
                    **_style(name, {}, int(own["n"].iloc[0])))  # fmt: skip
    ax.set(xlim=(min(1 - first.index) - 0.05, 1.02), ylim=(0, 1.02), xlabel="promised coverage (1 - alpha)")
    ax.set_ylabel("coverage (fraction whose class fits)")
    return ax


def densities(ax, groups, xlabel="uncertainty (nats)", upper=None):
    """Draw the density of each group {name: (N,) nats, >= 0}, reflected at zero: none lies below it; return `ax`.

    The legend gives n; a group with fewer than five different values has no density to estimate and is drawn as ticks.
    Values are clipped at `upper` (default: the largest); reflection keeps the mass at both walls (Silverman 1986).
    """
    arrays = {name: np.asarray(values, float) for name, values in groups.items()}
    for name, values in arrays.items():
        if not np.isfinite(values).all() or (values < -1e-6).any():
            raise ValueError(f"densities: group '{name}' holds negative or non-finite values")
    top = upper or max([values.max() for values in arrays.values() if values.size], default=1.0) or 1.0
    grid = np.linspace(0, top, 256)
    for name, values in arrays.items():
        style = _style(name, {}, values.size)
        if np.unique(values).size < 5:
            ax.plot(values, np.zeros_like(values), marker="|", markersize=12, **(style | {"linestyle": "none"}))
            continue
        height = reflected_density(np.clip(values, 0, top), grid, top)
        ax.plot(grid, height, **style)
        ax.fill_between(grid, height, color=style["color"], alpha=0.15, linewidth=0)
    ax.set(xlim=(0, top), xlabel=xlabel, ylabel="density (1/nat)")
    ax.set_ylim(bottom=0)
    ax.legend()
    return ax


def reflected_density(values, grid, top):
    """Return the kernel density (G,) on `grid` in [0, top] of `values` (N,), its mass folded back at 0 and `top`."""
    kernel = gaussian_kde(values)
    return kernel(grid) + kernel(-grid) + kernel(2 * top - grid)


def intervals(ax, frame, value="value", low="low", high="high", name="name"):
    """Draw one point and its interval per row of `frame` (the first on top), with n where it has that column; return `ax`."""
    rows = frame.reset_index(drop=True)
    for y, row in rows.iterrows():
        style = _style(row[name], {}, None)
        ax.plot([row[low], row[high]], [y, y], color=style["color"], linewidth=2)
        ax.plot(row[value], y, "o", color=style["color"], markersize=5)
    count = [f" (n = {n})" for n in rows["n"]] if "n" in rows else [""] * len(rows)
    ax.set_yticks(range(len(rows)), [label(item) + n for item, n in zip(rows[name], count, strict=True)])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    return ax


def grouped_intervals(ax, frame):
    """Draw the intervals of a frame (index levels item and name; columns value, low, high), one row an item; return `ax`.

    The names (methods, detectors) of an item lie one below the other, each in its colour, and stand once in the legend.
    """
    items, names = (list(dict.fromkeys(frame.index.get_level_values(level))) for level in (0, 1))
    for k, name in enumerate(names):
        own, style = frame.xs(name, level=1), _style(name, {}, None)
        y = [items.index(item) + 0.7 * ((k + 0.5) / len(names) - 0.5) for item in own.index]
        ax.hlines(y, own["low"], own["high"], color=style["color"], linewidth=2)
        ax.plot(own["value"], y, "o", color=style["color"], markersize=5 - len(names) // 3, label=style["label"])
    ax.set_yticks(range(len(items)), [label(item) for item in items])
    ax.set_ylim(len(items) - 0.5, -0.5)
    return ax


def _style(name, style, n):
    """Return line keywords: the colour, dash and label with n that belong to `name`; `style` overrides them."""
    known = DETECTORS | METHODS | GENERATORS | OUTCOMES | TRAININGS | VERDICTS
    base = {"color": known.get(name, "0.35"), "linestyle": STYLES.get(name, "-")}
    if name is not None:
        base["label"] = label(name) if n is None else f"{label(name)} (n = {n})"
    return base | style


def _check(first, second):
    """Raise ValueError unless both are one-dimensional, as long as each other and not empty."""
    if first.ndim != 1 or first.shape != second.shape or not first.size:
        raise ValueError(f"two arrays (N,) with N >= 1 are needed, not {first.shape} and {second.shape}")
