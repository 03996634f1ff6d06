"""The pipeline in miniature has the same bytes on every processor that can hold the pins."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deepfake_uncertainty import pins

TESTS, LIBRARY = Path(__file__).parent, Path(pins.__file__).parent


@pytest.mark.slow
@pytest.mark.skipif(
    not pins.needed_pins(), reason="this processor cannot hold the pins: its bytes are its own"
)
def test_every_stage_has_the_committed_digest():
    environ = os.environ | pins.needed_pins()
    environ["PYTHONPATH"] = os.pathsep.join([str(LIBRARY.parent), str(TESTS)])
    environ.pop(pins.FAST_VARIABLE, None)
    command = [sys.executable, "-m", "same_bytes"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    advice = "after a change on purpose: PYTHONPATH=tests python -m same_bytes --renew"
    assert done.returncode == 0, f"{done.stdout}{done.stderr[-2000:]}\n{advice}"
    assert done.stdout.startswith("cpu pinned\n")


def test_no_compiled_function_takes_the_estimates_of_a_processor():
    """1 / sqrt(x) by `fastmath=True` changed pixels between an AMD and an emulated processor."""
    marks = {
        mark
        for path in LIBRARY.rglob("*.py")
        for mark in re.findall(r"fastmath=(\w+)", path.read_text())
    }
    assert marks == {"FASTMATH"} and not pins.FASTMATH & {"arcp", "afn", "fast"}
