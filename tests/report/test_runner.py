"""The runner: runs that repeat, the closing table, the markers of the batch, the command line."""

import json
import re

import papermill
import pytest
from support.tiny_notebook import SCRIPT, record

from deepfake_uncertainty import paths
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.report import notebooks, results, runner
from deepfake_uncertainty.training import profiles

KILLED = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"


def test_runner_executes_a_notebook_the_same_way_twice(house):
    texts = [runner.run(house).read_text() for _ in range(2)]
    assert texts[0] == texts[1]
    assert "papermill" not in texts[0] and str(house.parent) not in texts[0]
    cells = notebooks.read(house.with_suffix(".ipynb")).cells
    assert [cell.get("execution_count") for cell in cells] == [None, 1, 2]
    assert cells[2].outputs[0].text == "a\n42\n"
    assert notebooks.unsynced_scripts() == []
    assert runner.is_up_to_date("07_tiny", "quick") and not runner.is_up_to_date("07_tiny", "full")
    assert re.search(r"07_tiny +done +[\d.]+ +-", runner.status_table()[1])
    house.write_text(SCRIPT.replace("21", "22"))
    assert notebooks.unsynced_scripts() == ["07_tiny.py"]


@pytest.mark.slow
def test_profile_overrides_are_injected_and_unknown_ones_refused(house):
    parameters = house.parent / "params" / "full.yaml"
    parameters.parent.mkdir()
    parameters.write_text("07_tiny: {N: 3}\n")
    assert "42" in runner.run(house).read_text()
    assert "63" in runner.run(house, "full").read_text()
    notebooks.refuse_edited(house, "full")  # what the run injected is no edit
    assert "42" in house.with_suffix(".ipynb").read_text() and notebooks.unsynced_scripts() == []
    assert runner.is_up_to_date("07_tiny", "quick") and runner.is_up_to_date("07_tiny", "full")
    parameters.write_text("07_tiny: {M: 3}\n")
    with pytest.raises(InputError, match="has no parameter M"):
        runner.run(house, "full")


@pytest.mark.slow
@pytest.mark.parametrize("ending", ['raise ValueError("no")', KILLED])
def test_a_failed_notebook_keeps_the_last_good_one(house, ending):
    good = runner.run(house).read_text()
    house.write_text(SCRIPT + "# %%\n" + ending)
    with pytest.raises(Exception, match=r"no|died|Died|end"):
        runner.run(house)
    assert house.with_suffix(".ipynb").read_text() == good
    runs = paths.CACHE / "runs"
    assert not list(house.parent.glob(".partial*")) and not list(runs.rglob(".partial*"))
    assert record()["status"] == "failed"
    assert not runner.is_up_to_date("07_tiny", "quick")
    failed = runs / "quick" / "07_tiny.failed.ipynb"
    assert failed.is_file() == ("ValueError" in ending)  # a killed kernel leaves no state


def test_a_run_leaves_its_notebook_and_record_only(house, quick_run):
    assert runner.run(house) == house.with_suffix(".ipynb")
    assert notebooks.edited_cells(house, house.with_suffix(".ipynb")) == []
    left = [path.name for path in notebooks.runs_folder("quick").iterdir()]
    assert left == ["07_tiny.json"] and record()["status"] == "done"
    house.write_text(SCRIPT.replace("21", "22"))  # a script may change as often as one likes
    runner.run(house)
    assert notebooks.unsynced_scripts() == []


@pytest.mark.parametrize("command", ["keep", "discard"])
def test_an_unknown_notebook_is_refused(house, capsys, command):
    with pytest.raises(SystemExit) as left:
        runner.main([command, "99_none"])
    assert left.value.code == 2 and "07_tiny" in capsys.readouterr().err


def test_sync_says_in_one_line_what_is_wrong(executed, capsys):
    assert runner.main(["sync"]) == 0 and capsys.readouterr() == ("", "")
    executed.with_suffix(".py").write_text(SCRIPT.replace("21", "22"))
    assert runner.main(["sync"]) == 2
    error = capsys.readouterr().err
    assert "07_tiny.py: run ./run_all.sh" in error and error.count("\n") == 1


def test_the_closing_table_lists_every_notebook(executed, quick_run, capsys):
    (executed.parent / "08_more.py").write_text("# %%\n")
    runner.run(executed.with_suffix(".py"))
    for suffix in (".json", ".png", ".pdf"):
        (paths.FIGURES / f"07_a{suffix}").write_text("")
    (paths.FIGURES / "07_numbers_only.json").write_text("")
    assert runner.main(["table"]) == 0
    head, tiny, more = capsys.readouterr().out.splitlines()
    assert head.split() == ["notebook", "status", "seconds", "figures"]
    assert re.fullmatch(r"07_tiny +done +[\d.]+ +07_a", tiny)
    assert re.fullmatch(r"08_more +not run +-", more)


@pytest.fixture
def markers(executed, quick_run, monkeypatch):
    """The markers of a completed batch of one notebook, without a data root."""
    for name in results.ROOT_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    runner.run(executed.with_suffix(".py"))
    runs = notebooks.runs_folder("quick")
    for name in ("benchmark.done", "tracks.done", "training.a.done", "07_tiny.notebook"):
        (runs / name).write_text("")

    def left():
        return sorted(path.name for path in runs.iterdir() if path.suffix in (".done", ".notebook"))

    return left


DONE = ["07_tiny.notebook", "benchmark.done", "tracks.done", "training.a.done"]


def test_markers_stay_when_the_data_are_there(markers, monkeypatch):
    monkeypatch.setattr(profiles, "is_built", lambda profile: True)
    assert runner.main(["prepare"]) == 0 and markers() == DONE


def test_without_data_all_markers_go_and_nothing_else(markers, executed):
    before = executed.read_bytes()
    assert runner.main(["prepare", "--profile", "quick"]) == 0 and markers() == []
    assert executed.read_bytes() == before and record()["status"] == "done"


def test_markers_of_given_data_stay(markers, monkeypatch, tmp_path):
    monkeypatch.setenv(profiles.DATA_ROOT_VARIABLE, str(tmp_path))
    runner.drop_stale_markers("quick")
    assert markers() == DONE


@pytest.mark.parametrize("gone", ["notebook", "figure", "failed"])
def test_a_notebook_that_is_not_up_to_date_loses_its_own_marker(
    markers, executed, monkeypatch, gone
):
    monkeypatch.setattr(profiles, "is_built", lambda profile: True)
    path = notebooks.runs_folder("quick") / "07_tiny.json"
    change = {"figure": {"figures": ["07_gone"]}, "failed": {"status": "failed"}}
    path.write_text(json.dumps(record() | change.get(gone, {})))
    if gone == "notebook":
        executed.unlink()
    runner.drop_stale_markers("quick")
    assert markers() == DONE[1:]


def test_markers_of_a_profile_without_runs(house, monkeypatch):
    monkeypatch.delenv(profiles.DATA_ROOT_VARIABLE, raising=False)
    runner.drop_stale_markers("full")


def test_a_papermill_error_is_passed_on(house, monkeypatch):
    def fail(*_, **__):
        raise papermill.PapermillExecutionError(0, 1, "x", "ValueError", "no", [])

    monkeypatch.setattr(runner, "_execute", fail)
    with pytest.raises(papermill.PapermillExecutionError):
        runner.run(house)
    assert record()["status"] == "failed" and not house.with_suffix(".ipynb").exists()
