"""Detectors by task: real or fake, real or which generator, and the same on a data set that was not trained on."""

import numpy as np
import pandas as pd

from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import comparison, evaluate, predict, significance, sources

KEYS = ["detector", "method"]
KINDS = "blind", "biological"


def collapsed(samples):
    """Return Samples of (real, fake) from those over (real, generator, ...): p(fake) is the sum over the generators.

    Of {training seed: Samples}, each.
    """
    if isinstance(samples, dict):
        return {seed: collapsed(one) for seed, one in samples.items()}
    real = samples.probabilities[..., :1]
    index = samples.index.assign(label=(samples.index["label"] > 0).astype(int))
    return predict.Samples(np.concatenate([real, 1 - real], -1), index)


def as_classes(index, detectors, methods, seeds, T):
    """Return {data set: {(detector, method): {training seed: Samples}}} of the test rows over the classes real and every
    generator of `index`.

    One network names the generators of all data sets of `index`.
    """
    keys = [(detector, method) for detector in detectors for method in methods]
    found = {name: {key: {} for key in keys} for name in pd.unique(index["dataset"])}
    for key in keys:
        for seed in seeds:
            samples = sources.samples_for(*key, index, seed, T)
            for name, own in found.items():
                rows = samples.index["dataset"].eq(name).to_numpy()
                own[key][seed] = predict.Samples(samples.probabilities[:, rows], samples.index[rows].reset_index(drop=True))
    return found


def across(trained, tested, detectors, methods, seeds, T):
    """Return {(detector, method): {training seed: Samples}} of the test rows of index `tested` by networks trained on `trained`.

    Raises InputError when both are one data set: that is `comparison.sample_all`.
    """
    if set(trained["dataset"]) & set(tested["dataset"]):
        raise InputError("across wants two data sets, one to train on and another to test on")
    on = tested[tested["split"].eq("test")]
    return {(detector, method): {seed: predict.samples_for(detector, method, trained, seed, T, on=on) for seed in seeds}
            for detector in detectors for method in methods}  # fmt: skip


def tables(tasks, seed, n_boot, level="video"):
    """Return `comparison.tables` of every task {name: what `comparison.tables` takes}, with the task as the first level."""
    found = {name: comparison.tables(sampled, seed, n_boot, level) for name, sampled in tasks.items()}
    return pd.concat(found, names=["task", *KEYS, "metric"])


def shift(near, far, seed, n_boot):
    """Return how each value of `evaluate.table` changes from Samples `near` to `far`, of other videos: far less near.

    A frame with one row a metric, columns value, low, high (95 percent). The videos differ, so each is resampled by itself.
    """
    drawn = [significance.values(samples, seed + k, n_boot) for k, samples in enumerate((near, far))]
    return evaluate.frame({name: drawn[1][name] - drawn[0][name] for name in drawn[0]}, ["metric"])


def against_best(sampled, metric, seed, n_boot):
    """Return how much worse each of {name: Samples} is than the best in `metric` (higher is better), on the same resamples.

    A frame with one row a name: value, low, high, p (two-sided, bootstrap) and p_holm, corrected for all rows (Holm 1979).
    """
    values = {name: significance.over_seeds(samples, seed, 1)["value"][metric] for name, samples in sampled.items()}
    best = max(values, key=values.get)
    rows = {name: significance.difference(samples, sampled[best], seed, n_boot).loc[metric]
            for name, samples in sampled.items() if name != best}  # fmt: skip
    table = pd.DataFrame(rows).T.rename_axis("name")
    return table.assign(p_holm=significance.holm(table["p"]), best=best)


def by_kind(values):
    """Return the mean over blind detectors less that over biological ones, of {registry name: array (1 + B,)}.

    Raises InputError when one kind is absent.
    """
    parts = {kind: [value for name, value in values.items() if registry.get(name).kind == kind] for kind in KINDS}
    if not all(parts.values()):
        raise InputError(f"{', '.join(values)}: a comparison of kinds needs a blind and a biological detector")
    blind, biological = (np.mean(parts[kind], axis=0) for kind in KINDS)
    return blind - biological


def majority(index):
    """Return the share in [0, 1] of the test videos that always saying the commoner of real and fake gets right."""
    fake = index.loc[index["split"].eq("test"), "generator"].ne("real").mean()
    return max(fake, 1 - fake)
