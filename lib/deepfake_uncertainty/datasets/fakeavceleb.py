"""FakeAVCeleb v1.2 (Khalid et al. 2021), and SynthAV in its layout, as an index of videos.

`source` of its table is the person whose clip a fake stands on (our target), `target1` the one whose face or voice was put
there (our source). rtvc clones a voice: its picture is real, so it is left out. There is no official split: people are split
by their names (60 / 15 / 25 percent), and a fake whose two people fall into different splits is left out, about every other
one that shows two.
"""

import json
from pathlib import Path

import pandas as pd

from deepfake_uncertainty.datasets import records
from deepfake_uncertainty.errors import InputError

TABLE, FOLDER = "meta_data.csv", "FakeAVCeleb/"
COLUMNS = ["source", "target1", "target2", "method", "category", "type", "race", "gender", "path"]
METHODS = ("real", "faceswap", "fsgan", "wav2lip", "faceswap-wav2lip", "fsgan-wav2lip", "rtvc")
LAYOUT = "meta_data.csv, <type>/<race>/<gender>/<id>/*.mp4"


def fits(root):
    """Return True when `root` looks like FakeAVCeleb."""
    return (Path(root) / TABLE).is_file() or (Path(root) / "RealVideo-RealAudio").is_dir()


def index(root, compression=None, dataset=None):
    """Return (videos, skipped) of a FakeAVCeleb root, as `index.index` does; it knows no compressions.

    Files that the table lists with two methods, that it does not list, or that are missing are left out with their reason.
    Raises InputError for a root without its table, or a table that cannot be read.
    """
    root = Path(root)
    found = records.Records(dataset or ("SynthAV" if (root / "synthav.json").is_file() else "FakeAVCeleb"))
    table, splits = _table(root), _splits(root)
    methods = table.groupby("file")["method"].agg(lambda names: sorted(set(names)))
    for row in table.drop_duplicates("file").itertuples(index=False):
        path, conflicting = root / row.file, methods[row.file]
        people = [name for name in (row.source, row.target1) if name]
        split = [splits.get(name) if splits else records.split_by_hash(name) for name in people]
        reason = _reason(row, path, conflicting, people, split)
        if reason:
            found.skip(path, reason)
            continue
        mask = root / "masks" / row.file
        donor = "" if row.method == "real" else row.target1
        found.add(path, row.method, row.file.removesuffix(path.suffix), row.source, donor, split[0], mask if mask.is_file() else "")
    listed = set(table["file"])
    kinds = [folder for folder in root.iterdir() if folder.is_dir() and "Video-" in folder.name]
    for path in sorted(path for kind in kinds for path in kind.rglob("*.mp4")):
        if path.relative_to(root).as_posix() not in listed:
            found.skip(path, f"not listed in {TABLE}")
    return found.frames(root)


def _reason(row, path, conflicting, people, split):
    if len(conflicting) > 1:
        return f"listed with conflicting methods: {', '.join(conflicting)}"
    if row.method not in METHODS:
        return f"unknown method {row.method!r}: known are {', '.join(METHODS)}"
    if row.method == "rtvc":
        return "rtvc clones the voice only: the picture is real"
    if not row.source:
        return f"{TABLE} does not say whose clip this is"
    if not path.is_file():
        return f"listed in {TABLE}, not on disk"
    if None in split:
        return f"identity {people[split.index(None)]} is in no split"
    if len(set(split)) > 1:
        return f"target {people[0]} is in {split[0]} but source {people[1]} in {split[1]}"
    return ""


def _table(root):
    path = root / TABLE
    if not path.is_file():
        raise InputError(f"no {TABLE} in {root}: it comes with FakeAVCeleb, copy it there")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:  # pandas' parser errors and bad encodings are ValueErrors
        raise InputError(f"{path} cannot be read as a table ({str(error).strip().splitlines()[0]}): get it again") from error
    # The last column has no name in the file: it is the folder.
    if list(table.columns[: len(COLUMNS)]) != COLUMNS or len(table.columns) != len(COLUMNS) + 1:
        raise InputError(f"{path} must have the columns {','.join(COLUMNS)} and one without a name: get it again")
    table = table.set_axis([*COLUMNS, "folder"], axis=1)
    table = table.apply(lambda column: column.str.strip().replace("-", ""))
    folder = table["folder"].str.replace("\\", "/", regex=False).str.removeprefix(FOLDER).str.strip("/")
    return table.assign(file=folder + "/" + table["path"])


def _splits(root):
    """Return {identity: split} of splits.json, {} without one."""
    path = root / "splits.json"
    if not path.is_file():
        return {}
    try:
        found = {str(name): split for name, split in json.loads(path.read_text()).items()}
    except (ValueError, AttributeError) as error:
        raise InputError(f'{path} is not a JSON object such as {{"id00076": "train"}}: mend or remove it') from error
    if unknown := [split for split in found.values() if split not in records.SPLITS]:
        raise InputError(f"{path} names a split {unknown[0]!r}: use {', '.join(records.SPLITS)}")
    return found
