"""Scripts and their executed notebooks: what a run wrote, and what a person wrote."""

import shutil

import jupytext
import nbformat
import pytest
from support.tiny_notebook import EDITS, SCRIPT, edit

from deepfake_uncertainty import paths
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.report import notebooks

COMMITTED = notebooks.scripts()


def refusal(source, profile="quick"):
    with pytest.raises(InputError) as caught:
        notebooks.refuse_edited(source, profile)
    return str(caught.value)


def test_an_executed_notebook_is_not_an_edit(executed):
    assert notebooks.edited_cells(executed.with_suffix(".py"), executed) == []
    notebooks.refuse_edited(executed.with_suffix(".py"))


def test_without_a_notebook_there_is_no_edit(house):
    assert notebooks.edited_cells(house, house.with_suffix(".ipynb")) == []


@pytest.mark.parametrize("kind", EDITS)
def test_every_kind_of_edit_is_found_and_named(executed, kind):
    change, line = EDITS[kind]
    edit(executed, change)
    assert notebooks.edited_cells(executed.with_suffix(".py"), executed) == [line]
    message = refusal(executed.with_suffix(".py"))
    assert message.startswith("notebooks/07_tiny.ipynb was edited by hand (1 cell, the first: '")
    assert f"'{line}'" in message and "\n" not in message
    for command in ("keep", "discard"):
        assert f"`python -m deepfake_uncertainty.report.runner {command} 07_tiny`" in message


def test_the_first_of_several_edits_is_named_in_part(executed):
    def change(cells):
        cells[1].source = "x = 1  # " + 60 * "long "
        cells[2].source = "y = 2"

    edit(executed, change)
    message = refusal(executed.with_suffix(".py"))
    assert f"(2 cells, the first: '{('x = 1  # ' + 60 * 'long ')[:60]}')" in message


def test_outputs_and_empty_cells_are_no_edit(executed):
    def change(cells):
        cells[2].outputs, cells[2].execution_count = [], None
        cells.append(nbformat.v4.new_code_cell(" \n"))

    edit(executed, change)
    assert notebooks.edited_cells(executed.with_suffix(".py"), executed) == []


def test_a_pair_in_sync_is_no_edit(executed):
    edit(executed)
    source = executed.with_suffix(".py")
    jupytext.write(notebooks.read(executed), source, fmt="py:percent")
    assert "mine" in source.read_text() and notebooks.edited_cells(source, executed) == []


def test_a_change_of_the_script_is_no_edit_of_the_notebook(executed):
    source = executed.with_suffix(".py")
    source.write_text(SCRIPT.replace("21", "22"))
    assert notebooks.edited_cells(source, executed) == []
    edit(executed, EDITS["markdown"][0])  # but this is, and the script's own change is not named
    assert notebooks.edited_cells(source, executed) == ["# A tiny notebook"]


def unstamp(path):
    notebook = notebooks.read(path)
    del notebook.metadata[notebooks.STAMP]
    notebooks.write(notebook, path)


@pytest.mark.parametrize("kind", EDITS)
def test_a_notebook_without_a_stamp_is_compared_with_the_script(executed, kind):
    unstamp(executed)
    assert notebooks.edited_cells(executed.with_suffix(".py"), executed) == []
    change, line = EDITS[kind]
    edit(executed, change)
    assert notebooks.edited_cells(executed.with_suffix(".py"), executed) == [line]
    message = refusal(executed.with_suffix(".py"))
    assert "does not note what was executed, and may be edited (1 cell" in message
    assert "keep 07_tiny`" in message and "discard 07_tiny`" in message and "\n" not in message


def test_a_broken_notebook_of_another_profile_is_named_with_its_profile(house):
    output = notebooks.executed_path("07_tiny", "full")
    output.parent.mkdir(parents=True)
    output.write_text("half")
    assert "discard 07_tiny --profile full`" in refusal(house, "full")
    notebooks.discard("07_tiny", "full")
    notebooks.refuse_edited(house, "full")


@pytest.mark.parametrize("content", ["", "<<<<<<< HEAD\n{}", '{"cells": 3}'])
def test_what_is_no_notebook_is_refused_and_can_be_set_aside(executed, content):
    executed.write_text(content)
    message = refusal(executed.with_suffix(".py"))
    assert "notebooks/07_tiny.ipynb is not a notebook" in message and "\n" not in message
    assert notebooks.discard("07_tiny").read_text() == content and not executed.exists()


def test_keep_writes_the_edit_to_the_script_and_copies_the_old_one(executed):
    source = executed.with_suffix(".py")
    edit(executed)
    assert notebooks.keep("07_tiny")[0] == source and "print('mine')" in source.read_text()
    assert notebooks.cells(jupytext.read(source)) == notebooks.cells(notebooks.read(executed))
    assert 'tags=["parameters"]' in source.read_text()
    notebooks.refuse_edited(source)
    assert notebooks.unsynced_scripts() == []


def test_keep_loses_no_change_of_the_script(executed):
    source = executed.with_suffix(".py")
    source.write_text(SCRIPT + "# a change of mine in the script\n")
    edit(executed)
    _, copy = notebooks.keep("07_tiny")
    assert "# a change of mine in the script" in copy.read_text()
    assert copy.is_relative_to(paths.NOTEBOOKS)


