"""What is on disk against what is committed: numbers and verdicts, notebook by notebook."""

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deepfake_uncertainty import files, paths
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.report import comparison, notebooks, results
from deepfake_uncertainty.training import profiles

KINDS = ("equal", "within", "outside", "missing")
HEADER: tuple[str, ...] = ("notebook", "numbers", *KINDS, "verdicts", "differ", "same files")
# What a fresh run makes itself; nothing committed may stand in for it.
RECORD = "figures", "notebooks/*.ipynb"
Files = dict[str, bytes]  # name: content
Sidecars = dict[str, dict[str, Any]]  # name: sidecar


def committed(profile: str) -> Files:
    """Return {file name: content} of the results of a profile as they are in HEAD.

    Raises InputError without git, without a commit, and when HEAD holds no result of the profile.
    """
    profiles.get(profile)
    folder = "figures" if profile == "quick" else f"figures/{profile}"
    commit()
    try:
        found = _archive([folder])
    except subprocess.CalledProcessError:
        found = {}
    record = {path.name: data for path, data in found.items() if path.parent == Path(folder)}
    record = {name: data for name, data in record.items() if _is_result(name)}
    if not any(name.endswith(".json") for name in record):
        raise InputError(
            f"no committed record of profile {profile}: HEAD has no {folder}/NN_*.json; "
            "use --profile quick or full"
        )
    return record


def on_disk(profile: str) -> Files:
    """Return {file name: content} of the results of a profile on disk.

    Raises InputError when there are none.
    """
    found = [path for path in results.folder(profile).glob("*") if _is_result(path.name)]
    if not any(path.suffix == ".json" for path in found):
        raise InputError(
            f"no results of profile {profile} on disk: run ./run_all.sh --profile {profile}, "
            f"or ./run_all.sh verify --fresh --profile {profile}"
        )
    return {path.name: path.read_bytes() for path in found}


def _is_result(name: str) -> bool:
    """Return True for a file of a notebook; benchmarks.json holds times, which never repeat."""
    return name[:2].isdigit() and name[2:3] == "_"


def commit() -> str:
    """Return the key of HEAD; raises InputError without git, or without a commit."""
    try:
        return _git("rev-parse", "--verify", "HEAD").decode().strip()
    except FileNotFoundError as error:
        raise InputError("git not found: install it, the committed record is read by it") from error
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode().strip().partition("\n")[0]
        raise InputError(
            f"no committed record here ({reason}): verify needs a clone of the repository"
        ) from error


def _git(*words: str) -> bytes:
    call = ["git", "-C", str(paths.PROJECT), *words]
    return subprocess.run(call, capture_output=True, check=True).stdout


def _archive(specs: Iterable[str]) -> dict[Path, bytes]:
    """Return {path: content} of the files of HEAD that git's path patterns `specs` select."""
    data = _git("archive", "--format=tar", "HEAD", "--", *specs)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        opened = [(Path(one.name), archive.extractfile(one)) for one in archive if one.isfile()]
        return {path: stream.read() for path, stream in opened if stream}


def scratch(profile: str) -> Path:
    """Return a folder with the committed project alone: no results, no models, no data.

    It is .cache/fresh/<profile>-<commit>-<device and arithmetic>, made when it does not exist. One
    that an interrupted or failed run left is returned as it is, so that the run goes on there.
    Raises InputError without a committed record of the profile.
    """
    committed(profile)
    device = os.environ.get("DEEPFAKE_UNCERTAINTY_DEVICE", "cpu")
    kind = "-fast" * (os.environ.get("DEEPFAKE_UNCERTAINTY_FAST") == "1")
    folder = paths.CACHE / "fresh" / f"{profile}-{commit()[:12]}-{device}{kind}"
    if not folder.is_dir():
        with files.atomic_path(folder) as temporary:
            for path, data in _archive([".", *(f":(exclude){spec}" for spec in RECORD)]).items():
                (temporary / path).parent.mkdir(parents=True, exist_ok=True)
                (temporary / path).write_bytes(data)
    return folder


def report(profile: str) -> tuple[list[str], bool]:
    """Return the lines of the report, and True when no verdict differs and no number is missing.

    Raises InputError when there is nothing on disk, or nothing committed, to compare.
    """
    old, new = committed(profile), on_disk(profile)
    before, after = _sidecars(old, "HEAD"), _sidecars(new, "the disk")
    outcomes = {
        name: comparison.compare(sidecar, after.get(name)) for name, sidecar in before.items()
    }
    groups = {digits: comparison.Outcome() for digits in sorted({name[:2] for name in old})}
    for name, outcome in outcomes.items():
        groups[name[:2]] += outcome
    lines = [_origin(before, after)]
    if _is_unused(profile, old, new):
        lines.append("No run is recorded in .cache: what is on disk is what was committed.")
    lines += ["", *_table(groups, old, new), "", *_remarks(outcomes, before, after)]
    whole = not any(one.turned or one.counts["missing"] for one in outcomes.values())
    return lines, whole


