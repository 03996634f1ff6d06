"""A command as a process: what it writes into a pipe, and how it ends."""

import os
import subprocess
import sys

import pytest

# As a user's shell: buffered, so that the output is written when the command ends.
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def run(*arguments, stdout=subprocess.PIPE):
    command = [sys.executable, "-m", "deepfake_uncertainty", *arguments]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, env=BUFFERED)


@pytest.mark.slow
def test_a_command_writes_all_of_its_output_before_the_process_ends():
    done = run("list")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith("detectors:\n") and done.stdout.endswith("paper  real data\n")


@pytest.mark.slow
def test_a_reader_that_leaves_a_pipe_is_no_error():
    read, write = os.pipe()
    os.close(read)
    done = run("list", stdout=write)
    os.close(write)
    assert done.returncode == 0 and done.stderr == ""


def test_a_refused_command_ends_with_code_2():
    done = run("analyze", "x.mp4", "--plugin", "no.py")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: no plug-in file ")
