"""Guards against leakage between splits.

The data that a detector was trained on, chosen by and tested on may share no video and no person.
"""

import itertools
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from deepfake_uncertainty.errors import InputError

# A folder or file name alone is no key: the same name occurs under every generator.
KEY = ["dataset", "generator", "video"]
# A fake shows two people, and a detector may have learned from either of them.
PERSON = ("identity", "target", "source")
# The generators of FakeAVCeleb (Khalid et al. 2021); a hybrid has the names of the tools it joins.
FAMILIES = "faceswap", "fsgan", "wav2lip", "faceswap-wav2lip", "fsgan-wav2lip"


def check_leakage(videos: pd.DataFrame) -> None:
    """Raise InputError when an identity, target or source is in two splits, or a key occurs twice.

    `videos` is an index of videos; the key of a video is KEY.
    """
    twice = videos[videos.duplicated(KEY, keep=False)]
    if len(twice):
        key = tuple(twice.iloc[0][KEY])
        raise InputError(f"the video {key} occurs {len(twice)} times: remove the copies")
    people = _people(videos, "split").drop_duplicates()
    crossing = people[people.duplicated(["dataset", "person"], keep=False)]
    if len(crossing):
        person = crossing.iloc[0]["person"]
        names = ", ".join(sorted(crossing[crossing["person"] == person]["split"]))
        remedy = "split by identity, target and source alike"
        raise InputError(f"identity {person} occurs in the splits {names}: {remedy}")


def check_disjoint(splits: Mapping[str, pd.DataFrame]) -> None:
    """Raise InputError when two of the frames {name: index} share a video or a person.

    A person is an identity, a target or a source.
    """
    for (first, rows), (second, others) in itertools.combinations(splits.items(), 2):
        for what, select in (("video", _keys), ("identity", _people)):
            shared = _tuples(select(rows)) & _tuples(select(others))
            if shared:
                example = "/".join(map(str, min(shared)))
                shares = f"{first} and {second} share {len(shared)} by {what}, such as {example}"
                raise InputError(f"{shares}: split by identity")


def relatives(generator: str, present: Iterable[str] = FAMILIES) -> tuple[str, ...]:
    """Return the generators of `present` that share a tool with `generator`, and itself.

    A hybrid is named by its tools, joined by dashes: wav2lip has itself and two hybrids.
    """
    tools = set(generator.split("-"))
    names = dict.fromkeys([*present, generator])
    return tuple(name for name in names if name == generator or tools & set(name.split("-")))


def held_out(index: pd.DataFrame, generator: str) -> np.ndarray:
    """Return the mask bool (rows,) of the videos of `generator` and of all its `relatives`.

    Leave-one-out takes them out of `index`. Raises InputError when the index has no video of that
    generator.
    """
    present = sorted(set(index["generator"]) - {"real"})
    if generator not in present:
        listed = ", ".join(present) or "no fakes"
        raise InputError(f"cannot leave out '{generator}': the index has {listed}")
    return index["generator"].isin(relatives(generator, present)).to_numpy()


def _keys(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[KEY]


def _people(rows: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Return the frame (dataset, person, *columns) of all people in `rows`."""
    parts = [
        rows[["dataset", name, *columns]].rename(columns={name: "person"})
        for name in PERSON
        if name in rows
    ]
    people = pd.concat(parts)
    return people[people["person"].fillna("") != ""]


def _tuples(frame: pd.DataFrame) -> set[tuple]:
    return set(frame.itertuples(index=False, name=None))
