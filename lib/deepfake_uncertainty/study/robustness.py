"""What an attack or a corruption does: to decisions, to every measure, and whether the measures and the rule notice."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import attacks, clips, corruptions, decide, evaluate, methods, metrics, predict
from deepfake_uncertainty.study.resampling import Resamples

KEPT = "accuracy", "auroc", "ece"


class Target(NamedTuple):
    """A detector under test: its name, `predict.Fitted`, the Clips it is tested on, its `decide.Rule` and its clean Samples."""

    detector: str
    model: object
    clips: object
    rule: object
    clean: object

    def inputs(self, crops):
        """Return the inputs (M, C, H, W) that the detector's own way makes of `crops` uint8 (N, F, S, S, 3)."""
        return clips.inputs(self.clips, self.detector, crops)[0]

    def samples(self, T, parts):
        """Return the Samples of each of `parts`, arrays of inputs (M, C, H, W), all by the same draws."""
        count = len(self.clips.index)
        rows = [self.clips.index.iloc[np.repeat(np.arange(count), len(x) // count)].reset_index(drop=True) for x in parts]
        if methods.get(self.model.method).by_row:  # the same row, the same draw
            found = [self.model.sample(x, T) for x in parts]
        else:
            found = np.split(self.model.sample(np.concatenate(parts), T), np.cumsum([len(x) for x in parts])[:-1], axis=1)
        return [predict.Samples(*pair) for pair in zip(found, rows, strict=True)]


def target(index, detector, method, chosen, seed, T, alpha):
    """Return the Target of a detector and method trained on `index`, tested on the Clips `chosen`, one input of each.

    The rule has error rate alpha, from one input of each val video.
    """
    model = predict.fitted(detector, method, index, seed)
    threshold = clips.rule(model, index, detector, 1, T, alpha)
    return Target(detector, model, chosen, threshold, clips.sample(model, chosen, detector, T))


def values(samples, clean, rule, seed, n_boot):
    """Return {metric: (1 + n_boot,)} of Samples of what was done to the same videos as `clean`: data, then resamples.

    accuracy, auroc, ece, and of each score its mean and failure AUROC as in `evaluate.values`; `success`, the share of
    videos that were right and are wrong; `abstained` and `fooled`, the shares that the rule leaves undecided and decides
    wrongly; `{score}_noticed`, the AUROC of the score for changed against clean. Raises InputError for other videos.
    """
    p, index = evaluate.by_video(*samples)
    before, index_before = evaluate.by_video(*clean)
    if not index[["dataset", "generator", "video"]].equals(index_before[["dataset", "generator", "video"]]):
        raise InputError("what was changed and what is clean are not of the same videos: they cannot be compared")
    drawn, labels = evaluate.clustered(index, seed, n_boot), index["label"].to_numpy()
    found = evaluate.values(*samples, seed, n_boot)
    found = {name: value for name, value in found.items() if name in KEPT or name.endswith(("_mean", "_failure_auroc"))}
    wrong, right = metrics.errors(p.mean(0), labels), 1 - metrics.errors(before.mean(0), labels)
    with np.errstate(invalid="ignore", divide="ignore"):
        found["success"] = drawn.sum(right * wrong) / drawn.sum(right)
    outcome = decide.outcomes(p.mean(0)[:, 1], labels, rule)
    found |= {"abstained": metrics.mean(1.0 - outcome.decided, drawn), "fooled": metrics.mean(1.0 * outcome.error, drawn)}
    twice = Resamples(drawn.counts, np.tile(drawn.cluster, 2))
    changed, old = evaluate.scores(p), evaluate.scores(before)
    is_changed = np.repeat([1, 0], len(index))
    return found | {f"{name}_noticed": metrics.auroc(np.r_[changed[name], old[name]], is_changed, twice) for name in changed}


def table(results, names):
    """Return a frame of results {key: {metric: (1 + B,)}}: levels `names` and metric; value, low, high (95 percent)."""
    return pd.concat({key: evaluate.frame(found) for key, found in results.items()}, names=[*names, "metric"])


def sweep(targets, chosen, strengths, seed, T, n_boot):
    """Return two `table`s (detector, method, attack, strength) of {name: Attack} on Targets at `strengths` of 255.

    The first of what the attack left, unrounded; the second of the same as 8-bit pictures, read by the detector's own way. An
    attack of several draws is left out for a model of a single one.
    """
    exact, rounded = {}, {}
    for name, attack, one in tqdm([(name, attack, one) for one in targets for name, attack in chosen.items()], desc="attacks"):
        if attack.draws > 1 and len(one.clean.probabilities) == 1:
            continue
        made = attacks.craft(one.model, one.detector, one.clips, attack, strengths, seed)
        seen = one.samples(T, [*(left.inputs for left in made.values()), *(one.inputs(left.pictures) for left in made.values())])
        for strength, left, shown in zip(made, seen[: len(made)], seen[len(made) :], strict=True):
            key = one.detector, one.model.method, name, strength
            exact[key] = values(left, one.clean, one.rule, seed, n_boot)
            rounded[key] = values(shown, one.clean, one.rule, seed, n_boot)
    names = ["detector", "method", "attack", "strength"]
    return table(exact, names), table(rounded, names)


def transfer(sources, targets, attack, strength, seed, T, n_boot):
    """Return the `table` (source, detector, method): pictures attacked against each source Target, shown to every Target.

    A source `noise` has the same strength and asks no network. All clips must be the same frames of the same videos.
    """
    found = {}
    for name, source, how in [*((s.detector, s, attack) for s in sources), ("noise", sources[0], attacks.Attack(steps=0))]:
        made = attacks.craft(source.model, source.detector, source.clips, how, [strength], seed)[strength].pictures
        for one in targets:
            if not one.clips.index[["video", "start"]].equals(source.clips.index[["video", "start"]]):
                raise InputError(f"{one.detector} and {source.detector} have other clips: give them one length and start")
            (seen,) = one.samples(T, [one.inputs(made)])
            found[name, one.detector, one.model.method] = values(seen, one.clean, one.rule, seed, n_boot)
    return table(found, ["source", "detector", "method"])


def corrupt(targets, kinds, severities, seed, T, n_boot):
    """Return the `table` (detector, method, kind, severity) of corruptions on the clips of Targets; severity 0 is clean."""
    found, seen = {}, {}  # the inputs of a detector are those of all its methods
    for one in tqdm(targets, desc="corruptions"):
        if one.detector not in seen:
            seen[one.detector] = {(kind, severity): one.inputs(corruptions.of_clips(one.clips, kind, severity, seed))
                                  for kind in kinds for severity in severities if severity}  # fmt: skip
        own = seen[one.detector]
        made = dict(zip(own, one.samples(T, list(own.values())), strict=True))
        for key in [(kind, severity) for kind in kinds for severity in severities]:
            found[one.detector, one.model.method, *key] = values(made.get(key, one.clean), one.clean, one.rule, seed, n_boot)
    return table(found, ["detector", "method", "kind", "severity"])


def readers(length):
    """Return the detectors of the registry that can read a clip of `length` frames."""
    return [name for name, spec in registry.DETECTORS.items() if spec.window <= length]


def strongest(table):
    """Return the rows of a `sweep` of the attack that an attacker would take: EOT-PGD, or PGD where the model has one draw."""
    has = table.index.get_level_values("attack")
    expected = set(table[has == "EOT-PGD"].index.droplevel(["attack", "strength", "metric"]))
    keys = table.index.droplevel(["attack", "strength", "metric"])
    kept = np.where([key in expected for key in keys], has == "EOT-PGD", has == "PGD")
    return table[kept].droplevel("attack")


def sanity(swept, targets, chosen, seed, T):
    """Return a frame of yes or no, one row a (detector, method) of a `sweep`: the checks of Carlini et al. (2019).

    Of the accuracy: strength 0 is clean; the strongest attack is no weaker at a larger strength, up to one video; PGD is no
    weaker than FGSM, and stronger than noise, at the largest strength, the same; an attack without bound leaves at most a
    twentieth right. `unbounded` is that accuracy.
    """
    worst, rows = strongest(swept), {}
    for one in targets:
        key, step = (one.detector, one.model.method), 1 / len(one.clips.tracks) + 1e-9
        curve = worst.loc[key].xs("accuracy", level="metric")["value"].sort_index()
        every = swept.loc[key].xs("accuracy", level="metric")["value"]
        at = {name: own.droplevel("attack").sort_index().iloc[-1] for name, own in every.groupby("attack")}
        best = at.get("EOT-PGD", at["PGD"])
        attack = chosen["EOT-PGD" if "EOT-PGD" in at else "PGD"]
        made = attacks.craft(one.model, one.detector, one.clips, attack, [255], seed)[255]
        (samples,) = one.samples(T, [made.inputs])
        unbounded = metrics.accuracy(samples.probabilities.mean(0), samples.index["label"].to_numpy())
        clean = metrics.accuracy(one.clean.probabilities.mean(0), one.clean.index["label"].to_numpy())
        rows[key] = {"0 is clean": abs(curve.loc[0] - clean) <= step, "grows": (np.diff(curve) <= step).all(),
                     "PGD >= FGSM": best <= at["FGSM"] + step, "PGD > noise": best < at["noise"] - step,
                     "unbounded wins": unbounded <= 0.05, "unbounded": float(unbounded)}  # fmt: skip
    said = {key: {name: value if name == "unbounded" else "yes" if value else "no" for name, value in row.items()}
            for key, row in rows.items()}  # fmt: skip
    return pd.DataFrame.from_dict(said, orient="index").rename_axis(["detector", "method"]).round(2)
