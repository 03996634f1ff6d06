"""One video, several detectors: their answers, the evidence, and their error rates."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from deepfake_uncertainty import files
from deepfake_uncertainty.datasets import leakage, tracks, video
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.detectors.base import evenly_spaced
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.evaluation import decide, metric_tables, metrics
from deepfake_uncertainty.report import plotting
from deepfake_uncertainty.study.your_video import analysis, explain, familiarity_check
from deepfake_uncertainty.study.your_video.report import Report
from deepfake_uncertainty.training import predict
from deepfake_uncertainty.training.config import Run

SWAY = 4, 3  # px, the largest horizontal and vertical shift of a swaying photograph


def example_video(index: pd.DataFrame) -> Any:
    """Return the row of `index` of the example video: the test fake whose name has the least hash.

    Raises InputError without a fake in the test split.
    """
    fakes = index[(index["split"] == "test") & (index["generator"] != "real")]
    if fakes.empty:
        raise InputError(
            "the index has no fake in its test split to take as an example: give a video"
        )
    return min(
        fakes.itertuples(),
        key=lambda row: files.digest([getattr(row, name) for name in leakage.KEY]),
    )


def analyze_with_each(
    path: str | Path, detectors: Iterable[str], method: str, profile: str, alpha: float
) -> tuple[dict[str, Report], dict[str, str]]:
    """Return ({detector: Report of the video}, {detector: why it cannot read the video}).

    Raises InputError when no detector can read it, and for unknown names.
    """
    reports, unable = {}, {}
    for name in detectors:
        predict.check_names(name, method)
        try:
            reports[name] = analysis.analyze(path, name, method, profile, alpha)
        except InputError as error:
            unable[name] = str(error)
    if not reports:
        raise InputError(next(iter(unable.values()), "no detector given: name at least one"))
    return reports, unable


def report_table(reports: dict[str, Report]) -> pd.DataFrame:
    """Return a frame of text with one row per detector of {detector: Report}.

    The columns are the decision, P(fake) with its spread, each measure with its percentile, and the
    result of the familiarity check.
    """
    rows = {}
    for name, report in reports.items():
        low, high = report.spread
        row = {
            "decision": report.decision,
            "P(fake) [90 % of samples]": f"{report.p_fake:.2f} [{low:.2f}, {high:.2f}]",
        }
        for measure, known in report.measures.iterrows():
            row[f"{measure} (nats; percentile)"] = f"{known.value:.3f}; {known.percentile:.0f}"
        guard = report.familiarity
        familiar = "yes" if guard.familiar else "NO"
        row["like what it knows?"] = f"{familiar} (p = {guard.p_value:.2f})"
        rows[plotting.label(name)] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def _share(
    flags: Sequence[bool] | np.ndarray, rows: pd.DataFrame, seed: int, n_boot: int
) -> tuple[float, float, float]:
    """Return value, low, high of the share of `flags` (N,), bootstrap over the identities."""
    drawn = metric_tables.cluster_resamples(rows, seed, n_boot)
    return metric_tables.interval(metrics.mean(flags, drawn))


def test_error_rates(
    index: pd.DataFrame, detectors: Iterable[str], method: str, run: Run, alpha: float, n_boot: int
) -> pd.DataFrame:
    """Return how often the answers of `analyze` to the test videos of `index` would be wrong.

    The index levels are detector and metric; the columns are value, low, high (95 % interval,
    bootstrap over identities) and n. The metrics are shares of the videos: error (decided wrongly;
    in all, of real and of fake videos), decided, and unlike (refused as unfamiliar, all of them
    false alarms).
    """
    parts = {}
    for name in detectors:
        samples = predict.samples_for(name, method, index, run)
        known, known_rows = metric_tables.by_video(*samples.of_split("val"))
        rule = decide.calibrate(known.mean(0)[:, 1], known_rows["label"].to_numpy(), alpha)
        tested, rows = metric_tables.by_video(*samples.of_split("test"))
        unlike = _unlike(familiarity_check.Guard(name, index, run), index, rows)
        decided = decide.decide(tested.mean(0)[:, 1], rule)
        decisions = np.where(unlike, decide.CANNOT_TELL, decided)
        parts[name] = _outcomes(decisions, unlike, rows, run.seed, n_boot)
    return pd.concat(parts, names=["detector", "metric"])


def _unlike(guard: familiarity_check.Guard, index: pd.DataFrame, rows: pd.DataFrame) -> np.ndarray:
    """Return for each of `rows`, test videos of `index`, whether it is unlike the known ones."""
    videos = index[index["split"] == "test"]
    judged = guard.judge_all(videos)
    keys = pd.MultiIndex.from_frame(videos.loc[judged.index, leakage.KEY])
    unlike = judged.set_index(keys)["unlike"]
    return unlike[pd.MultiIndex.from_frame(rows[leakage.KEY])].to_numpy()


def _outcomes(
    decisions: np.ndarray, unlike: np.ndarray, rows: pd.DataFrame, seed: int, n_boot: int
) -> pd.DataFrame:
    """Return the metrics of `test_error_rates` of one detector, of decisions on videos (V,)."""
    truth = np.where(rows["label"] == 1, decide.FAKE, decide.REAL)
    decided = decisions != decide.CANNOT_TELL
    wrong, everything = decided & (decisions != truth), np.ones(len(rows), bool)
    metric_flags = {
        "error": (wrong, everything),
        "error, real": (wrong, truth == decide.REAL),
        "error, fake": (wrong, truth == decide.FAKE),
        "decided": (decided, everything),
        "unlike": (unlike, everything),
    }
    table = {}
    for name, (flags, chosen) in metric_flags.items():
        chosen_rows = rows[chosen].reset_index(drop=True)
        table[name] = [*_share(flags[chosen], chosen_rows, seed, n_boot), chosen.sum()]
    return pd.DataFrame.from_dict(table, orient="index", columns=["value", "low", "high", "n"])


def draw_face_strip(ax: Axes, path: str | Path, n: int = 8) -> Axes:
    """Draw `n` aligned faces of a video, evenly spaced in time, with their times; return `ax`."""
    track = tracks.load(path)
    chosen = evenly_spaced(len(track.crops), n)
    size = track.crops.shape[2]
    ax.imshow(np.concatenate(list(track.crops[chosen]), 1))
    ax.set_xticks((np.arange(len(chosen)) + 0.5) * size, [f"{track.times[i]:.1f}" for i in chosen])
    ax.set(yticks=[], xlabel="time (s)")
    ax.grid(False)
    return ax


def draw_timeline(ax: Axes, report: Report) -> Axes:
    """Draw P(fake) per window, its mean and the range where the rule cannot tell; return `ax`."""
    rule, rows, color = report.rule, report.windows, plotting.color(report.detector)
    low, high = sorted((min(max(rule.fakes_above, 0), 1), min(max(rule.reals_below, 0), 1)))
    ax.axhspan(low, high, color="0.88", label="mean here: cannot tell")
    label = f"P(fake) (n = {len(rows)})"
    ax.plot(rows.start, rows.p_fake, "o-", color=color, markersize=3, label=label)
    label = f"mean {report.p_fake:.2f}"
    ax.axhline(report.p_fake, color="0.2", linestyle="--", linewidth=1, label=label)
    unlike = "" if report.familiarity.familiar else ", unlike what it knows"
    single = registry.get(report.detector).window == 1
    ax.set(
        ylim=(-0.03, 1.03),
        xlim=(0, report.seconds),
        ylabel="P(fake)",
        xlabel="time (s)" if single else "start of the window (s)",
        title=f"{plotting.label(report.detector)}: {report.decision}{unlike}",
    )
    ax.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.28), ncols=3, columnspacing=1, handlelength=1.5
    )
    return ax


def draw_evidence(axes: Sequence[Axes], report: Report) -> Sequence[Axes]:
    """Draw the evidence of a Report on three axes; return `axes`.

    They show the most suspicious input, the sensitivity of its uncertainty, and P(fake) with each
    region hidden.
    """
    seen, sensitive, hidden = axes
    window, worst = registry.get(report.detector).window, report.windows.iloc[report.worst]
    aspect: Any = "auto" if window > 1 else "equal"
    picture = report.x.transpose(1, 2, 0) if len(report.x) == 3 else report.x[0]
    seen.imshow(picture, cmap="viridis", vmin=0, vmax=1, aspect=aspect)
    what = "input" if window == 1 else f"map of {window} frames"
    seen.set_title(f"{plotting.label(report.detector)}: {what}")
    seen.set_xlabel(f"from {worst.start:.1f} s, P(fake) {worst.p_fake:.2f}")
    sensitive.imshow(report.sensitive, cmap="magma", aspect=aspect)
    sensitive.set_title("gradient of H(p)")
    sensitive.set_xlabel(f"largest {report.sensitive.max():.2g} nats")
    for ax in (seen, sensitive):
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
    _draw_hidden_regions(hidden, report)
    return axes


def _draw_hidden_regions(ax: Axes, report: Report) -> None:
    table, whole = report.regions.drop(explain.WHOLE), report.regions.loc[explain.WHOLE, "p_fake"]
    color = plotting.color(report.detector)
    ax.barh(range(len(table)), table["p_fake"], color=color, height=0.7)
    ax.axvline(whole, color="0.2", linestyle="--", linewidth=1)
    ax.set_yticks(range(len(table)), table.index)
    ax.set(xlim=(0, 1.02), ylim=(len(table) - 0.4, -0.6))
    ax.set(xlabel="P(fake), region hidden", title="dashed: nothing hidden")


def write_swaying_photo(
    path: str | Path, picture: np.ndarray, n_frames: int = 100, fps: float = 25.0
) -> None:
    """Write a video of a photograph uint8 (H, W, 3) that sways, as by a hand-held camera."""
    size = picture.shape[1] // 2 * 2, picture.shape[0] // 2 * 2
    frames = []
    for i in range(n_frames):
        dx, dy = SWAY[0] * np.sin(i / 9), SWAY[1] * np.cos(i / 7)
        shift = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
        frames.append(cv2.warpAffine(picture, shift, size, borderMode=cv2.BORDER_REFLECT))
    video.encode(path, np.stack(frames), fps)
