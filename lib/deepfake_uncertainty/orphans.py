"""What a killed run leaves behind: jobs that continue and would write beside the next run."""

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Sequence

import psutil

from deepfake_uncertainty import paths

RUN = "DEEPFAKE_UNCERTAINTY_RUN"


def find_orphans() -> dict[str, list[psutil.Process]]:
    """Return {run id: processes} of all other runs of this project.

    A run id is the process id of its run_all.sh, which the processes inherit in the environment.
    """
    own_run = os.environ.get(RUN, "")
    runs: dict[str, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            environ = process.environ()
            run, home = environ.get(RUN, ""), environ.get("DEEPFAKE_UNCERTAINTY_HOME")
            if run not in ("", own_run) and home == str(paths.PROJECT):
                runs.setdefault(run, []).append(process)
    return runs


def is_run_active(run: str) -> bool:
    """Return True when process `run` is a run_all.sh that is still at work.

    The system may have given the process id of a finished run to another program.
    """
    with contextlib.suppress(psutil.Error, ValueError):
        process = psutil.Process(int(run))
        is_run_all = any("run_all.sh" in word for word in process.cmdline())
        return process.status() != psutil.STATUS_ZOMBIE and is_run_all
    return False


def terminate(processes: Sequence[psutil.Process], patience: float = 5.0) -> None:
    """End `processes` and wait until they are gone; kill those that remain after `patience` s."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=patience)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=patience)


def remove_partials(age: float = 3600.0) -> None:
    """Remove incomplete files: those of a run at once, those in caches and data after `age` s.

    Other processes may be writing to caches and data.
    """
    folders = {
        paths.FIGURES: 0.0,
        paths.NOTEBOOKS: 0.0,
        paths.CACHE / "runs": 0.0,
        paths.CACHE: age,
        paths.DATA: age,
    }
    for folder, min_age in folders.items():
        for partial in folder.rglob(".partial-*"):
            if partial.exists() and time.time() - partial.stat().st_mtime >= min_age:
                shutil.rmtree(partial) if partial.is_dir() else partial.unlink(missing_ok=True)


def main() -> int:
    """End the jobs of killed runs and remove their incomplete files.

    Returns the exit code: 2 when another run is at work, else 0.
    """
    for run, processes in find_orphans().items():
        if is_run_active(run):
            message = f"another run is at work here (process {run}): wait for it or end it"
            print(f"run_all.sh: {message}", file=sys.stderr)
            return 2
        print(f"ending {len(processes)} process(es) that a killed run left behind")
        terminate(processes)
    remove_partials()
    return 0


if __name__ == "__main__":
    sys.exit(main())
