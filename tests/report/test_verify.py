"""What is on disk against what is committed, in a small repository of hand-made sidecars."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deepfake_uncertainty import paths
from deepfake_uncertainty.report import verify

ROOT = paths.PROJECT
STUDY = {"code": "0a", "data": "SynthFF", "seed": 0, "versions": {"torch": "2"}}
ROW = {"value": 0.5, "low": 0.4, "high": 0.6, "metric": "auroc"}
CLAIM = {"claim": "C2", "statistic": "ECE", "detector": "", "bound": 0.0}
CLAIM |= {"value": 0.1, "low": 0.05, "high": 0.2}


def git(folder, *words):
    settings = ("-c", "user.name=A", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *settings, *words], cwd=folder, check=True, capture_output=True)


def write(name, numbers, **fields):
    """Write a hand-made sidecar to the results of quick."""
    path = paths.FIGURES / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    content = STUDY | {"name": name, "profile": "quick", "numbers": numbers} | fields
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A clone with three committed results of two notebooks, and no run."""
    folder = tmp_path / "clone"
    for name, part in (("PROJECT", ""), ("FIGURES", "figures"), ("NOTEBOOKS", "notebooks")):
        monkeypatch.setattr(paths, name, folder / part)
    monkeypatch.setattr(paths, "CACHE", folder / ".cache")
    (folder / "notebooks").mkdir(parents=True)
    for stem in ("02_detection", "09_claims"):
        (folder / "notebooks" / f"{stem}.py").write_text("# %%\n")
        (folder / "notebooks" / f"{stem}.ipynb").write_text("{}\n")
    (folder / ".gitignore").write_text(".cache\n.venv\n")
    write("02_detectors", {"video": [ROW]})
    write("02_claims", [CLAIM])
    write("09_claims", {"verdicts": [{"claim": "C2", "overall": "supported"}]})
    (folder / "figures" / "02_detectors.png").write_bytes(b"picture")
    (folder / "figures" / "benchmarks.json").write_text('{"seconds": 1}\n')
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "record")
    return folder


def run(capsys, *words):
    """Return (exit code, lines of the report, rows of its table) of one comparison."""
    status = verify.main(["compare", *words])
    out = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line}
    return status, out, rows


def test_what_is_committed_is_equal(clone, capsys):
    status, out, rows = run(capsys)
    assert status == 0 and out.endswith("\nNo verdict differs.\n")
    assert out.startswith("Computed with the code, versions and arithmetic of the committed")
    assert "No run is recorded in .cache" in out
    # numbers, equal, within, outside, missing, verdicts, differ, same files; no time is among them
    assert rows["02_detection"] == "3 3 0 0 0 1 0 3 of 3".split()
    assert rows["09_claims"] == "0 0 0 0 0 1 0 1 of 1".split()
    assert rows["all"] == "3 3 0 0 0 2 0 4 of 4".split()


def test_numbers_within_and_outside_turn_nothing(clone, capsys):
    write("02_detectors", {"video": [ROW | {"value": 0.55}]})
    status, out, rows = run(capsys)
    assert status == 0 and rows["02_detection"] == "3 2 1 0 0 1 0 2 of 3".split()
    assert "No run" not in out  # this was not committed
    write("02_detectors", {"video": [ROW | {"value": 0.7}]})
    status, _, rows = run(capsys)
    assert status == 0 and rows["02_detection"] == "3 2 0 1 0 1 0 2 of 3".split()


def test_a_verdict_that_differs_is_named(clone, capsys):
    write("02_claims", [CLAIM | {"low": -0.05}])
    status, out, rows = run(capsys)
    assert status == 1 and rows["02_detection"] == "3 2 1 0 0 1 1 2 of 3".split()
    assert "02_claims, C2, ECE: undecided (committed: supported)" in out
    assert "No verdict" not in out


def test_files_of_one_side_only_are_named(clone, capsys):
    (paths.FIGURES / "02_detectors.json").unlink()
    write("02_more", {"auroc": 0.5})
    status, out, rows = run(capsys)
    assert status == 1 and rows["02_detection"] == "3 2 0 0 1 1 0 2 of 3".split()
    assert "02_detectors is committed and not on disk\n" in out
    assert "02_more is on disk and not committed\n" in out
    write("02_detectors", {"video": [ROW, ROW | {"metric": "ece"}]})
    (paths.FIGURES / "09_claims.json").unlink()
    status, out, _ = run(capsys)
    assert status == 1 and "numbers on disk and not committed: 1\n" in out
    assert "09_claims, verdicts, C2: missing (committed: supported)" in out


