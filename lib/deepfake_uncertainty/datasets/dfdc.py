"""The Deepfake Detection Challenge data set (Dolhansky et al. 2020) as an index of videos.

No actor ids are published, so the identity is the original clip, not the person: one actor may stand in two splits.
Test videos have labels only, so each is its own identity. Validation is taken from the training parts by original;
without test/labels.csv the test split is, too.
"""

import os
from pathlib import Path

from deepfake_uncertainty.datasets import records, splits

GENERATOR = "DFDC"  # eight methods, which the data set does not tell apart
LABELS = {"0": "REAL", "1": "FAKE"}
LAYOUT = "train/dfdc_train_part_<N>/metadata.json and *.mp4, test/labels.csv and *.mp4"


def fits(root):
    """Return True when `root` looks like DFDC."""
    return (root / "test" / "labels.csv").is_file() or any(_parts(root))


def index(root, dataset=None):
    """Return (videos, skipped) as `records.collect` does; the target is the original's name, the source unknown ('').

    Raises InputError for a metadata.json or labels.csv that cannot be read; one bad entry is skipped with its reason.
    """
    root, table = Path(root), Path(root) / "test" / "labels.csv"
    rows = [row for part in _parts(root) for row in _train(root, part)]
    splits.by_person(rows, splits.WITHOUT_TEST if table.is_file() else splits.SHARES)
    rows += _test(root, table) if table.is_file() else []
    return records.collect(root, dataset or "DFDC", rows)


def _parts(root):
    found = [*root.glob("train/dfdc_train_part_*"), *root.glob("dfdc_train_part_*")]
    return sorted(path for path in found if path.is_dir())


def _train(root, part):
    table, rows = part / "metadata.json", []
    for name, entry in records.read_json(table, dict).items() if table.is_file() else ():
        entry = entry if isinstance(entry, dict) else {}
        original = name if entry.get("label") == "REAL" else entry.get("original")
        rows.append(_row(root, part / name, entry.get("label"), str(original or "").removesuffix(".mp4")))
    return rows + records.unlisted(sorted(part.glob("*.mp4")), rows, table)


def _test(root, table):
    lines = records.read_table(table, ["filename", "label"])[["filename", "label"]].itertuples(index=False)
    rows = [_row(root, table.parent / name, LABELS.get(label, label), f"test/{name}") for name, label in lines]
    return [row | {"split": "test"} for row in rows] + records.unlisted(sorted(table.parent.glob("*.mp4")), rows, table)


def _row(root, path, label, target):
    row = {"path": path, "generator": "real" if label == "REAL" else GENERATOR, "target": target, "source": ""}
    # Not `relative_to`: a table may name a file anywhere, and `records.collect` says so.
    row["video"] = Path(os.path.relpath(path, root)).as_posix().removesuffix(".mp4")
    if label not in LABELS.values():
        row["reason"] = f"label {label!r} is neither REAL nor FAKE"
    elif not target:
        row["reason"] = "a fake without the name of its original"
    return row
