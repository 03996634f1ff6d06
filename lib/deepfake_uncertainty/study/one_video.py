"""One video before several detectors: what each says, what that rests on, and how such answers fared on the test videos."""

import cv2
import numpy as np
import pandas as pd

from deepfake_uncertainty import files, plotting
from deepfake_uncertainty.datasets import leakage, tracks, video
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.detectors.base import evenly_spaced
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import analysis, comparison, decide, evaluate, explain, ood, predict

SWAY = 4, 3  # px to the sides and up and down, of a photograph that is made to move


def choose(index):
    """Return the row of the example: of the fakes of the test split, the one whose name has the smallest hash."""
    fakes = index[(index["split"] == "test") & (index["generator"] != "real")]
    if fakes.empty:
        raise InputError("the index has no fake in its test split to take as an example: give a video")
    return min(fakes.itertuples(), key=lambda row: files.digest([getattr(row, name) for name in leakage.KEY]))


def reports(path, detectors, method, profile, alpha):
    """Return ({detector: Report of the video}, {detector: why it cannot read the video}); InputError when none can."""
    found, unable = {}, {}
    for name in detectors:
        predict.check(name, method)
        try:
            found[name] = analysis.analyze(path, name, method, profile, alpha)
        except InputError as error:
            unable[name] = str(error)
    if not found:
        raise InputError(next(iter(unable.values()), "no detector asked: name at least one"))
    return found, unable


def side_by_side(found):
    """Return a frame of text, one row a detector: decision, P(fake) with its spread, measures with percentiles, the guard."""
    rows = {}
    for name, report in found.items():
        low, high = report.spread
        row = {"decision": report.decision, "P(fake) [90 % of samples]": f"{report.p_fake:.2f} [{low:.2f}, {high:.2f}]"}
        for measure, known in report.measures.iterrows():
            row[f"{measure} (nats; percentile)"] = f"{known.value:.3f}; {known.percentile:.0f}"
        guard = report.familiarity
        row["like what it knows?"] = f"{'yes' if guard.familiar else 'NO'} (p = {guard.p_value:.2f})"
        rows[plotting.label(name)] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def _share(flags, rows, seed, n_boot):
    """Return value, low, high of the share of `flags` (N,), bootstrap over the identities of `rows`."""
    weights = np.vstack([np.ones(len(rows)), evaluate.resamples(rows, seed, n_boot)])
    return evaluate.interval(weights @ np.asarray(flags, float) / weights.sum(1))


def track_record(index, detectors, method, seed, T, alpha, n_boot):
    """Return a frame of what `analyze` would have answered to the test videos: levels detector, metric; value, low, high, n.

    Metrics, as shares of the videos: `error` named wrongly, by class and in all; `decided` named at all; `unlike` refused by
    the guard, all of them false alarms. The intervals (95 %) are a bootstrap over identities.
    """
    parts = {}
    for name in detectors:
        samples = predict.samples_for(name, method, index, seed, T)
        known, its = evaluate.by_video(*comparison.of_split(samples, "val"))
        rule = decide.calibrate(known.mean(0)[:, 1], its["label"].to_numpy(), alpha)
        tested, rows = evaluate.by_video(*comparison.of_split(samples, "test"))
        videos = index[index["split"] == "test"]
        guard = ood.Guard(name, index, seed).judge_all(videos)
        unlike = guard.set_index(pd.MultiIndex.from_frame(videos.loc[guard.index, leakage.KEY]))["unlike"]
        unlike = unlike[pd.MultiIndex.from_frame(rows[leakage.KEY])].to_numpy()
        said = np.where(unlike, decide.CANNOT_TELL, decide.decide(tested.mean(0)[:, 1], rule))
        parts[name] = _outcomes(said, unlike, rows, seed, n_boot)
    return pd.concat(parts, names=["detector", "metric"])


def _outcomes(said, unlike, rows, seed, n_boot):
    truth = np.where(rows["label"] == 1, decide.FAKE, decide.REAL)
    decided = said != decide.CANNOT_TELL
    wrong, everything = decided & (said != truth), np.ones(len(rows), bool)
    asked = {"error": (wrong, everything), "error, real": (wrong, truth == decide.REAL),
             "error, fake": (wrong, truth == decide.FAKE), "decided": (decided, everything),
             "unlike": (unlike, everything)}  # fmt: skip
    found = {name: [*_share(flags[chosen], rows[chosen].reset_index(drop=True), seed, n_boot), chosen.sum()]
             for name, (flags, chosen) in asked.items()}  # fmt: skip
    return pd.DataFrame.from_dict(found, orient="index", columns=["value", "low", "high", "n"])


