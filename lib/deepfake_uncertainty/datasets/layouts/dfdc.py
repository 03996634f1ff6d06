"""The Deepfake Detection Challenge data set (Dolhansky et al. 2020) as an index of videos.

No actor ids are published, so the identity is the original clip, not the person: one actor may
occur in two splits. Test videos have labels only, so each of them is an identity of its own. The
validation split is taken from the training parts, by original. Without test/labels.csv the test
split is taken from them too.
"""

import os
from pathlib import Path
from typing import Any

import pandas as pd

from deepfake_uncertainty.datasets.layouts import records, splits
from deepfake_uncertainty.datasets.layouts.records import Row

NAME, ORDER = "DFDC", 40
GENERATOR = "DFDC"  # eight methods, which the data set does not tell apart
LABELS = {"0": "REAL", "1": "FAKE"}
LAYOUT = "train/dfdc_train_part_<N>/metadata.json and *.mp4, test/labels.csv and *.mp4"


def fits(root: Path) -> bool:
    """Return True when `root` looks like DFDC."""
    return (root / "test" / "labels.csv").is_file() or any(_parts(root))


def index(root: str | Path, dataset: str | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return (videos, skipped) as `records.collect` does.

    The target is the name of the original, the source is unknown (''). A single bad entry of a
    table is skipped, with its reason. Raises InputError for a metadata.json or labels.csv that
    cannot be read.
    """
    root = Path(root)
    table = root / "test" / "labels.csv"
    rows = [row for part in _parts(root) for row in _train(root, part)]
    splits.by_person(rows, splits.WITHOUT_TEST if table.is_file() else splits.SHARES)
    rows += _test(root, table) if table.is_file() else []
    return records.collect(root, dataset or "DFDC", rows)


def _parts(root: Path) -> list[Path]:
    folders = [*root.glob("train/dfdc_train_part_*"), *root.glob("dfdc_train_part_*")]
    return sorted(path for path in folders if path.is_dir())


def _train(root: Path, part: Path) -> list[Row]:
    table, rows = part / "metadata.json", []
    for name, entry in records.read_json(table, dict).items() if table.is_file() else ():
        entry = entry if isinstance(entry, dict) else {}
        label = entry.get("label")
        original = str((name if label == "REAL" else entry.get("original")) or "")
        rows.append(_row(root, part / name, label, original.removesuffix(".mp4")))
    return rows + records.unlisted(sorted(part.glob("*.mp4")), rows, table)


def _test(root: Path, table: Path) -> list[Row]:
    columns = ["filename", "label"]
    rows = [
        _row(root, table.parent / name, LABELS.get(label, label), f"test/{name}")
        for name, label in records.read_table(table, columns)[columns].itertuples(index=False)
    ]
    listed = [row | {"split": "test"} for row in rows]
    return listed + records.unlisted(sorted(table.parent.glob("*.mp4")), rows, table)


def _row(root: Path, path: Path, label: Any, target: str) -> Row:
    row: Row = {"path": path, "generator": "real" if label == "REAL" else GENERATOR}
    row |= {"target": target, "source": ""}
    # Not `relative_to`: a table may name a file anywhere, and `records.collect` reports that.
    row["video"] = Path(os.path.relpath(path, root)).as_posix().removesuffix(".mp4")
    if label not in LABELS.values():
        row["reason"] = f"label {label!r} is neither REAL nor FAKE"
    elif not target:
        row["reason"] = "a fake without the name of its original"
    return row