def test_other_environments_are_one_line(clone, capsys):
    write("02_claims", [CLAIM], versions={"torch": "3"}, arithmetic="cpu fast")
    write("02_detectors", {"video": [ROW]}, versions={"torch": "3"}, arithmetic="cpu fast")
    status, out, rows = run(capsys)
    assert status == 0 and rows["all"] == "3 3 0 0 0 2 0 2 of 4".split()
    assert out.splitlines()[0] == (
        "Computed with other arithmetic cpu fast (committed: not stated); torch 3 (committed: 2)."
    )


def test_a_run_that_gave_the_same_bytes_is_no_untouched_clone(clone, capsys):
    record = paths.CACHE / "runs" / "quick" / "02_detection.json"
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    assert "No run" not in run(capsys)[1]


def test_the_folder_of_a_profile_is_its_own(clone, capsys):
    shutil.copytree(paths.FIGURES, clone / "full")
    shutil.move(clone / "full", paths.FIGURES / "full")
    git(clone, "add", ".")
    git(clone, "commit", "-qm", "full")
    (paths.FIGURES / "02_claims.json").unlink()
    assert run(capsys, "--profile", "full")[0] == 0 and run(capsys)[0] == 1


def refused(capsys, *words):
    """Return the one line that a refused command prints."""
    assert verify.main(list(words)) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


@pytest.mark.parametrize("command", ["compare", "scratch"])
def test_without_a_committed_record_it_is_refused(clone, capsys, monkeypatch, command):
    assert "no committed record of profile paper" in refused(capsys, command, "--profile", "paper")
    assert "unknown profile 'huge'" in refused(capsys, command, "--profile", "huge")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "")
        assert "git not found" in refused(capsys, command)
    shutil.rmtree(clone / ".git")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(clone.parent))
    assert "verify needs a clone" in refused(capsys, command)


def test_without_results_or_with_broken_ones_it_is_refused(clone, capsys):
    (paths.FIGURES / "02_claims.json").write_text("{")
    assert "02_claims.json on the disk is not JSON" in refused(capsys, "compare")
    (paths.FIGURES / "02_claims.json").write_text("[]")
    assert "02_claims.json on the disk holds no numbers" in refused(capsys, "compare")
    for path in paths.FIGURES.glob("*_*.json"):
        path.unlink()
    assert "no results of profile quick on disk" in refused(capsys, "compare")


def test_no_result_of_a_notebook_is_a_measured_time():
    """The columns of study.detection.detector_costs, which a comparison could not repeat."""
    for path in sorted(ROOT.glob("figures/**/[0-9]*.json")):
        assert not re.search(r'"(train_s|inputs_per_s)"', path.read_text()), path


# ----- ./run_all.sh verify


def run_all(*words):
    call = ["bash", "run_all.sh", *words]
    return subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--fresh"], "--fresh goes with the command verify"),
        (["html", "--profile", "full"], "--profile goes with a run, with test or with verify"),
        (["verify", "--data-root", "tests"], "give it no data root"),
        (["verify", "--plugin", "tests/test_house.py"], "no plug-in"),
    ],
)
def test_bad_options_say_one_line_and_exit_with_2(words, said):
    done = run_all(*words)
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1


def test_help_names_the_command_and_its_option():
    assert re.search(r"^  verify .*^  --fresh ", run_all("--help").stdout, re.M | re.S)


def test_the_readme_says_what_to_expect():
    readme = (ROOT / "README.md").read_text()
    assert "./run_all.sh verify  " in readme and "./run_all.sh verify --fresh" in readme


