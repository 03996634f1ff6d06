"""The adapters of FakeAVCeleb, Celeb-DF, DFDC and folders of frames, each on a miniature tree."""

import json
import tarfile

import pytest
from support import small_layouts as layouts
from support.small_layouts import put

from deepfake_uncertainty.datasets.index import index
from deepfake_uncertainty.datasets.layouts import celebdf, dfdc, fakeavceleb, frame_folders, splits
from deepfake_uncertainty.errors import InputError


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    return layouts.movie(tmp_path_factory.mktemp("movie"))


def reasons(skipped):
    return {path.rsplit("/", 1)[1]: reason for path, reason in skipped.itertuples(index=False)}


def test_fakeavceleb_rows_say_who_and_how(tmp_path, content):
    frame, skipped = index(layouts.fakeavceleb(tmp_path, content))
    name = "FakeVideo-FakeAudio/African/men/id00002/00001_3_id00003_wavtolip"
    row = frame.set_index("video").loc[name]
    people = row["target"], row["source"]
    assert row["generator"] == "fsgan-wav2lip" and people == ("id00002", "id00003")
    assert row["path"] == str(tmp_path / f"{name}.mp4")
    generators = ["real", "faceswap", "fsgan", "wav2lip", "fsgan-wav2lip"]
    assert frame["generator"].value_counts().to_dict() == dict.fromkeys(generators, 12)
    assert set(skipped["reason"]) == {fakeavceleb.AUDIO_ONLY} and len(skipped) == 12
    assert (frame.query("generator == 'fsgan'")["source"] == "").all()  # 3 is no person


def test_fakeavceleb_quirks_are_left_out_with_their_reason(tmp_path, content):
    lines = [
        ("id00000", "id00001", "-", "wav2lip", 3, "twice.mp4"),
        ("id00000", "id00001", "-", "faceswap-wav2lip", 3, "twice.mp4"),
        ("id00000", "id00001", "-", "wav2lip", 3, "again.mp4"),
        ("id00000", "id00001", "-", "wav2lip", 3, "again.mp4"),
        ("id00000", "-", "-", "sora", 3, "unknown.mp4"),
        ("id00000", "-", "-", "real", 2, "contradicts.mp4"),
        ("", "-", "-", "wav2lip", 3, "nobody.mp4"),
        ("id00000", "-", "-", "wav2lip", 3, "gone.mp4"),
    ]
    root = layouts.fakeavceleb(tmp_path, content, lines)
    gone = next(root.rglob("gone.mp4"))
    gone.rename(root / "FakeVideo-FakeAudio/African/men/id00000/renamed.mp4")
    frame, skipped = index(root)
    expected = {
        "twice.mp4": "different methods: wav2lip, faceswap-wav2lip",
        "unknown.mp4": "'sora' is unknown",
        "contradicts.mp4": "real contradicts its folder FakeVideo-RealAudio",
        "nobody.mp4": "names no source",
        "gone.mp4": "no video file",
        "renamed.mp4": "on disk, not in meta_data.csv",
    }
    found = reasons(skipped[skipped["reason"] != fakeavceleb.AUDIO_ONLY])
    assert set(found) == set(expected) and all(expected[name] in found[name] for name in expected)
    assert frame["video"].str.endswith("/again").sum() == 1  # two equal lines are one file