def strip(ax, path, n=8):
    """Draw `n` of the aligned faces of a video, from its first part to its last, with their times; return `ax`."""
    track = tracks.load(path)
    chosen = evenly_spaced(len(track.crops), n)
    size = track.crops.shape[2]
    ax.imshow(np.concatenate(list(track.crops[chosen]), 1))
    ax.set_xticks((np.arange(len(chosen)) + 0.5) * size, [f"{track.times[i]:.1f}" for i in chosen])
    ax.set(yticks=[], xlabel="time (s)")
    ax.grid(False)
    return ax


def timeline(ax, report):
    """Draw P(fake) window by window, its mean over the clip and where that cannot tell; return `ax`."""
    rule, rows, color = report.rule, report.windows, plotting.color(report.detector)
    low, high = sorted((min(max(rule.fakes_above, 0), 1), min(max(rule.reals_below, 0), 1)))
    ax.axhspan(low, high, color="0.88", label="mean here: cannot tell")
    ax.plot(rows.start, rows.p_fake, "o-", color=color, markersize=3, label=f"P(fake) (n = {len(rows)})")
    ax.axhline(report.p_fake, color="0.2", linestyle="--", linewidth=1, label=f"mean {report.p_fake:.2f}")
    unlike = "" if report.familiarity.familiar else ", unlike what it knows"
    single = registry.get(report.detector).window == 1
    ax.set(ylim=(-0.03, 1.03), xlim=(0, report.seconds), ylabel="P(fake)",
           xlabel="time (s)" if single else "start of the window (s)",
           title=f"{plotting.label(report.detector)}: {report.decision}{unlike}")  # fmt: skip
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.28), ncols=3, columnspacing=1, handlelength=1.5)
    return ax


def evidence(axes, report):
    """Draw on three axes the most suspicious input, where its uncertainty is sensitive, and P(fake) with each region hidden."""
    seen, sensitive, hidden = axes
    window, worst = registry.get(report.detector).window, report.windows.iloc[report.worst]
    picture = report.x.transpose(1, 2, 0) if len(report.x) == 3 else report.x[0]
    seen.imshow(picture, cmap="viridis", vmin=0, vmax=1, aspect="auto" if window > 1 else "equal")
    what = "input" if window == 1 else f"map of {window} frames"
    seen.set(title=f"{plotting.label(report.detector)}: {what}", xlabel=f"from {worst.start:.1f} s, P(fake) {worst.p_fake:.2f}")
    sensitive.imshow(report.sensitive, cmap="magma", aspect="auto" if window > 1 else "equal")
    sensitive.set(title="gradient of H(p)", xlabel=f"largest {report.sensitive.max():.2g} nats")
    for ax in (seen, sensitive):
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
    table = report.regions.drop(explain.WHOLE)
    hidden.barh(range(len(table)), table["p_fake"], color=plotting.color(report.detector), height=0.7)
    hidden.axvline(report.regions.loc[explain.WHOLE, "p_fake"], color="0.2", linestyle="--", linewidth=1)
    hidden.set_yticks(range(len(table)), table.index)
    hidden.set(xlim=(0, 1.02), xlabel="P(fake), region hidden", title="dashed: nothing hidden", ylim=(len(table) - 0.4, -0.6))
    return axes


def photograph_clip(path, picture, n_frames=100, fps=25.0):
    """Write a video of a photograph uint8 (H, W, 3) that sways by a few pixels, as a hand-held camera would show it."""
    height, width = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2
    shifts = [np.float32([[1, 0, SWAY[0] * np.sin(i / 9)], [0, 1, SWAY[1] * np.cos(i / 7)]]) for i in range(n_frames)]
    frames = [cv2.warpAffine(picture, shift, (width, height), borderMode=cv2.BORDER_REFLECT) for shift in shifts]
    video.encode(path, np.stack(frames), fps)
