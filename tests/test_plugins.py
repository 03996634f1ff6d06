"""Plug-ins: files and entry points add detectors and methods; a fault in one is one line."""

import importlib.metadata
import os
import textwrap

import pytest

from deepfake_uncertainty import plugins
from deepfake_uncertainty.detectors import base as detector_base
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.training import methods
from deepfake_uncertainty.training.methods import base as method_base

BOTH = """
    import dataclasses
    from deepfake_uncertainty.detectors import mobilenet
    from deepfake_uncertainty.training.methods import deterministic

    DETECTORS = [dataclasses.replace(mobilenet.DETECTORS[0], name="{0}", label="Mine")]
    METHODS = [dataclasses.replace(deterministic.METHODS[0], name="{0}_method")]
"""


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch):
    monkeypatch.setenv(plugins.VARIABLE, "")


def detectors():
    """Return a registry of detectors that has read nothing."""
    package, order = "deepfake_uncertainty.detectors", registry.DETECTORS.order
    return plugins.Registry("detector", package, "DETECTORS", detector_base.DetectorSpec, order)


def all_methods():
    """Return a registry of methods that has read nothing."""
    package, order = "deepfake_uncertainty.training.methods", methods.METHODS.order
    return plugins.Registry("method", package, "METHODS", method_base.Method, order)


@pytest.fixture
def write(tmp_path):
    def make(text, name="mine"):
        path = tmp_path / f"{name}.py"
        path.write_text(textwrap.dedent(text))
        return path

    return make


def fault(call):
    """Return the message of the InputError that a call raises: one line."""
    with pytest.raises(InputError) as raised:
        call()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_file_adds_a_detector_and_a_method_at_the_end(write):
    plugins.add_plugin(write(BOTH.format("mine")))
    known, known_methods = detectors(), all_methods()
    assert list(known)[-1] == "mine" and list(known_methods)[-1] == "mine_method"
    assert len(list(known)) == 12 and len(list(known_methods)) == 7
    assert known.get("mine").label == "Mine" and "mine" in known and "other" not in known
    assert known.get("mine").build(2, 0.1) is not None
    assert "mine" in fault(lambda: known.get("nope"))


def test_a_file_added_later_is_known_to_a_registry_in_use(write):
    known = detectors()
    assert "mine" not in known
    plugins.add_plugin(write(BOTH.format("mine")))
    assert "mine" in known and list(known)[:2] == ["resnet18", "xception"]


def test_a_file_may_be_added_twice(write, monkeypatch):
    empty, full = write("DETECTORS = []", "empty"), write(BOTH.format("mine"))
    for path in (empty, full, full, str(full)):
        plugins.add_plugin(path)
    assert plugins.plugin_files() == [empty, full]
    assert list(detectors())[-1] == "mine"
    monkeypatch.chdir(full.parent)
    plugins.add_plugin("mine.py")
    assert plugins.plugin_files() == [empty, full] and "mine" in detectors()


def test_the_environment_names_several_files(write, monkeypatch):
    files = [write(BOTH.format(name), name) for name in ("one", "two")]
    monkeypatch.setenv(plugins.VARIABLE, os.pathsep.join(map(str, files)))
    assert plugins.plugin_files() == files
    assert list(detectors())[-2:] == ["one", "two"]
    assert list(all_methods())[-2:] == ["one_method", "two_method"]


def test_a_relative_path_in_the_environment_is_the_same_file(write, monkeypatch):
    path = write(BOTH.format("mine"))
    monkeypatch.chdir(path.parent)
    monkeypatch.setenv(plugins.VARIABLE, "mine.py")
    plugins.add_plugin(path)
    assert plugins.plugin_files() == [path] and "mine" in detectors()


BROKEN = {
    "x = 1\ny = (\n": (2, "SyntaxError"),
    "x = 1\n\nraise KeyError('gone')\n": (3, "KeyError: 'gone'"),
    "import no_such_module_here\n": (1, "ModuleNotFoundError: No module named"),
    "def f():\n    return 1 / 0\n\n\nf()\n": (2, "ZeroDivisionError: division by zero"),
    "import json\n\njson.loads('{')\n": (3, "JSONDecodeError"),
    "\n\nraise ValueError('two\\nlines')\n": (3, "ValueError: two lines"),
}


@pytest.mark.parametrize("text", list(BROKEN))
def test_a_broken_file_is_one_line_with_file_and_line(text, write):
    path, (line, reason) = write(text), BROKEN[text]
    message = fault(lambda: plugins.add_plugin(path))
    assert message.startswith(f"plug-in {path}, line {line}: ") and reason in message
    assert plugins.plugin_files() == []


def test_a_broken_file_is_reported_again_and_works_once_repaired(write, monkeypatch):
    path = write("raise RuntimeError('again')")
    monkeypatch.setenv(plugins.VARIABLE, str(path))
    known = detectors()
    messages = {fault(call) for call in (known.specs, known.specs, lambda: known.get("resnet18"))}
    assert messages == {f"plug-in {path}, line 1: RuntimeError: again"}
    write(BOTH.format("mine"))
    assert "mine" in known and "resnet18" in known


