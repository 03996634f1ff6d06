"""What every data set's adapter gives: one index, the videos that can be used, and the reasons for the others."""

import hashlib
from pathlib import Path

import pandas as pd

from deepfake_uncertainty.datasets import video
from deepfake_uncertainty.errors import InputError

COLUMNS = [
    "dataset", "generator", "video", "target", "source", "identity", "split", "path", "mask_path", "fps", "n_frames",
]  # fmt: skip
SPLITS = "train", "val", "test"
SHARES = 0.6, 0.15, 0.25  # of the identities, where a data set has no official split


class Records:
    """Rows of an index as they are found, and (path, reason) of what is left out."""

    def __init__(self, dataset):
        self.dataset, self.rows, self.skipped = dataset, [], []

    def skip(self, path, reason):
        """Leave a file out, and say why."""
        self.skipped.append({"path": str(path), "reason": reason})

    def add(self, path, generator, name, target, source, split, mask=""):
        """Add the video or folder of frames at `path`, when its header can be read; `source` is '' for real videos."""
        try:
            fps, n_frames = video.header(path)
        except InputError as error:
            return self.skip(path, str(error))
        self.rows.append({"dataset": self.dataset, "generator": generator, "video": name, "target": target, "source": source,
                          "identity": target, "split": split, "path": str(path), "mask_path": str(mask), "fps": fps,
                          "n_frames": n_frames})  # fmt: skip

    def frames(self, root):
        """Return (videos, skipped); InputError when nothing is left."""
        if not self.rows:
            reason = f"; the first: {self.skipped[0]['reason']}" if self.skipped else ""
            raise InputError(f"none of the {len(self.skipped)} videos in {root} can be used{reason}")
        return pd.DataFrame(self.rows, columns=COLUMNS), pd.DataFrame(self.skipped, columns=["path", "reason"])


def split_by_hash(identity):
    """Return the split of an identity where a data set has none of its own: 60 / 15 / 25 percent, by its name alone."""
    place = int.from_bytes(hashlib.sha256(str(identity).encode()).digest()[:4], "big") / 2**32
    return SPLITS[0] if place < SHARES[0] else SPLITS[1] if place < SHARES[0] + SHARES[1] else SPLITS[2]


def relatives(generator, generators):
    """Return those of `generators` that contain a generator: itself and its hybrids, such as fsgan-wav2lip of wav2lip.

    Leaving one out means leaving out all of these: a hybrid would teach what is to be unseen.
    """
    parts = set(generator.split("-"))
    return [name for name in generators if parts & set(name.split("-"))]


def present(root, most=6):
    """Return the names in a folder, as 'a, b, …'; InputError when it is missing or empty."""
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"no folder {root}: give the root of the data set")
    found = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
    if not found:
        raise InputError(f"{root} is empty: give the root of the data set")
    return ", ".join(found[:most]) + (", …" if len(found) > most else "")
