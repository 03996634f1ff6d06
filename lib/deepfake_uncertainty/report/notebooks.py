"""Notebooks: the percent script is the source, and the executed .ipynb is the record of one run.

A record is either whole or absent, and it names no machine. It notes which cells were executed, so
that an edit by hand is found: a run never overwrites what a person wrote.
"""

import ast
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from deepfake_uncertainty import files, paths
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.training import profiles

if TYPE_CHECKING:
    from nbformat import NotebookNode

INJECTED = "injected-parameters"  # papermill's tag of the cell that it adds
STAMP = "executed_cells"  # in a notebook's metadata: the keys of the cells that were executed
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
RUNNER = "python -m deepfake_uncertainty.report.runner"
Cell = tuple[str, str, tuple[str, ...]]  # type, source, tags


def runs_folder(profile: str) -> Path:
    """Return the folder with the records of a profile's runs."""
    return paths.CACHE / "runs" / profile


def scripts() -> list[Path]:
    """Return the percent scripts of the notebooks, in reading order."""
    return sorted(paths.NOTEBOOKS.glob("[0-9][0-9]_*.py"))


def parameters(profile: str, stem: str) -> dict[str, Any]:
    """Return the parameters that `profile` overrides in notebook `stem`; quick overrides none.

    Raises InputError for an unknown profile and for a missing parameter file.
    """
    profiles.get(profile)
    path = paths.NOTEBOOKS / "params" / f"{profile}.yaml"
    if profile == "quick":
        return {}
    if not path.is_file():
        raise InputError(f"no parameter file notebooks/params/{profile}.yaml")
    return (yaml.safe_load(path.read_text()) or {}).get(stem) or {}


def executed_path(stem: str, profile: str) -> Path:
    """Return the path of the executed notebook `stem` of a profile.

    For quick it is beside the script, for other profiles in .cache/runs/<profile>.
    """
    return (paths.NOTEBOOKS if profile == "quick" else runs_folder(profile)) / f"{stem}.ipynb"


def _keys(own: Iterable[Cell]) -> list[str]:
    return [files.digest(*cell) for cell in own]


def stamped(notebook: "NotebookNode") -> "NotebookNode":
    """Note in a notebook's metadata which cells were executed, and return the notebook."""
    notebook.metadata[STAMP] = " ".join(_keys(cells(notebook)))
    return notebook


def edited_cells(source: Path, output: Path) -> list[str]:
    """Return the first line of each cell of the .ipynb at `output` that a person wrote or changed.

    It is empty when there is no .ipynb, when its cells are those that were executed, or when the
    script `source` has the same cells. Where cells were only removed or moved, it names the place.
    An .ipynb that does not note what was executed is compared with the script. Raises InputError
    for a file that is not a notebook.
    """
    import jupytext

    if not output.is_file():
        return []
    notebook = _read_or_refuse(output)
    found, script = cells(notebook), cells(jupytext.read(source))
    if found == script:
        return []
    keys, stamp = _keys(found), notebook.metadata.get(STAMP)
    executed = _keys(script) if stamp is None else str(stamp).split()
    if keys == executed:
        return []
    lines = [cell[1].splitlines()[0] for cell in found]
    new = [line for line, key in zip(lines, keys, strict=True) if key not in executed]
    if new:
        return new
    # Slices, because one list may be the beginning of the other.
    place = next(k for k in range(len(keys) + 1) if keys[k : k + 1] != executed[k : k + 1])
    return [f"removed or moved before: {[*lines, 'the end'][place]}"]


def _read_or_refuse(output: Path) -> "NotebookNode":
    try:
        return read(output)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(
            f"{_short(output)} is not a notebook that can be read: repair it, "
            f"or set it aside with `{RUNNER} discard {_target(output)}`"
        ) from error


def _target(output: Path) -> str:
    """Return the arguments by which `keep` and `discard` find the .ipynb at `output`."""
    in_place = output.parent == paths.NOTEBOOKS
    return output.stem if in_place else f"{output.stem} --profile {output.parent.name}"


def _short(path: Path) -> str:
    """Return the folder and the name of a file: no message names a machine."""
    return f"{path.parent.name}/{path.name}"


def refuse_edited(source: Path, profile: str = "quick") -> None:
    """Raise InputError when a person has edited the .ipynb that a run of `source` would write."""
    output = executed_path(source.stem, profile)
    if not (lines := edited_cells(source, output)):
        return
    edited = "was edited by hand"
    if STAMP not in read(output).metadata:
        edited = "differs from its script, does not note what was executed, and may be edited"
    count = f"{len(lines)} cell" + "s" * (len(lines) > 1)
    raise InputError(
        f"{_short(output)} {edited} ({count}, the first: '{lines[0][:60]}'); a run would overwrite "
        f"it: keep the edit with `{RUNNER} keep {_target(output)}`, "
        f"or set it aside with `{RUNNER} discard {_target(output)}`"
    )


