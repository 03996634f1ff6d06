"""Guards against leakage: what one detector learnt from, chose by and is tested on may share no video and no person."""

import itertools

import pandas as pd

from deepfake_uncertainty.errors import InputError

# A folder or file name alone is no key: the same name stands under every generator.
KEY = ["dataset", "generator", "video"]
PERSON = "identity", "target", "source"  # a fake shows two people, and either may have taught the detector
# The generators of FakeAVCeleb (Khalid et al. 2021); a hybrid is named by the tools that it joins.
FAMILIES = "faceswap", "fsgan", "wav2lip", "faceswap-wav2lip", "fsgan-wav2lip"


def check_leakage(videos):
    """Raise InputError when an identity, target or source occurs in two splits, or when a video's key occurs twice."""
    twice = videos[videos.duplicated(KEY, keep=False)]
    if len(twice):
        raise InputError(f"the video {tuple(twice.iloc[0][KEY])} occurs {len(twice)} times: remove the copies")
    people = _people(videos, "split").drop_duplicates()
    crossing = people[people.duplicated(["dataset", "person"], keep=False)]
    if len(crossing):
        person = crossing.iloc[0]["person"]
        names = ", ".join(sorted(crossing[crossing["person"] == person]["split"]))
        raise InputError(f"identity {person} occurs in the splits {names}: split by identity, target and source alike")


def refuse_leak(splits):
    """Raise InputError when two of the frames {name: index} share a video or a person (identity, target or source)."""
    for (one, rows), (other, others) in itertools.combinations(splits.items(), 2):
        for what, of in (("video", _keys), ("identity", _people)):
            shared = _tuples(of(rows)) & _tuples(of(others))
            if shared:
                example = "/".join(map(str, min(shared)))
                shares = f"{one} and {other} share {len(shared)} by {what}, such as {example}"
                raise InputError(f"{shares}: split by identity")


def relatives(generator):
    """Return the names of the generators that share a tool with `generator`: of wav2lip, itself and two hybrids."""
    tools = set(generator.split("-"))
    return tuple(name for name in FAMILIES if tools & set(name.split("-"))) or (generator,)


def held_out(index, generator):
    """Return the mask bool (rows,) of what leave-one-out takes out of `index`: the generator and all its `relatives`.

    Raises InputError when the index has no video of that generator.
    """
    present = sorted(set(index["generator"]) - {"real"})
    if generator not in present:
        raise InputError(f"cannot leave out '{generator}': the index has {', '.join(present) or 'no fakes'}")
    return index["generator"].isin(relatives(generator)).to_numpy()


def _keys(rows):
    return rows[KEY]


def _people(rows, *beside):
    """Return the frame (dataset, person, *beside) of everyone named in `rows`."""
    columns = [name for name in PERSON if name in rows]
    people = pd.concat([rows[["dataset", name, *beside]].rename(columns={name: "person"}) for name in columns])
    return people[people["person"].fillna("") != ""]


def _tuples(frame):
    return set(frame.itertuples(index=False, name=None))
