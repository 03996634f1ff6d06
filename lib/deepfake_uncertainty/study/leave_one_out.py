"""Leave one generator out: what detectors, and their uncertainty, do with an unseen generator."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from deepfake_uncertainty.datasets.leakage import KEY
from deepfake_uncertainty.evaluation import decide, metric_tables, metrics, significance
from deepfake_uncertainty.training import tasks
from deepfake_uncertainty.training.predict import Samples

MEASURES = "total", "aleatoric", "epistemic"
PerSeed = Samples | dict[int, Samples]  # of one training, or of several by their seed
Sampled = Mapping[tuple[str, str], PerSeed]  # {(generator left out, detector): ...}


def _test(samples: PerSeed) -> dict[int, Samples]:
    """Return the test Samples of each training."""
    return {k: one.of_split("test") for k, one in enumerate(significance.per_seed(samples))}


def _known_generators(samples: PerSeed) -> list[str]:
    """Return the generators of the fakes in Samples."""
    return tasks.generators(significance.per_seed(samples)[0].index)


def _training(left_out: str) -> str:
    """Return the level 'training' of a table: the control has 'seen' every generator."""
    return "seen" if left_out == tasks.CONTROL else "unseen"


def _reported(left_out: str, samples: PerSeed) -> list[str]:
    """Return the generators that a training is reported on: its unseen one, or all (control)."""
    return _known_generators(samples) if left_out == tasks.CONTROL else [left_out]


def unseen_changes(
    sampled: Sampled, seed: int, n_boot: int
) -> dict[tuple[str, str], dict[str, np.ndarray]]:
    """Return {(detector, generator): {metric: (1 + B,)}}, the change when it is left out.

    The metrics are those of `metric_tables.metric_values_by_generator` on the fakes of the
    generator (its AUROC is against the real test videos). Each is the value of the training without
    the generator less the value of the control, on the same videos and the same resamples of
    identities. The `accuracy` of fakes is the share that is called fake.
    """
    values = {
        key: significance.pooled_values(_test(samples), seed, n_boot, by_generator=True)
        for key, samples in sampled.items()
    }
    changes = {}
    for (left_out, detector), unseen in values.items():
        if left_out != tasks.CONTROL:
            control = values[tasks.CONTROL, detector]
            names = [metric for generator, metric in unseen if generator == left_out]
            changes[detector, left_out] = {
                name: unseen[left_out, name] - control[left_out, name] for name in names
            }
    return changes


def seen_unseen_table(sampled: Sampled, seed: int, n_boot: int) -> pd.DataFrame:
    """Return the metrics of each generator's test fakes, when it was seen in training and when not.

    The index levels are detector, generator, training ('seen' in the control, or 'unseen') and
    metric. The columns are value, low, high (95 % interval, bootstrap over identities), spread
    and seeds.
    """
    parts = {}
    for (left_out, detector), samples in sampled.items():
        table = significance.seed_table(_test(samples), seed, n_boot, by_generator=True)
        for name in _reported(left_out, samples):
            parts[detector, name, _training(left_out)] = table.loc[name]
    return pd.concat(parts, names=["detector", "generator", "training", "metric"])


def inversion_correlation(
    changes: Mapping[tuple[str, str], Mapping[str, np.ndarray]], measure: str
) -> np.ndarray:
    """Return the rank correlation (1 + B,) of the changes of accuracy and of a mean measure.

    It is Spearman's, over the pairs (detector, generator) of `changes`, which come from
    `unseen_changes`. It is negative for an uncertainty that rises where accuracy falls. It is NaN
    for fewer than three pairs, or where one of the two does not vary.
    """
    accuracy, uncertainty = (
        np.stack([change[name] for change in changes.values()])
        for name in ("accuracy", f"{measure}_mean")
    )
    rho = metrics.spearman_rows(accuracy.T, uncertainty.T)
    return rho if len(accuracy) >= 3 else np.full(rho.shape, np.nan)


def rule_errors(sampled: Sampled, alpha: float, seed: int, n_boot: int) -> pd.DataFrame:
    """Return the share of each generator's test fakes that the decision rule calls real.

    The index levels are detector, generator and training ('seen' or 'unseen'). The columns are
    value, low, high (95 % interval), n (videos) and promised (alpha). The rule is calibrated on
    the validation videos of its own training: those of an unseen generator are not among them.
    """
    rows = {}
    for (left_out, detector), samples in sampled.items():
        seeds = [_errors(one, alpha, seed, n_boot) for one in significance.per_seed(samples)]
        errors = significance.pool_seeds(seeds, seed)
        count = _test(samples)[0].index.drop_duplicates(KEY)["generator"].value_counts()
        for name in _reported(left_out, samples):
            value, low, high = metric_tables.interval(errors[name])
            row = {"value": value, "low": low, "high": high, "n": count[name]}
            rows[detector, name, _training(left_out)] = row
    names = ["detector", "generator", "training"]
    return pd.DataFrame(rows).T.rename_axis(names).assign(promised=alpha).astype({"n": int})


def _errors(samples: Samples, alpha: float, seed: int, n_boot: int) -> dict[str, np.ndarray]:
    """Return {group: (1 + B,)}, the share of its test videos that the rule decides wrongly."""
    known, test = (decide.score_videos(*samples.of_split(split)) for split in ("val", "test"))
    rule = decide.calibrate(known["p_fake"], known["label"], alpha)
    rates = decide.outcome_rates(test, rule, seed, n_boot)
    return {name: rate["error"] for name, rate in rates.items()}
