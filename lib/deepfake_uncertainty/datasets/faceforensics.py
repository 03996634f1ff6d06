"""FaceForensics++ (Rössler et al. 2019), and every set written in its layout, as an index of videos."""

import json
import re
from pathlib import Path

from deepfake_uncertainty.datasets import records
from deepfake_uncertainty.errors import InputError

FAMILIES = "Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter"
COMPRESSIONS = {"c0": ("c0", "raw"), "raw": ("raw", "c0"), "c23": ("c23",), "c40": ("c40",)}
LAYOUT = "original_sequences/youtube/<c0|c23|c40>/videos/*.mp4, manipulated_sequences/<method>/…, train|val|test.json"


def index(root, compression="c23", dataset=None):
    """Return (videos, skipped) of a FaceForensics++ root, as `index.index` does.

    A fake belongs to a split only when its target and its source do. Raises InputError for a root that is missing, empty or
    laid out in another way, and for splits that share an identity.
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
    found = records.Records(dataset)
    for generator, videos in {"real": real, **families}.items():
        for path in videos:
            _add(found, path, generator, splits)
    for path in _absent(splits["pairs"], {"real": real, **families}):
        found.skip(path, "named by the splits, not on disk")
    return found.frames(root)


def fits(root):
    """Return True when `root` looks like FaceForensics++."""
    return any((Path(root) / folder).is_dir() for folder in ("original_sequences", "manipulated_sequences"))


def _check_layout(root):
    listed = records.present(root)
    for folder in ("original_sequences", "manipulated_sequences"):
        if not (root / folder).is_dir():
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
    for name in records.SPLITS:
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
    try:
        content = json.loads(path.read_text())
        pairs = [tuple(str(identity) for identity in pair) for pair in content]
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is not a JSON list of pairs of identities: download it again") from error
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise InputError(f"{path} must be a JSON list of pairs of identities, such as [['000', '003']]")
    return pairs


def _add(found, path, generator, splits):
    """Add a video to the Records `found`, or say why it is left out."""
    name = re.fullmatch(r"([^_]+)" if generator == "real" else r"([^_]+)_([^_]+)", path.stem)
    if not name:
        form = "<identity>" if generator == "real" else "<target>_<source>"
        return found.skip(path, f"the name is not of the form {form}.mp4")
    target, source = (name.group(1), "" if generator == "real" else name.group(2))
    split = [splits["split"].get(identity) for identity in (target, source) if identity]
    if None in split:
        return found.skip(path, f"identity {(target, source)[split.index(None)]} is in no split")
    if len(set(split)) > 1:
        return found.skip(path, f"target {target} is in {split[0]} but source {source} in {split[1]}")
    mask = path.parents[2] / "masks" / "videos" / path.name
    found.add(path, generator, path.stem, target, source, split[0], mask if mask.is_file() else "")


def _absent(pairs, found):
    """Yield the videos that the splits name and the disk lacks; a target faked from another source than its pair's is there."""
    for generator, videos in found.items():
        there = {path.stem.split("_")[0] for path in videos}
        for target, source in sorted(way for pair in pairs for way in (pair, pair[::-1])):
            if target not in there:
                yield videos[0].with_name(f"{target}.mp4" if generator == "real" else f"{target}_{source}.mp4")
