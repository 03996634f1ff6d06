"""The help of each command lists the names that it takes, and `list` prints them."""

import pytest
from support.command_line import call, refused

from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.signals import shipped_networks
from deepfake_uncertainty.training import batch, methods, profiles

PLUGIN = """
import dataclasses
from deepfake_uncertainty.detectors import registry, resnet18

spec = resnet18.DETECTORS[0]
DETECTORS = [dataclasses.replace(spec, name="mine", label="Mine", color=None)]
"""


@pytest.mark.parametrize("command", ["train", "analyze"])
def test_help_lists_detectors_and_methods_with_what_they_are(capsys, command):
    code, out, _ = call(capsys, command, "--help")
    assert code == 0
    for name in registry.names():
        assert f"  {name} " in out and registry.get(name).label in out
    for name in methods.names():
        assert f"  {name} " in out and methods.get(name).label in out


@pytest.mark.parametrize("command", ["build", "check", "track", "train", "analyze"])
def test_help_of_every_command_that_takes_a_profile_lists_them(capsys, command):
    out = call(capsys, command, "--help")[1]
    assert all(f"  {name} " in out for name in profiles.NAMES)


def test_help_lists_the_tasks_and_the_networks_that_ship(capsys):
    out = call(capsys, "train", "--help")[1]
    assert all(f"  {name} " in out for name in batch.TASKS)
    out = call(capsys, "retrain", "--help")[1]
    assert all(f"  {name}\n" in out for name in shipped_networks.names())


def test_list_prints_all_names_and_those_of_a_plugin(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPFAKE_UNCERTAINTY_PLUGINS", "")
    monkeypatch.setattr(registry.DETECTORS, "_read", None)
    (tmp_path / "mine.py").write_text(PLUGIN)
    code, out, _ = call(capsys, "list", "--plugin", tmp_path / "mine.py")
    assert code == 0 and "  mine " in out and "  resnet18 " in out and "  bnn " in out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("DETECTORS = [", "line 1: SyntaxError"),
        ("x = 1\n\nprint(y)\n", "line 3: NameError"),
        ("DETECTORS = [3]\n", "holds a int: make it a list of DetectorSpec"),
    ],
)
def test_a_broken_plugin_is_one_line_with_its_file(capsys, tmp_path, monkeypatch, text, words):
    monkeypatch.setenv("DEEPFAKE_UNCERTAINTY_PLUGINS", "")
    monkeypatch.setattr(registry.DETECTORS, "_read", None)
    (tmp_path / "broken.py").write_text(text)
    error = refused(capsys, "list", "--plugin", tmp_path / "broken.py")
    assert "broken.py" in error and words in error


def test_an_unknown_network_is_one_line(capsys):
    assert "no network 'x' ships" in refused(capsys, "retrain", "x")


def test_check_takes_the_data_root(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPFAKE_UNCERTAINTY_DATA_ROOT", "")
    assert "no folder" in refused(capsys, "check", "--data-root", tmp_path / "nowhere")
