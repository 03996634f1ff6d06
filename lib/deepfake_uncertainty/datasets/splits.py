"""Who belongs to which split: by a published list, or by person where there is none."""

import hashlib

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SPLITS = "train", "val", "test"
SHARES = {"train": 0.60, "val": 0.15, "test": 0.25}
WITHOUT_TEST = {"train": 0.80, "val": 0.20}  # where the data set says what is tested on
WHOLE = 0.05  # of all people: groups of up to this share go to one split, larger ones would upset the balance


def assign(rows, split):
    """Give each row its split from {person: split}, or the reason why it has none: all people in a row must share one.

    The people of a row are target, source and those in its list `also`, if any; rows with a reason stay as they are.
    """
    for row in rows:
        if row.get("reason"):
            continue
        people = _people(row)
        unknown = [person for person in people if person not in split]
        other = [person for person in people[1:] if person in split and split[person] != split.get(people[0])]
        if unknown:
            row["reason"] = f"identity {unknown[0]} is in no split"
        elif other:
            row["reason"] = f"target {people[0]} is in {split[people[0]]} but source {other[0]} in {split[other[0]]}"
        else:
            row["split"] = split[people[0]]
    return rows


def by_person(rows, shares=None):
    """Give each row a split by its people, in `shares` {split: share} (default SHARES) of them, the same in every run.

    A hash of the name decides, not the order or number of files. People whom fakes join stay together where such
    a group holds at most WHOLE of all (or two) people; a larger group (Celeb-DF swaps everyone with everyone) is
    divided person by person, and its fakes across two splits are left out with that reason.
    """
    used = [_people(row) for row in rows if not row.get("reason")]
    edges = [(people[0], other) for people in used for other in people]
    if not edges:
        return rows
    code, names = pd.factorize(np.array(edges, dtype=object).ravel())
    one, other = code.reshape(-1, 2).T
    shape = (len(names), len(names))
    _, group = connected_components(coo_array((np.ones(len(one)), (one, other)), shape=shape), directed=False)
    names = pd.Series(names)
    large = np.bincount(group)[group] > max(2, WHOLE * len(names))
    leaders = names.groupby(group).transform("min").where(~large, names)
    return assign(rows, {name: _hashed(leader, shares or SHARES) for name, leader in zip(names, leaders, strict=True)})


def _people(row):
    return [row["target"], *filter(None, [row["source"], *row.get("also", [])])]


def _hashed(name, shares):
    place = int(hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:13], 16) / 16**13
    bounds = np.cumsum(list(shares.values()))[:-1]
    return list(shares)[int(np.searchsorted(bounds, place, side="right"))]
