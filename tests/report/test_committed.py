"""What is committed: scripts, executed notebooks, results.

Without notebooks or figures (a bare clone before its first run) there is nothing to check.
"""

import json
import re

import jupytext
import pytest
import yaml

from deepfake_uncertainty import paths
from deepfake_uncertainty.report import notebooks, results

ROOT = paths.PROJECT
SOURCES = notebooks.scripts()


def own_parameters(source):
    script = jupytext.read(source)
    tagged = [cell.source for cell in script.cells if "parameters" in cell.metadata.get("tags", [])]
    others = "\n".join(
        cell.source
        for cell in script.cells
        if cell.source not in tagged and cell.cell_type == "code"
    )
    return notebooks.declared("\n".join(tagged)), others


@pytest.mark.parametrize("profile", ["full", "paper"])
def test_parameter_files_override_what_notebooks_declare(profile):
    content = yaml.safe_load((paths.NOTEBOOKS / "params" / f"{profile}.yaml").read_text()) or {}
    stems = {source.stem: source for source in SOURCES}
    assert set(content) <= set(stems)
    for stem, overrides in content.items():
        assert set(overrides) <= set(own_parameters(stems[stem])[0])


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_parameters_are_literals_that_are_read(source):
    names, others = own_parameters(source)
    assert names, "a notebook has one cell tagged 'parameters'"
    assert [name for name in names if not re.search(rf"\b{name}\b", others)] == []


EXECUTED = [path.with_suffix(".ipynb") for path in SOURCES if path.with_suffix(".ipynb").is_file()]


@pytest.mark.parametrize("path", EXECUTED, ids=lambda path: path.stem)
def test_committed_notebooks_are_executed_in_order(path):
    code = [
        cell
        for cell in notebooks.read(path).cells
        if cell.cell_type == "code" and cell.source.strip()
    ]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))


@pytest.mark.parametrize("path", EXECUTED, ids=lambda path: path.stem)
def test_committed_notebooks_show_every_figure_that_they_save(path):
    saving = [cell for cell in notebooks.read(path).cells if "results.save(" in cell.source]
    assert saving and all(
        any("image/png" in output.get("data", {}) for output in cell.outputs) for cell in saving
    )


@pytest.mark.parametrize("path", EXECUTED, ids=lambda path: path.stem)
def test_committed_notebooks_answer_their_question_in_a_sentence(path):
    _, answer = results.answer(path.stem)
    assert answer and answer.endswith(".")


COMMITTED = [*EXECUTED, *sorted(paths.FIGURES.rglob("*.json"))]


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_committed_outputs_hold_no_absolute_path(path):
    text = re.sub(r'"image/png": "[^"]*"', "", path.read_text())
    assert str(ROOT) not in text
    assert not re.search(r"(?<![\w.:/])/(home|Users|root|tmp|work|mnt)/\w", text)


# The sidecars of notebooks begin with a number; benchmarks.json holds times, which never repeat.
@pytest.mark.parametrize(
    "path", sorted(paths.FIGURES.rglob("[0-9]*.json")), ids=lambda path: path.stem
)
def test_every_result_is_whole(path):
    sidecar = json.loads(path.read_text())
    assert {"name", "numbers", "profile", "seed", "versions", "code"} <= set(sidecar)
    # The record of full is of version 0.1.0, which told the processor in place of the arithmetic.
    is_old = sidecar["profile"] == "full" and "hardware" in sidecar
    assert is_old or sidecar["arithmetic"] == "cpu pinned"
    # A figure is whole; numbers without a figure have neither file.
    assert path.with_suffix(".png").is_file() == path.with_suffix(".pdf").is_file()
    assert path.with_suffix(".png").is_file() or path.stem.endswith(("_claims", "_differences"))
