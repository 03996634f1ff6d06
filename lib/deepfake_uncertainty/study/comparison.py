"""Detectors crossed with uncertainty methods, on the test videos."""

import numpy as np
import pandas as pd

from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.study import evaluate, metrics, predict, significance


def of_split(samples, split):
    """Return the Samples of one split ('val' or 'test')."""
    chosen = (samples.index["split"] == split).to_numpy()
    return predict.Samples(samples.probabilities[:, chosen], samples.index[chosen].reset_index(drop=True))


def sample_all(index, detectors, methods, seeds, T, profile="quick"):
    """Return {(detector, method): {training seed: Samples}} of the test rows of `index`; networks and samples come from the
    cache if there.

    Each detector is trained by its recipe of `profile`.
    """
    found = {}
    for detector in detectors:
        settings = predict.Settings(recipe=registry.recipe(detector, profile))
        for method in methods:
            found[detector, method] = {
                seed: of_split(predict.samples_for(detector, method, index, seed, T, settings=settings), "test") for seed in seeds
            }
    return found


def tables(sampled, seed, n_boot, level="video"):
    """Return `significance.over_seeds` of every entry of `sampled`, stacked: levels detector, method, metric."""
    parts = {name: significance.over_seeds(samples, seed, n_boot, level) for name, samples in sampled.items()}
    return pd.concat(parts, names=["detector", "method", "metric"])


def tables_by_generator(sampled, seed, n_boot):
    """Return the same for each generator: levels detector, method, generator, metric."""
    parts = {name: significance.over_seeds(samples, seed, n_boot, by_generator=True) for name, samples in sampled.items()}
    return pd.concat(parts, names=["detector", "method", "generator", "metric"])


def readable(table, chosen):
    """Return the `chosen` metrics of a stacked table, one column each, as text 'value [low, high]'."""
    text = table.apply(lambda row: f"{row.value:.2f} [{row.low:.2f}, {row.high:.2f}]", axis=1)
    return text.unstack("metric", sort=False)[list(chosen)]


def windows(samples):
    """Return a frame, one row a frame or window of every training: generator, right (bool), confidence, uncertainty scores."""
    parts = []
    for probabilities, index in significance.trainings(samples):
        mean = probabilities.mean(0)
        right = mean.argmax(1) == index["label"].to_numpy()
        found = evaluate.scores(probabilities) | {"confidence": mean.max(1), "right": right}
        parts.append(pd.DataFrame(found).assign(generator=index["generator"].to_numpy()))
    return pd.concat(parts, ignore_index=True)


def sizes(groups):
    """Return {name: {'n': values, 'mean': their mean}} of groups {name: (N,)}, the empty ones left out."""
    return {name: {"n": len(values), "mean": values.mean()} for name, values in groups.items() if len(values)}


def risk_curve(samples, score):
    """Return the `metrics.RiskCoverage` of the videos of every training when those of least `score` are kept first."""
    parts = [evaluate.by_video(*one) for one in significance.trainings(samples)]
    wrong = [metrics.errors(probabilities.mean(0), index["label"].to_numpy()) for probabilities, index in parts]
    uncertain = [evaluate.scores(probabilities)[score] for probabilities, _ in parts]
    return metrics.risk_coverage(np.concatenate(uncertain), np.concatenate(wrong))
