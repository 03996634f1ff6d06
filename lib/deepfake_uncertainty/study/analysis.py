"""One video in, one answer out: probability of fake in each window, how uncertain it is, and a decision."""

import os
import textwrap
from dataclasses import dataclass
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
from deepfake_uncertainty.study import comparison, decide, evaluate, explain, ood, predict, profiles

A_SECOND = 4  # windows analyzed in a second of video
SHOWN = 16  # windows in the printed table
LEAST = 2  # frames of a video: a single one is a picture
TAIL = 5  # percent, of the samples' spread on either side
MAX_NATS = np.log(2)  # two classes
RED, BLUE = plotting.OUTCOMES["wrong"], plotting.GENERATORS["Face2Face"]


@dataclass(frozen=True)
class Report:
    """What `analyze` found: one row a window (start in s, p_fake, total and epistemic in nats), the decision, its rule.

    `worst` is the row of highest p_fake, `crop` its face uint8 (S, S, 3), `x` its input (C, H, W) and `sensitive` (H, W) the
    gradient of its uncertainty; `regions` is `explain.by_region` of it, `region` the part of the face whose hiding lowers
    p_fake there most, to `hidden_p_fake`, and `mask` bool (S, S) where it lies; None when no part lowers it by 0.05.
    `p_fake` is the mean over as many inputs as the rule was calibrated on and `spread` the middle 90 % of the samples of it;
    `measures` has the uncertainty of the video (value, nats) and its percentile among the validation videos. `seconds` is the
    length of the video, `seen` the split, train or val, that it is in, else None. `familiarity` says whether it is like the
    videos calibrated on: if not, the decision is "cannot tell", whatever p_fake is.
    """

    video: str
    seconds: float
    detector: str
    method: str
    windows: pd.DataFrame
    p_fake: float
    spread: tuple
    measures: pd.DataFrame
    decision: str
    rule: decide.Rule
    familiarity: ood.Familiarity
    trained_on: str
    n_faces: int
    worst: int
    regions: pd.DataFrame
    region: str | None
    hidden_p_fake: float | None
    mask: np.ndarray | None
    crop: np.ndarray
    x: np.ndarray
    sensitive: np.ndarray
    seen: str | None = None

    def as_json(self):
        """Return the report, but for the pictures, as JSON types; infinite thresholds of the rule are None."""
        content = {name: value for name, value in vars(self).items() if name not in ("crop", "mask", "x", "sensitive")}
        frames = {"windows": self.windows.to_dict("records"), "measures": self.measures.to_dict("index"),
                  "regions": self.regions.to_dict("index")}  # fmt: skip
        return results.plain(content | frames | {"rule": vars(self.rule), "familiarity": self.familiarity.as_json()})

    def text(self):
        """Return the report for a reader: the answer, what it rests on, and a table of at most 17 windows."""
        worst, rule = self.windows.iloc[self.worst], self.rule
        kind = ("frame" if registry.get(self.detector).window == 1 else "window") + "s" * (len(self.windows) > 1)
        lines = [
            f"{self.video}: {self.decision.upper()}, P(fake) {self.p_fake:.2f} over the clip; {len(self.windows)} {kind} "
            f"by {registry.get(self.detector).label}, {plotting.label(self.method)}",
            self.familiarity.text(),
            f"rule: at most {100 * rule.alpha:g} % of real and of fake videos named wrongly, thresholds from {rule.n_real} real "
            f"and {rule.n_fake} fake videos like those trained on; in doubt it says 'cannot tell'" + self._too_few(),
            f"trained on {self.trained_on}: no evidence about footage unlike it",
            f"most suspicious: {worst.start:.1f} s, P(fake) {worst.p_fake:.2f}" + self._because(),
        ]
        if self.n_faces > 1:
            lines.insert(1, f"{self.n_faces} faces where one is first seen: the largest was analyzed")
        if self.seen:
            lines.insert(1, f"no fair trial: this video is of the {self.seen} split, which made the detector or its rule")
        return "\n".join([*lines, self._table()])

    def _too_few(self):
        """An infinite threshold fits every video: its class can never be ruled out, so the other is never named."""
        least, rule = int(np.ceil(np.round(1 / self.rule.alpha - 1, 9))), self.rule
        sides = ((rule.reals_below, decide.FAKE, decide.REAL), (rule.fakes_above, decide.REAL, decide.FAKE))
        return "".join(f"; it never says '{name}': that takes {least} {other} videos at this rate"
                       for limit, name, other in sides if np.isinf(limit))  # fmt: skip

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

    Raises InputError for an unreadable video, a still picture, a video without a face, or one shorter than the detector's
    window, for unknown names, and unless 0 < alpha < 1.
    """
    spec, sizes, recipe = registry.get(detector), profiles.get(profile), registry.recipe(detector, profile)
    predict.check(detector, method)
    decide.check_alpha(alpha)
    index, _ = profiles.videos(profile)
    # All that can be wrong with the video is told before minutes of training.
    track, x, starts, judged = _usable(path, spec, recipe)
    settings = predict.Settings(recipe=recipe)
    samples = predict.samples_for(detector, method, index, sizes.seed, sizes.samples, settings=settings)
    known, labels = _validation(samples)
    rule = decide.calibrate(known.mean(0)[:, 1], labels, alpha)
    familiarity = ood.Guard(detector, index, sizes.seed).judge(track, judged)
    model = predict.fitted(detector, method, index, sizes.seed, settings)
    own = model.sample(judged, sizes.samples).mean(1, keepdims=True)
    p_fake = float(own.mean(0)[0, 1])
    decision = str(decide.decide([p_fake], rule)[0]) if familiarity.familiar else decide.CANNOT_TELL
    windows = _windows(model.sample(x, sizes.samples), track.times[starts])
    worst = int(windows["p_fake"].to_numpy().argmax())
    shown = explain.part(track, int(starts[worst]), spec.window)
    table = explain.by_region(shown, spec, model, sizes.samples)
    region, hidden = explain.decisive(table)
    mask = regions.region_mask(shown.crop_landmarks[0], region, shown.crops.shape[1]) if region else None
    plain = predict.fitted(detector, "deterministic", index, sizes.seed, settings)
    return Report(Path(path).name, float(track.times[-1] + 1 / track.fps), detector, method, windows, p_fake,
                  tuple(np.percentile(own[:, 0, 1], [TAIL, 100 - TAIL]).tolist()), _measures(own, known), decision, rule,
                  familiarity, _trained_on(index), track.n_faces, worst, table, region, hidden, mask, shown.crops[0], x[worst],
                  explain.sensitivity(plain.model, x[worst : worst + 1])[0], _split(path, index))  # fmt: skip


def _usable(path, spec, recipe):
    """Return the track, the inputs to show, the frames where they start, and the inputs to judge by."""
    video.header(path)
    track = tracks.load(path)
    if len(track.times) < LEAST:
        raise InputError(f"{path} is a still picture, one frame: give a video")
    try:
        x, starts = spec.inputs(track, max(recipe.samples_a_video, int(A_SECOND * track.times[-1])))
        # The rule was calibrated on so many inputs a video: a mean over more would spread less than it allows for.
        return track, x, starts, spec.inputs(track, recipe.samples_a_video)[0]
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _windows(probabilities, starts):
    found = evaluate.scores(probabilities)
    return pd.DataFrame({"start": starts, "p_fake": probabilities.mean(0)[:, 1], "total": found["total"],
                         "epistemic": found["epistemic"]})  # fmt: skip


def _validation(samples):
    """Return the samples (T, V, 2) of the validation videos and their labels (V,)."""
    probabilities, index = evaluate.by_video(*comparison.of_split(samples, "val"))
    return probabilities, index["label"].to_numpy()


def _measures(own, known):
    """Return a frame, one row a measure: the value (nats) of samples (T, 1, 2), its percentile among those of (T, V, 2)."""
    values, others = evaluate.scores(own), evaluate.scores(known)
    rows = {name: {"value": values[name][0], "percentile": 100 * np.mean(others[name] <= values[name][0])}
            for name in evaluate.SCORES[1:]}  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index")


def _trained_on(index):
    training = index[index["split"] == "train"]
    families = ", ".join(sorted(set(training["generator"]) - {"real"}))
    return f"{training['identity'].nunique()} identities of {training['dataset'].iloc[0]} (real, {families})"


def _split(path, index):
    """Return 'train' or 'val' when the video itself is in that split, else None."""
    own = index[[os.path.realpath(known) == os.path.realpath(path) for known in index["path"]]]["split"]
    return next((name for name in own if name != "test"), None)


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
    figure, (top, low, face) = plt.subplots(1, 3, figsize=(9, 3.3), width_ratios=(3, 3, 1.7), layout="constrained")
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
    figure.suptitle(textwrap.fill(report.familiarity.text(), 110), color="0.2" if report.familiarity.familiar else RED)
    try:
        with whole(path) as temporary:
            figure.savefig(temporary)
    finally:
        plt.close(figure)