def test_a_third_person_may_not_cross_splits_either(tmp_path, content):
    people = {f"id{number}": split for number, split in enumerate(splits.SPLITS)}
    lines = [(name, "-", "-", "real", 0, "a.mp4") for name in people]
    lines += [
        ("id0", "id3", "id1", "faceswap-wav2lip", 3, "three.mp4"),
        ("id0", "id1", "-", "faceswap", 2, "two.mp4"),
    ]
    root = layouts.fakeavceleb(tmp_path, content, lines)
    split = people | {"id3": "train"} | dict.fromkeys(layouts.PEOPLE, "train")
    put(root / "splits.json", json.dumps(split).encode())
    frame, skipped = index(root)
    crossing = "target id0 is in train but source id1 in val"
    assert reasons(skipped)["three.mp4"] == reasons(skipped)["two.mp4"] == crossing
    assert frame.set_index("video")["split"]["RealVideo-RealAudio/African/men/id2/a"] == "test"
    put(root / "synthav.json", b"{}")
    assert set(index(root)[0]["dataset"]) == {"SynthAV"}
    for text, words in (
        (b"[]", "not a JSON object"),
        (b'{"id0": "dev"}', "the split 'dev': use train"),
    ):
        put(root / "splits.json", text)
        with pytest.raises(InputError, match=words):
            index(root)
    put(root / "splits.json", b'{"id0": "train"}')
    assert "identity id1 is in no split" in set(index(root)[1]["reason"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no meta_data.csv"),
        (b"", "not a readable table"),
        (b"\xff\xfe\x00", "not a readable table"),
        (b"source,method\na,b\n", "lacks the columns target1, target2, path"),
        (
            layouts.HEADER.rstrip(",\n").encode() + b"\na,-,-,real,A,b,c,d,e.mp4\n",
            "unnamed column of folders",
        ),
        (layouts.HEADER.encode(), "none of the 0 videos"),
    ],
)
def test_wrong_tables_of_fakeavceleb(tmp_path, text, words):
    (tmp_path / "RealVideo-RealAudio").mkdir()
    if text is not None:
        put(tmp_path / "meta_data.csv", text)
    with pytest.raises(InputError, match=words):
        index(tmp_path)


def test_celebdf_people_labels_and_left_out_videos(tmp_path, content):
    root = layouts.celebdf(tmp_path, content)
    put(root / "Celeb-synthesis/holiday.mp4", content)
    lines = "1 YouTube-real/00007.mp4", "", "1 Celeb-synthesis/id0_id1_0000.mp4"
    lines += ("0 Celeb-real/id9_0000.mp4", "")
    put(root / celebdf.LIST, "\n".join(lines).encode())
    assert celebdf.testing_list(root)["Celeb-real/id9_0000.mp4"] == 0
    frame, skipped = index(root)
    row = frame.set_index("video").loc["YouTube-real/00007"]
    assert tuple(row[["generator", "target", "source"]]) == ("real", "yt00007", "")
    found = reasons(skipped)
    assert "says 1 (1 is real, 0 fake), its folder is Celeb-synthesis" in found["id0_id1_0000.mp4"]
    assert "not on disk" in found["id9_0000.mp4"] and "id0_id1_0000.mp4" in found["holiday.mp4"]
    assert sum("but source" in reason for reason in found.values()) + len(frame) == 41
    put(root / celebdf.LIST, b"1 a.mp4\nreal b.mp4\n")
    with pytest.raises(InputError, match="line 2: expected"):
        index(root)
    (root / celebdf.LIST).unlink()
    assert celebdf.testing_list(root) == {} and len(index(root)[0])


def test_dfdc_is_split_by_original(tmp_path, content):
    root = layouts.dfdc(tmp_path, content)
    frame, skipped = index(root)
    assert skipped.empty and len(frame) == 42
    rows = frame.set_index("video")
    for name in ("fp1o3", "p1o3"):
        assert rows["target"][f"train/dfdc_train_part_1/{name}"] == "p1o3"
    test = tuple(rows.loc["test/b", ["generator", "split", "identity"]])
    assert test == (dfdc.GENERATOR, "test", "test/b.mp4")
    (root / "test/labels.csv").unlink()
    assert set(index(root)[0]["split"]) == set(splits.SPLITS)


