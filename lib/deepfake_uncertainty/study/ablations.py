"""What depends on our choices: one choice is varied at a time, all others stay those of the study."""

import dataclasses
import functools
from dataclasses import dataclass, field

import pandas as pd

from deepfake_uncertainty.datasets import leakage
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import comparison, evaluate, predict, significance

CHOICES = {"dropout": "mc_dropout", "placement": "mc_dropout", "prior_std": "bnn", "delta": "bnn"}  # and what they shape


@dataclass(frozen=True)
class Variant:
    """One value of one choice: what is varied, its value as text, detector, method, `predict.Settings`, T, share of people.

    `people` in (0, 1] is the share of the training identities that are kept; `compression` is that of the videos it is tested
    on; `usual` marks the value of the study.
    """

    choice: str
    value: str
    detector: str
    method: str
    settings: predict.Settings = field(default_factory=predict.Settings)
    T: int = 20
    people: float = 1.0
    compression: str = "c23"
    usual: bool = False


def vary(choice, values, detector, method, T, usual=None, **fixed):
    """Return a Variant for each of `values` of a field of `predict.Settings`; `usual` (default: the field's own) is marked."""
    names = [f.name for f in dataclasses.fields(predict.Settings)]
    if choice not in names:
        raise InputError(f"'{choice}' is no setting: use {', '.join(names)}")
    usual = getattr(predict.Settings(), choice) if usual is None else usual
    return [Variant(choice, str(value), detector, method, predict.Settings(**fixed, **{choice: value}), T, usual=value == usual)
            for value in values]  # fmt: skip


def people(shares, detector, method, T):
    """Return a Variant for each share of the training people; all of them is usual."""
    return [Variant("people", str(share), detector, method, T=T, people=share, usual=share == 1) for share in shares]


def compressions(names, detector, method, T):
    """Return a Variant for each compression of the tested videos; what it is trained on is c23, which is usual."""
    return [Variant("compression", name, detector, method, T=T, compression=name, usual=name == "c23") for name in names]


def inputs(choice, values, detector, method, T, usual):
    """Return a Variant for each value of a keyword of a detector's input function, such as a window or a magnification."""
    spec, found = registry.get(detector), []
    for value in values:
        other = {"inputs": functools.partial(spec.inputs, **{choice: value})} | ({"window": value} if choice == "window" else {})
        found.append(_of_its_own(spec, choice, value, other, method, T, usual))
    return found


def networks(choice, values, detector, method, T, usual):
    """Return a Variant for each value of a keyword of the function that builds a detector's network, such as `pretrained`."""
    spec = registry.get(detector)
    return [_of_its_own(spec, choice, value, {"build": functools.partial(spec.build, **{choice: value})}, method, T, usual)
            for value in values]  # fmt: skip


def _of_its_own(spec, choice, value, other, method, T, usual):
    """Return the Variant of a detector that differs in `other`: it joins the registry of this process under its own name."""
    name = spec.name if value == usual else f"{spec.name}, {choice} {value}"
    registry.DETECTORS.setdefault(name, dataclasses.replace(spec, name=name, **other))
    return Variant(choice, str(value), name, method, T=T, usual=value == usual)


def variants(detector, T, shares, input_choices, **choices):
    """Return all Variants of a study of one detector: `choices` {setting: values}, shares of the training people, and
    `input_choices` {keyword of its input: (values, the usual one)}."""
    found = [one for choice, values in choices.items() for one in vary(choice, values, detector, CHOICES[choice], T)]
    found += people(shares, detector, "bnn", T)
    for choice, (values, usual) in input_choices.items():
        found += inputs(choice, values, detector, "bnn", T, usual)
    return found


def fewer_people(index, share):
    """Return `index` with the first `share` of its training identities (in the order of their names), all other splits whole.

    Fakes go with their target, and with their source: who is left out is not seen at all. Raises InputError for a share
    outside (0, 1], or one that leaves no two people.
    """
    if not 0 < share <= 1:
        raise InputError(f"a share of {share} of the training people: give one in (0, 1]")
    training = index["split"].eq("train")
    people = sorted(index.loc[training, "identity"].unique())
    kept = set(people[: round(share * len(people))])
    if len(kept) < 2:
        raise InputError(f"a share of {share} of {len(people)} training people leaves {len(kept)}: give a larger one")
    seen = index["identity"].isin(kept) & (index["source"].isin(kept) | index["source"].eq(""))
    return index[~training | seen].reset_index(drop=True)


def sample(index, variants, seed, compressed=None):
    """Return {(choice, value): Samples} of the test rows; networks and samples come from the cache if they are there.

    `compressed` {compression: index} has the same videos in every compression but c23 that a Variant asks for.
    """
    found = {}
    for one in variants:
        rows = index if one.people == 1 else fewer_people(index, one.people)
        on = None if one.compression == "c23" else _test(compressed[one.compression])
        samples = predict.samples_for(one.detector, one.method, rows, seed, one.T, on, settings=one.settings)
        found[one.choice, one.value] = comparison.of_split(samples, "test")
    return found


def _test(index):
    return index[index["split"].eq("test")]


def fewer_samples(samples, counts):
    """Return {('T', count): Samples} of the first `count` draws, for every count; draws do not depend on how many follow."""
    available = len(samples.probabilities)
    if max(counts) > available:
        raise InputError(f"{max(counts)} of {available} samples asked for: sample more")
    return {("T", str(count)): predict.Samples(samples.probabilities[:count], samples.index) for count in counts}


def tables(sampled, seed, n_boot):
    """Return `evaluate.table` of every entry of {(choice, value): Samples}: levels choice, value, metric; value, low, high."""
    parts = {name: evaluate.table(*samples, seed, n_boot) for name, samples in sampled.items()}
    return pd.concat(parts, names=["choice", "setting", "metric"])


def starred(found, choice):
    """Return {value: text} of a choice, the usual value marked by an asterisk."""
    return {one.value: f"{one.value}{' *' if one.usual else ''}" for one in found if one.choice == choice}


def against_usual(sampled, found, metric, seed, n_boot):
    """Return how each setting differs from the usual one of its choice in `metric`, on the same resamples of the same videos.

    A frame by (choice, setting): value, low, high, p (two-sided, bootstrap), p_holm, corrected over all rows (Holm 1979), and n,
    the videos compared: those that both settings can read.
    """
    usual, rows = {one.choice: one.value for one in found if one.usual}, {}
    for one in found:
        if not one.usual and one.choice in usual:
            pair = significance.in_common(sampled[one.choice, one.value], sampled[one.choice, usual[one.choice]])
            told = significance.difference(*pair, seed, n_boot).loc[metric]
            rows[one.choice, one.value] = told.to_dict() | {"n": len(pair[0].index[list(leakage.KEY)].drop_duplicates())}
    table = pd.DataFrame(rows).T.rename_axis(["choice", "setting"])
    return table.assign(p_holm=significance.holm(table["p"]))
