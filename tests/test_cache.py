"""Arrays in the cache, and keys of the parts of the library."""

import functools
import logging
import multiprocessing
import subprocess
import sys

import numpy as np
import pytest

from deepfake_uncertainty import cache
from deepfake_uncertainty.detectors import fakecatcher, images, resnet18


def test_arrays_are_made_once(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"x": np.arange(3), "text": "a"}

    path = tmp_path / "deep" / "a.npz"
    for _ in range(2):
        found = cache.arrays(path, make)
        assert found["x"].tolist() == [0, 1, 2] and str(found["text"]) == "a"
    assert len(made) == 1


@pytest.mark.parametrize("damage", [b"", b"x", b"PK\x03\x04 half"])
def test_damaged_arrays_are_made_again(tmp_path, damage, caplog):
    path = tmp_path / "a.npz"
    path.write_bytes(damage)
    with caplog.at_level(logging.WARNING):
        assert cache.arrays(path, lambda: {"x": np.ones(2)})["x"].sum() == 2
    assert "a.npz is damaged and is computed again" in caplog.text
    assert cache.arrays(path, dict)["x"].sum() == 2


def test_pickled_objects_are_not_loaded(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([{}], dtype=object))
    assert cache.arrays(tmp_path / "a.npz", lambda: {"x": np.zeros(1)})["x"].tolist() == [0]


def test_a_failure_leaves_no_array(tmp_path):
    with pytest.raises(KeyError):
        cache.arrays(tmp_path / "a.npz", lambda: {}["x"])
    assert not (tmp_path / "a.npz").exists() and not list(tmp_path.glob(".partial*"))


def _make_and_log(path, log):
    def make():
        with open(log, "a") as handle:
            handle.write("made\n")
        return {"x": np.zeros(2)}

    cache.arrays(path, make)


def test_two_processes_make_arrays_once(tmp_path):
    context, log = multiprocessing.get_context("fork"), tmp_path / "log"
    arguments = tmp_path / "a.npz", log
    workers = [context.Process(target=_make_and_log, args=arguments) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 3 and log.read_text() == "made\n"


def test_code_digest_sees_the_named_part_only():
    assert cache.code_digest() == cache.code_digest()
    assert cache.code_digest("report.results") != cache.code_digest("report.notebooks")
    with pytest.raises(ValueError, match="no module deepfake_uncertainty.nothing"):
        cache.code_digest("nothing")


def test_a_package_is_all_of_its_modules():
    whole = cache.code_digest("uncertainty")
    modules = "last_layer", "maps", "sampling", "temperature"  # and what these import
    assert whole == cache.code_digest("uncertainty", *(f"uncertainty.{name}" for name in modules))
    assert whole != cache.code_digest("uncertainty.bayes")


def test_parts_count_once_and_in_any_order():
    one = cache.code_digest(resnet18.build, "datasets.tracks")
    assert one == cache.code_digest("datasets.tracks", resnet18.build, resnet18.build)
    assert one == cache.code_digest("datasets.tracks", "detectors.resnet18")
    assert one != cache.code_digest("datasets.tracks")


def test_a_class_and_a_function_stand_for_their_module():
    assert cache.code_digest(images.Normalise) == cache.code_digest(images.frames)
    assert cache.code_digest(images.Normalise) != cache.code_digest(fakecatcher.build)


def test_arguments_of_a_partial_are_in_its_key():
    plain = cache.code_digest(fakecatcher.maps)
    keys = [
        cache.code_digest(functools.partial(fakecatcher.maps, window=window))
        for window in (64, 128, 128)
    ]
    assert len({plain, *keys}) == 3 and keys[1] == keys[2]
    nested = functools.partial(functools.partial(fakecatcher.maps, window=64), n=np.arange(3))
    assert cache.code_digest(nested) == cache.code_digest(nested) not in {plain, *keys}


def test_a_module_of_no_file_is_an_error():
    with pytest.raises(ValueError, match="builtins"):
        cache.code_digest(len)


def test_versions_of_packages_are_in_every_key(monkeypatch):
    before = cache.code_digest(resnet18.build)
    monkeypatch.setattr(cache, "versions", lambda: {"torch": "0"})
    assert cache.code_digest(resnet18.build) != before


def test_code_that_was_typed_into_a_shell_is_refused_in_one_line():
    code = (
        "from deepfake_uncertainty import cache, errors\n"
        "def build(): pass\n"
        "try: cache.code_digest(build)\n"
        "except errors.InputError as error: print(error)\n"
    )
    call = [sys.executable, "-c", code]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1 and "put it into a .py file" in done.stdout
