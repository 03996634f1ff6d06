"""A full disk is one line, leaves nothing half written, and a rerun works."""

import resource
from contextlib import contextmanager

import numpy as np
import pytest
from safetensors.torch import save_file
from support.command_line import DETERMINISTIC, call, fake
from torch import ones

from deepfake_uncertainty import files
from deepfake_uncertainty.errors import InputError


@contextmanager
def full_disk():
    """Limit the size of files, which stands for a full disk.

    The limit ends with the block: otherwise pytest's own log would meet it.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    "name, write",
    [
        ("a.npy", lambda path: np.save(path, np.ones(10_000))),
        ("a.npz", lambda path: np.savez(path, a=np.ones(10_000))),
        ("a.json", lambda path: path.write_bytes(bytes(10_000))),
        ("a.bin", lambda path: save_file({"a": ones(10_000)}, path)),
    ],
)
def test_a_full_disk_leaves_nothing_half_written(tmp_path, name, write):
    with full_disk(), pytest.raises(InputError, match=f"disk full while writing .*{name}"):
        with files.atomic_path(tmp_path / name) as temporary:
            write(temporary)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_ends_a_command_and_a_rerun_works(world, capsys):
    with full_disk():
        error = refused_after_log(capsys, "analyze", fake(world), *DETERMINISTIC)
    assert "disk full while writing" in error
    assert not list((world.parent / "cache").rglob(".partial-*")) and not list(
        (world.parent / "cache").rglob("*.npz")
    )
    assert call(capsys, "analyze", fake(world), *DETERMINISTIC)[0] == 0


def refused_after_log(capsys, *arguments):
    code, out, err = call(capsys, *arguments)
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert code == 2 and out == "" and len(lines) == 1 and "Traceback" not in err
    return lines[0]
