"""Random trees and random tables: an adapter gives a valid index or one clear line."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import small_layouts as layouts

from deepfake_uncertainty.datasets import leakage
from deepfake_uncertainty.datasets.index import index
from deepfake_uncertainty.datasets.layouts import (
    celebdf,
    dfdc,
    faceforensics,
    fakeavceleb,
    frame_folders,
    records,
)
from deepfake_uncertainty.errors import InputError

FUZZ = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
WORDS = [
    "id00000", "id00001", "real", "../..", "/", "/a.mp4", "../a.mp4", "a" * 300, "\0", "-", "0",
    "1",
]  # fmt: skip
JUNK = st.text(max_size=12) | st.sampled_from(WORDS)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | JUNK,
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
TABLES = {
    "FaceForensics++": (faceforensics, "train.json"), "FakeAVCeleb": (fakeavceleb, "meta_data.csv"),
    "Celeb-DF-v2": (celebdf, celebdf.LIST), "DFDC": (dfdc, "test/labels.csv"),
}  # fmt: skip
FOLDERS = [
    "original_sequences/youtube/c23/videos", "manipulated_sequences/A/c23/videos",
    "RealVideo-RealAudio/x/men/id00000", "Celeb-real", "Celeb-synthesis", "YouTube-real",
    "train/dfdc_train_part_0", "dfdc_train_part_1", "test", "real_train/0", "fake train/1/fake/2",
    "simswap/ff/frames/000_003", "real/cdf", "simswap/cdf/id0_id1_0000", "a/b", "",
]  # fmt: skip
NAMES = [
    "000.mp4", "000_003.mp4", "id0_0000.mp4", "id0_id1_0000.mp4", "é ü.mp4", "0.png", "1.JPG",
    "0.tar.gz", "meta_data.csv", "metadata.json", "labels.csv", "splits.json", "train.json",
    "val.json", "test.json", celebdf.LIST, ".hidden.mp4",
]  # fmt: skip
PLACED = st.tuples(st.sampled_from(FOLDERS), st.sampled_from(NAMES), st.booleans())


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    return layouts.movie(tmp_path_factory.mktemp("movie"))


def valid_or_refused(read, root):
    """Return True for a valid index, False for one line of InputError; anything else fails."""
    try:
        frame, skipped = read(root)
    except InputError as error:
        assert str(error)
        return False
    assert list(frame) == records.COLUMNS and list(skipped) == records.SKIPPED and len(frame)
    assert frame["split"].isin(["train", "val", "test"]).all() and (skipped["reason"] != "").all()
    leakage.check_leakage(frame)
    return True


@FUZZ
@given(
    st.lists(PLACED, max_size=8),
    st.binary(max_size=40),
)
def test_random_trees(content, files, junk):
    with tempfile.TemporaryDirectory() as folder:
        for place, name, whole in files:
            layouts.put(Path(folder) / place / name, content if whole else junk)
        modules = faceforensics, fakeavceleb, celebdf, dfdc, frame_folders
        for read in (index, *(module.index for module in modules)):
            valid_or_refused(read, Path(folder))


@pytest.fixture(scope="module", params=TABLES)
def whole(request, content, tmp_path_factory):
    module, table = TABLES[request.param]
    root = layouts.ALL[request.param](tmp_path_factory.mktemp("root"), content)
    return module, root / table, (root / table).read_bytes()


@FUZZ
@given(st.binary(max_size=60), st.integers(0, 400), st.integers(0, 400))
def test_tables_with_random_bytes_in_them(whole, junk, start, length):
    module, table, text = whole
    table.write_bytes(text[:start] + junk + text[start + length :])
    valid_or_refused(module.index, table.parent.parent if module is dfdc else table.parent)


@pytest.mark.slow
@FUZZ
@given(st.lists(st.lists(JUNK, min_size=8, max_size=11), max_size=4))
def test_tables_with_random_lines(whole, lines):
    module, table, text = whole
    more = "".join(",".join(line) + "\n" for line in lines)
    table.write_bytes(text + more.encode(errors="surrogatepass"))
    valid_or_refused(module.index, table.parent.parent if module is dfdc else table.parent)


ENTRIES = VALUES | st.fixed_dictionaries({"label": VALUES, "original": VALUES})


@FUZZ
@given(VALUES | st.dictionaries(JUNK, ENTRIES, max_size=4))
def test_random_json(content, value):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        layouts.put(root / "train/dfdc_train_part_0/a.mp4", content)
        layouts.put(root / "train/dfdc_train_part_0/metadata.json", json.dumps(value).encode())
        valid_or_refused(dfdc.index, root)
        line, _ = layouts.favc_line("id0", "-", "-", "real", 0, "a.mp4")
        layouts.put(root / "meta_data.csv", (layouts.HEADER + line).encode())
        layouts.put(root / "RealVideo-RealAudio/African/men/id0/a.mp4", content)
        layouts.put(root / "splits.json", json.dumps(value).encode())
        valid_or_refused(fakeavceleb.index, root)
        layouts.put(root / "original_sequences/youtube/c23/videos/0.mp4", content)
        layouts.put(root / "manipulated_sequences/A/c23/videos/0_1.mp4", content)
        for split in ("train", "val", "test"):
            layouts.put(root / f"{split}.json", json.dumps(value).encode())
        valid_or_refused(faceforensics.index, root)
