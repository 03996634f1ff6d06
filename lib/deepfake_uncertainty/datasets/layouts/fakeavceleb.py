"""FakeAVCeleb v1.2 (Khalid et al. 2021), and every set in its layout, as an index of videos.

The method rtvc clones a voice and leaves the picture as it is. Such a clip is no fake of the
picture. As a real clip it would be a second copy of its original. It is therefore left out.

There is no official split. People are split by `splits.by_person`, or by the file splits.json
{identity: split} in the root. The voice of another person counts as much as the face, because
meta_data.csv does not tell the two apart.

Clips differ in length between the classes, and the duration alone tells the classes apart.
Detectors must therefore read windows of one length.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from deepfake_uncertainty.datasets.layouts import records, splits
from deepfake_uncertainty.datasets.layouts.records import Row
from deepfake_uncertainty.datasets.leakage import FAMILIES
from deepfake_uncertainty.errors import InputError

NAME, ORDER = "FakeAVCeleb", 20
CATEGORIES = (
    "RealVideo-RealAudio",
    "RealVideo-FakeAudio",
    "FakeVideo-RealAudio",
    "FakeVideo-FakeAudio",
)
TABLE = "meta_data.csv"
LAYOUT = f"{CATEGORIES[0]}/<race>/<men|women>/<id>/*.mp4, three more such folders and {TABLE}"
AUDIO_ONLY = "only its sound is fake (rtvc): its picture is that of the real clip"


def fits(root: Path) -> bool:
    """Return True when `root` looks like FakeAVCeleb."""
    return (root / TABLE).is_file() or any((root / name).is_dir() for name in CATEGORIES)


def index(root: str | Path, dataset: str | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return (videos, skipped) as `records.collect` does.

    The target is the person whose clip was manipulated. The name of a video is its path below the
    root. Left out, with their reason, are clips of rtvc, files listed with two methods, methods
    that are unknown or contradict their folder, and videos of people in two splits. Raises
    InputError without a readable meta_data.csv.
    """
    root = Path(root)
    table = _read_table(root)
    files = table.groupby(["folder", "path"], sort=False)
    known = _known_methods(root)
    rows = [_row(root, group, known) for _, group in files]
    rows += records.unlisted(sorted(root.glob("*Video-*Audio/**/*.mp4")), rows, TABLE)
    if (root / "splits.json").is_file():
        splits.assign(rows, _read_splits(root / "splits.json"))
    else:
        splits.by_person(rows)
    dataset = dataset or ("SynthAV" if (root / "synthav.json").is_file() else "FakeAVCeleb")
    return records.collect(root, dataset, rows)


def _read_table(root: Path) -> pd.DataFrame:
    """Return meta_data.csv with one more column: `folder` of each file, below the root."""
    path = root / TABLE
    if not path.is_file():
        purpose = "it comes with the data set and says which method made which file"
        raise InputError(f"no {TABLE} in {root}: {purpose}")
    table = records.read_table(path, ["source", "target1", "target2", "method", "path"])
    if not str(table.columns[-1]).startswith("Unnamed"):
        raise InputError(f"{path} lacks its last, unnamed column of folders: download it again")
    # The first part of a folder is the data set's own name.
    table["folder"] = table[table.columns[-1]].str.replace(r"^[^/]*/?", "", regex=True)
    return table


def _known_methods(root: Path) -> tuple[str, ...]:
    """Return the published methods of fakes, or those that an embedded data set was built with."""
    stamp = root / "synthav.json"
    if not stamp.is_file():
        return FAMILIES
    parameters = records.read_json(stamp, dict).get("parameters") or {}
    return tuple(parameters.get("families", FAMILIES))


def _row(root: Path, group: pd.DataFrame, known: Sequence[str]) -> Row:
    """Return the row of one file from the lines that name it."""
    line, methods = group.iloc[0], list(group["method"].unique())
    folder, person = line["folder"], line["source"]
    # The columns of targets hold numbers and file names, too.
    named = [name for name in (line["target1"], line["target2"]) if re.fullmatch(r"id\d+", name)]
    others = [name for name in named if name != person]
    mask = root / "masks" / folder / line["path"]  # only SynthAV has masks
    return {
        "path": root / folder / line["path"],
        "generator": line["method"],
        "video": f"{folder}/{line['path']}".removesuffix(".mp4"),
        "target": person,
        "source": others[0] if others else "",
        "also": others[1:],
        "mask_path": str(mask) if mask.is_file() else "",
        "reason": _reason(methods, folder.partition("/")[0], person, known),
    }


def _reason(methods: Sequence[str], category: str, person: str, known: Sequence[str]) -> str:
    """Return why a file listed with `methods` in the folder `category` is left out, '' if not."""
    if len(methods) > 1:
        return f"listed {len(methods)} times with different methods: {', '.join(methods)}"
    method = methods[0]
    if method == "rtvc":
        return AUDIO_ONLY
    if method not in ("real", *known):
        return f"method '{method}' is unknown: known are real, {', '.join(known)}, rtvc"
    if category not in ((CATEGORIES[0],) if method == "real" else CATEGORIES[2:]):
        return f"method {method} contradicts its folder {category or '(none)'}"
    return "" if person else f"{TABLE} names no source, the person in the clip"


def _read_splits(path: Path) -> dict[str, str]:
    split = records.read_json(path, dict)
    wrong = sorted({str(name) for name in split.values()} - set(splits.SPLITS))
    if wrong:
        raise InputError(f"{path} names the split {wrong[0]!r}: use {', '.join(splits.SPLITS)}")
    return split
