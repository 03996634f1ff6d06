"""FaceForensics++ (Rössler et al. 2019), and every set written in its layout, as an index of videos."""

import json
import re
from pathlib import Path

import pandas as pd

from deepfake_uncertainty.datasets import video
from deepfake_uncertainty.errors import InputError

FAMILIES = "Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter"
COMPRESSIONS = {"c0": ("c0", "raw"), "raw": ("raw", "c0"), "c23": ("c23",), "c40": ("c40",)}
SPLITS = "train", "val", "test"
COLUMNS = [
    "dataset", "generator", "video", "target", "source", "identity", "split", "path", "mask_path", "fps", "n_frames",
]  # fmt: skip
KEY = ["dataset", "generator", "video"]
LAYOUT = "original_sequences/youtube/<c0|c23|c40>/videos/*.mp4, manipulated_sequences/<method>/…, train|val|test.json"


def index(root, compression="c23", dataset=None):
    """Return (videos, skipped): a frame of one row a video, and a frame of `path, reason` for what was left out.

    Columns of videos: dataset, generator ('real' or the family), video, target, source ('' for real), identity (of the
    target), split, path, mask_path ('' without masks), fps in frames/s, n_frames. A fake belongs to a split only when
    its target and its source do. One bad video is skipped with its reason. Raises InputError for a root that is
    missing, empty or laid out in another way, and for splits that share an identity.
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
    rows, skipped = [], []
    for generator, found in {"real": real, **families}.items():
        for path in found:
            row, reason = _row(path, generator, splits)
            if reason:
                skipped.append({"path": str(path), "reason": reason})
            else:
                rows.append({"dataset": dataset, **row})
    skipped += _absent(root, splits["pairs"], {"real": real, **families})
    if not rows:
        raise InputError(f"none of the {len(skipped)} videos in {root} can be used; the first: {skipped[0]['reason']}")
    return pd.DataFrame(rows, columns=COLUMNS), pd.DataFrame(skipped, columns=["path", "reason"])


def check_leakage(videos):
    """Raise InputError when an identity or a source occurs in two splits, or when a video's key occurs twice."""
    twice = videos[videos.duplicated(KEY, keep=False)]
    if len(twice):
        raise InputError(f"the video {tuple(twice.iloc[0][KEY])} occurs {len(twice)} times: remove the copies")
    people = pd.concat([
        videos[["dataset", column, "split"]].set_axis(["dataset", "person", "split"], axis=1)
        for column in ("identity", "target", "source")
    ])  # fmt: skip
    people = people[people["person"] != ""].drop_duplicates()
    crossing = people[people.duplicated(["dataset", "person"], keep=False)]
    if len(crossing):
        person = crossing.iloc[0]["person"]
        names = ", ".join(sorted(crossing[crossing["person"] == person]["split"]))
        raise InputError(f"identity {person} occurs in the splits {names}: split by identity, target and source alike")


def _check_layout(root):
    if not root.is_dir():
        raise InputError(f"no folder {root}: give the root of the data set ({LAYOUT})")
    found = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
    if not found:
        raise InputError(f"{root} is empty: expected {LAYOUT}")
    for folder in ("original_sequences", "manipulated_sequences"):
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
    try:
        content = json.loads(path.read_text())
        pairs = [tuple(str(identity) for identity in pair) for pair in content]
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is not a JSON list of pairs of identities: download it again") from error
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise InputError(f"{path} must be a JSON list of pairs of identities, such as [['000', '003']]")
    return pairs


def _row(path, generator, splits):
    """Return (row without its data set, '') or (None, why the video is left out)."""
    name = re.fullmatch(r"([^_]+)" if generator == "real" else r"([^_]+)_([^_]+)", path.stem)
    if not name:
        form = "<identity>" if generator == "real" else "<target>_<source>"
        return None, f"the name is not of the form {form}.mp4"
    target, source = (name.group(1), "" if generator == "real" else name.group(2))
    split = [splits["split"].get(identity) for identity in (target, source) if identity]
    if None in split:
        return None, f"identity {(target, source)[split.index(None)]} is in no split"
    if len(set(split)) > 1:
        return None, f"target {target} is in {split[0]} but source {source} in {split[1]}"
    try:
        fps, n_frames = video.header(path)
    except InputError as error:
        return None, str(error)
    mask = path.parents[2] / "masks" / "videos" / path.name
    row = {
        "generator": generator, "video": path.stem, "target": target, "source": source, "identity": target,
        "split": split[0], "path": str(path), "mask_path": str(mask) if mask.is_file() else "", "fps": fps,
        "n_frames": n_frames,
    }  # fmt: skip
    return row, ""


def _absent(root, pairs, found):
    """List the videos that the splits name and the disk lacks; a target faked from another source than its pair's is there."""
    rows = []
    for generator, videos in found.items():
        there = {path.stem.split("_")[0] for path in videos}
        for target, source in sorted(way for pair in pairs for way in (pair, pair[::-1])):
            if target not in there:
                path = videos[0].with_name(f"{target}.mp4" if generator == "real" else f"{target}_{source}.mp4")
                rows.append({"path": str(path), "reason": "named by the splits, not on disk"})
    return rows
