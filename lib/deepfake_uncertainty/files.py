"""Files that are either whole or absent."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

from deepfake_uncertainty.errors import InputError


@contextmanager
def whole(path):
    """Yield a temporary path beside `path` (same suffix) that is renamed to `path` on success and removed on failure.

    The block may create a file or a directory there. Raises InputError when the disk is full.
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
        if _full(error):
            raise InputError(f"disk full while writing {path}: free some space and run again") from error
        raise
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        temporary.unlink(missing_ok=True)


def _full(error):
    """NumPy and safetensors say in words only that the disk, a quota or a file's limit was reached."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return any(words in str(error) for words in ("requested and", "os error 28", "os error 122", "os error 27"))


def write_json(path, content):
    """Write `content` as sorted, indented JSON, whole or not at all."""
    with whole(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n")


def digest(*parts):
    """Return a 16-digit hex key of `parts`: files and folders of files are read, everything else is written as JSON."""
    state = hashlib.sha256()
    for part in parts:
        data = _content(part) if isinstance(part, Path) else json.dumps(part, sort_keys=True, default=str).encode()
        state.update(len(data).to_bytes(8, "little") + data)
    return state.hexdigest()[:16]


def _content(path):
    """Return the bytes of a file, or for a folder the digest of its files' names and bytes, in order of their names."""
    if not path.is_dir():
        return path.read_bytes()
    inside = sorted(file for file in path.rglob("*") if file.is_file())
    return digest(*(part for file in inside for part in (file.relative_to(path).as_posix(), file))).encode()
