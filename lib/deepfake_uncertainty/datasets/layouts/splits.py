"""Which person belongs to which split: by a published list, or by a hash of the person's name."""

import hashlib
from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from deepfake_uncertainty.datasets.layouts.records import Row

SPLITS = "train", "val", "test"
SHARES = {"train": 0.60, "val": 0.15, "test": 0.25}
WITHOUT_TEST = {"train": 0.80, "val": 0.20}  # where the data set has a test part of its own
# Share of all people. A group of at most this size goes to one split as a whole. A larger group
# would upset the balance of the splits.
WHOLE = 0.05


def assign(rows: list[Row], split: Mapping[str, str]) -> list[Row]:
    """Set the split of each row from {person: split}, or the reason why it has none; return `rows`.

    The people of a row are target, source and those in its list `also`, if there is one. All of
    them must be in the same split. Rows that already have a reason stay as they are.
    """
    for row in rows:
        if row.get("reason"):
            continue
        people = _people(row)
        target = people[0]
        unknown = [person for person in people if person not in split]
        if unknown:
            row["reason"] = f"identity {unknown[0]} is in no split"
            continue
        crossing = [person for person in people[1:] if split[person] != split[target]]
        if crossing:
            place = f"source {crossing[0]} in {split[crossing[0]]}"
            row["reason"] = f"target {target} is in {split[target]} but {place}"
        else:
            row["split"] = split[target]
    return rows


def by_person(rows: list[Row], shares: Mapping[str, float] | None = None) -> list[Row]:
    """Set the split of each row by its people, or the reason why it has none; return `rows`.

    `shares` is {split: share of the people}, by default SHARES. The split follows from a hash of
    the name, so it is the same in every run, for any order and number of files. People who are
    joined by fakes form a group. A group of at most WHOLE of all people (or of two people) stays
    together. A larger group (in Celeb-DF all people are joined) is divided person by person. Its
    fakes across two splits are left out, with that reason.
    """
    used = [_people(row) for row in rows if not row.get("reason")]
    edges = [(people[0], person) for people in used for person in people]
    if not edges:
        return rows
    codes, names = pd.factorize(np.array(edges, dtype=object).ravel())
    first, second = codes.reshape(-1, 2).T
    shape = (len(names), len(names))
    graph = coo_array((np.ones(len(first)), (first, second)), shape=shape)
    _, group = connected_components(graph, directed=False)
    names = pd.Series(names)
    large = np.bincount(group)[group] > max(2, WHOLE * len(names))
    leaders = names.groupby(group).transform("min").where(~large, names)
    pairs = zip(names, leaders, strict=True)
    return assign(rows, {name: _hashed(leader, shares or SHARES) for name, leader in pairs})


def _people(row: Row) -> list[str]:
    return [row["target"], *filter(None, [row["source"], *row.get("also", [])])]


def _hashed(name: str, shares: Mapping[str, float]) -> str:
    """Return the split of a name: its hash is a number in [0, 1), which the shares divide."""
    number = int(hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:13], 16) / 16**13
    bounds = np.cumsum(list(shares.values()))[:-1]
    return list(shares)[int(np.searchsorted(bounds, number, side="right"))]
