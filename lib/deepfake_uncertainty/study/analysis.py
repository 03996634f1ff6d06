"""One video in, one answer out: probability of fake in each window, how uncertain it is, and a decision."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from deepfake_uncertainty import plotting
from deepfake_uncertainty.datasets import faceforensics, regions, tracks, video
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.files import whole
from deepfake_uncertainty.study import comparison, decide, evaluate, predict, profiles


@dataclass(frozen=True)
class Report:
    """What `analyze` found: one row a window (start in s, p_fake, total and epistemic in nats), the decision, its rule."""

    video: str
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
    crop: np.ndarray

    def as_json(self):
        """Return the report as JSON types."""
        rule = {name: value if np.isfinite(value) else None for name, value in vars(self.rule).items()}
        return {"video": self.video, "detector": self.detector, "method": self.method, "p_fake": self.p_fake,
                "decision": self.decision, "rule": rule, "trained_on": self.trained_on, "faces": self.n_faces,
                "worst_window": self.worst, "worst_region": self.region,
                "windows": [{k: float(v) for k, v in row.items()} for row in self.windows.to_dict("records")]}  # fmt: skip

    def text(self):
        """Return the report for a reader, one fact a line."""
        worst = self.windows.iloc[self.worst]
        lines = [
            f"{self.video}: {self.decision.upper()} (mean P(fake) {self.p_fake:.2f}; error rate set to {self.rule.alpha:g})",
            f"{len(self.windows)} windows by {registry.get(self.detector).label}, {plotting.label(self.method)}",
            f"most suspicious: {worst.start:.1f} s, P(fake) {worst.p_fake:.2f}, total {worst.total:.2f} nats, "
            f"epistemic {worst.epistemic:.2f} nats" + (f", region: {self.region}" if self.region else ""),
            f"trained on {self.trained_on}. This is no evidence about footage unlike it; 'cannot tell' is an answer.",
        ]
        if self.n_faces > 1:
            lines.insert(1, f"{self.n_faces} faces in the first frame with a face: the largest was analyzed")
        return "\n".join(lines)


def analyze(path, detector, method, profile="quick", alpha=0.1):
    """Return the Report of a video file; detector and decision rule are trained and calibrated on the data of `profile`.

    Raises InputError for an unreadable video, one without a face, or one shorter than the detector's window.
    """
    video.header(path)  # a bad path is told before minutes of training
    sizes = profiles.get(profile)
    root = profiles.root(profile)
    index, _ = faceforensics.index(root)
    spec = registry.get(detector)
    track = tracks.load(path)
    x, starts = spec.inputs(track, max(spec.recipe.samples_a_video, int(4 * track.times[-1])))
    samples = predict.samples_for(detector, method, index, sizes.seed, sizes.samples)
    rule = _rule(comparison.of_split(samples, "val"), alpha)
    sample = predict.sampler(detector, method, index, sizes.seed)
    probabilities = sample(x, sizes.samples)
    found = evaluate.scores(probabilities)
    windows = pd.DataFrame({"start": track.times[starts], "p_fake": probabilities.mean(0)[:, 1],
                            "total": found["total"], "epistemic": found["epistemic"]})  # fmt: skip
    worst = int(windows["p_fake"].to_numpy().argmax())
    frame = int(starts[worst])
    region = _region(track, frame, spec, sample, sizes.samples) if spec.window == 1 else None
    p_fake = float(windows["p_fake"].mean())
    return Report(Path(path).name, detector, method, windows, p_fake, str(decide.decide([p_fake], rule)[0]), rule,
                  _trained_on(index), track.n_faces, worst, region, np.array(track.crops[frame]))  # fmt: skip


def _trained_on(index):
    training = index[index["split"] == "train"]
    families = ", ".join(sorted(set(training["generator"]) - {"real"}))
    return f"{training['identity'].nunique()} identities of {training['dataset'].iloc[0]} ({families})"


def _rule(samples, alpha):
    probabilities, index = evaluate.by_video(*samples)
    return decide.calibrate(probabilities.mean(0)[:, 1], index["label"].to_numpy(), alpha)


def _region(track, frame, spec, sample, T):
    """Return the face region whose hiding (with the mean colour of the face) lowers P(fake) most."""
    crop, points = np.array(track.crops[frame]), track.crop_landmarks[frame]
    hidden = [crop]
    for name in regions.REGIONS:
        hidden.append(crop.copy())
        hidden[-1][regions.region_mask(points, name, crop.shape[0])] = crop.mean((0, 1)).astype(np.uint8)
    # Only the crops are read by a detector of single frames.
    x, _ = spec.inputs(type("Frames", (), {"crops": np.stack(hidden)}), len(hidden))
    p_fake = sample(x, T).mean(0)[:, 1]
    return list(regions.REGIONS)[int(np.argmax(p_fake[0] - p_fake[1:]))]


def draw(report, path):
    """Write the figure of a Report: timeline of P(fake) and uncertainty, and the face of the worst window."""
    if Path(path).suffix.lower() not in {".png", ".pdf", ".svg"}:
        raise InputError(f"figure '{path}': give a name that ends in .png, .pdf or .svg")
    plotting.use_style()
    figure, (top, low, face) = plt.subplots(1, 3, figsize=(9, 2.6), width_ratios=(3, 3, 1.6), layout="constrained")
    rows = report.windows
    top.plot(rows.start, rows.p_fake, "o-", color="#0072B2", markersize=3)
    top.plot(rows.start[report.worst], rows.p_fake[report.worst], "o", color="#A63A00", label="most suspicious")
    top.axhspan(max(report.rule.fakes_above, 0), min(report.rule.reals_below, 1), color="0.9", label="cannot tell")
    top.set(xlabel="time (s)", ylabel="P(fake)", ylim=(0, 1), title=f"{report.decision} (mean {report.p_fake:.2f})")
    low.plot(rows.start, rows.total, color="#333333", label="total")
    low.plot(rows.start, rows.epistemic, "--", color="#A63A00", label="epistemic")
    low.set(xlabel="time (s)", ylabel="uncertainty (nats)", ylim=(0, 0.72))
    for axes in (top, low):
        axes.legend(loc="best")
    face.imshow(report.crop)
    face.set(xticks=[], yticks=[], title=f"{rows.start[report.worst]:.1f} s" + (f": {report.region}" if report.region else ""))
    with whole(path) as temporary:
        figure.savefig(temporary)
    plt.close(figure)
