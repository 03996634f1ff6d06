"""Data sets of frames in place of videos: WildDeepfake (Zi et al. 2020), unpacked, and DF40 (Yan et al. 2024).

A folder of images is one video, see `video.header` for its rate. WildDeepfake names no people, so the identity is the
clip of origin, the number of its archive; validation is taken from its training part by it. DF40's fakes are named as
those of the data sets that they were made of (ff: FaceForensics++, cdf: Celeb-DF), so people are known, and are split
by `splits.by_person`; its real frames come apart, and are expected in real/ff and real/cdf.
"""

import os
import re
from pathlib import Path

from deepfake_uncertainty.datasets import records, splits, video

KINDS, GAPS = ("real", "fake"), "_ "  # published as 'real train', often found as 'real_train'
PARTS = {f"{kind}{gap}{split}": (kind, split) for kind in KINDS for gap in GAPS for split in ("train", "test")}
DOMAINS = "ff", "cdf"
NAME = r"(?P<target>id\d+)_(?P<source>id\d+)_\d+|(?P<celebrity>id\d+)_\d+|(?P<one>\d+)_(?P<other>\d+)"
LAYOUT = "WildDeepfake {real,fake}_{train,test}/<N>/…/*.png, DF40 <method>/{ff,cdf}/…/<video>/*.png with real/{ff,cdf}"


def fits(root):
    """Return True when `root` looks like WildDeepfake or DF40."""
    return any(_wild_parts(root)) or any(_domains(root))


def index(root, dataset=None):
    """Return (videos, skipped) as `records.collect` does, where a path is a folder of images.

    Archives that were not unpacked are listed with the command that unpacks them.
    """
    root = Path(root)
    wild = _wild_parts(root)
    rows = [row for part in wild for row in _wild(root, part)] if wild else _df40(root)
    return records.collect(root, dataset or ("WildDeepfake" if wild else "DF40"), rows)


def _wild_parts(root):
    return [root / name for name in PARTS if (root / name).is_dir()]


def _domains(root):
    return sorted(path for name in DOMAINS for path in root.glob(f"*/{name}") if path.is_dir())


def _folders(base):
    """Return the folders below `base`, itself among them, that hold images."""
    walk = os.walk(base)
    return sorted(Path(folder) for folder, _, names in walk if any(video.is_image(name) for name in names))


def _video(root, folder):
    return folder.relative_to(root).as_posix()


def _wild(root, part):
    kind, split = PARTS[part.name]
    generator = "real" if kind == "real" else "internet"
    rows = []
    for folder in _folders(part):
        clip = "/".join(folder.relative_to(root).parts[:2])
        row = {"path": folder, "generator": generator, "video": _video(root, folder)}
        rows.append(row | {"target": clip, "source": ""})
    if split == "test":
        rows = [row | {"split": "test"} for row in rows]
    else:
        splits.by_person(rows, splits.WITHOUT_TEST)
    return rows + [
        {"path": path, "reason": f"packed: mkdir '{folder}' && tar -xzf '{path}' -C '{folder}'"}
        for path in sorted(part.glob("*.tar.gz"))
        if not (folder := path.with_name(path.name.removesuffix(".tar.gz"))).is_dir()
    ]


def _df40(root):
    rows = []
    for domain in _domains(root):
        for folder in _folders(domain):
            found = re.fullmatch(NAME, folder.name)
            people = [name for name in found.groups() if name] if found else [folder.name]
            target, source = ([f"{domain.name}/{person}" for person in people] + [""])[:2]
            row = {"path": folder, "generator": domain.parent.name, "video": _video(root, folder)}
            rows.append(row | {"target": target, "source": source})
    return splits.by_person(rows)