def test_a_broken_file_hides_no_good_one(write, monkeypatch):
    files = write(BOTH.format("good"), "good"), write("1 / 0", "bad")
    monkeypatch.setenv(plugins.VARIABLE, os.pathsep.join(map(str, files)))
    known = detectors()
    for _ in range(2):
        assert "bad.py, line 1: ZeroDivisionError" in fault(known.specs)
    write("METHODS = []", "bad")
    assert "good" in known


def test_a_wrong_type_in_a_list_is_one_line(write, monkeypatch):
    path = write("DETECTORS = [3]\nMETHODS = ['bnn']\n")
    monkeypatch.setenv(plugins.VARIABLE, str(path))
    wanted = f"{path}: DETECTORS holds a int: make it a list of DetectorSpec"
    assert fault(detectors().specs) == wanted
    assert fault(all_methods().specs) == f"{path}: METHODS holds a str: make it a list of Method"


@pytest.mark.parametrize("text", ["x = 1", "DETECTOR = []", "import sys\nsys.exit(0)"])
def test_a_file_that_adds_nothing_is_one_line(text, write, monkeypatch):
    monkeypatch.setenv(plugins.VARIABLE, str(write(text, "nothing")))
    message = fault(detectors().specs)
    assert "nothing.py" in message and (
        "adds nothing" in message or "line 2: SystemExit" in message
    )


@pytest.mark.parametrize("value", ["7", "'resnet18'", "None"])
def test_what_is_no_list_is_one_line(value, write, monkeypatch):
    monkeypatch.setenv(plugins.VARIABLE, str(write(f"DETECTORS = {value}\n")))
    assert "make it a list of DetectorSpec" in fault(detectors().specs)


def test_a_name_that_exists_is_one_line(write, monkeypatch):
    monkeypatch.setenv(plugins.VARIABLE, str(write(BOTH.format("resnet18"))))
    known = detectors()
    for _ in range(2):
        message = fault(known.specs)
        assert message == "two detectors are called 'resnet18': rename the plug-in's"
    files = [write(BOTH.format("same"), name) for name in ("one", "two")]
    monkeypatch.setenv(plugins.VARIABLE, os.pathsep.join(map(str, files)))
    assert "two methods are called 'same_method'" in fault(all_methods().specs)


@pytest.mark.parametrize("name", ["absent.py", "", "notes.txt"])
def test_what_is_no_python_file_is_one_line(name, tmp_path):
    (tmp_path / "notes.txt").write_text("x = 1")
    message = fault(lambda: plugins.add_plugin(tmp_path / name))
    assert "give the path of a .py file" in message and str(tmp_path / name) in message
    assert plugins.plugin_files() == []


class Point:
    """An entry point that loads an object, or raises it."""

    def __init__(self, value, loaded):
        self.value, self.loaded = value, loaded

    def load(self):
        if isinstance(self.loaded, Exception):
            raise self.loaded
        return self.loaded


@pytest.fixture
def entry_points(monkeypatch):
    found = {}
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: found.get(group, []))
    return found


def test_entry_points_give_a_spec_or_a_list(entry_points, write, monkeypatch):
    spec, method = registry.get("mobilenet"), methods.get("bnn")
    named = [type(spec)(**vars(spec) | {"name": name}) for name in ("a", "b", "c")]
    points = [Point("one:SPEC", named[0]), Point("two:SPECS", tuple(named[1:]))]
    entry_points["deepfake_uncertainty.detectors"] = points
    changed = type(method)(**vars(method) | {"name": "d"})
    entry_points["deepfake_uncertainty.methods"] = [Point("one:METHODS", [changed])]
    monkeypatch.setenv(plugins.VARIABLE, str(write(BOTH.format("file"))))
    assert list(detectors())[-4:] == ["a", "b", "c", "file"]
    assert list(all_methods())[-2:] == ["d", "file_method"]


@pytest.mark.parametrize(
    ("loaded", "message"),
    [
        (ImportError("no\nsuch"), "entry point p:X cannot be loaded: ImportError: no such"),
        ([1], "p:X: DETECTORS holds a int: make it a list of DetectorSpec"),
        ("text", "p:X: DETECTORS holds a str: make it a list of DetectorSpec"),
        (None, "p:X: DETECTORS holds a NoneType: make it a list of DetectorSpec"),
    ],
)
def test_a_broken_entry_point_is_one_line_each_time(loaded, message, entry_points):
    entry_points["deepfake_uncertainty.detectors"] = [Point("p:X", loaded)]
    known = detectors()
    assert fault(known.specs) == fault(known.specs) == message


def test_an_entry_point_of_a_known_name_is_one_line(entry_points):
    twin = registry.get("mobilenet")
    entry_points["deepfake_uncertainty.detectors"] = [Point("p:X", twin)]
    assert "two detectors are called 'mobilenet'" in fault(detectors().specs)


def test_a_registered_spec_is_known_to_its_process_alone():
    known, spec = detectors(), registry.get("mobilenet")
    mine = type(spec)(**vars(spec) | {"name": "mine"})
    known.register(mine)
    known.register(type(spec)(**vars(mine) | {"label": "Other"}))
    assert known.get("mine") is mine and "mine" not in detectors()
    assert os.environ[plugins.VARIABLE] == ""
