"""Celeb-DF v2 (Li et al. 2020) as an index of videos.

The official test videos show the same 59 celebrities as the others, and every fake joins two of them, so no part of the
list of test videos leaves a training set of other people. People are therefore split by `splits.by_person`. For a
detector trained on another data set the official protocol holds: `testing_list` names its videos.
"""

import re
from pathlib import Path

from deepfake_uncertainty.datasets import records, splits
from deepfake_uncertainty.errors import InputError

LIST = "List_of_testing_videos.txt"
# folder: generator, form of the name with target and source
FOLDERS = {
    "Celeb-real": ("real", r"(?P<target>id\d+)_\d+"),
    "YouTube-real": ("real", r"(?P<target>\d+)"),
    "Celeb-synthesis": ("Celeb-synthesis", r"(?P<target>id\d+)_(?P<source>id\d+)_\d+"),
}
EXAMPLES = dict(zip(FOLDERS, ("id0_0000.mp4", "00170.mp4", "id0_id1_0000.mp4"), strict=True))
LAYOUT = f"{', '.join(f'{name}/*.mp4' for name in FOLDERS)}, {LIST}"


def fits(root):
    """Return True when `root` looks like Celeb-DF."""
    return any((root / name).is_dir() for name in FOLDERS)


def testing_list(root):
    """Return {path from the root: 1 real, 0 fake} of the official test videos, {} without the list.

    Most lists of the field have these labels the other way round. Raises InputError for a line of another form.
    """
    path, labels = Path(root) / LIST, {}
    if not path.is_file():
        return {}
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        found = re.fullmatch(r"\s*([01])\s+(\S+)\s*", line)
        if found:
            labels[found.group(2)] = int(found.group(1))
        elif line.strip():
            raise InputError(f"{path}, line {number}: expected '1 YouTube-real/00170.mp4' (1 is real): get it again")
    return labels


def index(root, dataset=None):
    """Return (videos, skipped) as `records.collect` does; id0_id1_0000.mp4 is the clip of id0 with the face of id1.

    A person of YouTube-real is known by one clip only, and is named yt<number>. A video is left out, with its reason,
    when its label in the list of test videos contradicts its folder, or when its people fall into two splits.
    """
    root = Path(root)
    labels = testing_list(root)
    rows = [_row(path, labels) for name in FOLDERS for path in sorted((root / name).glob("*.mp4"))]
    there = {_place(row["path"]) for row in rows}
    rows += [{"path": root / name, "reason": f"named by {LIST}, not on disk"} for name in labels if name not in there]
    return records.collect(root, dataset or "Celeb-DF-v2", splits.by_person(rows))


def _place(path):
    return f"{path.parent.name}/{path.name}"


def _row(path, labels):
    generator, form = FOLDERS[path.parent.name]
    row = {"path": path, "generator": generator, "video": _place(path).removesuffix(".mp4")}
    name = re.fullmatch(form, path.stem)
    if not name:
        return row | {"reason": f"the name is not of the form of {path.parent.name}: {EXAMPLES[path.parent.name]}"}
    said, is_real = labels.get(_place(path)), generator == "real"
    if said is not None and said != is_real:
        return row | {"reason": f"{LIST} says {said} (1 is real, 0 fake), its folder is {path.parent.name}"}
    people = name.groupdict()
    target = f"yt{people['target']}" if path.parent.name == "YouTube-real" else people["target"]
    return row | {"target": target, "source": people.get("source", "")}
