"""The FaceForensics++ index: layout, official splits, leakage, and wrong roots and videos."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepfake_uncertainty.datasets import leakage, video
from deepfake_uncertainty.datasets.layouts import faceforensics, records
from deepfake_uncertainty.errors import InputError

PAIRS = {
    "train": [["000", "003"], ["007", "009"]],
    "val": [["011", "012"]],
    "test": [["020", "021"]],
}


@pytest.fixture(scope="module")
def movie(tmp_path_factory):
    path = tmp_path_factory.mktemp("movie") / "a.mp4"
    video.encode(path, np.zeros((5, 16, 16, 3), np.uint8), fps=30)
    return path.read_bytes()


@pytest.fixture
def root(tmp_path, movie):
    def put(folder, names):
        folder.mkdir(parents=True)
        for name in names:
            (folder / f"{name}.mp4").write_bytes(movie)

    for split, pairs in PAIRS.items():
        (tmp_path / f"{split}.json").write_text(json.dumps(pairs))
    pairs = [pair for group in PAIRS.values() for pair in group]
    fakes = [f"{a}_{b}" for pair in pairs for a, b in (pair, pair[::-1])]
    people = [identity for pair in pairs for identity in pair]
    put(tmp_path / "original_sequences/youtube/c23/videos", people)
    for family in ("NeuralTextures", "Deepfakes", "Another"):
        put(tmp_path / f"manipulated_sequences/{family}/c23/videos", fakes)
    put(tmp_path / "manipulated_sequences/Deepfakes/masks/videos", fakes)
    return tmp_path


def videos(root, family="Deepfakes"):
    return root / f"manipulated_sequences/{family}/c23/videos"


def test_index_of_a_whole_set(root):
    frame, skipped = faceforensics.index(root)
    assert list(frame) == records.COLUMNS and skipped.empty and list(skipped) == ["path", "reason"]
    generators = ["real", "Deepfakes", "NeuralTextures", "Another"]
    assert list(dict.fromkeys(frame["generator"])) == generators
    for _, rows in frame.groupby("generator"):
        assert rows["split"].value_counts().to_dict() == {"train": 4, "val": 2, "test": 2}
    fake = frame[(frame["generator"] == "Deepfakes") & (frame["video"] == "003_000")].iloc[0]
    people = tuple(fake[["target", "source", "identity", "split"]])
    assert people == ("003", "000", "003", "train")
    assert fake["path"] == str(videos(root) / "003_000.mp4")
    assert fake["fps"] == 30 and fake["n_frames"] == 5
    assert fake["mask_path"].endswith("Deepfakes/masks/videos/003_000.mp4")
    assert set(frame[frame["generator"] != "Deepfakes"]["mask_path"]) == {""}
    assert set(frame["dataset"]) == {"FaceForensics++"}
    assert set(frame[frame["generator"] == "real"]["source"]) == {""}
    leakage.check_leakage(frame)


def test_name_of_the_dataset(root):
    assert set(faceforensics.index(root, dataset="mine")[0]["dataset"]) == {"mine"}
    (root / "synthff.json").write_text("{}")
    assert set(faceforensics.index(root)[0]["dataset"]) == {"SynthFF"}


def test_splits_may_lie_in_their_own_folder(root):
    (root / "splits").mkdir()
    for split in PAIRS:
        (root / f"{split}.json").rename(root / "splits" / f"{split}.json")
    assert len(faceforensics.index(root)[0]) == 32


def test_raw_is_another_name_of_c0(root):
    for path in root.glob("*_sequences/*/c23"):
        path.rename(path.with_name("raw"))
    assert len(faceforensics.index(root, "c0")[0]) == len(faceforensics.index(root, "raw")[0]) == 32
    with pytest.raises(InputError, match=r"c40.*youtube: .*raw"):
        faceforensics.index(root, "c40")


def test_bad_videos_are_listed_and_the_rest_goes_on(root, movie):
    folder = videos(root)
    (folder / "000_003.mp4").write_bytes(b"")
    (folder / "003_000.mp4").write_bytes(movie[:200])
    (folder / "007_009.mp4").unlink()
    for name in ("000_020", "000_999", "holiday"):
        (folder / f"{name}.mp4").write_bytes(movie)
    frame, skipped = faceforensics.index(root)
    names = [path.rsplit("/", 1)[1][:-4] for path in skipped["path"]]
    reasons = dict(zip(names, skipped["reason"], strict=True))
    expected = {
        "000_003": "0 bytes",
        "003_000": "not a readable",
        "007_009": "not on disk",
        "holiday": "of the form",
        "000_020": "target 000 is in train but source 020 in test",
        "000_999": "999 is in no split",
    }
    assert set(reasons) == set(expected)
    assert all(expected[name] in reasons[name] for name in expected)
    assert len(frame) == 29
    leakage.check_leakage(frame)


def test_a_method_without_clips_of_the_compression_is_reported(root, movie):
    for name in ("FaceSwap/c40", "FaceSwap/raw", "Face2Face/c23", ".cache/c40"):
        (root / "manipulated_sequences" / name / "videos").mkdir(parents=True)
        if "Face2Face" not in name:
            (root / "manipulated_sequences" / name / "videos/000_003.mp4").write_bytes(movie)
    frame, skipped = faceforensics.index(root)
    assert len(frame) == 32 and "FaceSwap" not in set(frame["generator"])
    assert skipped.to_dict("list") == {
        "path": [str(root / "manipulated_sequences" / name) for name in ("Face2Face", "FaceSwap")],
        "reason": ["no clips in c23: found no clips at all", "no clips in c23: found raw, c40"],
    }
    for path in root.glob("*_sequences/*/c23"):
        path.rename(path.with_name("c0"))
    frame, skipped = faceforensics.index(root, "raw")  # of FaceSwap one clip, which is raw
    assert len(frame) == 33 and f"{root}/manipulated_sequences/FaceSwap" not in set(skipped["path"])
    assert "no clips in raw: found no clips at all" in set(skipped["reason"])


def test_roots_that_are_missing_empty_or_of_another_set(tmp_path):
    with pytest.raises(InputError, match=r"no folder.*original_sequences"):
        faceforensics.index(tmp_path / "none")
    with pytest.raises(InputError, match="empty: expected"):
        faceforensics.index(tmp_path)
    (tmp_path / "Celeb-real").mkdir()
    with pytest.raises(InputError, match=r"expected original_sequences.*found Celeb-real"):
        faceforensics.index(tmp_path)


def test_wrong_splits_and_compression(root):
    with pytest.raises(InputError, match="choose one of c0, raw, c23, c40"):
        faceforensics.index(root, "c24")
    for content, message in (
        ("{", "not a JSON list"),
        ("[]", "list of pairs"),
        ('[["1"]]', "pairs"),
        ("[1]", "pairs"),
    ):
        (root / "val.json").write_text(content)
        with pytest.raises(InputError, match=message):
            faceforensics.index(root)
    (root / "val.json").write_text('[["000", "012"]]')
    with pytest.raises(InputError, match=r"000 is in train\.json"):
        faceforensics.index(root)
    (root / "val.json").unlink()
    with pytest.raises(InputError, match=r"no val\.json"):
        faceforensics.index(root)


def test_reals_alone_are_not_a_set(root):
    for path in list((root / "manipulated_sequences").rglob("*.mp4")):
        path.unlink()
    with pytest.raises(InputError, match="no manipulated videos"):
        faceforensics.index(root)


def table(rows):
    frame = pd.DataFrame(rows, columns=["generator", "video", "target", "source", "split"])
    return frame.assign(dataset="set", identity=frame["target"])


def test_leakage_is_found():
    clean = [
        ("real", "a", "a", "", "train"),
        ("Deepfakes", "a_b", "a", "b", "train"),
        ("FaceSwap", "a_b", "a", "b", "train"),
    ]
    leakage.check_leakage(table(clean))  # one name under two generators is two videos
    with pytest.raises(InputError, match="identity b occurs in the splits test, train"):
        leakage.check_leakage(table([*clean, ("real", "b", "b", "", "test")]))
    with pytest.raises(InputError, match="identity b"):
        leakage.check_leakage(table([*clean, ("Deepfakes", "c_b", "c", "b", "val")]))
    with pytest.raises(InputError, match="occurs 2 times"):
        leakage.check_leakage(table([*clean, clean[1]]))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd"), st.sampled_from("xyz")),
        max_size=8,
    )
)
def test_leakage_agrees_with_a_plain_count(fakes):
    rows = [("f", str(i), target, source, split) for i, (target, source, split) in enumerate(fakes)]
    seen = {}
    for target, source, split in fakes:
        for person in (target, source):
            seen.setdefault(person, set()).add(split)
    if any(len(splits) > 1 for splits in seen.values()):
        with pytest.raises(InputError):
            leakage.check_leakage(table(rows))
    else:
        leakage.check_leakage(table(rows))