# In place of .venv/bin/python: the pipeline writes results and notes where, the rest is real.
PYTHON = """#!/usr/bin/env bash
case "$2" in
  pip | *.orphans | *.runner) ;;
  snakemake)
    [[ " $* " == *" --unlock "* ]] && exit
    echo "$PWD $DEEPFAKE_UNCERTAINTY_HOME $PYTHONPATH ${DEEPFAKE_UNCERTAINTY_FIGURES:-}" >> "$LOG"
    mkdir -p figures .cache data && touch .cache/model
    [[ -e figures/02_claims.json ]] && { echo "a committed result" >&2; exit 1; }
    cp "$RESULTS"/*.json "$RESULTS"/*.png figures/
    exit "${STATUS:-0}" ;;
  *) PYTHONPATH=$REAL_LIB exec "$REAL_PYTHON" "$@" ;;
esac
"""


@pytest.fixture
def fresh(clone, tmp_path):
    """Return a call of `run_all.sh verify --fresh` in the clone, with a pipeline that is none."""
    for part in ("run_all.sh", "pyproject.toml", "requirements"):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
        copy(ROOT / part, clone / part)
    (clone / "lib").mkdir()
    (clone / "lib" / "code.py").write_text("committed = True\n")
    git(clone, "add", ".")
    git(clone, "commit", "-qm", "code")
    shutil.copytree(paths.FIGURES, tmp_path / "results")
    python = clone / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON)
    python.chmod(0o755)
    (clone / ".cache").mkdir()
    (clone / ".cache" / "model").write_text("of an earlier run")
    names = {name: text for name, text in os.environ.items() if "DEEPFAKE" not in name}
    names = {name: text for name, text in names.items() if not name.startswith("CONDA")}
    names |= {"LOG": str(tmp_path / "log"), "RESULTS": str(tmp_path / "results")}
    names |= {"REAL_LIB": str(ROOT / "lib"), "REAL_PYTHON": sys.executable}

    def call(**more):
        words = ["bash", "run_all.sh", "verify", "--fresh"]
        return subprocess.run(
            words, cwd=clone, env=names | more, capture_output=True, text=True, check=False
        )

    return call


def state(folder):
    """Return {path: content} of a project, without its environment, history and fresh runs."""
    left_out = re.compile(r"^(\.git|\.venv|\.cache/fresh)(/|$)")
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    return {
        name: path.read_bytes()
        for name, path in found.items()
        if path.is_file() and not left_out.match(name)
    }


@pytest.mark.slow
def test_a_fresh_run_touches_nothing_and_leaves_nothing(clone, fresh, tmp_path):
    (clone / "lib" / "code.py").write_text("committed = False\n")
    (paths.FIGURES / "02_claims.json").unlink()  # what is on disk here plays no part
    before = state(clone)
    done = fresh(DEEPFAKE_UNCERTAINTY_FIGURES="/elsewhere")
    assert done.returncode == 0 and "No verdict differs." in done.stdout, done.stderr
    assert state(clone) == before and not list((clone / ".cache" / "fresh").iterdir())
    place, home, library = (tmp_path / "log").read_text().split()
    assert Path(place).parent == clone / ".cache" / "fresh" and Path(place).name[:6] == "quick-"
    assert home == place and library == f"{place}/lib"


@pytest.mark.slow
def test_a_fresh_run_with_another_verdict_is_kept(clone, fresh, tmp_path):
    shutil.move(tmp_path / "results" / "09_claims.json", tmp_path / "09_claims.json")
    done = fresh()
    (kept,) = (clone / ".cache" / "fresh").iterdir()
    assert done.returncode == 1 and f"what was computed is kept in {kept}\n" in done.stderr
    assert (kept / "figures" / "02_claims.json").is_file()
    assert (kept / "lib" / "code.py").is_file() and not list(kept.rglob("*.ipynb"))


@pytest.mark.slow
def test_a_fresh_run_that_failed_is_taken_up(clone, fresh):
    done = fresh(STATUS="1")
    (kept,) = (clone / ".cache" / "fresh").iterdir()
    assert done.returncode == 1 and f"the same command goes on in {kept}\n" in done.stderr
    assert "02_detection" not in done.stdout  # half a study is not compared
    for path in (kept / "figures").glob("*.json"):
        path.unlink()
    (kept / "half").touch()
    assert verify.scratch("quick") == kept and (kept / "half").is_file()
    done = fresh()
    assert done.returncode == 0 and not kept.exists(), done.stderr
