"""One video in, one answer out: probability of fake in each window, how uncertain it is, and a decision."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from deepfake_uncertainty import plotting, results
from deepfake_uncertainty.datasets import regions, tracks, video
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.detectors.base import evenly_spaced
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.files import whole
from deepfake_uncertainty.study import comparison, decide, evaluate, predict, profiles

A_SECOND = 4  # windows analyzed in a second of video
SHOWN = 16  # windows in the printed table
NOTABLE = 0.05  # a region is named when hiding it lowers P(fake) by this much
MAX_NATS = np.log(2)  # two classes
RED, BLUE = plotting.OUTCOMES["wrong"], plotting.GENERATORS["Face2Face"]


@dataclass(frozen=True)
class Report:
    """What `analyze` found: one row a window (start in s, p_fake, total and epistemic in nats), the decision, its rule.

    `worst` is the row of highest p_fake, `crop` its face uint8 (S, S, 3), `region` the part of the face whose hiding lowers
    p_fake there most, to `hidden_p_fake`, and `mask` bool (S, S) where it lies; None when no part lowers it by 0.05.
    `p_fake` is the mean over as many inputs as the rule was calibrated on, `seconds` the length of the video, `seen` the
    split, train or val, that the video itself is in, else None.
    """

    video: str
    seconds: float
    detector: str
    method: str
    windows: pd.DataFrame
    p_fake: float
    decision: str
    rule: decide.Rule
    trained_on: str
    n_faces: int
    worst: int
    region: str | None
    hidden_p_fake: float | None
    mask: np.ndarray | None
    crop: np.ndarray
    seen: str | None = None

    def as_json(self):
        """Return the report, but for the picture, as JSON types; infinite thresholds of the rule are None."""
        content = {name: value for name, value in vars(self).items() if name not in ("crop", "mask")}
        return results.plain(content | {"rule": vars(self.rule), "windows": self.windows.to_dict("records")})

    def text(self):
        """Return the report for a reader: the answer, what it rests on, and a table of at most 17 windows."""
        worst, rule = self.windows.iloc[self.worst], self.rule
        kind = ("frame" if registry.get(self.detector).window == 1 else "window") + "s" * (len(self.windows) > 1)
        lines = [
            f"{self.video}: {self.decision.upper()}, P(fake) {self.p_fake:.2f} over the clip; {len(self.windows)} {kind} "
            f"by {registry.get(self.detector).label}, {plotting.label(self.method)}",
            f"rule: at most {100 * rule.alpha:g} % of real and of fake videos named wrongly, thresholds from {rule.n_real} real "
            f"and {rule.n_fake} fake videos like those trained on; in doubt it says 'cannot tell'",
            f"trained on {self.trained_on}: no evidence about footage unlike it",
            f"most suspicious: {worst.start:.1f} s, P(fake) {worst.p_fake:.2f}" + self._because(),
        ]
        if self.n_faces > 1:
            lines.insert(1, f"{self.n_faces} faces where one is first seen: the largest was analyzed")
        if self.seen:
            lines.insert(1, f"no fair trial: this video is of the {self.seen} split, which made the detector or its rule")
        return "\n".join([*lines, self._table()])

    def _because(self):
        if self.region:
            return f"; with the {self.region} hidden {self.hidden_p_fake:.2f}"
        return "; no single region explains it"

    def _table(self):
        shown = sorted({*evenly_spaced(len(self.windows), SHOWN), self.worst})
        table = self.windows.iloc[shown].set_axis(["start (s)", "P(fake)", "total (nats)", "epistemic (nats)"], axis=1)
        note = f"\n{len(shown)} of {len(self.windows)} shown" if len(shown) < len(self.windows) else ""
        return table.to_string(index=False, float_format="{:.2f}".format) + note


def analyze(path, detector, method, profile="quick", alpha=0.1):
    """Return the Report of a video file; detector and decision rule are trained and calibrated on the data of `profile`.

    Raises InputError for an unreadable video, one without a face, or one shorter than the detector's window, for unknown
    names, and unless 0 < alpha < 1.
    """
    spec, sizes, recipe = registry.get(detector), profiles.get(profile), registry.recipe(detector, profile)
    predict.check(detector, method)
    decide.check_alpha(alpha)
    video.header(path)
    index, _ = profiles.videos(profile)
    # All that can be wrong with the video is told before minutes of training.
    track = tracks.load(path)
    try:
        x, starts = spec.inputs(track, max(recipe.samples_a_video, int(A_SECOND * track.times[-1])))
        # The rule was calibrated on so many inputs a video: a mean over more would spread less than it allows for.
        judged, _ = spec.inputs(track, recipe.samples_a_video)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    settings = predict.Settings(recipe=recipe)
    rule = _rule(predict.samples_for(detector, method, index, sizes.seed, sizes.samples, settings=settings), alpha)
    model = predict.fitted(detector, method, index, sizes.seed, settings)
    probabilities = model.sample(x, sizes.samples)
    found = evaluate.scores(probabilities)
    windows = pd.DataFrame({"start": track.times[starts], "p_fake": probabilities.mean(0)[:, 1],
                            "total": found["total"], "epistemic": found["epistemic"]})  # fmt: skip
    worst = int(windows["p_fake"].to_numpy().argmax())
    part = _part(track, int(starts[worst]), spec.window)
    region, hidden = _region(part, spec, model, sizes.samples)
    mask = regions.region_mask(part.crop_landmarks[0], region, part.crops.shape[1]) if region else None
    p_fake = float(model.sample(judged, sizes.samples).mean((0, 1))[1])
    return Report(Path(path).name, float(track.times[-1] + 1 / track.fps), detector, method, windows, p_fake,
                  str(decide.decide([p_fake], rule)[0]), rule, _trained_on(index), track.n_faces, worst, region, hidden,
                  mask, part.crops[0], _split(path, index))  # fmt: skip


def _trained_on(index):
    training = index[index["split"] == "train"]
    families = ", ".join(sorted(set(training["generator"]) - {"real"}))
    return f"{training['identity'].nunique()} identities of {training['dataset'].iloc[0]} (real, {families})"


def _split(path, index):
    """Return 'train' or 'val' when the video itself is in that split, else None."""
    own = index[[os.path.realpath(known) == os.path.realpath(path) for known in index["path"]]]["split"]
    return next((name for name in own if name != "test"), None)


def _rule(samples, alpha):
    probabilities, index = evaluate.by_video(*comparison.of_split(samples, "val"))
    return decide.calibrate(probabilities.mean(0)[:, 1], index["label"].to_numpy(), alpha)


def _part(track, start, length):
    """Return the frames [start, start + length) of a track, as a track."""
    part = slice(start, start + length)
    return replace(track, crops=np.array(track.crops[part]), landmarks=track.landmarks[part],
                   matrices=track.matrices[part], times=track.times[part])  # fmt: skip


def _hidden(track, region):
    """Return a track in which `region` of each face has the mean colour of its crop."""
    crops = track.crops.copy()
    for crop, points in zip(crops, track.crop_landmarks, strict=True):
        crop[regions.region_mask(points, region, crop.shape[0])] = crop.mean((0, 1)).astype(np.uint8)
    return replace(track, crops=crops)


def _region(track, spec, model, T):
    """Return (region, P(fake) without it) of the region whose hiding in one window lowers P(fake) most; None, None if none."""
    versions = [track, *(_hidden(track, name) for name in regions.REGIONS)]
    x = np.concatenate([spec.inputs(version, 1)[0] for version in versions])
    p_fake = model.sample(x, T).mean(0)[:, 1]
    least = int(p_fake.argmin())
    return (list(regions.REGIONS)[least - 1], float(p_fake[least])) if p_fake[0] - p_fake[least] >= NOTABLE else (None, None)


def check_figure(path):
    """Raise InputError unless matplotlib writes the format that the name of `path` ends in."""
    if Path(path).suffix.lower() not in {".png", ".pdf", ".svg"}:
        raise InputError(f"figure '{path}': give a name that ends in .png, .pdf or .svg")


def _draw_face(axes, report):
    worst = report.windows.iloc[report.worst]
    axes.imshow(report.crop)
    if report.region:
        axes.contour(report.mask, [0.5], colors=[RED], linewidths=1.5)
    axes.set(xticks=[], yticks=[], title=f"{worst.start:.1f} s, P(fake) {worst.p_fake:.2f}")
    axes.set_xlabel(f"{report.region} hidden: {report.hidden_p_fake:.2f}" if report.region else "no region alone")


def draw(report, path):
    """Write the figure of a Report: timeline of P(fake) and of uncertainty, and the face of the worst window."""
    check_figure(path)
    plotting.use_style()
    figure, (top, low, face) = plt.subplots(1, 3, figsize=(9, 2.9), width_ratios=(3, 3, 1.7), layout="constrained")
    rows, rule, marker = report.windows, report.rule, "o" if len(report.windows) < 40 else None
    worst = rows.iloc[report.worst]
    top.axhspan(max(rule.fakes_above, 0), min(rule.reals_below, 1), color="0.9", label="over the clip here: cannot tell")
    top.plot(rows.start, rows.p_fake, marker=marker, color=BLUE, markersize=3, label=f"P(fake) (n = {len(rows)})")
    top.axhline(report.p_fake, color="0.3", linestyle="--", linewidth=1, label=f"over the clip {report.p_fake:.2f}")
    top.plot(worst.start, worst.p_fake, "o", color=RED, label="most suspicious")
    top.set(ylabel="P(fake)", ylim=(-0.03, 1.03), title=f"decision: {report.decision}")
    epistemic = "epistemic (0 by one sample)" if report.method == "deterministic" else "epistemic"
    low.plot(rows.start, rows.total, color="0.2", marker=marker, markersize=3, label="total")
    low.plot(rows.start, rows.epistemic, "--", color=RED, marker=marker, markersize=3, label=epistemic)
    low.set(ylabel="uncertainty (nats)", ylim=(-0.02, MAX_NATS + 0.02), title=f"{plotting.label(report.method)}")
    single = registry.get(report.detector).window == 1
    for axes in (top, low):
        axes.set(xlabel="time (s)" if single else "start of the window (s)", xlim=(-0.02 * report.seconds, report.seconds))
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, frameon=False)
    _draw_face(face, report)
    try:
        with whole(path) as temporary:
            figure.savefig(temporary)
    finally:
        plt.close(figure)
