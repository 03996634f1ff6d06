"""Guards against leakage: no person in two splits, no video under two keys, nothing predicted that was trained on."""

import itertools

import pandas as pd

from deepfake_uncertainty.errors import InputError

# A folder or file name alone is no key: the same name stands under every generator.
KEY = ["dataset", "generator", "video"]
PEOPLE = ["identity", "target", "source"]  # a fake shows two people, and either may have taught a detector


def check_leakage(videos):
    """Raise InputError when a person (identity, target or source) occurs in two splits, or a video's key twice."""
    twice = videos[videos.duplicated(KEY, keep=False)]
    if len(twice):
        raise InputError(f"the video {tuple(twice.iloc[0][KEY])} occurs {len(twice)} times: remove the copies")
    people = _people(videos)
    crossing = people[people.duplicated(["dataset", "person"], keep=False)]
    if len(crossing):
        person = crossing.iloc[0]["person"]
        names = ", ".join(sorted(crossing.loc[crossing["person"] == person, "split"]))
        raise InputError(f"identity {person} occurs in the splits {names}: split by identity, target and source alike")


def refuse_leak(splits):
    """Raise InputError when two of the frames {name: index} share a video or a person (identity, target or source)."""
    for (one, rows), (other, others) in itertools.combinations(splits.items(), 2):
        for what, of in (("video", _videos), ("identity", _persons)):
            shared = of(rows) & of(others)
            if shared:
                example = "/".join(map(str, min(shared)))
                raise InputError(f"{one} and {other} share {len(shared)} by {what}, such as {example}: split by identity")


def _people(videos):
    """Return the distinct (dataset, person, split) of an index; one without a split is one split."""
    videos = videos if "split" in videos else videos.assign(split="")
    columns = [videos[["dataset", name, "split"]].set_axis(["dataset", "person", "split"], axis=1)
               for name in PEOPLE if name in videos]  # fmt: skip
    people = pd.concat(columns)
    return people[people["person"].fillna("") != ""].drop_duplicates()


def _videos(rows):
    return set(rows[KEY].itertuples(index=False, name=None))


def _persons(rows):
    return set(_people(rows)[["dataset", "person"]].itertuples(index=False, name=None))
