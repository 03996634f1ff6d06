"""The figure of a Report: P(fake) and uncertainty over time, and the most suspicious face."""

import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.files import atomic_path
from deepfake_uncertainty.report import plotting
from deepfake_uncertainty.study.your_video.report import Report

MAX_NATS = np.log(2)  # two classes
RED, BLUE = plotting.OUTCOMES["wrong"], "#0B77A8"


def check_figure(path: str | Path) -> None:
    """Raise InputError unless `path` ends in a format that `draw` writes."""
    if Path(path).suffix.lower() not in {".png", ".pdf", ".svg"}:
        raise InputError(f"figure '{path}': give a name that ends in .png, .pdf or .svg")


def draw(report: Report, path: str | Path) -> None:
    """Write the figure of a Report: P(fake), uncertainty, and the face of the worst window.

    Raises InputError for a format that is not written.
    """
    check_figure(path)
    plotting.use_style()
    figure, (top, low, face) = plt.subplots(
        1, 3, figsize=(9, 3.3), width_ratios=(3, 3, 1.7), layout="constrained"
    )
    marker = "o" if len(report.windows) < 40 else None
    _draw_p_fake(top, report, marker)
    _draw_uncertainty(low, report, marker)
    single = registry.get(report.detector).window == 1
    for axes in (top, low):
        axes.set(
            xlabel="time (s)" if single else "start of the window (s)",
            xlim=(-0.02 * report.seconds, report.seconds),
        )
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, frameon=False)
    _draw_face(face, report)
    title = textwrap.fill(report.familiarity.text(), 110)
    figure.suptitle(title, color="0.2" if report.familiarity.familiar else RED)
    try:
        with atomic_path(path) as temporary:
            figure.savefig(temporary)
    finally:
        plt.close(figure)


def _draw_p_fake(axes: Axes, report: Report, marker: str | None) -> None:
    rows, rule = report.windows, report.rule
    worst = rows.iloc[report.worst]
    low, high = max(rule.fakes_above, 0), min(rule.reals_below, 1)
    axes.axhspan(low, high, color="0.9", label="over the clip here: cannot tell")
    label = f"P(fake) (n = {len(rows)})"
    axes.plot(rows.start, rows.p_fake, marker=marker, color=BLUE, markersize=3, label=label)
    label = f"over the clip {report.p_fake:.2f}"
    axes.axhline(report.p_fake, color="0.3", linestyle="--", linewidth=1, label=label)
    axes.plot(worst.start, worst.p_fake, "o", color=RED, label="most suspicious")
    axes.set(ylabel="P(fake)", ylim=(-0.03, 1.03), title=f"decision: {report.decision}")


def _draw_uncertainty(axes: Axes, report: Report, marker: str | None) -> None:
    rows, title = report.windows, f"{plotting.label(report.method)}"
    label = "epistemic (0 by one sample)" if report.method == "deterministic" else "epistemic"
    axes.plot(rows.start, rows.total, color="0.2", marker=marker, markersize=3, label="total")
    axes.plot(rows.start, rows.epistemic, "--", color=RED, marker=marker, markersize=3, label=label)
    axes.set(ylabel="uncertainty (nats)", ylim=(-0.02, MAX_NATS + 0.02), title=title)


def _draw_face(axes: Axes, report: Report) -> None:
    worst = report.windows.iloc[report.worst]
    axes.imshow(report.crop)
    label = "no region alone"
    if report.mask is not None:
        axes.contour(report.mask, [0.5], colors=[RED], linewidths=1.5)
        label = f"{report.region} hidden: {report.hidden_p_fake:.2f}"
    axes.set(xticks=[], yticks=[], title=f"{worst.start:.1f} s, P(fake) {worst.p_fake:.2f}")
    axes.set_xlabel(label)
