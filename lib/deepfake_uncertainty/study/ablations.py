"""What depends on our choices: one choice is varied at a time, all others stay those of the study."""

import dataclasses
from dataclasses import dataclass, field

import pandas as pd

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import comparison, evaluate, predict


@dataclass(frozen=True)
class Variant:
    """One value of one choice: what is varied, its value as text, detector, method, `predict.Settings`, T, share of people.

    `people` in (0, 1] is the share of the training identities that are kept; `usual` marks the value of the study.
    """

    choice: str
    value: str
    detector: str
    method: str
    settings: predict.Settings = field(default_factory=predict.Settings)
    T: int = 20
    people: float = 1.0
    usual: bool = False


def vary(choice, values, detector, method, T, usual=None, **fixed):
    """Return a Variant for each of `values` of a field of `predict.Settings`; `usual` (default: the field's own) is marked."""
    names = [f.name for f in dataclasses.fields(predict.Settings)]
    if choice not in names:
        raise InputError(f"'{choice}' is no setting: use {', '.join(names)}")
    usual = getattr(predict.Settings(), choice) if usual is None else usual
    return [Variant(choice, str(value), detector, method, predict.Settings(**fixed, **{choice: value}), T, usual=value == usual)
            for value in values]  # fmt: skip


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


def sample(index, variants, seed):
    """Return {(choice, value): Samples} of the test rows; networks and samples come from the cache if they are there."""
    found = {}
    for one in variants:
        rows = index if one.people == 1 else fewer_people(index, one.people)
        samples = predict.samples_for(one.detector, one.method, rows, seed, one.T, settings=one.settings)
        found[one.choice, one.value] = comparison.of_split(samples, "test")
    return found


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
