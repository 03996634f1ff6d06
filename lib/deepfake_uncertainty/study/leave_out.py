"""Leave one generator out: what a detector does with a generator that it has never seen, and whether its uncertainty tells."""

import dataclasses

import numpy as np
import pandas as pd

from deepfake_uncertainty.datasets import leakage
from deepfake_uncertainty.datasets.leakage import KEY
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import comparison, decide, evaluate, predict, significance

CONTROL = "none"  # nothing left out: the same short recipe on all generators
MEASURES = "total", "aleatoric", "epistemic"


def without(index, generator):
    """Return `index` less the training and validation videos of a generator and its relatives; the test split stays whole.

    CONTROL leaves nothing out. Raises InputError for a generator that the index does not have.
    """
    if generator == CONTROL:
        return index
    unseen = leakage.held_out(index, generator)
    return index[~unseen | index["split"].eq("test").to_numpy()].reset_index(drop=True)


def settings(detector, share):
    """Return the `predict.Settings` of all trainings here: the detector's recipe with a `share` of its passes, control alike."""
    recipe = registry.get(detector).recipe
    if not 0 < share <= 1:
        raise InputError(f"a share of {share} of the passes: give one in (0, 1]")
    fewer = {name: max(1, round(share * getattr(recipe, name))) for name in ("epochs", "bayes_epochs")}
    return predict.Settings(recipe=dataclasses.replace(recipe, **fewer))


def generators(index):
    """Return the generators of fakes in an index, in its order."""
    return [name for name in dict.fromkeys(index["generator"]) if name != "real"]


def sample(index, left_out, detector, method, seed, T, share):
    """Return Samples of the val and test rows of `index` by a detector that has never seen `left_out` (or CONTROL)."""
    return predict.samples_for(detector, method, without(index, left_out), seed, T, settings=settings(detector, share))


def sample_all(index, detectors, method, seeds, T, share):
    """Return {(left out, detector): {training seed: Samples}} of val and test, CONTROL and every generator left out in turn."""
    return {(name, detector): {seed: sample(index, name, detector, method, seed, T, share) for seed in seeds}
            for detector in detectors for name in (CONTROL, *generators(index))}  # fmt: skip


def _test(samples):
    return {k: comparison.of_split(one, "test") for k, one in enumerate(significance.trainings(samples))}


def _known(samples):
    """Return the generators of fakes in Samples, or in {training seed: Samples}."""
    return generators(significance.trainings(samples)[0].index)


def changes(sampled, seed, n_boot):
    """Return {(detector, generator): {metric: (1 + B,)}}: what changes on the fakes of a generator when it is not trained on.

    Metrics of `evaluate.table_by_generator` (its AUROC is against the real test videos), less the control's on the same
    videos and the same resamples of identities; `accuracy` of fakes is the share called fake.
    """
    values = {key: significance.values(_test(samples), seed, n_boot, by_generator=True) for key, samples in sampled.items()}
    found = {}
    for (left_out, detector), own in values.items():
        if left_out != CONTROL:
            control = values[CONTROL, detector]
            names = [metric for family, metric in own if family == left_out]
            found[detector, left_out] = {name: own[left_out, name] - control[left_out, name] for name in names}
    return found


def table(sampled, seed, n_boot):
    """Return a frame by (detector, generator, training, metric) of a generator's test fakes, training being 'seen' (control) or
    'unseen'; value, low, high (95 percent, bootstrap over identities)."""
    parts = {}
    for (left_out, detector), samples in sampled.items():
        own = significance.over_seeds(_test(samples), seed, n_boot, by_generator=True)
        for name in _known(samples) if left_out == CONTROL else [left_out]:
            parts[detector, name, "seen" if left_out == CONTROL else "unseen"] = own.loc[name]
    return pd.concat(parts, names=["detector", "generator", "training", "metric"])


def inversion(found, measure):
    """Return (1 + B,) Spearman correlations, over detectors and generators, of the change of accuracy and of a mean measure.

    `found` comes from `changes`. Uncertainty that knows rises where accuracy falls: below zero. NaN with fewer than three
    pairs, or where nothing varies.
    """
    accuracy, change = (np.stack([one[name] for one in found.values()]) for name in ("accuracy", f"{measure}_mean"))
    ranks = [pd.DataFrame(part).rank().to_numpy() for part in (accuracy, change)]
    one, other = (part - part.mean(0) for part in ranks)
    with np.errstate(invalid="ignore", divide="ignore"):
        rho = (one * other).sum(0) / np.sqrt((one**2).sum(0) * (other**2).sum(0))
    return rho if len(accuracy) >= 3 else np.full(rho.shape, np.nan)


def errors(sampled, alpha, seed, n_boot):
    """Return a frame by (detector, generator, training) of the share of a generator's test fakes that the decision rule calls
    real; value, low, high (95 percent), promised (alpha) and n.

    The rule is calibrated on the validation videos that the training may see: those of an unseen generator are not there.
    """
    rows = {}
    for (left_out, detector), samples in sampled.items():
        found = significance.pooled([_errors(one, alpha, seed, n_boot) for one in significance.trainings(samples)], seed)
        count = _test(samples)[0].index.drop_duplicates(KEY)["generator"].value_counts()
        for name in _known(samples) if left_out == CONTROL else [left_out]:
            key = detector, name, "seen" if left_out == CONTROL else "unseen"
            rows[key] = dict(zip(("value", "low", "high"), evaluate.interval(found[name]), strict=True)) | {"n": count[name]}
    names = ["detector", "generator", "training"]
    return pd.DataFrame(rows).T.rename_axis(names).assign(promised=alpha).astype({"n": int})


def _errors(samples, alpha, seed, n_boot):
    """Return {generator: (1 + B,)}, the share of its test fakes that the rule of one training calls real."""
    known, test = (decide.scored(*comparison.of_split(samples, split)) for split in ("val", "test"))
    rule = decide.calibrate(known["p_fake"], known["label"], alpha)
    return {name: found["error"] for name, found in decide.shares(test, rule, seed, n_boot).items()}
