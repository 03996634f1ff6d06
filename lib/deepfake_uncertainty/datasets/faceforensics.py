"""FaceForensics++ (Rössler et al. 2019), and every set written in its layout, as an index of videos."""

import re
from pathlib import Path

from deepfake_uncertainty.datasets import records
from deepfake_uncertainty.datasets.splits import SPLITS, assign
from deepfake_uncertainty.errors import InputError

FAMILIES = "Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter"
COMPRESSIONS = {"c0": ("c0", "raw"), "raw": ("raw", "c0"), "c23": ("c23",), "c40": ("c40",)}
FOLDERS = "original_sequences", "manipulated_sequences"
LAYOUT = "original_sequences/youtube/<c0|c23|c40>/videos/*.mp4, manipulated_sequences/<method>/…, train|val|test.json"


def fits(root):
    """Return True when `root` looks like FaceForensics++."""
    return any((root / name).is_dir() for name in FOLDERS)


def index(root, compression="c23", dataset=None):
    """Return (videos, skipped) as `records.collect` does; a fake <target>_<source>.mp4 is the clip of target.

    compression is c0 (or raw), c23 or c40; mask_path is '' without masks. A fake belongs to a split only when its
    target and its source do. Raises InputError for a root that is missing, empty or laid out in another way, without
    real or without fake videos of that compression, and for splits that share an identity.
    """
    root = Path(root)
    if compression not in COMPRESSIONS:
        raise InputError(f"compression {compression!r} is unknown: choose one of {', '.join(COMPRESSIONS)}")
    _check_layout(root)
    dataset = dataset or ("SynthFF" if (root / "synthff.json").is_file() else "FaceForensics++")
    splits = _splits(root)
    real = _videos(root / "original_sequences" / "youtube", compression)
    families = {name: _videos(root / "manipulated_sequences" / name, compression) for name in _families(root)}
    families = {name: found for name, found in families.items() if found}
    if not real or not families:
        missing = "original" if not real else "manipulated"
        raise InputError(f"no {missing} videos of compression {compression} in {root}: found {_present(root)}")
    rows = [_row(path, generator) for generator, found in {"real": real, **families}.items() for path in found]
    assign(rows, splits["split"])
    rows += _absent(splits["pairs"], {"real": real, **families})
    return records.collect(root, dataset, rows)


def _check_layout(root):
    if not root.is_dir():
        raise InputError(f"no folder {root}: give the root of the data set ({LAYOUT})")
    found = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
    if not found:
        raise InputError(f"{root} is empty: expected {LAYOUT}")
    for folder in FOLDERS:
        if not (root / folder).is_dir():
            listed = ", ".join(found[:6]) + (", …" if len(found) > 6 else "")
            raise InputError(f"{root} is not in the layout of FaceForensics++: expected {LAYOUT}; found {listed}")


def _present(root):
    """Say which compressions are there, as 'youtube: c40; Deepfakes: c40'."""
    folders = [root / "original_sequences" / "youtube", *sorted((root / "manipulated_sequences").iterdir())]
    there = {
        folder.name: [name for name in COMPRESSIONS if (folder / name / "videos").is_dir()]
        for folder in folders
        if folder.is_dir()
    }
    return "; ".join(f"{name}: {', '.join(names) or 'nothing'}" for name, names in there.items()) or "nothing"


def _families(root):
    """Return the methods on disk: the published ones in their order, then any others by name."""
    present = {path.name for path in (root / "manipulated_sequences").iterdir() if path.is_dir()}
    return [name for name in FAMILIES if name in present] + sorted(present - set(FAMILIES))


def _videos(folder, compression):
    for name in COMPRESSIONS[compression]:
        found = sorted((folder / name / "videos").glob("*.mp4"))
        if found:
            return found
    return []


def _splits(root):
    """Return {'split': {identity: split}, 'pairs': [(a, b)]} from the official lists of pairs."""
    split, pairs = {}, []
    for name in SPLITS:
        path = next((p for p in (root / f"{name}.json", root / "splits" / f"{name}.json") if p.is_file()), None)
        if path is None:
            raise InputError(f"no {name}.json in {root} or {root / 'splits'}: copy the official splits there")
        for pair in _pairs(path):
            pairs.append(pair)
            for identity in pair:
                if split.setdefault(identity, name) != name:
                    raise InputError(f"identity {identity} is in {split[identity]}.json and in {path}: keep it in one")
    return {"split": split, "pairs": pairs}


def _pairs(path):
    content = records.read_json(path, list)
    if not content or not all(isinstance(pair, list) and len(pair) == 2 for pair in content):
        raise InputError(f"{path} must be a JSON list of pairs of identities, such as [['000', '003']]")
    return [tuple(str(identity) for identity in pair) for pair in content]


def _row(path, generator):
    name = re.fullmatch(r"([^_]+)" if generator == "real" else r"([^_]+)_([^_]+)", path.stem)
    if not name:
        form = "<identity>" if generator == "real" else "<target>_<source>"
        return {"path": path, "reason": f"the name is not of the form {form}.mp4"}
    mask = path.parents[2] / "masks" / "videos" / path.name
    return {
        "path": path, "generator": generator, "video": path.stem, "target": name.group(1),
        "source": "" if generator == "real" else name.group(2), "mask_path": str(mask) if mask.is_file() else "",
    }  # fmt: skip


def _absent(pairs, found):
    """List the videos that the splits name and the disk lacks; a target may be faked from any source of its split."""
    rows = []
    for generator, videos in found.items():
        there = {path.stem.split("_")[0] for path in videos}
        for target, source in sorted(way for pair in pairs for way in (pair, pair[::-1])):
            if target not in there:
                path = videos[0].with_name(f"{target}.mp4" if generator == "real" else f"{target}_{source}.mp4")
                rows.append({"path": path, "reason": "named by the splits, not on disk"})
    return rows
