"""Notebook 01: detectors crossed with uncertainty methods, on the test videos."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from deepfake_uncertainty.evaluation import metric_tables, metrics, significance
from deepfake_uncertainty.training.predict import Samples


def window_scores(samples: Samples | dict[int, Samples]) -> pd.DataFrame:
    """Return a frame with one row per frame or window of every training.

    The columns are softmax, total, aleatoric and epistemic (see `uncertainty_scores`), confidence
    (the largest mean probability), right (bool) and generator.
    """
    parts = []
    for probabilities, index in significance.per_seed(samples):
        mean = probabilities.mean(0)
        right = mean.argmax(1) == index["label"].to_numpy()
        columns = metric_tables.uncertainty_scores(probabilities)
        columns |= {"confidence": mean.max(1), "right": right}
        parts.append(pd.DataFrame(columns).assign(generator=index["generator"].to_numpy()))
    return pd.concat(parts, ignore_index=True)


def group_sizes(groups: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Return {name: {'n': values, 'mean': their mean}} of {name: (N,)}; empty ones are left out."""
    return {
        name: {"n": len(values), "mean": values.mean()}
        for name, values in groups.items()
        if len(values)
    }


def risk_curve(samples: Samples | dict[int, Samples], score: str) -> metrics.RiskCoverage:
    """Return the risk-coverage curve of the videos of all trainings, least `score` kept first."""
    parts = [metric_tables.by_video(*one) for one in significance.per_seed(samples)]
    wrong = [
        metrics.errors(probabilities.mean(0), index["label"].to_numpy())
        for probabilities, index in parts
    ]
    scores = [metric_tables.uncertainty_scores(probabilities)[score] for probabilities, _ in parts]
    return metrics.risk_coverage(np.concatenate(scores), np.concatenate(wrong))
