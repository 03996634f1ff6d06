"""Data sets of frames instead of videos: WildDeepfake (Zi et al. 2020) and DF40 (Yan et al. 2024).

A folder of images is one video; see `video.header` for its frame rate.

WildDeepfake must be unpacked. It names no people, so the identity is the clip of origin, which is
the number of its archive. The validation split is taken from the training part, by clip of origin.

The fakes of DF40 have the names of the data sets that they were made from (ff: FaceForensics++,
cdf: Celeb-DF). Their people are therefore known, and are split by `splits.by_person`. The real
frames of DF40 are published separately and are expected in real/ff and real/cdf.
"""

import os
import re
from pathlib import Path

import pandas as pd

from deepfake_uncertainty.datasets import video
from deepfake_uncertainty.datasets.layouts import records, splits
from deepfake_uncertainty.datasets.layouts.records import Row

NAME, ORDER = "frame folders", 50
KINDS, GAPS = ("real", "fake"), "_ "  # published as 'real train', often renamed to 'real_train'
PARTS = {
    f"{kind}{gap}{split}": (kind, split)
    for kind in KINDS
    for gap in GAPS
    for split in ("train", "test")
}
DOMAINS = "ff", "cdf"
# Names of folders of DF40: a fake of Celeb-DF, a real clip of Celeb-DF, a fake of FaceForensics++.
PEOPLE = (
    r"(?P<target>id\d+)_(?P<source>id\d+)_\d+|(?P<celebrity>id\d+)_\d+|(?P<one>\d+)_(?P<other>\d+)"
)
LAYOUT = (
    "WildDeepfake {real,fake}_{train,test}/<N>/…/*.png, "
    "DF40 <method>/{ff,cdf}/…/<video>/*.png with real/{ff,cdf}"
)


def fits(root: Path) -> bool:
    """Return True when `root` looks like WildDeepfake or DF40."""
    return any(_wild_parts(root)) or any(_domains(root))


def index(root: str | Path, dataset: str | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return (videos, skipped) as `records.collect` does, where a path is a folder of images.

    Archives that were not unpacked are skipped. Their reason is the command that unpacks them.
    """
    root = Path(root)
    wild = _wild_parts(root)
    rows = [row for part in wild for row in _wild(root, part)] if wild else _df40(root)
    return records.collect(root, dataset or ("WildDeepfake" if wild else "DF40"), rows)


def _wild_parts(root: Path) -> list[Path]:
    return [root / name for name in PARTS if (root / name).is_dir()]


def _domains(root: Path) -> list[Path]:
    return sorted(path for name in DOMAINS for path in root.glob(f"*/{name}") if path.is_dir())


def _folders(base: Path) -> list[Path]:
    """Return the folders with images, `base` itself or below it."""
    walk = os.walk(base)
    return sorted(Path(folder) for folder, _, names in walk if any(map(video.is_image, names)))


def _row(root: Path, folder: Path, generator: str, target: str, source: str = "") -> Row:
    name = folder.relative_to(root).as_posix()
    row: Row = {"path": folder, "generator": generator, "video": name}
    return row | {"target": target, "source": source}


def _wild(root: Path, part: Path) -> list[Row]:
    kind, split = PARTS[part.name]
    generator = "real" if kind == "real" else "internet"
    rows = []
    for folder in _folders(part):
        clip = "/".join(folder.relative_to(root).parts[:2])
        rows.append(_row(root, folder, generator, clip))
    if split == "test":
        rows = [row | {"split": "test"} for row in rows]
    else:
        splits.by_person(rows, splits.WITHOUT_TEST)
    return rows + [
        {"path": path, "reason": f"packed: mkdir '{folder}' && tar -xzf '{path}' -C '{folder}'"}
        for path in sorted(part.glob("*.tar.gz"))
        if not (folder := path.with_name(path.name.removesuffix(".tar.gz"))).is_dir()
    ]


def _df40(root: Path) -> list[Row]:
    rows = []
    for domain in _domains(root):
        for folder in _folders(domain):
            match = re.fullmatch(PEOPLE, folder.name)
            people = [name for name in match.groups() if name] if match else [folder.name]
            names = [f"{domain.name}/{person}" for person in people]
            rows.append(_row(root, folder, domain.parent.name, *names))
    return splits.by_person(rows)
