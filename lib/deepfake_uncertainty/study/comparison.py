"""Detectors crossed with uncertainty methods, on the test videos."""

import pandas as pd

from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.study import evaluate, metrics, predict


def of_split(samples, split):
    """Return the Samples of one split ('val' or 'test')."""
    chosen = (samples.index["split"] == split).to_numpy()
    return predict.Samples(samples.probabilities[:, chosen], samples.index[chosen].reset_index(drop=True))


def sample_all(index, detectors, methods, seed, T, profile="quick"):
    """Return {(detector, method): Samples} of the test rows of `index`; networks and samples come from the cache if there.

    Each detector is trained by its recipe of `profile`.
    """
    found = {}
    for detector in detectors:
        settings = predict.Settings(recipe=registry.recipe(detector, profile))
        for method in methods:
            samples = predict.samples_for(detector, method, index, seed, T, settings=settings)
            found[detector, method] = of_split(samples, "test")
    return found


def tables(sampled, seed, n_boot, level="video"):
    """Return `evaluate.table` of every entry of `sampled`, stacked: levels detector, method, metric; value, low, high."""
    parts = {name: evaluate.table(*samples, seed, n_boot, level) for name, samples in sampled.items()}
    return pd.concat(parts, names=["detector", "method", "metric"])


def tables_by_generator(sampled, seed, n_boot):
    """Return `evaluate.table_by_generator` of every entry: levels detector, method, generator, metric."""
    parts = {name: evaluate.table_by_generator(*samples, seed, n_boot) for name, samples in sampled.items()}
    return pd.concat(parts, names=["detector", "method", "generator", "metric"])


def readable(table, chosen):
    """Return the `chosen` metrics of a stacked table, one column each, as text 'value [low, high]'."""
    text = table.apply(lambda row: f"{row.value:.2f} [{row.low:.2f}, {row.high:.2f}]", axis=1)
    return text.unstack("metric", sort=False)[list(chosen)]


def windows(samples):
    """Return a frame, one row a frame or window: generator, right (bool), confidence and each uncertainty score."""
    mean = samples.probabilities.mean(0)
    found = pd.DataFrame(evaluate.scores(samples.probabilities))
    found["generator"] = samples.index["generator"].to_numpy()
    found["confidence"] = mean.max(1)
    found["right"] = mean.argmax(1) == samples.index["label"].to_numpy()
    return found


def sizes(groups):
    """Return {name: {'n': values, 'mean': their mean}} of groups {name: (N,)}, the empty ones left out."""
    return {name: {"n": len(values), "mean": values.mean()} for name, values in groups.items() if len(values)}


def risk_curve(samples, score):
    """Return the `metrics.RiskCoverage` of videos when those of least `score` are kept first."""
    probabilities, index = evaluate.by_video(*samples)
    wrong = metrics.errors(probabilities.mean(0), index["label"].to_numpy())
    return metrics.risk_coverage(evaluate.scores(probabilities)[score], wrong)
