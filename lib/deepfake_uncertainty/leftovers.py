"""What a killed run leaves behind: its jobs go on without a head and would write beside the next run."""

import contextlib
import os
import shutil
import sys
import time

import psutil

from deepfake_uncertainty import paths

RUN = "DEEPFAKE_UNCERTAINTY_RUN"


def find():
    """Return {run id: processes} of this project's other runs; a run's processes inherit its id (the head's pid)."""
    own, runs = os.environ.get(RUN, ""), {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            environ = process.environ()
            run = environ.get(RUN, "")
            if run not in ("", own) and environ.get("DEEPFAKE_UNCERTAINTY_HOME") == str(paths.PROJECT):
                runs.setdefault(run, []).append(process)
    return runs


def head_alive(run):
    """Return True when process `run` is a run_all.sh that is still at work (a pid may have been given to another)."""
    with contextlib.suppress(psutil.Error, ValueError):
        process = psutil.Process(int(run))
        return process.status() != psutil.STATUS_ZOMBIE and any("run_all.sh" in word for word in process.cmdline())
    return False


def end(processes, patience=5.0):
    """End `processes`, politely first, and wait until they are gone (`patience` in seconds)."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=patience)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=patience)


def sweep(age=3600.0):
    """Remove half-written files: a run's own at once, in caches and data (others may write) after `age` seconds."""
    folders = {paths.FIGURES: 0, paths.NOTEBOOKS: 0, paths.CACHE / "runs": 0, paths.CACHE: age, paths.DATA: age}
    for folder, least in folders.items():
        for partial in folder.rglob(".partial-*"):
            if partial.exists() and time.time() - partial.stat().st_mtime >= least:
                shutil.rmtree(partial) if partial.is_dir() else partial.unlink(missing_ok=True)


def main():
    """End the jobs of killed runs and remove their half-written files; exit with 2 when another run is at work."""
    for run, processes in find().items():
        if head_alive(run):
            print(f"run_all.sh: another run is at work here (process {run}): wait for it or end it", file=sys.stderr)
            return 2
        print(f"ending {len(processes)} process(es) that a killed run left behind")
        end(processes)
    sweep()
    return 0


if __name__ == "__main__":
    sys.exit(main())
