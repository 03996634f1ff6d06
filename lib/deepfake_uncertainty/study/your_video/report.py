"""The report on one video: what `analysis.analyze` returns, as text and as JSON."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.detectors.base import evenly_spaced
from deepfake_uncertainty.evaluation import decide
from deepfake_uncertainty.report import plotting, results
from deepfake_uncertainty.study.your_video import familiarity_check

TABLE_ROWS = 16  # windows in the printed table, besides the most suspicious one
ARRAYS = "crop", "mask", "x", "sensitive"


@dataclass(frozen=True)
class Report:
    """The answer on one video, and what it rests on.

    video: the name of the file; seconds: its length; n_faces: faces in the first frame with one.
    detector, method: registry names; trained_on: the training data in words.
    windows: one row per window; columns start (s), p_fake, total and epistemic (nats).
    p_fake: the mean over as many inputs as the rule was calibrated on.
    spread: (low, high), the middle 90 % of the samples of p_fake.
    measures: one row per uncertainty measure of the video; columns value (nats) and percentile
    (among the validation videos).
    decision: by `rule`; "cannot tell" whenever `familiarity` says that the video is unlike those
    that the rule was calibrated on.
    worst: the row of `windows` with the highest p_fake; crop: its face, uint8 (S, S, 3); x: its
    input (C, H, W); sensitive: the gradient (H, W) of its uncertainty; regions:
    `explain.by_region` of it.
    region: the part of the face whose hiding lowers p_fake of that window most; hidden_p_fake: the
    value then; mask: bool (S, S), where the region is. All are None when no part lowers it by 0.05.
    seen: 'train' or 'val' when the video is in that split, else None.
    """

    video: str
    seconds: float
    detector: str
    method: str
    windows: pd.DataFrame
    p_fake: float
    spread: tuple[float, float]
    measures: pd.DataFrame
    decision: str
    rule: decide.Rule
    familiarity: familiarity_check.Familiarity
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

    def as_json(self) -> dict[str, Any]:
        """Return the report without its arrays as JSON types; infinite thresholds are None."""
        content = {name: value for name, value in vars(self).items() if name not in ARRAYS}
        content |= {
            "windows": self.windows.to_dict("records"),
            "measures": self.measures.to_dict("index"),
            "regions": self.regions.to_dict("index"),
            "rule": vars(self.rule),
            "familiarity": self.familiarity.as_json(),
        }
        return results.to_json(content)

    def text(self) -> str:
        """Return the report as text: the answer, its basis, and a table of at most 17 windows."""
        lines = [self._answer()]
        if self.seen:
            lines.append(
                f"warning, too optimistic: this video is in the {self.seen} split, "
                "which made the detector or its rule"
            )
        if self.n_faces > 1:
            lines.append(
                f"{self.n_faces} faces in the first frame with a face: the largest was analyzed"
            )
        lines += [
            self.familiarity.text(),
            self._rule(),
            f"trained on {self.trained_on}: no evidence about footage unlike it",
            self._most_suspicious(),
            self._table(),
        ]
        return "\n".join(lines)

    def _answer(self) -> str:
        spec, count = registry.get(self.detector), len(self.windows)
        kind = ("frame" if spec.window == 1 else "window") + "s" * (count > 1)
        answer = f"{self.decision.upper()}, P(fake) {self.p_fake:.2f} over the clip"
        by = f"{spec.label}, {plotting.label(self.method)}"
        return f"{self.video}: {answer}; {count} {kind} by {by}"

    def _rule(self) -> str:
        rule = self.rule
        return (
            f"rule: at most {100 * rule.alpha:g} % of real and of fake videos misclassified, "
            f"thresholds from {rule.n_real} real and {rule.n_fake} fake videos "
            "like those trained on; in doubt it says 'cannot tell'" + self._too_few()
        )

    def _too_few(self) -> str:
        """Return which class is never named: an infinite threshold never rules out the other."""
        rule, least = self.rule, int(np.ceil(np.round(1 / self.rule.alpha - 1, 9)))
        sides = (
            (rule.reals_below, decide.FAKE, decide.REAL),
            (rule.fakes_above, decide.REAL, decide.FAKE),
        )
        return "".join(
            f"; it never says '{name}': that takes {least} {other} videos at this rate"
            for limit, name, other in sides
            if np.isinf(limit)
        )

    def _most_suspicious(self) -> str:
        worst = self.windows.iloc[self.worst]
        because = "no single region explains it"
        if self.region:
            because = f"with the {self.region} hidden {self.hidden_p_fake:.2f}"
        return f"most suspicious: {worst.start:.1f} s, P(fake) {worst.p_fake:.2f}; {because}"

    def _table(self) -> str:
        shown = sorted({*evenly_spaced(len(self.windows), TABLE_ROWS), self.worst})
        names = ["start (s)", "P(fake)", "total (nats)", "epistemic (nats)"]
        table = self.windows.iloc[shown].set_axis(names, axis=1)
        text = table.to_string(index=False, float_format="{:.2f}".format)
        if len(shown) < len(self.windows):
            text += f"\n{len(shown)} of {len(self.windows)} shown"
        return text
