"""Notebooks: the percent script is the source, the executed .ipynb its record, whole or absent, naming no machine."""

import argparse
import contextlib
import json
import os
import sys
import time
from pathlib import Path

import yaml

from deepfake_uncertainty import files, paths, results
from deepfake_uncertainty.errors import InputError

RUNS = paths.CACHE / "runs"
PROFILES = ("quick", "full", "paper")
INJECTED = "injected-parameters"


def sources():
    """Return the notebooks' percent scripts, in reading order."""
    return sorted(paths.NOTEBOOKS.glob("[0-9][0-9]_*.py"))


def parameters(profile, stem):
    """Return what `profile` overrides in notebook `stem` (quick: nothing, the notebook's own defaults)."""
    if profile not in PROFILES:
        raise InputError(f"unknown profile '{profile}': use {', '.join(PROFILES)}")
    path = paths.NOTEBOOKS / "params" / f"{profile}.yaml"
    if profile == "quick":
        return {}
    if not path.is_file():
        raise InputError(f"no parameter file notebooks/params/{profile}.yaml")
    return (yaml.safe_load(path.read_text()) or {}).get(stem) or {}


def executed(stem, profile):
    """Return where the executed notebook of a profile lies: beside its script for quick, in .cache/runs/<profile> otherwise."""
    return (paths.NOTEBOOKS if profile == "quick" else RUNS / profile) / f"{stem}.ipynb"


def run(source, profile="quick"):
    """Execute one percent script into `executed`, record status and seconds; raises what the notebook raised.

    A notebook that fails leaves the last good .ipynb in place and its own state in .cache/runs/<profile>/<stem>.failed.ipynb.
    """
    source, runs = Path(source).resolve(), RUNS / profile
    status, start = "failed", time.monotonic()
    output = executed(source.stem, profile)
    try:
        with files.whole(runs / f"{source.stem}.executed.ipynb") as temporary:
            _execute(source, temporary, profile)
        with files.whole(output) as temporary:
            write(clean(read(runs / f"{source.stem}.executed.ipynb")), temporary)
        status = "done"
        (runs / f"{source.stem}.failed.ipynb").unlink(missing_ok=True)
    finally:
        (runs / f"{source.stem}.executed.ipynb").unlink(missing_ok=True)
        seconds = round(time.monotonic() - start, 1)
        record = {"notebook": source.stem, "profile": profile, "status": status, "seconds": seconds}
        record["figures"] = figures(source.stem, profile)
        files.write_json(runs / f"{source.stem}.json", record)
    return output


def _execute(source, target, profile):
    """Run `source` through papermill into `target`, in the notebooks' own folder, as nbval will."""
    import jupytext
    import papermill

    overrides = parameters(profile, source.stem)
    bare = target.with_suffix(".source.ipynb")
    notebook = jupytext.read(source)
    # papermill needs a kernel, which a bare script does not name.
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    _check_declared(notebook, overrides, source)
    try:
        write(notebook, bare)
        # Relative names, for papermill writes them into the notebook.
        with contextlib.chdir(source.parent):
            names = [os.path.relpath(path) for path in (bare, target)]
            papermill.execute_notebook(*names, parameters=overrides, progress_bar=False, log_output=False, cwd=".")
        state = read(target).metadata.get("papermill", {})
        # A killed kernel leaves a partial notebook whose exception is null: only the end time tells.
        if not state.get("end_time") or state.get("exception"):
            raise RuntimeError(f"{source.name} did not reach its end")
    except papermill.PapermillExecutionError:
        with files.whole(RUNS / profile / f"{source.stem}.failed.ipynb") as kept:
            write(clean(read(target)), kept)
        raise
    finally:
        bare.unlink(missing_ok=True)


