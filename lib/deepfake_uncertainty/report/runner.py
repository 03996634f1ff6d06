"""The runner of notebooks: executes scripts with papermill and records the outcome of each run."""

import argparse
import contextlib
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepfake_uncertainty import files, paths, pins
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.report import notebooks, results
from deepfake_uncertainty.training import profiles

if TYPE_CHECKING:
    from nbformat import NotebookNode


def run(source: str | Path, profile: str = "quick") -> Path:
    """Execute one percent script, write its .ipynb, record status and seconds; return the .ipynb.

    Raises what the notebook raised. A notebook that fails leaves the last good .ipynb in place; its
    own state is in .cache/runs/<profile>/<stem>.failed.ipynb. Raises InputError when a person has
    edited the .ipynb: before anything is computed, or, for an edit during the run, with the result
    in .cache/runs/<profile>/<stem>.executed.ipynb.
    """
    source, runs = Path(source).resolve(), notebooks.runs_folder(profile)
    output = notebooks.executed_path(source.stem, profile)
    result = runs / f"{source.stem}.executed.ipynb"
    profiles.get(profile)
    if not source.is_file():
        raise InputError(f"no notebook script {source}: give a file such as notebooks/09_claims.py")
    before, status, start = _content(output), "failed", time.monotonic()
    notebooks.refuse_edited(source, profile)
    try:
        with files.atomic_path(result) as temporary:
            _execute(source, temporary, profile)
            executed = notebooks.clean(notebooks.read(temporary))
            notebooks.write(notebooks.stamped(executed), temporary)
        with files.atomic_path(output) as temporary:
            shutil.copyfile(result, temporary)
            if _content(output) != before:
                _refuse_edited_since(source, profile, result)
        status = "done"
        for done_with in (result, runs / f"{source.stem}.failed.ipynb"):
            done_with.unlink(missing_ok=True)
    finally:
        seconds = round(time.monotonic() - start, 1)
        record = {"notebook": source.stem, "profile": profile, "status": status, "seconds": seconds}
        record["figures"] = saved_figures(source.stem, profile)
        files.write_json(runs / f"{source.stem}.json", record)
    return output


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _refuse_edited_since(source: Path, profile: str, result: Path) -> None:
    """Raise InputError when the .ipynb was edited during the run, and say where the result is."""
    try:
        notebooks.refuse_edited(source, profile)
    except InputError as error:
        place = result.relative_to(paths.CACHE.parent)
        raise InputError(f"{error}; the result of this run is in {place}") from error


def _execute(source: Path, target: Path, profile: str) -> None:
    """Execute `source` into `target`, in the folder of the notebooks, as nbval does later."""
    import jupytext
    import papermill

    overrides = notebooks.parameters(profile, source.stem)
    bare = target.with_suffix(".source.ipynb")
    notebook = jupytext.read(source)
    # papermill needs a kernel, which a script without a header does not name.
    notebook.metadata["kernelspec"] = notebooks.KERNEL
    _check_declared(notebook, overrides, source)
    try:
        notebooks.write(notebook, bare)
        # Relative names, because papermill writes them into the notebook.
        with contextlib.chdir(source.parent), pins.for_children():
            names = [os.path.relpath(path) for path in (bare, target)]
            papermill.execute_notebook(
                *names, parameters=overrides, progress_bar=False, log_output=False, cwd="."
            )
        state = notebooks.read(target).metadata.get("papermill", {})
        # A killed kernel leaves a partial notebook whose exception is null and without an end time.
        if not state.get("end_time") or state.get("exception"):
            raise RuntimeError(f"{source.name} did not reach its end")
    except papermill.PapermillExecutionError:
        failed = notebooks.runs_folder(profile) / f"{source.stem}.failed.ipynb"
        with files.atomic_path(failed) as temporary:
            notebooks.write(notebooks.clean(notebooks.read(target)), temporary)
        raise
    finally:
        bare.unlink(missing_ok=True)


def _check_declared(notebook: "NotebookNode", overrides: dict[str, Any], source: Path) -> None:
    """Raise InputError for a parameter that the notebook does not declare; papermill only warns."""
    cells = [
        cell.source for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])
    ]
    names = notebooks.declared("\n".join(cells))
    unknown = sorted(set(overrides) - set(names))
    if unknown:
        raise InputError(
            f"{source.name} has no parameter {', '.join(unknown)}: "
            f"it has {', '.join(names) or 'none'}"
        )


