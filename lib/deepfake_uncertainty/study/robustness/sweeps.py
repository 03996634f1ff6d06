"""What attacks and corruptions change in decisions and measures, and whether these notice it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.evaluation import decide, metric_tables, metrics
from deepfake_uncertainty.evaluation.resampling import Resamples
from deepfake_uncertainty.study.robustness import attacks, clips, corruptions
from deepfake_uncertainty.study.robustness.attacks import Attack
from deepfake_uncertainty.training import predict
from deepfake_uncertainty.training.config import Run
from deepfake_uncertainty.training.predict import Samples

KEPT = "accuracy", "auroc", "ece"
VIDEO = ["dataset", "generator", "video"]


class Target(NamedTuple):
    """A detector under test: name, model, Clips, decision rule, and Samples of the clean clips."""

    detector: str
    model: predict.Fitted
    clips: clips.Clips
    rule: decide.Rule
    clean: Samples

    @property
    def key(self) -> tuple[str, str]:
        """Return the names of the detector and of the method."""
        return self.detector, self.model.method.name

    def inputs(self, crops: np.ndarray) -> np.ndarray:
        """Return the detector's own inputs (M, C, H, W) of `crops` uint8 (N, F, S, S, 3)."""
        return clips.clip_inputs(self.clips, self.model.detector, crops)[0]

    def samples(self, T: int, parts: Sequence[np.ndarray]) -> list[Samples]:
        """Return the Samples of each of `parts`, inputs (M, C, H, W), all by the same draws."""
        count = len(self.clips.index)
        places = [np.repeat(np.arange(count), len(x) // count) for x in parts]
        rows = self.clips.index.iloc[np.concatenate(places)].reset_index(drop=True)
        joined = self.model.sample(np.concatenate(parts), T, predict.video_keys(rows))
        all_samples, ends = Samples(joined, rows), np.cumsum([len(x) for x in parts])
        numbers = np.arange(len(rows))
        return [
            all_samples.rows((numbers >= end - len(x)) & (numbers < end))
            for x, end in zip(parts, ends, strict=True)
        ]


def make_target(
    index: pd.DataFrame, detector: str, method: str, chosen: clips.Clips, run: Run, alpha: float
) -> Target:
    """Return the Target of a detector and method trained on `index`, tested on Clips `chosen`.

    The test has one input per clip. The rule has error rate alpha, from one input per val video.
    """
    model = predict.fitted(detector, method, index, run)
    rule = clips.calibrated_rule(model, index, 1, run.T, alpha)
    return Target(detector, model, chosen, rule, clips.sample_clips(model, chosen, run.T))


def attack_values(
    samples: Samples, clean: Samples, rule: decide.Rule, seed: int, n_boot: int
) -> dict[str, np.ndarray]:
    """Return {metric: (1 + n_boot,)} of the Samples of changed videos, whose originals are `clean`.

    The first value is that of the data, then one per resample. The metrics are accuracy, auroc,
    ece, and the mean and failure AUROC of each score as in `metric_tables.metric_values`;
    attack_success_rate, the share of the videos decided rightly before that are decided wrongly
    now; abstention_rate and wrong_decision_rate, the shares that the rule leaves undecided and
    decides wrongly; and {score}_attack_auroc, the AUROC of the score for changed against clean.
    Raises InputError for other videos.
    """
    p, index = metric_tables.by_video(*samples)
    before, index_before = metric_tables.by_video(*clean)
    if not index[VIDEO].equals(index_before[VIDEO]):
        raise InputError(
            "the changed and the clean samples are not of the same videos: use the same clips"
        )
    drawn, labels = metric_tables.cluster_resamples(index, seed, n_boot), index["label"].to_numpy()
    values = {
        name: value
        for name, value in metric_tables.metric_values(*samples, seed, n_boot).items()
        if name in KEPT or name.endswith(("_mean", "_failure_auroc"))
    }
    wrong, right = metrics.errors(p.mean(0), labels), 1 - metrics.errors(before.mean(0), labels)
    with np.errstate(invalid="ignore", divide="ignore"):
        values["attack_success_rate"] = drawn.sum(right * wrong) / drawn.sum(right)
    outcome = decide.outcomes(p.mean(0)[:, 1], labels, rule)
    values["abstention_rate"] = metrics.mean(1.0 - outcome.decided, drawn)
    values["wrong_decision_rate"] = metrics.mean(1.0 * outcome.error, drawn)
    return values | _attack_aurocs(p, before, drawn)


def _attack_aurocs(p: np.ndarray, before: np.ndarray, drawn: Resamples) -> dict[str, np.ndarray]:
    """Return the AUROC of each score for changed against clean, of samples (T, V, 2) of both."""
    twice = Resamples(drawn.counts, np.tile(drawn.cluster, 2))
    changed, clean = metric_tables.uncertainty_scores(p), metric_tables.uncertainty_scores(before)
    is_changed = np.repeat([1, 0], p.shape[1])
    return {
        f"{name}_attack_auroc": metrics.auroc(np.r_[changed[name], clean[name]], is_changed, twice)
        for name in changed
    }


def interval_table(
    results: Mapping[tuple, Mapping[str, np.ndarray]], names: Sequence[str]
) -> pd.DataFrame:
    """Return {key: {metric: (1 + B,)}} as a frame with the columns value, low and high.

    The index levels are `names`, those of the keys, and metric; intervals are 95 %.
    """
    tables = {key: metric_tables.interval_frame(values) for key, values in results.items()}
    return pd.concat(tables, names=[*names, "metric"])


def attack_sweep(
    targets: Sequence[Target],
    chosen: Mapping[str, Attack],
    strengths: Sequence[float],
    seed: int,
    T: int,
    n_boot: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return two `interval_table`s of the attacks {name: Attack} on Targets at `strengths` of 255.

    The levels are detector, method, attack and strength. The first table is of the inputs as the
    attack left them, not rounded; the second is of 8-bit pictures, read in the detector's own way.
    An attack of several draws is left out for a model that has a single one.
    """
    exact, rounded = {}, {}
    pairs = [(target, name) for target in targets for name in chosen]
    for target, name in tqdm(pairs, desc="attacks"):
        attack = chosen[name]
        if attack.draws > 1 and len(target.clean.probabilities) == 1:
            continue
        made = attacks.attack_clips(
            target.model, target.detector, target.clips, attack, strengths, seed
        )
        parts = [one.inputs for one in made.values()]
        parts += [target.inputs(one.pictures) for one in made.values()]
        samples = target.samples(T, parts)
        unrounded, shown = samples[: len(made)], samples[len(made) :]
        for strength, left, seen in zip(made, unrounded, shown, strict=True):
            key = *target.key, name, strength
            exact[key] = attack_values(left, target.clean, target.rule, seed, n_boot)
            rounded[key] = attack_values(seen, target.clean, target.rule, seed, n_boot)
    names = ["detector", "method", "attack", "strength"]
    return interval_table(exact, names), interval_table(rounded, names)


def transfer_table(
    sources: Sequence[Target],
    targets: Sequence[Target],
    attack: Attack,
    strength: float,
    seed: int,
    T: int,
    n_boot: int,
) -> pd.DataFrame:
    """Return an `interval_table` of pictures attacked against each source, shown to every target.

    The levels are source, detector and method. The source 'noise' has the same strength and uses no
    network. Raises InputError unless all clips are the same frames of the same videos.
    """
    values, place = {}, ["video", "start"]
    made_by = [(source.detector, source, attack) for source in sources]
    made_by.append(("noise", sources[0], Attack(steps=0)))
    for name, source, used in made_by:
        made = attacks.attack_clips(
            source.model, source.detector, source.clips, used, [strength], seed
        )
        pictures = made[strength].pictures
        for target in targets:
            if not target.clips.index[place].equals(source.clips.index[place]):
                raise InputError(
                    f"{target.detector} and {source.detector} have different clips: "
                    "give them one length and start"
                )
            (seen,) = target.samples(T, [target.inputs(pictures)])
            measured = attack_values(seen, target.clean, target.rule, seed, n_boot)
            values[name, *target.key] = measured
    return interval_table(values, ["source", "detector", "method"])


def corruption_table(
    targets: Sequence[Target],
    kinds: Iterable[str],
    severities: Sequence[int],
    seed: int,
    T: int,
    n_boot: int,
) -> pd.DataFrame:
    """Return an `interval_table` of corruptions on the clips of Targets; severity 0 is clean.

    The levels are detector, method, kind and severity.
    """
    keys = [(kind, severity) for kind in kinds for severity in severities]
    values, inputs = {}, {}  # all methods of a detector have the same inputs
    for target in tqdm(targets, desc="corruptions"):
        if target.detector not in inputs:
            inputs[target.detector] = {
                key: target.inputs(corruptions.corrupt_clips(target.clips, *key, seed))
                for key in keys
                if key[1]
            }
        changed = inputs[target.detector]
        samples = dict(zip(changed, target.samples(T, list(changed.values())), strict=True))
        for key in keys:
            seen = samples.get(key, target.clean)
            measured = attack_values(seen, target.clean, target.rule, seed, n_boot)
            values[*target.key, *key] = measured
    return interval_table(values, ["detector", "method", "kind", "severity"])


def detectors_for_length(length: int) -> list[str]:
    """Return the names of the detectors that can read a clip of `length` frames."""
    return [name for name in registry.names() if registry.get(name).window <= length]


def strongest_attack(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of an `attack_sweep` table of the strongest attack on each model.

    It is EOT-PGD, or PGD where the model has a single draw.
    """
    attack = table.index.get_level_values("attack")
    keys = table.index.droplevel(["attack", "strength", "metric"])
    with_eot = set(keys[attack == "EOT-PGD"])
    has_eot = [key in with_eot for key in keys]
    return table[np.where(has_eot, attack == "EOT-PGD", attack == "PGD")].droplevel("attack")


def attack_checks(
    swept: pd.DataFrame, targets: Sequence[Target], chosen: Mapping[str, Attack], seed: int, T: int
) -> pd.DataFrame:
    """Return the checks of Carlini et al. (2019) of an `attack_sweep` table, as 'yes' or 'no'.

    There is one row per (detector, method). All checks are of the accuracy, up to one video:
    strength 0 is clean; the strongest attack does not get weaker with its strength; at the largest
    strength PGD is no weaker than FGSM, and stronger than noise; an attack without bound leaves at
    most a twentieth right. The column `unbounded` is the accuracy under that attack.
    """
    strongest, rows = strongest_attack(swept), {}
    for target in targets:
        key, step = target.key, 1 / len(target.clips.tracks) + 1e-9
        curve = strongest.loc[key].xs("accuracy", level="metric")["value"].sort_index()
        accuracy = swept.loc[key].xs("accuracy", level="metric")["value"]
        at_largest = {
            name: part.droplevel("attack").sort_index().iloc[-1]
            for name, part in accuracy.groupby("attack")
        }
        name = "EOT-PGD" if "EOT-PGD" in at_largest else "PGD"
        best, unbounded = at_largest[name], _unbounded(target, chosen[name], seed, T)
        checks = {
            "0 is clean": abs(curve.loc[0] - _accuracy(target.clean)) <= step,
            "grows": (np.diff(curve) <= step).all(),
            "PGD >= FGSM": best <= at_largest["FGSM"] + step,
            "PGD > noise": best < at_largest["noise"] - step,
            "unbounded wins": unbounded <= 0.05,
        }
        row: dict[str, str | float] = {c: "yes" if passed else "no" for c, passed in checks.items()}
        rows[key] = row | {"unbounded": unbounded}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["detector", "method"]).round(2)


def _unbounded(target: Target, attack: Attack, seed: int, T: int) -> float:
    """Return the accuracy of a Target under an attack that may change every pixel at will."""
    made = attacks.attack_clips(target.model, target.detector, target.clips, attack, [255], seed)
    (samples,) = target.samples(T, [made[255].inputs])
    return _accuracy(samples)


def _accuracy(samples: Samples) -> float:
    """Return the accuracy of Samples, per clip."""
    return float(metrics.accuracy(samples.probabilities.mean(0), samples.index["label"].to_numpy()))