def _check_declared(notebook, overrides, source):
    """Raise InputError for a parameter that the notebook does not declare (papermill only warns)."""
    cells = [cell.source for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    names = declared("\n".join(cells))
    unknown = sorted(set(overrides) - set(names))
    if unknown:
        raise InputError(f"{source.name} has no parameter {', '.join(unknown)}: it has {', '.join(names) or 'none'}")


def declared(text):
    """Return the names that the code `text` assigns, in order."""
    import ast

    targets = [target for node in ast.parse(text).body if isinstance(node, ast.Assign) for target in node.targets]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def read(path):
    """Return the notebook at `path`."""
    import nbformat

    return nbformat.read(path, as_version=4)


def write(notebook, path):
    """Write `notebook` to `path` (callers give a path of `files.whole`)."""
    import nbformat

    nbformat.write(notebook, path)


def clean(notebook):
    """Strip times, paths and machine names from the metadata; keep outputs, counts and tags; number the cells' ids."""
    import nbformat

    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata = nbformat.from_dict({"kernelspec": kernel, "language_info": {"name": "python"}})
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": list(tags)} if tags else {})
        if cell.cell_type == "code":
            cell.outputs = merge_streams(cell.outputs)
    return notebook


def merge_streams(outputs):
    """Join neighbouring pieces of one stream (timing cuts them) and drop standard error (progress bars)."""
    merged = []
    for output in outputs:
        stream = output.get("name") if output.output_type == "stream" else None
        if stream == "stderr":
            continue
        if stream and merged and merged[-1].get("name") == stream:
            merged[-1].text += output.text
        else:
            merged.append(output)
    return merged


def cells(notebook):
    """Return [(type, source)] of the notebook's own cells, without the parameters that a run injected."""
    own = [cell for cell in notebook.cells if INJECTED not in cell.metadata.get("tags", [])]
    return [(cell.cell_type, cell.source.strip()) for cell in own]


def out_of_sync():
    """Return the names of scripts whose .ipynb is absent or was executed from other cells."""
    import jupytext

    wrong = []
    for source in sources():
        pair = source.with_suffix(".ipynb")
        if not pair.is_file() or cells(read(pair)) != cells(jupytext.read(source)):
            wrong.append(source.name)
    return wrong


def figures(stem, profile="quick"):
    """Return the names of the figures that notebook `stem` saved: those that begin with its number."""
    found = results.folder(profile).glob(f"{stem[:2]}_*.json")
    return sorted(path.stem for path in found if all(path.with_suffix(kind).is_file() for kind in (".png", ".pdf")))


def _record(stem, profile):
    path = RUNS / profile / f"{stem}.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def standing(stem, profile):
    """Return True when the .ipynb and the figures on disk are those of a completed run of `stem` under `profile`."""
    record = _record(stem, profile)
    whole = set(record.get("figures", [])) <= set(figures(stem, profile)) and executed(stem, profile).is_file()
    return whole and record.get("status") == "done"


def table(profile="quick"):
    """Return the lines of the closing table: notebook, status, seconds, figures."""
    rows = [("notebook", "status", "seconds", "figures")]
    for source in sources():
        state = _record(source.stem, profile) or {"status": "not run", "seconds": ""}
        rows.append((source.stem, state["status"], str(state["seconds"]), " ".join(figures(source.stem, profile)) or "-"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return ["  ".join([*(row[i].ljust(widths[i]) for i in range(3)), row[3]]) for row in rows]


def main(arguments=None):
    """Command line: `run SOURCE --profile P`, `sync` (check the pairs), `table`."""
    parser = argparse.ArgumentParser(prog="python -m deepfake_uncertainty.notebook", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("run")
    one.add_argument("source", type=Path)
    one.add_argument("--profile", default="quick")
    commands.add_parser("sync")
    closing = commands.add_parser("table")
    closing.add_argument("--profile", default="quick")
    options = parser.parse_args(arguments)
    try:
        if options.command == "run":
            run(options.source, options.profile)
        elif options.command == "table":
            print("\n".join(table(options.profile)))
        elif wrong := out_of_sync():
            print(f"not in sync with their script: {', '.join(wrong)}: run ./run_all.sh", file=sys.stderr)
            return 1
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