def saved_figures(stem: str, profile: str = "quick") -> list[str]:
    """Return the names of the figures of notebook `stem`: those that begin with its number."""
    sidecars = results.folder(profile).glob(f"{stem[:2]}_*.json")
    return sorted(
        path.stem
        for path in sidecars
        if all(path.with_suffix(kind).is_file() for kind in (".png", ".pdf"))
    )


def _record(stem: str, profile: str) -> dict[str, Any]:
    path = notebooks.runs_folder(profile) / f"{stem}.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def is_up_to_date(stem: str, profile: str) -> bool:
    """Return True when the .ipynb and figures on disk are those of a completed run of `stem`."""
    record = _record(stem, profile)
    figures = set(record.get("figures", []))
    complete = figures <= set(saved_figures(stem, profile))
    executed = notebooks.executed_path(stem, profile).is_file()
    return complete and executed and record.get("status") == "done"


def drop_stale_markers(profile: str) -> None:
    """Remove completion markers of jobs of a profile, so that the batch runs these jobs again.

    Without the embedded benchmark, and without a data root of the user, all markers go. A notebook
    that is not up to date loses its own. Cached results stay.
    """
    runs = notebooks.runs_folder(profile)
    given = os.environ.get(profiles.DATA_ROOT_VARIABLE)
    if not given and not profiles.is_built(profile):
        for marker in [*runs.glob("*.done"), *runs.glob("*.notebook")]:
            marker.unlink()
    for source in notebooks.scripts():
        if not is_up_to_date(source.stem, profile):
            (runs / f"{source.stem}.notebook").unlink(missing_ok=True)


def status_table(profile: str = "quick") -> list[str]:
    """Return the lines of the closing table: notebook, status, seconds, figures."""
    rows = [("notebook", "status", "seconds", "figures")]
    for source in notebooks.scripts():
        record = _record(source.stem, profile) or {"status": "not run", "seconds": ""}
        figures = " ".join(saved_figures(source.stem, profile)) or "-"
        rows.append((source.stem, record["status"], str(record["seconds"]), figures))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return ["  ".join([*(row[i].ljust(widths[i]) for i in range(3)), row[3]]) for row in rows]


def _keep(stem: str, profile: str) -> str:
    source, copy = notebooks.keep(stem, profile)
    return f"{source.name} has the cells of the edited notebook; the script before: {_shown(copy)}"


def _discard(stem: str, profile: str) -> str:
    return f"the edited notebook is now {_shown(notebooks.discard(stem, profile))}"


def _shown(path: Path) -> Path:
    return path.relative_to(paths.CACHE.parent)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=notebooks.RUNNER, description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser
    run_one = add("run", help="execute one notebook")
    source_help = "its script, such as notebooks/01_method_comparison.py"
    run_one.add_argument("source", type=Path, help=source_help)
    table = add("table", help="print status, seconds and figures of all notebooks")
    prepare = add("prepare", help="remove completion markers of jobs that must run again")
    add("sync", help="check that every .ipynb is the executed record of its script")
    keep = add("keep", help="write the cells of an edited .ipynb to its script")
    discard = add("discard", help="move an edited .ipynb to notebooks/set_aside")
    for command in (keep, discard):
        stems = [source.stem for source in notebooks.scripts()]
        command.add_argument("stem", choices=stems, metavar="STEM", help="of the notebook's name")
    for command in (run_one, table, prepare, keep, discard):
        command.add_argument("--profile", default="quick", help=", ".join(profiles.NAMES))
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return 0, or 2 after one line on standard error for bad input."""
    options = _parser().parse_args(arguments)
    try:
        match options.command:
            case "run":
                run(options.source, options.profile)
            case "table":
                print("\n".join(status_table(options.profile)))
            case "prepare":
                drop_stale_markers(options.profile)
            case "sync":
                notebooks.check_pairs()
            case "keep":
                print(_keep(options.stem, options.profile))
            case "discard":
                print(_discard(options.stem, options.profile))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
