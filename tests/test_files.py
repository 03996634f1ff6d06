"""Files are complete or absent, and keys are those of content."""

import errno
import json

import numpy as np
import pytest

from deepfake_uncertainty import files
from deepfake_uncertainty.errors import InputError


def test_whole_leaves_nothing_on_failure(tmp_path):
    with pytest.raises(RuntimeError), files.atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_file_or_folder_replaces_the_one_before(tmp_path):
    for content in ("one", "two"):
        with files.atomic_path(tmp_path / "new" / "a.txt") as temporary:
            assert temporary.suffix == ".txt" and temporary.parent == tmp_path / "new"
            temporary.write_text(content)
        assert (tmp_path / "new" / "a.txt").read_text() == content
        with files.atomic_path(tmp_path / "folder") as temporary:
            temporary.mkdir()
            (temporary / content).write_text(content)
        assert [path.name for path in (tmp_path / "folder").iterdir()] == [content]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "new"]


def test_a_failure_keeps_the_file_before_and_removes_a_half_folder(tmp_path):
    files.write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(KeyError), files.atomic_path(tmp_path / "a.json") as temporary:
        temporary.mkdir()
        (temporary / "half").write_text("half")
        raise KeyError
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 1}
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError("10 requested and 3 written"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_one_line_that_names_the_file(tmp_path, error):
    with pytest.raises(InputError, match=r"disk full while writing .*a\.npz: free some space"):
        with files.atomic_path(tmp_path / "a.npz"):
            raise error


def test_another_error_stays_what_it_is(tmp_path):
    with pytest.raises(PermissionError), files.atomic_path(tmp_path / "a.npz"):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_json_is_sorted_and_without_nan(tmp_path):
    files.write_json(tmp_path / "a.json", {"b": 1, "a": [1.5]})
    assert (tmp_path / "a.json").read_text() == '{\n "a": [\n  1.5\n ],\n "b": 1\n}\n'
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "a.json", {"a": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text())["b"] == 1


def test_a_digest_is_of_content_and_not_of_names(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("x")
    two.write_text("x")
    assert files.digest(one) == files.digest(two) != files.digest(str(one))
    assert len(files.digest(one)) == 16 and int(files.digest(one), 16) >= 0
    two.write_text("y")
    assert files.digest(one) != files.digest(two)


def test_a_digest_tells_its_parts_apart():
    keys = [files.digest("ab", "c"), files.digest("a", "bc"), files.digest("abc"), files.digest()]
    keys += [files.digest(1), files.digest("1"), files.digest([1]), files.digest(None)]
    assert len(set(keys)) == len(keys)
    assert files.digest({"a": 1, "b": 2}) == files.digest({"b": 2, "a": 1})


def test_a_digest_of_a_folder_is_of_its_names_and_content(tmp_path):
    def folder(name, **content):
        (tmp_path / name / "deep").mkdir(parents=True)
        for file, text in content.items():
            (tmp_path / name / "deep" / file).write_text(text)
        return files.digest(tmp_path / name)

    assert folder("a", x="1", y="2") == folder("b", y="2", x="1")
    assert len({folder("c", x="1"), folder("d", z="1"), folder("e", x="2"), folder("f")}) == 4


@pytest.mark.parametrize("value", [np.zeros(3000), [np.arange(3)], len, {"f": min}])
def test_no_key_holds_what_has_no_text_of_its_own(value):
    with pytest.raises(TypeError, match="no key holds it"):
        files.digest(value)
    assert files.digest(np.float64(0.5), np.int64(3)) == files.digest(np.float64(0.5), np.int64(3))