def test_a_table_names_no_file_outside_its_data_set(tmp_path, content):
    root = layouts.dfdc(tmp_path / "dfdc", content)
    put(tmp_path / "other.mp4", content)
    names = ["/", str(tmp_path / "other.mp4"), "../../../other.mp4"]
    folder = root / "train/dfdc_train_part_2"
    put(folder / "metadata.json", json.dumps({name: {"label": "REAL"} for name in names}).encode())
    put(root / "test/labels.csv", b"filename,label\na.mp4,0\n../../other.mp4,0\n")
    frame, skipped = index(root)
    outside = skipped["reason"].str.startswith(f"outside {root}")
    assert outside.sum() == 4 and frame["path"].str.startswith(str(root)).all()


def test_dfdc_bad_entries_are_left_out(tmp_path, content):
    root = layouts.dfdc(tmp_path, content)
    table = {
        "a.mp4": {"label": "MAYBE"},
        "b.mp4": {"label": "FAKE"},
        "c.mp4": 3,
        "d.mp4": {"label": "REAL"},
        "e.mp4": {"label": "REAL"},
    }
    folder = root / "train/dfdc_train_part_2"
    for name in "abcdf":
        put(folder / f"{name}.mp4", content)
    put(folder / "metadata.json", json.dumps(table).encode())
    put(root / "test/labels.csv", b"filename,label\na.mp4,0\na.mp4,1\nb.mp4,fake\n")
    frame, skipped = index(root)
    places = skipped["path"].str.split("/").str[-2:].str.join("/")
    found = dict(zip(places, skipped["reason"], strict=True))
    expected = {
        "dfdc_train_part_2/a.mp4": "neither",
        "dfdc_train_part_2/b.mp4": "without the name",
        "dfdc_train_part_2/c.mp4": "neither",
        "dfdc_train_part_2/e.mp4": "no video file",
        "dfdc_train_part_2/f.mp4": "metadata.json",
        "test/b.mp4": "'fake'",
        "test/a.mp4": "named 2 times",
    }
    assert set(found) == set(expected) and all(expected[name] in found[name] for name in expected)
    assert "d" in frame["target"].to_list()
    put(folder / "metadata.json", b"[1]")
    with pytest.raises(InputError, match="not a JSON object"):
        index(root)


def test_wild_deepfake_keeps_its_parts_and_tells_how_to_unpack(tmp_path):
    root = layouts.wild(tmp_path)
    (root / "fake_train").rename(root / "fake train")
    with tarfile.open(root / "fake train/99.tar.gz", "w:gz") as archive:
        archive.add(root / "real_test/0", "0")
    (root / "fake train/0.tar.gz").touch()  # unpacked already
    frame, skipped = index(root)
    [reason] = skipped["reason"]
    assert "mkdir" in reason and "tar -xzf" in reason
    part = frame["video"].str.split("/").str[0]
    assert set(frame[part.str.endswith("test")]["split"]) == {"test"}
    assert set(frame[part.str.endswith("train")]["split"]) == {"train", "val"}
    assert frame.groupby("generator").size().to_dict() == {"real": 24, "internet": 24}
    (root / "only/fake_train").mkdir(parents=True)
    (root / "only/fake_train/0.tar.gz").touch()
    words = r"none of the 1 videos .* can be used; the first: packed: mkdir"
    with pytest.raises(InputError, match=words):
        index(root / "only")


def test_df40_knows_the_people_of_both_domains(tmp_path):
    frame, _ = frame_folders.index(layouts.df40(tmp_path))
    rows = frame.set_index("video")
    fake = tuple(rows.loc["e4s/ff/frames/000_003", ["generator", "target", "source"]])
    assert fake == ("e4s", "ff/000", "ff/003")
    people = tuple(rows.loc["simswap/cdf/frames/id0_id1_0000", ["target", "source"]])
    assert people == ("cdf/id0", "cdf/id1")
    assert rows["target"]["real/cdf/frames/id0_0000"] == "cdf/id0"
    assert rows["fps"]["e4s/ff/frames/000_003"] == 25
    assert rows["fps"]["real/ff/frames/000"] == pytest.approx(25 / 15)
    assert len(frame) == 22  # pairs stay together, so nothing is lost
