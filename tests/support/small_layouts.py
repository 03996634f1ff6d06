"""Each known layout as a miniature tree, for tests of the adapters."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from deepfake_uncertainty.datasets import video

HEADER = "source,target1,target2,method,category,type,race,gender,path,\n"
TYPES = "RealVideo-RealAudio", "RealVideo-FakeAudio", "FakeVideo-RealAudio", "FakeVideo-FakeAudio"
PEOPLE = [f"id{number:05d}" for number in range(12)]


def movie(folder: Path) -> bytes:
    """Return the bytes of a video of 5 black frames of 16 px, 30 frames per second."""
    video.encode(folder / "small.mp4", np.zeros((5, 16, 16, 3), np.uint8), fps=30)
    return (folder / "small.mp4").read_bytes()


def put(path: Path, content: bytes) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def images(
    folder: Path, names: Sequence[str] = ("0.png", "1.png", "2.png"), size: int = 16
) -> None:
    """Write grey squares, each lighter than the one before."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        cv2.imwrite(str(folder / name), np.full((size, size, 3), 10 * number, np.uint8))


def both_orders(pairs: Iterable[Sequence[str]]) -> Iterator[Sequence[str]]:
    """Yield each pair and its reverse."""
    for pair in pairs:
        yield from (pair, pair[::-1])


def favc_line(
    source: str, target1: str, target2: str, method: str, kind: int, name: str
) -> tuple[str, str]:
    """Return a line of meta_data.csv and the path of its file below the root."""
    race, gender = "African", "men"
    folder = f"{TYPES[kind]}/{race}/{gender}/{source}"
    cells = [source, target1, target2, method, "ABCD"[kind], TYPES[kind], race, gender, name]
    return ",".join([*cells, f"FakeAVCeleb/{folder}"]) + "\n", f"{folder}/{name}"


def fakeavceleb(root: Path, content: bytes, lines: Sequence[tuple] = ()) -> Path:
    """Write one real clip, one of each fake and one rtvc per person; return `root`.

    The people are joined in pairs. `lines` are arguments of more calls of `favc_line`.
    """
    written = [favc_line(*line) for line in lines]
    for a, b in both_orders(zip(PEOPLE[::2], PEOPLE[1::2], strict=True)):
        written += [
            favc_line(a, "-", "-", "real", 0, "00001.mp4"),
            favc_line(a, "fake.mp4", "-", "rtvc", 1, "00001_fake.mp4"),
            favc_line(a, b, "-", "faceswap", 2, f"00001_{b}_faceswap.mp4"),
            favc_line(a, "3", "-", "fsgan", 2, "00001_3.mp4"),
            favc_line(a, b, "-", "wav2lip", 3, f"00001_{b}_wavtolip.mp4"),
            favc_line(a, b, "3", "fsgan-wav2lip", 3, f"00001_3_{b}_wavtolip.mp4"),
        ]
    put(root / "meta_data.csv", (HEADER + "".join(text for text, _ in written)).encode())
    for _, path in written:
        put(root / path, content)
    return root


def celebdf(root: Path, content: bytes) -> Path:
    """Write 6 celebrities swapped in a ring, 30 other people, and a list of two test videos."""
    for number in range(6):
        put(root / f"Celeb-real/id{number}_0000.mp4", content)
        put(root / f"Celeb-synthesis/id{number}_id{(number + 1) % 6}_0000.mp4", content)
    for number in range(30):
        put(root / f"YouTube-real/{number:05d}.mp4", content)
    lines = b"1 YouTube-real/00007.mp4\n0 Celeb-synthesis/id0_id1_0000.mp4\n"
    put(root / "List_of_testing_videos.txt", lines)
    return root


def dfdc(root: Path, content: bytes) -> Path:
    """Write two training parts of 10 originals with one fake each, and a test part of two."""
    for part in range(2):
        folder, table = root / f"train/dfdc_train_part_{part}", {}
        for number in range(10):
            name = f"p{part}o{number}.mp4"
            table[name] = {"label": "REAL", "split": "train", "original": None}
            table[f"f{name}"] = {"label": "FAKE", "split": "train", "original": name}
        put(folder / "metadata.json", json.dumps(table).encode())
        for name in table:
            put(folder / name, content)
    put(root / "test/labels.csv", b"filename,label\na.mp4,0\nb.mp4,1\n")
    for name in "ab":
        put(root / f"test/{name}.mp4", content)
    return root


def wild(root: Path, _: bytes | None = None) -> Path:
    """Write 12 clips of each part of WildDeepfake, with a sequence of faces each."""
    for part in ("real_train", "fake_train", "real_test", "fake_test"):
        for number in range(12):
            images(root / part / str(number) / part[:4] / "0")
    return root


def df40(root: Path, _: bytes | None = None) -> Path:
    """Write real frames and two methods in both domains."""
    pairs = ("000", "003"), ("001", "002"), ("004", "005"), ("010", "011"), ("014", "015")
    for target, source in pairs:
        for name in (target, source):
            images(root / f"real/ff/frames/{name}", ("000.png", "015.png", "030.png"))
        for method in ("simswap", "e4s"):
            images(root / f"{method}/ff/frames/{target}_{source}")
    images(root / "simswap/cdf/frames/id0_id1_0000")
    images(root / "real/cdf/frames/id0_0000")
    return root


def faceforensics(root: Path, content: bytes) -> Path:
    """Write 8 people with two methods: two pairs for training, one for validation, one for test."""
    pairs = {
        "train": [["000", "003"], ["001", "002"]],
        "val": [["004", "005"]],
        "test": [["006", "007"]],
    }
    for split, in_split in pairs.items():
        put(root / f"{split}.json", json.dumps(in_split).encode())
        for target, source in both_orders(in_split):
            put(root / f"original_sequences/youtube/c23/videos/{target}.mp4", content)
            for method in ("Deepfakes", "FaceShifter"):
                folder = root / f"manipulated_sequences/{method}/c23/videos"
                put(folder / f"{target}_{source}.mp4", content)
    return root


ALL = {
    "FaceForensics++": faceforensics,
    "FakeAVCeleb": fakeavceleb,
    "Celeb-DF-v2": celebdf,
    "DFDC": dfdc,
    "WildDeepfake": wild,
    "DF40": df40,
}
