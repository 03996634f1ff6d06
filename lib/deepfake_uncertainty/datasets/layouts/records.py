"""What every data set becomes: one row per video, and the videos left out, with reasons."""

import json
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from deepfake_uncertainty.datasets import video
from deepfake_uncertainty.errors import InputError

COLUMNS = [
    "dataset", "generator", "video", "target", "source", "identity", "split",
    "path", "mask_path", "fps", "n_frames",
]  # fmt: skip
SKIPPED = ["path", "reason"]
Row = dict[str, Any]


def collect(root: Path, dataset: str, rows: Sequence[Row]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return (videos, skipped), frames with COLUMNS and SKIPPED, from one dict per video.

    Each dict has `path` and either `reason` (why the video is left out) or the keys of a video:
    generator ('real' or the family), video, target, source ('' for none), split and, where there
    are masks, mask_path. The identity is the target. A video is skipped, with its reason, when its
    header cannot be read, when its key or file occurs twice, or when it lies outside `root`.
    Raises InputError when no video is left.
    """
    usable = [row for row in rows if not row.get("reason")]
    counts: Counter[Any] = Counter((row["generator"], row["video"]) for row in usable)
    counts += Counter(str(row["path"]) for row in usable)
    videos, skipped = [], []
    for row in rows:
        reason = _reason(row, root, counts)
        if not reason:
            try:
                fps, n_frames = video.header(row["path"])
            except InputError as error:
                reason = str(error)
        path = str(row["path"])
        if reason:
            skipped.append({"path": path, "reason": reason})
            continue
        values = {"dataset": dataset, "identity": row["target"], "path": path}
        values |= {"mask_path": row.get("mask_path", ""), "fps": fps, "n_frames": n_frames}
        videos.append(row | values)
    if not videos:
        first = f"; the first: {skipped[0]['reason']}" if skipped else ""
        raise InputError(f"none of the {len(skipped)} videos in {root} can be used{first}")
    return pd.DataFrame(videos, columns=COLUMNS), pd.DataFrame(skipped, columns=SKIPPED)


def _reason(row: Row, root: Path, counts: Counter[Any]) -> str:
    """Return why a row is left out before its file is opened, '' when nothing speaks against it."""
    if row.get("reason"):
        return row["reason"]
    if not Path(os.path.abspath(row["path"])).is_relative_to(os.path.abspath(root)):
        return f"outside {root}: a table may only name files of its own data set"
    times = max(counts[row["generator"], row["video"]], counts[str(row["path"])])
    return f"named {times} times: keep one" if times > 1 else ""


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Return the CSV file at `path` as a frame of text, '' where a cell is empty.

    Raises InputError when the file is no table, and when one of `columns` is missing.
    """
    try:
        # A line that is wider than the header gives a ParserWarning only.
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):
            table = pd.read_csv(
                path, dtype=str, keep_default_na=False, index_col=False, encoding="utf-8-sig"
            )
    except (ValueError, OSError, pd.errors.ParserWarning) as error:
        raise InputError(f"{path} is not a readable table: download it again") from error
    missing = [name for name in columns if name not in table]
    if missing:
        raise InputError(f"{path} lacks the columns {', '.join(missing)}: download it again")
    return table.fillna("")  # lines that are shorter than the header


def read_json(path: Path, kind: type) -> Any:
    """Return the content of the JSON file at `path`, an object of type `kind` (dict or list).

    Raises InputError when the file cannot be read or holds another type.
    """
    expected = "object" if kind is dict else "list"
    refusal = InputError(f"{path} is not a JSON {expected}: download it again")
    try:
        content = json.loads(path.read_text())
    except (ValueError, OSError, RecursionError) as error:
        raise refusal from error
    if not isinstance(content, kind):
        raise refusal
    return content


def unlisted(paths: Iterable[Path], rows: Sequence[Row], table: str | Path) -> list[Row]:
    """Return rows that leave out the files of `paths` that no row names.

    Their reason is that `table`, which says what each file shows, does not list them.
    """
    named = {str(row["path"]) for row in rows}
    reason = f"on disk, not in {table}"
    return [{"path": path, "reason": reason} for path in paths if str(path) not in named]