def keep(stem: str, profile: str = "quick") -> tuple[Path, Path]:
    """Write the cells of the .ipynb of a notebook to its script.

    Return the script and a copy of the script as it was before. Raises InputError when there is no
    .ipynb, and when a cell holds a pasted picture, which a script cannot hold.
    """
    import jupytext

    source, output = paths.NOTEBOOKS / f"{stem}.py", _existing(stem, profile)
    notebook = _read_or_refuse(output)
    notebook.cells = [cell for cell in notebook.cells if INJECTED not in _tags(cell)]
    for cell in notebook.cells:
        if cell.get("attachments"):
            line = cell.source.strip().partition("\n")[0]
            raise InputError(
                f"{_short(output)} has a pasted picture in '{line[:60]}', which a "
                "script cannot hold: save the picture as a file and link to it"
            )
        cell.metadata = {"tags": list(_tags(cell))} if _tags(cell) else {}
    _keep_spacing(jupytext.read(source), notebook)
    notebook.metadata = {"jupytext": {"notebook_metadata_filter": "-all"}}
    copy = _place_aside(source)
    shutil.copyfile(source, copy)
    with files.atomic_path(source) as temporary:
        temporary.write_text(jupytext.writes(notebook, "py:percent"))
    return source, copy


def _keep_spacing(script: "NotebookNode", notebook: "NotebookNode") -> None:
    """Copy to the cells of a notebook how many empty lines follow them in the script."""
    lines = {
        (cell.cell_type, cell.source): cell.metadata.get("lines_to_next_cell")
        for cell in script.cells
    }
    for cell in notebook.cells:
        if (count := lines.get((cell.cell_type, cell.source))) is not None:
            cell.metadata["lines_to_next_cell"] = count


def discard(stem: str, profile: str = "quick") -> Path:
    """Move the .ipynb of a notebook to notebooks/set_aside and return its new path.

    Raises InputError when there is none.
    """
    output = _existing(stem, profile)
    return Path(shutil.move(output, _place_aside(output)))


def _existing(stem: str, profile: str) -> Path:
    output = executed_path(stem, profile)
    if not output.is_file():
        raise InputError(f"there is no {_short(output)}: nothing to keep or to discard")
    return output


def _place_aside(path: Path) -> Path:
    """Return a path for a copy of a file that no other content has."""
    place = (paths.NOTEBOOKS / "set_aside") / f"{path.stem}.{files.digest(path)}{path.suffix}"
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def declared(text: str) -> list[str]:
    """Return the names that the code `text` assigns, in order."""
    assignments = [node for node in ast.parse(text).body if isinstance(node, ast.Assign)]
    targets = [target for node in assignments for target in node.targets]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def read(path: Path) -> "NotebookNode":
    """Return the notebook at `path`."""
    import nbformat

    return nbformat.read(path, as_version=4)


def write(notebook: "NotebookNode", path: Path) -> None:
    """Write `notebook` to `path`; callers give a path of `files.atomic_path`."""
    import nbformat

    nbformat.write(notebook, path)


def clean(notebook: "NotebookNode") -> "NotebookNode":
    """Remove times, paths and machine names from a notebook's metadata and return the notebook.

    Outputs, execution counts and tags stay. The ids of cells become their numbers.
    """
    import nbformat

    metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    notebook.metadata = nbformat.from_dict(metadata)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"
        cell.metadata = nbformat.from_dict({"tags": list(_tags(cell))} if _tags(cell) else {})
        if cell.cell_type == "code":
            cell.outputs = merge_streams(cell.outputs)
    return notebook


def merge_streams(outputs: Iterable["NotebookNode"]) -> list["NotebookNode"]:
    """Return outputs with adjacent pieces of standard output joined, and without standard error.

    The timing of a run decides where a stream is cut; standard error holds progress bars.
    """
    merged: list[NotebookNode] = []
    for output in outputs:
        stream = output.get("name") if output.output_type == "stream" else None
        if stream == "stderr":
            continue
        if stream and merged and merged[-1].get("name") == stream:
            merged[-1].text += output.text
        else:
            merged.append(output)
    return merged


def _tags(cell: "NotebookNode") -> tuple[str, ...]:
    return tuple(cell.metadata.get("tags") or ())


def cells(notebook: "NotebookNode") -> list[Cell]:
    """Return (type, source, tags) of a notebook's cells.

    Empty cells and the parameters that a run injected are left out.
    """
    own = [(cell.cell_type, cell.source.strip(), _tags(cell)) for cell in notebook.cells]
    return [cell for cell in own if cell[1] and INJECTED not in cell[2]]


def unsynced_scripts() -> list[str]:
    """Return the names of scripts whose .ipynb is absent or has other cells."""
    import jupytext

    unsynced = []
    for source in scripts():
        pair = source.with_suffix(".ipynb")
        if not pair.is_file() or cells(read(pair)) != cells(jupytext.read(source)):
            unsynced.append(source.name)
    return unsynced


def check_pairs() -> None:
    """Raise InputError when a .ipynb was edited by hand, or its script changed since it was run."""
    for source in scripts():
        refuse_edited(source)
    if unsynced := unsynced_scripts():
        raise InputError(
            f"not executed since their script changed: {', '.join(unsynced)}: run ./run_all.sh"
        )
