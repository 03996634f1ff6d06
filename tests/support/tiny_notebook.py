"""A project folder with one small notebook, and what a person may do to it, for tests."""

import json

import jupytext
import nbformat
import pytest

from deepfake_uncertainty import paths
from deepfake_uncertainty.report import notebooks, runner

SCRIPT = """# %% [markdown]
# # A tiny notebook
# %% tags=["parameters"]
N = 2  # how many
# %%
print("a")
print(N * 21)
"""


@pytest.fixture
def house(tmp_path, monkeypatch):
    """Return the script of a project that holds one notebook and nothing else."""
    for name, folder in (
        ("NOTEBOOKS", "notebooks"),
        ("FIGURES", "figures"),
        ("CACHE", ".cache"),
        ("DATA", "data"),
    ):
        monkeypatch.setattr(paths, name, tmp_path / folder)
        (tmp_path / folder).mkdir()
    source = paths.NOTEBOOKS / "07_tiny.py"
    source.write_text(SCRIPT)
    return source


@pytest.fixture
def executed(house):
    """Return the .ipynb of the house as a run leaves it, without the time of a run."""
    notebook = notebooks.stamped(notebooks.clean(jupytext.read(house)))
    for count, cell in enumerate(cell for cell in notebook.cells if cell.cell_type == "code"):
        cell.execution_count = count + 1
    notebooks.write(notebook, house.with_suffix(".ipynb"))
    return house.with_suffix(".ipynb")


@pytest.fixture
def quick_run(monkeypatch):
    """Replace the kernel by one that only counts; return what is called during a run."""
    during = []

    def execute(source, target, profile):
        notebook = jupytext.read(source)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        for count, cell in enumerate(code):
            cell.execution_count = count + 1
            cell.outputs = [nbformat.v4.new_output("stream", text=f"{len(cell.source)}\n")]
        for call in during:
            call()
        notebooks.write(notebook, target)

    monkeypatch.setattr(runner, "_execute", execute)
    return during


def record(stem="07_tiny", profile="quick"):
    """Return what a run noted of itself."""
    return json.loads((notebooks.runs_folder(profile) / f"{stem}.json").read_text())


def _change_code(cells):
    cells[2].source += "\nprint('mine')"


def _change_text(cells):
    cells[0].source += "\n\nA note of mine."


def _add(cells):
    cells.append(nbformat.v4.new_code_cell("print('mine')\n"))


def _remove(cells):
    del cells[1]


def _remove_last(cells):
    del cells[2]


def _move(cells):
    cells.append(cells.pop(1))


def _repeat(cells):
    cells.append(nbformat.v4.new_code_cell(cells[1].source, metadata=cells[1].metadata))


def _tag(cells):
    cells[2].metadata["tags"] = ["mine"]


def _retype(cells):
    cells[2] = nbformat.v4.new_markdown_cell(cells[2].source)


# What a person does to the cells, and the first line of the cell that a message names.
EDITS = {
    "code": (_change_code, 'print("a")'),
    "markdown": (_change_text, "# A tiny notebook"),
    "added": (_add, "print('mine')"),
    "removed": (_remove, 'removed or moved before: print("a")'),
    "removed at the end": (_remove_last, "removed or moved before: the end"),
    "moved": (_move, 'removed or moved before: print("a")'),
    "repeated": (_repeat, "removed or moved before: N = 2  # how many"),
    "tagged": (_tag, 'print("a")'),
    "retyped": (_retype, 'print("a")'),
}


def edit(path, change=_change_code):
    """Change the cells of a notebook as a person does who opens and saves it."""
    notebook = notebooks.read(path)
    change(notebook.cells)
    notebooks.write(notebook, path)
    return path.read_bytes()
