"""Ablations: one choice varies at a time, all other choices stay those of the study."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from deepfake_uncertainty.datasets import leakage
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.detectors.base import DetectorSpec
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.evaluation import metric_tables, significance
from deepfake_uncertainty.training import predict
from deepfake_uncertainty.training.config import Run, Settings
from deepfake_uncertainty.training.predict import Samples

# The method that each setting belongs to.
CHOICES = {"dropout": "mc_dropout", "placement": "mc_dropout", "prior_std": "bnn", "delta": "bnn"}
Sampled = Mapping[tuple[str, str], Samples]  # {(choice, value): Samples}


@dataclass(frozen=True)
class Variant:
    """One value of one choice, with all that is needed to train and sample it.

    choice: what varies; value: its value as text.
    detector, method: registry names; settings: of the training; T: samples per input.
    people: the share of the training identities that are kept, in (0, 1].
    compression: of the tested videos ('c0', 'c23' or 'c40').
    usual: True for the value that the study uses.
    """

    choice: str
    value: str
    detector: str
    method: str
    settings: Settings = field(default_factory=Settings)
    T: int = 20
    people: float = 1.0
    compression: str = "c23"
    usual: bool = False


def setting_variants(
    choice: str,
    values: Sequence[Any],
    detector: str,
    method: str,
    T: int,
    usual: Any = None,
    **fixed: Any,
) -> list[Variant]:
    """Return a Variant for each of `values` of the field `choice` of `Settings`.

    `usual` is the value of the study, by default that of the field; `fixed` are other settings.
    Raises InputError for a name that is no setting.
    """
    names = [f.name for f in dataclasses.fields(Settings)]
    if choice not in names:
        raise InputError(f"'{choice}' is no setting: use {', '.join(names)}")
    usual = getattr(Settings(), choice) if usual is None else usual

    def variant(value):
        settings = Settings(**fixed, **{choice: value})
        return Variant(choice, str(value), detector, method, settings, T, usual=value == usual)

    return [variant(value) for value in values]


def identity_share_variants(
    shares: Sequence[float], detector: str, method: str, T: int
) -> list[Variant]:
    """Return a Variant for each share of the training identities; the study uses all of them."""
    return [
        Variant("people", str(share), detector, method, T=T, people=share, usual=share == 1)
        for share in shares
    ]


def compression_variants(names: Sequence[str], detector: str, method: str, T: int) -> list[Variant]:
    """Return a Variant for each compression of the tested videos.

    All are trained on c23, which is also what the study tests on.
    """
    return [
        Variant("compression", name, detector, method, T=T, compression=name, usual=name == "c23")
        for name in names
    ]


def input_variants(
    choice: str, values: Sequence[Any], detector: str, method: str, T: int, usual: Any
) -> list[Variant]:
    """Return a Variant for each value of a keyword of a detector's input function.

    Such keywords are a window or a magnification; `usual` is the value of the study.
    """
    spec, variants = registry.get(detector), []
    for value in values:
        fields: dict[str, Any] = {"inputs": functools.partial(spec.inputs, **{choice: value})}
        if choice == "window":
            fields["window"] = value
        variants.append(_changed_detector(spec, choice, value, fields, method, T, usual))
    return variants


def network_variants(
    choice: str, values: Sequence[Any], detector: str, method: str, T: int, usual: Any
) -> list[Variant]:
    """Return a Variant for each value of a keyword of the function that builds a network.

    Such a keyword is `pretrained`; `usual` is the value of the study.
    """
    spec, variants = registry.get(detector), []
    for value in values:
        fields = {"build": functools.partial(spec.build, **{choice: value})}
        variants.append(_changed_detector(spec, choice, value, fields, method, T, usual))
    return variants


def _changed_detector(
    spec: DetectorSpec,
    choice: str,
    value: Any,
    fields: dict[str, Any],
    method: str,
    T: int,
    usual: Any,
) -> Variant:
    """Register a copy of a detector with other `fields`, under a new name; return its Variant."""
    name = spec.name if value == usual else f"{spec.name}, {choice} {value}"
    registry.DETECTORS.register(dataclasses.replace(spec, name=name, **fields))
    return Variant(choice, str(value), name, method, T=T, usual=value == usual)


def all_variants(
    detector: str,
    T: int,
    shares: Sequence[float],
    input_choices: Mapping[str, tuple[Sequence[Any], Any]],
    **choices: Sequence[Any],
) -> list[Variant]:
    """Return all Variants of a study of one detector.

    `choices` are {setting: values}, for the settings of CHOICES; `shares` are those of the training
    identities; `input_choices` are {keyword of the detector's input: (values, the usual one)}.
    """
    variants = []
    for choice, values in choices.items():
        variants += setting_variants(choice, values, detector, CHOICES[choice], T)
    variants += identity_share_variants(shares, detector, "bnn", T)
    for choice, (values, usual) in input_choices.items():
        variants += input_variants(choice, values, detector, "bnn", T, usual)
    return variants


def with_identity_share(index: pd.DataFrame, share: float) -> pd.DataFrame:
    """Return `index` with the first `share` of its training identities.

    The order is that of their names. All other splits stay whole. A fake stays only if both its
    target and its source are kept, so that an identity that is left out is not seen at all. Raises
    InputError for a share outside (0, 1], or one that leaves fewer than two identities.
    """
    if not 0 < share <= 1:
        raise InputError(f"a share of {share} of the training people: give one in (0, 1]")
    training = index["split"].eq("train")
    people = sorted(index.loc[training, "identity"].unique())
    kept = set(people[: round(share * len(people))])
    if len(kept) < 2:
        message = f"a share of {share} of {len(people)} training people leaves {len(kept)}"
        raise InputError(f"{message}: give a larger one")
    seen = index["identity"].isin(kept) & (index["source"].isin(kept) | index["source"].eq(""))
    return index[~training | seen].reset_index(drop=True)


def sample_variants(
    index: pd.DataFrame,
    variants: Sequence[Variant],
    run: Run,
    compressed: Mapping[str, pd.DataFrame] | None = None,
) -> dict[tuple[str, str], Samples]:
    """Return {(choice, value): Samples} of the test rows of every Variant.

    Networks and samples come from the cache if they are there. `compressed` is
    {compression: index}, the same videos in every compression but c23 that a Variant tests on.
    """
    sampled = {}
    for one in variants:
        rows = index if one.people == 1 else with_identity_share(index, one.people)
        on = None if one.compression == "c23" else _test((compressed or {})[one.compression])
        samples = predict.samples_for(
            one.detector, one.method, rows, run.with_samples(one.T), on, one.settings
        )
        sampled[one.choice, one.value] = samples.of_split("test")
    return sampled


def _test(index: pd.DataFrame) -> pd.DataFrame:
    return index[index["split"].eq("test")]


def first_samples(samples: Samples, counts: Sequence[int]) -> dict[tuple[str, str], Samples]:
    """Return {('T', count): Samples} of the first `count` draws, for every count.

    A draw does not depend on how many follow it. Raises InputError for more draws than there are.
    """
    available = len(samples.probabilities)
    if max(counts) > available:
        raise InputError(f"{max(counts)} of {available} samples asked for: sample more")
    return {
        ("T", str(count)): Samples(samples.probabilities[:count], samples.index) for count in counts
    }


def variant_tables(sampled: Sampled, seed: int, n_boot: int) -> pd.DataFrame:
    """Return `metric_tables.metric_table` of every entry of {(choice, value): Samples}.

    The index levels are choice, setting and metric; the columns are value, low and high.
    """
    parts = {
        name: metric_tables.metric_table(*samples, seed, n_boot)
        for name, samples in sampled.items()
    }
    return pd.concat(parts, names=["choice", "setting", "metric"])


def setting_labels(variants: Sequence[Variant], choice: str) -> dict[str, str]:
    """Return {value: text} of a choice, with an asterisk after the value of the study."""
    return {
        one.value: f"{one.value}{' *' if one.usual else ''}"
        for one in variants
        if one.choice == choice
    }


def difference_to_default(
    sampled: Sampled, variants: Sequence[Variant], metric: str, seed: int, n_boot: int
) -> pd.DataFrame:
    """Return how each setting differs from the usual one of its choice in `metric`.

    Both are on the same resamples of the same videos. The index levels are choice and setting. The
    columns are value, low, high, p (two-sided, bootstrap), n (the videos that both settings can
    read) and p_holm, which is p corrected over all rows (Holm 1979).
    """
    usual, rows = {one.choice: one.value for one in variants if one.usual}, {}
    for one in variants:
        if not one.usual and one.choice in usual:
            changed, default = significance.common_videos(
                sampled[one.choice, one.value], sampled[one.choice, usual[one.choice]]
            )
            table = significance.paired_difference(changed, default, seed, n_boot)
            videos = changed.index[list(leakage.KEY)].drop_duplicates()
            rows[one.choice, one.value] = table.loc[metric].to_dict() | {"n": len(videos)}
    differences = pd.DataFrame(rows).T.rename_axis(["choice", "setting"])
    return differences.assign(p_holm=significance.holm(differences["p"]))
