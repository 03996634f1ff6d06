"""Orphans of a killed run are ended and its half files removed; a run at work is left alone."""

import os
import subprocess
import sys
import time

import psutil
import pytest

from deepfake_uncertainty import orphans, paths

ROOT = paths.PROJECT


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Folders of a project with nothing in them."""
    names = {"FIGURES": "figures", "NOTEBOOKS": "notebooks", "CACHE": ".cache", "DATA": "data"}
    for name, folder in names.items():
        monkeypatch.setattr(paths, name, tmp_path / folder)
        (tmp_path / folder).mkdir()


@pytest.fixture
def start():
    """Start a process that sleeps with an environment; it is ended after the test."""
    started = []

    def make(run, home=ROOT, words=("sleep", "60")):
        environ = os.environ | {orphans.RUN: str(run), "DEEPFAKE_UNCERTAINTY_HOME": str(home)}
        started.append(subprocess.Popen(words, env=environ))
        # For a moment after exec the kernel shows an empty environment.
        for _ in range(500):
            if orphans.RUN in psutil.Process(started[-1].pid).environ():
                break
            time.sleep(0.01)
        return started[-1]

    yield make
    for process in started:
        process.kill()
        process.wait()


def finished():
    """Return the process id of a process that has ended."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    return str(gone.pid)


def test_leftovers_of_a_killed_run_are_ended_and_swept(folders, start):
    run = finished()
    job = start(run)
    assert [process.pid for process in orphans.find_orphans()[run]] == [job.pid]
    assert not orphans.is_run_active(run)
    orphans.terminate([psutil.Process(job.pid)])
    assert job.poll() is not None
    (paths.FIGURES / ".partial-x.png").write_bytes(b"half")
    (paths.CACHE / ".partial-y").mkdir()
    orphans.remove_partials()
    assert not (paths.FIGURES / ".partial-x.png").exists() and (paths.CACHE / ".partial-y").exists()
    orphans.remove_partials(age=0)
    assert not (paths.CACHE / ".partial-y").exists()


def test_processes_of_this_run_and_of_other_projects_are_none(start, monkeypatch, tmp_path):
    monkeypatch.setenv(orphans.RUN, "own")
    start("own")
    start("other", home=tmp_path)
    found = orphans.find_orphans()
    assert "own" not in found and "other" not in found


def test_a_process_that_refuses_to_end_is_killed():
    ignore = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    words = [sys.executable, "-c", f"{ignore}; print(flush=True); time.sleep(60)"]
    stubborn = subprocess.Popen(words, stdout=subprocess.PIPE)
    assert stubborn.stdout.readline() == b"\n"
    orphans.terminate([psutil.Process(stubborn.pid)], patience=0.2)
    assert not psutil.pid_exists(stubborn.pid)
    stubborn.wait()
    stubborn.stdout.close()


def test_a_run_is_active_while_its_script_runs(tmp_path, start):
    script = tmp_path / "run_all.sh"
    script.write_text("sleep 60\ntrue\n")
    process = start("", words=("bash", str(script)))
    # Just after its start, the system may not show a process's words yet.
    until = time.monotonic() + 10
    while not orphans.is_run_active(str(process.pid)) and time.monotonic() < until:
        time.sleep(0.05)
    assert orphans.is_run_active(str(process.pid))
    assert not orphans.is_run_active(str(os.getpid()))  # a process id that another program has
    assert not orphans.is_run_active("no number") and not orphans.is_run_active("")


def test_another_run_at_work_is_left_alone(tmp_path, start, folders, monkeypatch, capsys):
    monkeypatch.setenv(orphans.RUN, "own")
    script = tmp_path / "run_all.sh"
    script.write_text("sleep 60\ntrue\n")
    head = start("", words=("bash", str(script)))
    job = start(head.pid)
    monkeypatch.setattr(orphans, "find_orphans", lambda: {str(head.pid): [psutil.Process(job.pid)]})
    (paths.FIGURES / ".partial-x.png").write_bytes(b"half")
    assert orphans.main() == 2
    assert f"another run is at work here (process {head.pid})" in capsys.readouterr().err
    assert job.poll() is None and (paths.FIGURES / ".partial-x.png").exists()
    head.kill()
    head.wait()
    assert orphans.main() == 0
    job.wait(5)
    assert "ending 1 process(es)" in capsys.readouterr().out
    assert not (paths.FIGURES / ".partial-x.png").exists()


def test_files_of_others_stay_until_they_are_old(folders):
    young, old = paths.DATA / ".partial-young", paths.DATA / ".partial-old"
    for path in (young, old, paths.DATA / "whole"):
        path.write_text("x")
    os.utime(old, (time.time() - 7200,) * 2)
    orphans.remove_partials()
    assert sorted(path.name for path in paths.DATA.iterdir()) == [".partial-young", "whole"]
