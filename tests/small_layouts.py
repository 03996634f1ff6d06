"""Each known layout as a miniature tree, for tests of the adapters."""

import json

import cv2
import numpy as np

from deepfake_uncertainty.datasets import video

HEADER = "source,target1,target2,method,category,type,race,gender,path,\n"
TYPES = "RealVideo-RealAudio", "RealVideo-FakeAudio", "FakeVideo-RealAudio", "FakeVideo-FakeAudio"
PEOPLE = [f"id{number:05d}" for number in range(12)]


def movie(folder):
    """Return the bytes of a video of 5 black frames of 16 px, 30 frames/s."""
    video.encode(folder / "small.mp4", np.zeros((5, 16, 16, 3), np.uint8), fps=30)
    return (folder / "small.mp4").read_bytes()


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def images(folder, names=("0.png", "1.png", "2.png"), size=16):
    """Write grey squares, each lighter than the one before."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        cv2.imwrite(str(folder / name), np.full((size, size, 3), 10 * number, np.uint8))


def favc_line(source, one, two, method, kind, name, race="African", gender="men"):
    """Return a line of meta_data.csv and the file's path from the root."""
    folder = f"{TYPES[kind]}/{race}/{gender}/{source}"
    text = f"{source},{one},{two},{method},{'ABCD'[kind]},{TYPES[kind]},{race},{gender},{name},FakeAVCeleb/{folder}\n"
    return text, f"{folder}/{name}"


def fakeavceleb(root, content, lines=()):
    """Write one real clip, one of each fake and one rtvc a person; the people are joined in pairs. More `lines` may follow."""
    made = [favc_line(*line) for line in lines]
    for one, other in [way for pair in zip(PEOPLE[::2], PEOPLE[1::2], strict=True) for way in (pair, pair[::-1])]:
        made.append(favc_line(one, "-", "-", "real", 0, "00001.mp4"))
        made.append(favc_line(one, "fake.mp4", "-", "rtvc", 1, "00001_fake.mp4"))
        made.append(favc_line(one, other, "-", "faceswap", 2, f"00001_{other}_faceswap.mp4"))
        made.append(favc_line(one, "3", "-", "fsgan", 2, "00001_3.mp4"))
        made.append(favc_line(one, other, "-", "wav2lip", 3, f"00001_{other}_wavtolip.mp4"))
        made.append(favc_line(one, other, "3", "fsgan-wav2lip", 3, f"00001_3_{other}_wavtolip.mp4"))
    put(root / "meta_data.csv", (HEADER + "".join(text for text, _ in made)).encode())
    for _, path in made:
        put(root / path, content)
    return root


def celebdf(root, content):
    """Write 6 celebrities swapped in a ring, 30 other people, and a list of two test videos."""
    for number in range(6):
        put(root / f"Celeb-real/id{number}_0000.mp4", content)
        put(root / f"Celeb-synthesis/id{number}_id{(number + 1) % 6}_0000.mp4", content)
    for number in range(30):
        put(root / f"YouTube-real/{number:05d}.mp4", content)
    put(root / "List_of_testing_videos.txt", b"1 YouTube-real/00007.mp4\n0 Celeb-synthesis/id0_id1_0000.mp4\n")
    return root


def dfdc(root, content):
    """Write two training parts of 10 originals with a fake each, and a test part of two."""
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


def wild(root, _=None):
    """Write 12 clips of each part of WildDeepfake, with a sequence of faces each."""
    for part in ("real_train", "fake_train", "real_test", "fake_test"):
        for number in range(12):
            images(root / part / str(number) / part[:4] / "0")
    return root


def df40(root, _=None):
    """Write real frames and two methods on both domains."""
    for one, other in (("000", "003"), ("001", "002"), ("004", "005"), ("010", "011"), ("014", "015")):
        for name in (one, other):
            images(root / f"real/ff/frames/{name}", ("000.png", "015.png", "030.png"))
        for method in ("simswap", "e4s"):
            images(root / f"{method}/ff/frames/{one}_{other}")
    images(root / "simswap/cdf/frames/id0_id1_0000")
    images(root / "real/cdf/frames/id0_0000")
    return root


def faceforensics(root, content):
    """Write 8 people, one pair a split and one more, with two methods."""
    pairs = {"train": [["000", "003"], ["001", "002"]], "val": [["004", "005"]], "test": [["006", "007"]]}
    for split, own in pairs.items():
        put(root / f"{split}.json", json.dumps(own).encode())
        for one, other in [way for pair in own for way in (pair, pair[::-1])]:
            put(root / f"original_sequences/youtube/c23/videos/{one}.mp4", content)
            for method in ("Deepfakes", "FaceShifter"):
                put(root / f"manipulated_sequences/{method}/c23/videos/{one}_{other}.mp4", content)
    return root


ALL = {
    "FaceForensics++": faceforensics, "FakeAVCeleb": fakeavceleb, "Celeb-DF-v2": celebdf, "DFDC": dfdc, "WildDeepfake": wild,
    "DF40": df40,
}  # fmt: skip
