"""What every data set becomes: one row a video, and a list of what was left out and why."""

import json
import os
import warnings
from collections import Counter
from pathlib import Path

import pandas as pd

from deepfake_uncertainty.datasets import video
from deepfake_uncertainty.errors import InputError

COLUMNS = [
    "dataset", "generator", "video", "target", "source", "identity", "split", "path", "mask_path", "fps", "n_frames",
]  # fmt: skip
SKIPPED = ["path", "reason"]


def collect(root, dataset, rows):
    """Return (videos, skipped), frames of COLUMNS and of `path, reason`, from dicts, one a video found or named.

    A row has path and either reason (why it is left out) or generator ('real' or the family), video, target, source (''
    for none), split and, where there are masks, mask_path; the identity is the target's. A video whose header cannot be
    read, whose key or file is named twice, or that lies outside `root` is skipped with its reason. Raises InputError when
    none is left.
    """
    usable = [row for row in rows if not row.get("reason")]
    named = Counter((row["generator"], row["video"]) for row in usable) + Counter(str(row["path"]) for row in usable)
    videos, skipped = [], []
    for row in rows:
        found, reason = None, row.get("reason", "")
        if not reason and _outside(root, row["path"]):
            reason = f"outside {root}: a table may only name files of its own data set"
        if not reason:
            times = max(named[row["generator"], row["video"]], named[str(row["path"])])
            reason = f"named {times} times: keep one" if times > 1 else ""
        if not reason:
            found, reason = _header(row["path"])
        if reason:
            skipped.append({"path": str(row["path"]), "reason": reason})
        else:
            own = {"dataset": dataset, "identity": row["target"], "mask_path": row.get("mask_path", "")}
            videos.append({**row, **own, "path": str(row["path"]), "fps": found[0], "n_frames": found[1]})
    if not videos:
        first = f"; the first: {skipped[0]['reason']}" if skipped else ""
        raise InputError(f"none of the {len(skipped)} videos in {root} can be used{first}")
    return pd.DataFrame(videos, columns=COLUMNS), pd.DataFrame(skipped, columns=SKIPPED)


def _outside(root, path):
    return not Path(os.path.abspath(path)).is_relative_to(os.path.abspath(root))


def _header(path):
    try:
        return video.header(path), ""
    except InputError as error:
        return None, str(error)


def read_table(path, columns):
    """Return the CSV at `path` as a frame of text, '' where it is empty; InputError unless it has `columns`."""
    try:
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):  # lines wider than the header
            table = pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False, encoding="utf-8-sig")
    except (ValueError, OSError, pd.errors.ParserWarning) as error:
        raise InputError(f"{path} is not a readable table: download it again") from error
    missing = [name for name in columns if name not in table]
    if missing:
        raise InputError(f"{path} lacks the columns {', '.join(missing)}: download it again")
    return table.fillna("")  # lines that are shorter than the header


def read_json(path, kind):
    """Return what the JSON file at `path` holds, an object of type `kind` (dict or list); InputError otherwise."""
    wrong = InputError(f"{path} is not a JSON {'object' if kind is dict else 'list'}: download it again")
    try:
        content = json.loads(path.read_text())
    except (ValueError, OSError, RecursionError) as error:
        raise wrong from error
    if not isinstance(content, kind):
        raise wrong
    return content


def unlisted(found, rows, where):
    """Return rows that leave out the files of `found` that no row names, since `where` does not say what they are."""
    named = {str(row["path"]) for row in rows}
    return [{"path": path, "reason": f"on disk, not in {where}"} for path in found if str(path) not in named]
