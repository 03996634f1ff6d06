"""FakeAVCeleb v1.2 (Khalid et al. 2021), and every set written in its layout, as an index of videos.

rtvc clones a voice under an untouched picture: such a clip is no fake of the picture, and as a real one it would be its
original a second time, so it is left out. There is no official split: people are split by `splits.by_person`, where the
voice of another person counts as much as the face (meta_data.csv does not tell the two apart), or by splits.json
{identity: split} in the root. Clips differ in length by class (duration alone tells them apart), so detectors must read
windows of one length.
"""

import re
from pathlib import Path

from deepfake_uncertainty.datasets import records, splits
from deepfake_uncertainty.datasets.leakage import FAMILIES
from deepfake_uncertainty.errors import InputError

CATEGORIES = "RealVideo-RealAudio", "RealVideo-FakeAudio", "FakeVideo-RealAudio", "FakeVideo-FakeAudio"
TABLE = "meta_data.csv"
LAYOUT = f"{CATEGORIES[0]}/<race>/<men|women>/<id>/*.mp4, three more such folders and {TABLE}"
AUDIO_ONLY = "only its sound is fake (rtvc): its picture is that of the real clip"


def fits(root):
    """Return True when `root` looks like FakeAVCeleb."""
    return (root / TABLE).is_file() or any((root / name).is_dir() for name in CATEGORIES)


def index(root, dataset=None):
    """Return (videos, skipped) as `records.collect` does; target is the person whose clip was manipulated.

    The video's name is its path from the root. Left out with their reason: rtvc, files listed with two methods, methods
    that are unknown or contradict their folder, people of two splits. Raises InputError without a readable
    meta_data.csv.
    """
    root = Path(root)
    if not (root / TABLE).is_file():
        raise InputError(f"no {TABLE} in {root}: it comes with the data set and says which method made which file")
    table = records.read_table(root / TABLE, ["source", "target1", "target2", "method", "path"])
    if not str(table.columns[-1]).startswith("Unnamed"):
        raise InputError(f"{root / TABLE} lacks its last, unnamed column of folders: download it again")
    # The first part of a folder is the data set's own name.
    table["folder"] = table[table.columns[-1]].str.replace(r"^[^/]*/?", "", regex=True)
    rows = [_row(root, group) for _, group in table.groupby(["folder", "path"], sort=False)]
    rows += records.unlisted(sorted(root.glob("*Video-*Audio/**/*.mp4")), rows, TABLE)
    if (root / "splits.json").is_file():
        splits.assign(rows, _given(root / "splits.json"))
    else:
        splits.by_person(rows)
    dataset = dataset or ("SynthAV" if (root / "synthav.json").is_file() else "FakeAVCeleb")
    return records.collect(root, dataset, rows)


def _row(root, group):
    """Return the row of one file from the lines that name it."""
    line, methods = group.iloc[0], list(group["method"].unique())
    category = line["folder"].partition("/")[0]
    row = {"path": root / line["folder"] / line["path"], "generator": line["method"], "target": line["source"]}
    named = line["target1"], line["target2"]  # numbers and file names stand there, too
    others = [name for name in named if re.fullmatch(r"id\d+", name) and name != line["source"]]
    row |= {"video": f"{line['folder']}/{line['path']}".removesuffix(".mp4"), "source": others[0] if others else ""}
    mask = root / "masks" / line["folder"] / line["path"]  # SynthAV's
    row |= {"mask_path": str(mask) if mask.is_file() else "", "also": others[1:]}
    return row | {"reason": _reason(methods, category, line["source"])}


def _reason(methods, category, person):
    """Return why a file listed with `methods` in a category's folder is left out, '' when it is not."""
    if len(methods) > 1:
        return f"listed {len(methods)} times with different methods: {', '.join(methods)}"
    if methods[0] == "rtvc":
        return AUDIO_ONLY
    if methods[0] not in ("real", *FAMILIES):
        return f"method '{methods[0]}' is unknown: known are real, {', '.join(FAMILIES)}, rtvc"
    if category not in ((CATEGORIES[0],) if methods[0] == "real" else CATEGORIES[2:]):
        return f"method {methods[0]} contradicts its folder {category or '(none)'}"
    return "" if person else f"{TABLE} names no source, the person in the clip"


def _given(path):
    split = records.read_json(path, dict)
    wrong = sorted({str(name) for name in split.values()} - set(splits.SPLITS))
    if wrong:
        raise InputError(f"{path} names the split {wrong[0]!r}: use {', '.join(splits.SPLITS)}")
    return split
