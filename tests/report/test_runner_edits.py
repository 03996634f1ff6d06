"""The runner never overwrites what a person wrote in an executed notebook."""

import nbformat
import pytest
from support.tiny_notebook import EDITS, SCRIPT, edit, record

from deepfake_uncertainty import paths
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.report import notebooks, runner


def never(*_):
    raise AssertionError("the notebook was executed")


@pytest.mark.parametrize("kind", EDITS)
def test_a_run_refuses_an_edited_notebook_before_it_computes(executed, monkeypatch, kind):
    content = edit(executed, EDITS[kind][0])
    monkeypatch.setattr(runner, "_execute", never)
    with pytest.raises(InputError, match="edited by hand"):
        runner.run(executed.with_suffix(".py"))
    assert executed.read_bytes() == content
    assert not notebooks.runs_folder("quick").exists()  # not even the record of a run


@pytest.mark.parametrize("profile", ["quick", "full"])
def test_each_profile_guards_its_own_notebook(house, quick_run, profile):
    output = runner.run(house, profile)
    content = edit(output)
    with pytest.raises(InputError, match=rf"{output.parent.name}/07_tiny\.ipynb was edited"):
        runner.run(house, profile)
    assert output.read_bytes() == content
    runner.run(house, {"quick": "full", "full": "quick"}[profile])


def test_an_edit_during_the_run_is_not_overwritten_and_the_result_is_kept(executed, quick_run):
    source, edited = executed.with_suffix(".py"), []
    quick_run.append(lambda: edited.append(edit(executed)))
    with pytest.raises(InputError) as caught:
        runner.run(source)
    message, place = str(caught.value), ".cache/runs/quick/07_tiny.executed.ipynb"
    assert "\n" not in message and message.endswith(f"the result of this run is in {place}")
    assert "keep 07_tiny`" in message and "discard 07_tiny`" in message
    assert executed.read_bytes() == edited[0] and record()["status"] == "failed"
    kept = notebooks.read(paths.CACHE.parent / place)
    assert [cell.get("execution_count") for cell in kept.cells] == [None, 1, 2]
    assert kept.cells[2].outputs and notebooks.STAMP in kept.metadata
    assert not list(executed.parent.glob(".partial*"))
    quick_run.clear()
    notebooks.keep("07_tiny")
    runner.run(source)
    assert "print('mine')" in executed.read_text() and record()["status"] == "done"
    assert not (paths.CACHE.parent / place).exists()


def test_a_first_notebook_that_appears_during_the_run_is_guarded_too(house, quick_run):
    output = house.with_suffix(".ipynb")
    mine = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("mine")])
    quick_run.append(lambda: notebooks.write(mine, output))
    with pytest.raises(InputError, match="may be edited"):
        runner.run(house)
    assert notebooks.read(output).cells[0].source == "mine"


def test_a_change_of_the_script_during_the_run_is_no_edit(executed, quick_run):
    source = executed.with_suffix(".py")
    notebook = notebooks.read(executed)
    del notebook.metadata[notebooks.STAMP]  # compared with the script, which changes
    notebooks.write(notebook, executed)
    quick_run.append(lambda: source.write_text(SCRIPT.replace("21", "22")))
    runner.run(source)
    assert notebooks.unsynced_scripts() == ["07_tiny.py"]
    assert notebooks.edited_cells(source, executed) == []


def test_the_result_stays_when_the_notebook_cannot_be_written(executed, quick_run, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runner.shutil, "copyfile", full)
    before = executed.read_bytes()
    with pytest.raises(InputError, match="disk full"):
        runner.run(executed.with_suffix(".py"))
    assert executed.read_bytes() == before
    assert (notebooks.runs_folder("quick") / "07_tiny.executed.ipynb").is_file()


@pytest.mark.slow
def test_a_real_run_refuses_keeps_and_discards(house, capsys):
    output = runner.run(house)
    edit(output)
    assert runner.main(["run", str(house)]) == 2
    refused = capsys.readouterr().err
    assert refused.count("\n") == 1 and refused.startswith("error: notebooks/07_tiny.ipynb was")
    assert runner.main(["keep", "07_tiny"]) == 0
    assert runner.main(["run", str(house)]) == 0
    assert "mine" in house.read_text()
    assert "mine\n" in notebooks.read(output).cells[2].outputs[0].text
    content = edit(output, EDITS["markdown"][0])
    assert runner.main(["discard", "07_tiny"]) == 0
    (aside,) = (paths.NOTEBOOKS / "set_aside").glob("*.ipynb")
    assert aside.read_bytes() == content and not output.exists()
    assert runner.main(["run", str(house)]) == 0 and "A note of mine" not in output.read_text()


def test_keep_and_discard_say_where_everything_is(executed, capsys):
    edit(executed)
    assert runner.main(["keep", "07_tiny"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("07_tiny.py has the cells") and said.count("\n") == 1
    (copy,) = (paths.NOTEBOOKS / "set_aside").glob("*.py")
    assert copy.name in said and copy.read_text() == SCRIPT
    assert runner.main(["discard", "07_tiny"]) == 0
    said = capsys.readouterr().out
    (aside,) = (paths.NOTEBOOKS / "set_aside").glob("*.ipynb")
    assert f"notebooks/set_aside/{aside.name}" in said and str(paths.CACHE) not in said
    assert runner.main(["discard", "07_tiny"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
