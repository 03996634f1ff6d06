"""Files that are either complete or absent, and keys of the content of files."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepfake_uncertainty.errors import InputError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, with the same suffix, to write to.

    On success it is renamed to `path`, on failure it is removed. The block may create a file or a
    directory there. Raises InputError when the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".partial-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    temporary.unlink()
    try:
        yield temporary
        if path.is_dir():
            shutil.rmtree(path)
        os.replace(temporary, path)
    except Exception as error:
        if _is_disk_full(error):
            message = f"disk full while writing {path}: free some space and run again"
            raise InputError(message) from error
        raise
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        temporary.unlink(missing_ok=True)


def _is_disk_full(error: Exception) -> bool:
    """Return True when the disk, a quota or the limit of a file is full.

    NumPy and safetensors say so in the text of the error only.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    texts = "requested and", "os error 28", "os error 122", "os error 27"
    return any(text in str(error) for text in texts)


def write_json(path: str | Path, content: object) -> None:
    """Write `content` as sorted, indented JSON, completely or not at all.

    Raises ValueError for NaN and infinite numbers.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n")


def digest(*parts: object) -> str:
    """Return a 16-digit hex key of `parts`.

    Of a `Path` the content counts: the bytes of a file, or all files of a folder. Everything else
    is written as JSON.
    """
    state = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            data = _content(part)
        else:
            data = json.dumps(part, sort_keys=True, default=_as_text).encode()
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)  # apart: joined to its length, 90 MB of weights would be copied
    return state.hexdigest()[:16]


def _as_text(value: object) -> str:
    """Return what stands for a value that JSON cannot hold.

    Raises TypeError for arrays, whose text is abbreviated, and for functions, whose text holds an
    address: two that differ could get one key, or one two keys.
    """
    is_array = hasattr(value, "tobytes") and getattr(value, "shape", ()) != ()
    if is_array or callable(value):
        raise TypeError(f"a {type(value).__name__} has no text that is its own: no key holds it")
    return str(value)


def _content(path: Path) -> bytes:
    """Return the bytes of a file, or the digest of the names and bytes of the files of a folder."""
    if not path.is_dir():
        return path.read_bytes()
    inside = sorted(file for file in path.rglob("*") if file.is_file())
    parts = [part for file in inside for part in (file.relative_to(path).as_posix(), file)]
    return digest(*parts).encode()