def test_keep_changes_only_the_lines_that_were_edited(executed):
    source = executed.with_suffix(".py")
    spaced = SCRIPT.replace("# %%\n", "\n\n# %%\n")
    source.write_text(spaced)
    edit(executed, EDITS["markdown"][0])
    notebooks.keep("07_tiny")
    assert source.read_text().replace("#\n# A note of mine.\n\n", "") == spaced


def test_keep_leaves_out_what_a_run_injected(house):
    notebook = jupytext.read(house)
    added = nbformat.v4.new_code_cell("N = 3", metadata={"tags": [notebooks.INJECTED]})
    notebook.cells.insert(2, added)
    output = notebooks.executed_path("07_tiny", "full")
    output.parent.mkdir(parents=True)
    notebooks.write(notebooks.stamped(notebooks.clean(notebook)), output)
    notebooks.refuse_edited(house, "full")
    edit(output, lambda cells: cells.append(nbformat.v4.new_code_cell("print('mine')")))
    assert "07_tiny --profile full`" in refusal(house, "full")
    notebooks.refuse_edited(house, "quick")  # another file
    notebooks.keep("07_tiny", "full")
    assert "N = 3" not in house.read_text() and "print('mine')" in house.read_text()


def test_keep_refuses_a_pasted_picture(executed):
    def change(cells):
        cells[0].source += "\n![image.png](attachment:image.png)"
        cells[0]["attachments"] = {"image.png": {"image/png": "aGVsbG8="}}

    before = edit(executed, change)
    with pytest.raises(InputError, match="pasted picture in '# A tiny notebook'") as caught:
        notebooks.keep("07_tiny")
    assert "\n" not in str(caught.value)
    assert executed.with_suffix(".py").read_text() == SCRIPT and executed.read_bytes() == before


def test_discard_keeps_every_edited_copy(executed):
    first = edit(executed)
    one = notebooks.discard("07_tiny")
    assert (
        one.read_bytes() == first and not executed.exists() and one.is_relative_to(paths.NOTEBOOKS)
    )
    executed.write_bytes(first)
    second = edit(executed)
    two = notebooks.discard("07_tiny")
    assert one.read_bytes() == first and two.read_bytes() == second != first
    notebooks.refuse_edited(executed.with_suffix(".py"))


@pytest.mark.parametrize("command", [notebooks.keep, notebooks.discard])
def test_keep_and_discard_need_a_notebook(house, command):
    with pytest.raises(InputError, match="there is no notebooks/07_tiny.ipynb"):
        command("07_tiny")
    assert house.read_text() == SCRIPT


@pytest.mark.parametrize("script", COMMITTED, ids=lambda path: path.stem)
def test_keep_of_an_unedited_notebook_gives_its_script_byte_for_byte(house, script):
    source = paths.NOTEBOOKS / script.name
    text = shutil.copyfile(script, source).read_bytes()
    executed = notebooks.stamped(notebooks.clean(jupytext.read(source)))
    notebooks.write(executed, source.with_suffix(".ipynb"))
    before = source.stat().st_ino
    _, copy = notebooks.keep(source.stem)
    assert source.read_bytes() == copy.read_bytes() == text
    assert source.stat().st_ino != before  # it was written


def test_pairs_are_checked(executed):
    notebooks.check_pairs()
    edit(executed)
    with pytest.raises(InputError, match="edited by hand"):
        notebooks.check_pairs()
    notebooks.discard("07_tiny")
    with pytest.raises(InputError, match=r"since their script changed: 07_tiny\.py: run"):
        notebooks.check_pairs()


def test_a_script_that_changed_since_its_run_is_not_in_sync(executed):
    executed.with_suffix(".py").write_text(SCRIPT.replace("21", "22"))
    assert notebooks.unsynced_scripts() == ["07_tiny.py"]
    with pytest.raises(InputError, match=r"since their script changed: 07_tiny\.py"):
        notebooks.check_pairs()


def test_parameters_of_a_profile(house):
    assert notebooks.parameters("quick", "07_tiny") == {}
    with pytest.raises(InputError, match=r"no parameter file notebooks/params/full\.yaml"):
        notebooks.parameters("full", "07_tiny")
    with pytest.raises(InputError, match="unknown profile 'huge'"):
        notebooks.parameters("huge", "07_tiny")
    (house.parent / "params").mkdir()
    (house.parent / "params" / "full.yaml").write_text("07_tiny: {N: 3}\n")
    assert notebooks.parameters("full", "07_tiny") == {"N": 3}
    assert notebooks.parameters("full", "08_none") == {}


def test_streams_are_joined_and_progress_bars_are_dropped():
    pieces = [("stdout", "a\n"), ("stderr", "50 %"), ("stdout", "b\n")]
    outputs = [nbformat.v4.new_output("stream", name=name, text=text) for name, text in pieces]
    shown = nbformat.v4.new_output("display_data", {"text/plain": "x"})
    merged = notebooks.merge_streams([*outputs, shown, outputs[2]])
    assert [output.get("text") for output in merged] == ["a\nb\n", None, "b\n"]


def test_declared_names():
    assert notebooks.declared("a = 1\nb = c = 2\nx.y = 3\nprint(a)\ndef f():\n    d = 4") == list(
        "abc"
    )