def _sidecars(content: Files, where: str) -> Sidecars:
    """Return {name: sidecar} of the JSON files among `content`; InputError for a broken one."""
    found = {}
    for name in sorted(name for name in content if name.endswith(".json")):
        try:
            sidecar = json.loads(content[name])
        except ValueError as error:
            raise InputError(f"{name} on {where} is not JSON: run the notebook again") from error
        if not isinstance(sidecar, dict) or "numbers" not in sidecar:
            raise InputError(f"{name} on {where} holds no numbers: run the notebook again")
        found[Path(name).stem] = sidecar
    return found


def _is_unused(profile: str, old: Files, new: Files) -> bool:
    """Return True when nothing on disk differs and no run here can have written it."""
    in_place = paths.FIGURES.resolve() == (paths.PROJECT / "figures").resolve()
    runs = list(notebooks.runs_folder(profile).glob("[0-9][0-9]_*.json"))
    return in_place and not runs and old == new


def _origin(before: Sidecars, after: Sidecars) -> str:
    """Return one line that says in what the environments of the two sets of sidecars differ."""
    found: dict[str, None] = {}  # a set that keeps the order
    for name in before.keys() & after.keys():
        old, new = _environment(before[name]), _environment(after[name])
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                now, then = new.get(key, "not stated"), old.get(key, "not stated")
                found[f"{key} {now} (committed: {then})"] = None
    if not found:
        return "Computed with the code, versions and arithmetic of the committed record."
    return f"Computed with other {'; '.join(sorted(found))}."


def _environment(sidecar: dict[str, Any]) -> dict[str, Any]:
    """Return what a sidecar says beside its content, as one flat dict."""
    flat: dict[str, Any] = {}
    for key, value in sidecar.items():
        if key not in comparison.CONTENT:
            flat |= value if isinstance(value, dict) else {key: value}
    return flat


def _table(groups: dict[str, comparison.Outcome], old: Files, new: Files) -> list[str]:
    """Return the lines of the table: one row per notebook, and one for all of them."""
    stems = {source.stem[:2]: source.stem for source in notebooks.scripts()}
    total = comparison.Outcome()
    rows = [HEADER]
    for digits, outcome in groups.items():
        names = [name for name in old if name[:2] == digits]
        rows.append(_row(stems.get(digits, digits), outcome, names, old, new))
        total += outcome
    rows.append(_row("all", total, list(old), old, new))
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]


def _row(
    label: str,
    outcome: comparison.Outcome,
    names: list[str],
    old: Files,
    new: Files,
) -> tuple[str, ...]:
    counts = [outcome.counts[kind] for kind in KINDS]
    same = f"{sum(old[name] == new.get(name) for name in names)} of {len(names)}"
    return (label, *map(str, [sum(counts), *counts, outcome.verdicts, len(outcome.turned)]), same)


def _remarks(
    outcomes: dict[str, comparison.Outcome],
    before: Sidecars,
    after: Sidecars,
) -> list[str]:
    """Return the lines below the table: what is on one side only, and verdicts that differ."""
    lines = [
        f"{name} is {where}"
        for names, where in (
            (before.keys() - after.keys(), "committed and not on disk"),
            (after.keys() - before.keys(), "on disk and not committed"),
        )
        for name in sorted(names)
    ]
    extra = sum(outcome.counts["new"] for outcome in outcomes.values())
    lines += [f"numbers on disk and not committed: {extra}"] if extra else []
    turned = [f"{name}, {one}" for name in outcomes for one in outcomes[name].turned]
    return [*lines, *(turned or ["No verdict differs."])]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deepfake_uncertainty.report.verify", description=__doc__
    )
    add = parser.add_subparsers(dest="command", required=True).add_parser
    for command in (
        add(
            "compare", help="print the table; exit 1 when a verdict differs or a number is missing"
        ),
        add("scratch", help="make a folder of the committed project alone, and print its path"),
    ):
        command.add_argument("--profile", default="quick", help=", ".join(profiles.NAMES))
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return 0, 1 when a verdict differs, or 2 after one line for bad input.

    A number that is missing on disk counts as a verdict that differs.
    """
    options = _parser().parse_args(arguments)
    try:
        if options.command == "scratch":
            print(scratch(options.profile))
            return 0
        lines, whole = report(options.profile)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
