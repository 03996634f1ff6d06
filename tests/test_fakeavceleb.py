"""FakeAVCeleb's layout in miniature: its quirks, damage, and the leave-one-out of its hybrids."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepfake_uncertainty.datasets import fakeavceleb, index, leakage, records, video
from deepfake_uncertainty.errors import InputError

HEADER = ",".join([*fakeavceleb.COLUMNS, ""])
PEOPLE = ("id00076", "id00166", "id00173", "id00391")


def row(source, target1, method, kind, name=None):
    name = name or (f"{target1}_{method}.mp4" if target1 != "-" else "00109.mp4")
    folder = f"{kind}/African/men/{source}"
    return f"{source},{target1},-,{method},A,{kind},African,men,{name},FakeAVCeleb/{folder}", f"{folder}/{name}"


ROWS = [
    *(row(name, "-", "real", "RealVideo-RealAudio") for name in PEOPLE),
    row("id00076", "id00166", "faceswap", "FakeVideo-RealAudio"),
    row("id00166", "id00076", "fsgan", "FakeVideo-RealAudio"),
    row("id00076", "id00166", "wav2lip", "FakeVideo-FakeAudio"),
    row("id00173", "id00391", "fsgan-wav2lip", "FakeVideo-FakeAudio"),
    row("id00391", "id00173", "faceswap-wav2lip", "FakeVideo-FakeAudio"),
    row("id00391", "-", "rtvc", "RealVideo-FakeAudio", "00110_fake.mp4"),
]
SPLITS = {"id00076": "train", "id00166": "train", "id00173": "test", "id00391": "test"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "a.mp4"
    video.encode(path, np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.uint8), 25)
    return path.read_bytes()


@pytest.fixture
def root(tmp_path, clip):
    (tmp_path / "meta_data.csv").write_text("\n".join([HEADER, *(line for line, _ in ROWS)]) + "\n")
    (tmp_path / "splits.json").write_text(json.dumps(SPLITS))
    for _, name in ROWS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(clip)
    return tmp_path


def reasons(skipped):
    return {row.path.rpartition("/")[2]: row.reason for row in skipped.itertuples()}


def test_the_whole_set_as_an_index(root):
    videos, skipped = index.index(root)
    assert list(videos) == records.COLUMNS and set(videos["dataset"]) == {"FakeAVCeleb"}
    assert videos["generator"].value_counts().to_dict() == {
        "real": 4, "faceswap": 1, "fsgan": 1, "wav2lip": 1, "fsgan-wav2lip": 1, "faceswap-wav2lip": 1}  # fmt: skip
    swap = videos[videos["generator"].eq("faceswap")].iloc[0]
    assert (swap["target"], swap["source"], swap["identity"], swap["split"]) == ("id00076", "id00166", "id00076", "train")
    assert (videos["n_frames"] == 4).all() and (videos["fps"] == 25).all()
    assert reasons(skipped) == {"00110_fake.mp4": "rtvc clones the voice only: the picture is real"}
    leakage.check_leakage(videos)
    (root / "synthav.json").write_text("{}")
    assert set(index.index(root)[0]["dataset"]) == {"SynthAV"}


def test_leaving_a_generator_out_leaves_its_hybrids_out(root):
    names = list(index.index(root)[0]["generator"].unique())
    assert records.relatives("wav2lip", names) == ["wav2lip", "fsgan-wav2lip", "faceswap-wav2lip"]
    assert records.relatives("fsgan-wav2lip", names) == ["fsgan", "wav2lip", "fsgan-wav2lip", "faceswap-wav2lip"]
    assert records.relatives("real", names) == ["real"]


def test_without_splits_people_are_split_by_name_and_nobody_is_in_two(root):
    (root / "splits.json").unlink()
    videos, skipped = index.index(root)
    leakage.check_leakage(videos)
    for reason in skipped["reason"]:
        assert "is in" in reason or "rtvc" in reason
    names = [f"id{k:05d}" for k in range(4000)]
    share = pd.Series([records.split_by_hash(name) for name in names]).value_counts(normalize=True)
    np.testing.assert_allclose(share[list(records.SPLITS)], records.SHARES, atol=0.03)


def test_quirks_and_damage_have_reasons(root, clip):
    twice, _ = row("id00076", "id00166", "fsgan", "FakeVideo-RealAudio", "id00166_faceswap.mp4")
    unknown, name = row("id00173", "id00391", "stylegan", "FakeVideo-RealAudio")
    absent, _ = row("id00173", "id00391", "fsgan", "FakeVideo-RealAudio", "gone.mp4")
    crossing, other = row("id00173", "id00076", "fsgan", "FakeVideo-RealAudio", "crossing.mp4")
    stranger, third = row("id99999", "-", "real", "RealVideo-RealAudio", "stranger.mp4")
    table = root / "meta_data.csv"
    table.write_text(table.read_text() + "\n".join([twice, unknown, absent, crossing, stranger, stranger]) + "\n")
    for path in (name, other, third, "FakeVideo-RealAudio/unlisted.mp4"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(clip)
    (root / ROWS[0][1]).write_bytes(clip[: len(clip) // 2])
    (root / ROWS[1][1]).write_bytes(b"")
    videos, skipped = index.index(root)
    found = reasons(skipped)
    assert "conflicting methods: faceswap, fsgan" in found["id00166_faceswap.mp4"]
    assert "unknown method 'stylegan'" in found["id00391_stylegan.mp4"]
    assert found["gone.mp4"] == "listed in meta_data.csv, not on disk"
    assert found["crossing.mp4"] == "target id00173 is in test but source id00076 in train"
    assert found["stranger.mp4"] == "identity id99999 is in no split"
    assert found["unlisted.mp4"] == "not listed in meta_data.csv"
    assert sum("not a readable video" in reason or "is empty" in reason for reason in skipped["reason"]) == 2
    assert len(videos) == len(ROWS) - 1 - 3 and len(skipped) == len(set(skipped["path"]))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("meta_data.csv", "a,b\n1,2\n", "must have the columns"),
        ("meta_data.csv", "", "cannot be read as a table"),
        ("meta_data.csv", b"\xff\xfe\x00", "cannot be read as a table"),
        ("splits.json", "[1]", "is not a JSON object"),
        ("splits.json", '{"a": "dev"}', "names a split 'dev'"),
    ],
)
def test_bad_lists_are_one_line(root, name, text, said):
    (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=said) as caught:
        index.index(root)
    assert "\n" not in str(caught.value)


def test_a_root_without_its_table_or_of_no_known_layout_is_one_line(root, tmp_path):
    (root / "meta_data.csv").unlink()
    with pytest.raises(InputError, match="no meta_data.csv"):
        index.index(root)
    other = tmp_path / "other"
    with pytest.raises(InputError, match="no folder"):
        index.index(other)
    other.mkdir()
    with pytest.raises(InputError, match="is empty"):
        index.index(other)
    (other / "holiday.txt").write_text("x")
    with pytest.raises(InputError, match="laid out like no data set that is known .*found holiday.txt"):
        index.index(other)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.lists(st.text(max_size=6), min_size=0, max_size=12), max_size=5), tail=st.text(max_size=30))
def test_no_table_ends_in_a_traceback(tmp_path, lines, tail):
    text = "\n".join([HEADER, *(",".join(line) for line in lines), tail])
    (tmp_path / "meta_data.csv").write_text(text, encoding="utf-8", errors="replace", newline="")
    try:
        videos, _ = index.index(tmp_path)
    except InputError as error:
        assert "\n" not in str(error).strip()
    else:
        assert list(videos) == records.COLUMNS
