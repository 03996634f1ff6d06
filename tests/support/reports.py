"""A made-up report on one video, for tests of its text, JSON and figures."""

import numpy as np
import pandas as pd

from deepfake_uncertainty.evaluation import decide, metric_tables
from deepfake_uncertainty.study.your_video import familiarity_check
from deepfake_uncertainty.study.your_video.report import Report


def familiarity(size):
    """Return the comparison of a face of `size` px with those of 40 people, 30 to 49.5 px."""
    known = pd.DataFrame({"size": 30 + np.arange(40) / 2}, index=range(40))
    return familiarity_check.compare_properties(known, {"size": size})


def report(n=3, **changes):
    """Return a Report of n windows; `changes` replace its fields."""
    windows = pd.DataFrame(
        {
            "start": np.arange(n) / 2,
            "p_fake": np.linspace(0.2, 0.9, n),
            "total": np.full(n, 0.5),
            "epistemic": np.full(n, 0.125),
        }
    )
    names = pd.Index(["nothing", "mouth"], name="hidden")
    fields = {
        "video": "a.mp4",
        "seconds": n / 2,
        "detector": "resnet18",
        "method": "bnn",
        "windows": windows,
        "p_fake": 0.55,
        "spread": (0.5, 0.6),
        "measures": pd.DataFrame({"value": 0.5, "percentile": 75.0}, metric_tables.SCORES[1:]),
        "familiarity": familiarity(40.0),
        "regions": pd.DataFrame({"p_fake": [0.9, 0.4], "total": 0.5, "epistemic": 0.1}, names),
        "decision": decide.CANNOT_TELL,
        "rule": decide.Rule(0.1, np.inf, 0.25, 4, 12),
        "trained_on": "30 identities of SynthFF (real, A)",
        "n_faces": 1,
        "worst": n - 1,
        "region": "mouth",
        "hidden_p_fake": 0.4,
        "mask": np.eye(16, dtype=bool),
        "crop": np.full((16, 16, 3), 90, np.uint8),
        "x": np.zeros((3, 8, 8)),
        "sensitive": np.zeros((8, 8)),
    }
    return Report(**fields | changes)
