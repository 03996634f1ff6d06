"""Celeb-DF v2 (Li et al. 2020) as an index of videos.

The official test videos show the same 59 celebrities as the other videos, and every fake joins two
of them. No part of the list of test videos therefore leaves a training set of other people. People
are split by `splits.by_person`. For a detector trained on another data set the official protocol
holds: `testing_list` names its videos.
"""

import re
from pathlib import Path

import pandas as pd

from deepfake_uncertainty.datasets.layouts import records, splits
from deepfake_uncertainty.datasets.layouts.records import Row
from deepfake_uncertainty.errors import InputError

NAME, ORDER = "Celeb-DF", 30
LIST = "List_of_testing_videos.txt"
# folder: generator, form of the name with target and source
FOLDERS = {
    "Celeb-real": ("real", r"(?P<target>id\d+)_\d+"),
    "YouTube-real": ("real", r"(?P<target>\d+)"),
    "Celeb-synthesis": ("Celeb-synthesis", r"(?P<target>id\d+)_(?P<source>id\d+)_\d+"),
}
EXAMPLES = dict(zip(FOLDERS, ("id0_0000.mp4", "00170.mp4", "id0_id1_0000.mp4"), strict=True))
LAYOUT = f"{', '.join(f'{name}/*.mp4' for name in FOLDERS)}, {LIST}"


def fits(root: Path) -> bool:
    """Return True when `root` looks like Celeb-DF."""
    return any((root / name).is_dir() for name in FOLDERS)


def testing_list(root: str | Path) -> dict[str, int]:
    """Return {path below the root: 1 real, 0 fake} of the official test videos, {} without a list.

    Most lists of the field use 1 for fake and 0 for real. Raises InputError for a line of another
    form.
    """
    path = Path(root) / LIST
    labels: dict[str, int] = {}
    if not path.is_file():
        return labels
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        entry = re.fullmatch(r"\s*([01])\s+(\S+)\s*", line)
        if entry:
            labels[entry.group(2)] = int(entry.group(1))
        elif line.strip():
            expected = "expected '1 YouTube-real/00170.mp4' (1 is real)"
            raise InputError(f"{path}, line {number}: {expected}: download it again")
    return labels


def index(root: str | Path, dataset: str | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return (videos, skipped) as `records.collect` does.

    id0_id1_0000.mp4 is the clip of id0 with the face of id1. A person of YouTube-real occurs in one
    clip only and is called yt<number>. A video is left out, with its reason, when its label in the
    list of test videos contradicts its folder, or when its people are in two splits.
    """
    root = Path(root)
    labels = testing_list(root)
    rows = [_row(path, labels) for name in FOLDERS for path in sorted((root / name).glob("*.mp4"))]
    present = {_place(row["path"]) for row in rows}
    absent = [name for name in labels if name not in present]
    reason = f"named by {LIST}, not on disk"
    rows += [{"path": root / name, "reason": reason} for name in absent]
    return records.collect(root, dataset or "Celeb-DF-v2", splits.by_person(rows))


def _place(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _row(path: Path, labels: dict[str, int]) -> Row:
    folder = path.parent.name
    generator, form = FOLDERS[folder]
    row: Row = {"path": path, "generator": generator, "video": _place(path).removesuffix(".mp4")}
    name = re.fullmatch(form, path.stem)
    if not name:
        return row | {"reason": f"the name is not of the form of {folder}: {EXAMPLES[folder]}"}
    label, is_real = labels.get(_place(path)), generator == "real"
    if label is not None and label != is_real:
        return row | {"reason": f"{LIST} says {label} (1 is real, 0 fake), its folder is {folder}"}
    people = name.groupdict()
    target = f"yt{people['target']}" if folder == "YouTube-real" else people["target"]
    return row | {"target": target, "source": people.get("source", "")}
