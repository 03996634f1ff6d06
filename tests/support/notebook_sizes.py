"""The profile that a notebook works with, for tests that the batch makes what notebooks read."""

import ast

import jupytext

from deepfake_uncertainty.report import notebooks
from deepfake_uncertainty.training import profiles


def parameters(stem, profile):
    """Return {name: value} of the parameters of a notebook under a profile."""
    cells = _code_cells(stem)
    tagged = next(cell.source for cell in cells if "parameters" in cell.metadata.get("tags", []))
    declared = {node.targets[0].id: ast.literal_eval(node.value) for node in ast.parse(tagged).body}
    return declared | notebooks.parameters(profile, stem)


def sizes(stem, profile):
    """Return the Profile that a notebook assigns to `sizes` under a profile."""
    lines = [line for cell in _code_cells(stem) for line in ast.parse(cell.source).body]
    found = next(line.value for line in lines if _assigns(line, "sizes"))
    names = parameters(stem, profile) | {"profiles": profiles}
    return eval(compile(ast.Expression(found), stem, "eval"), names)


def _code_cells(stem):
    script = jupytext.read(next(path for path in notebooks.scripts() if path.stem == stem))
    return [cell for cell in script.cells if cell.cell_type == "code"]


def _assigns(line, name):
    return isinstance(line, ast.Assign) and [target.id for target in line.targets] == [name]
