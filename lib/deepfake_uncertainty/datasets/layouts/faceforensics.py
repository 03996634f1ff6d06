"""FaceForensics++ (Rössler et al. 2019), and every set in its layout, as an index of videos."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from deepfake_uncertainty.datasets.layouts import records
from deepfake_uncertainty.datasets.layouts.records import Row
from deepfake_uncertainty.datasets.layouts.splits import SPLITS, assign
from deepfake_uncertainty.errors import InputError

NAME, ORDER = "FaceForensics++", 10
FAMILIES = "Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter"
COMPRESSIONS = {"c0": ("c0", "raw"), "raw": ("raw", "c0"), "c23": ("c23",), "c40": ("c40",)}
FOLDERS = "original_sequences", "manipulated_sequences"
LAYOUT = (
    "original_sequences/youtube/<c0|c23|c40>/videos/*.mp4, "
    "manipulated_sequences/<method>/…, train|val|test.json"
)


def fits(root: Path) -> bool:
    """Return True when `root` looks like FaceForensics++."""
    return any((root / name).is_dir() for name in FOLDERS)


def index(
    root: str | Path, compression: str = "c23", dataset: str | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return (videos, skipped) as `records.collect` does; <target>_<source>.mp4 shows the target.

    `compression` is c0 (or raw), c23 or c40. mask_path is '' where there are no masks. A fake
    belongs to a split only when its target and its source do. A method without a clip of that
    compression is one row of `skipped`. Raises InputError for a root that is missing, empty or in
    another layout, for one without real or without fake videos of that compression, and for splits
    that share an identity.
    """
    root = Path(root)
    if compression not in COMPRESSIONS:
        known = ", ".join(COMPRESSIONS)
        raise InputError(f"compression {compression!r} is unknown: choose one of {known}")
    _check_layout(root)
    dataset = dataset or ("SynthFF" if (root / "synthff.json").is_file() else "FaceForensics++")
    split, pairs = _splits(root)
    real = _videos(root / "original_sequences" / "youtube", compression)
    folders = _methods(root)
    fakes = {folder.name: _videos(folder, compression) for folder in folders}
    found = {"real": real} | {name: paths for name, paths in fakes.items() if paths}
    if not real or len(found) == 1:
        missing = "original" if not real else "manipulated"
        present = _present(root)
        raise InputError(
            f"no {missing} videos of compression {compression} in {root}: found {present}"
        )
    rows = [_row(path, generator) for generator, paths in found.items() for path in paths]
    assign(rows, split)
    rows += _absent(pairs, found)
    rows += _without_clips([folder for folder in folders if not fakes[folder.name]], compression)
    return records.collect(root, dataset, rows)


def _check_layout(root: Path) -> None:
    if not root.is_dir():
        raise InputError(f"no folder {root}: give the root of the data set ({LAYOUT})")
    names = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
    if not names:
        raise InputError(f"{root} is empty: expected {LAYOUT}")
    if not all((root / folder).is_dir() for folder in FOLDERS):
        found = ", ".join(names[:6]) + (", …" if len(names) > 6 else "")
        problem = f"{root} is not in the layout of {NAME}"
        raise InputError(f"{problem}: expected {LAYOUT}; found {found}")


def _present(root: Path) -> str:
    """Return which compressions are on disk, such as 'youtube: c40; Deepfakes: c40'."""
    methods = sorted((root / "manipulated_sequences").iterdir())
    present = []
    for folder in (root / "original_sequences" / "youtube", *methods):
        if folder.is_dir():
            names = [name for name in COMPRESSIONS if (folder / name / "videos").is_dir()]
            present.append(f"{folder.name}: {', '.join(names) or 'nothing'}")
    return "; ".join(present) or "nothing"


def _methods(root: Path) -> list[Path]:
    """Return the folders of the methods: published ones in their order, then others by name."""
    base = root / "manipulated_sequences"
    present = {path.name for path in base.iterdir() if path.is_dir()}
    published = [name for name in FAMILIES if name in present]
    return [base / name for name in published + sorted(present - set(FAMILIES))]


def _clips(folder: Path, name: str) -> list[Path]:
    return sorted((folder / name / "videos").glob("*.mp4"))


def _videos(folder: Path, compression: str) -> list[Path]:
    for name in COMPRESSIONS[compression]:
        paths = _clips(folder, name)
        if paths:
            return paths
    return []


def _without_clips(methods: Sequence[Path], compression: str) -> list[Row]:
    """Return rows that leave out methods without a clip of `compression`, one per folder."""
    rows = []
    for folder in methods:
        if not folder.name.startswith("."):
            present = [name for name in COMPRESSIONS if _clips(folder, name)]
            found = ", ".join(present) or "no clips at all"
            rows.append({"path": folder, "reason": f"no clips in {compression}: found {found}"})
    return rows


def _splits(root: Path) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Return {identity: split} and the pairs [(a, b)] of all splits from the official lists."""
    split: dict[str, str] = {}
    pairs = []
    for name in SPLITS:
        places = root / f"{name}.json", root / "splits" / f"{name}.json"
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            folders = f"{root} or {root / 'splits'}"
            raise InputError(f"no {name}.json in {folders}: copy the official splits there")
        for pair in _pairs(path):
            pairs.append(pair)
            for identity in pair:
                if split.setdefault(identity, name) != name:
                    both = f"{split[identity]}.json and in {path}"
                    raise InputError(f"identity {identity} is in {both}: keep it in one")
    return split, pairs


def _pairs(path: Path) -> list[tuple[str, str]]:
    content = records.read_json(path, list)
    if not content or not all(isinstance(pair, list) and len(pair) == 2 for pair in content):
        expected = "a JSON list of pairs of identities, such as [['000', '003']]"
        raise InputError(f"{path} must be {expected}")
    return [(str(first), str(second)) for first, second in content]


def _row(path: Path, generator: str) -> Row:
    is_real = generator == "real"
    name = re.fullmatch(r"([^_]+)" if is_real else r"([^_]+)_([^_]+)", path.stem)
    if not name:
        form = "<identity>" if is_real else "<target>_<source>"
        return {"path": path, "reason": f"the name is not of the form {form}.mp4"}
    mask = path.parents[2] / "masks" / "videos" / path.name
    return {
        "path": path,
        "generator": generator,
        "video": path.stem,
        "target": name.group(1),
        "source": "" if is_real else name.group(2),
        "mask_path": str(mask) if mask.is_file() else "",
    }


def _absent(pairs: Sequence[tuple[str, str]], found: Mapping[str, Sequence[Path]]) -> list[Row]:
    """Return rows for the videos that the splits name and the disk lacks.

    A target counts as present when it is faked from any source, not only from its partner.
    """
    both_ways = sorted(order for pair in pairs for order in (pair, pair[::-1]))
    rows = []
    for generator, paths in found.items():
        present = {path.stem.split("_")[0] for path in paths}
        for target, source in both_ways:
            if target not in present:
                name = target if generator == "real" else f"{target}_{source}"
                path = paths[0].with_name(f"{name}.mp4")
                rows.append({"path": path, "reason": "named by the splits, not on disk"})
    return rows
