"""From an index to the inputs of a detector: bad videos are skipped, good ones are cached."""

import dataclasses
from pathlib import Path

import pytest
from support.small_training import SPEC, load_track, videos

from deepfake_uncertainty import paths
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.training import detector_inputs


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def loads(cache, monkeypatch):
    """Paths of the tracks that were loaded."""
    found = []

    def load(path, *_):
        found.append(path)
        return load_track(path)

    monkeypatch.setattr(detector_inputs.tracks, "load", load)
    return found


def test_inputs_skip_bad_videos_and_are_cached(loads, cache, tmp_path):
    index = videos(tmp_path)
    x, rows = detector_inputs.load_inputs(index, SPEC, 3)
    assert x.shape == (26 * 3, 1, 8, 8) and x.dtype == "float32" and len(rows) == len(x)
    assert [Path(path).name for path, _ in rows.attrs["skipped"]] == ["B-4.mp4"]
    columns = ["dataset", "generator", "video", "identity", "split", "start", "label"]
    assert rows.columns.tolist() == columns
    assert (rows["label"] == (rows["generator"] != "real")).all()
    assert rows["start"][:3].tolist() == [0, 10, 20]
    before = len(loads)
    next((cache / "inputs").glob("*.npz")).write_bytes(b"damaged")
    again, _ = detector_inputs.load_inputs(index, SPEC, 3)
    assert (x == again).all()
    assert len(loads) == before + 2  # the damaged one and the video without a face
    with pytest.raises(InputError, match="no face"):
        detector_inputs.load_inputs(index[index["path"].str.contains("B-4")], SPEC, 3)


def test_an_empty_index_is_one_line(loads, tmp_path):
    with pytest.raises(InputError, match="none of 0 videos can be used by small: the index is emp"):
        detector_inputs.load_inputs(videos(tmp_path).iloc[:0], SPEC, 3)


def test_source_labels():
    assert detector_inputs.labels(["real", "A", "B"]).tolist() == [0, 1, 1]
    assert detector_inputs.labels(["B", "A"], ("A", "B")).tolist() == [1, 0]
    with pytest.raises(InputError):
        detector_inputs.labels(["real", "A"], ("A", "B"))


@pytest.mark.parametrize("inputs", [lambda track, n: None, type("Caller", (), {})()])
def test_an_input_function_without_a_name_of_its_own_is_refused(loads, tmp_path, inputs):
    # Two functions of one factory have one name, so the second would get the inputs of the first.
    spec = dataclasses.replace(SPEC, inputs=inputs)
    with pytest.raises(InputError, match="make it a function of its module"):
        detector_inputs.load_inputs(videos(tmp_path), spec, 2)
