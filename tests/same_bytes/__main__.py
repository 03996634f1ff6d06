"""The digests of a miniature of the pipeline, one per stage, to compare between processors.

    eval "$(python -m deepfake_uncertainty.pins)"
    PYTHONPATH=tests python -m same_bytes            # print each stage, and whether it is the same
    PYTHONPATH=tests python -m same_bytes --renew    # write digests.json, after a change on purpose

They were the same on an AMD processor with AVX-512, on an emulated Intel Haswell and an emulated
AMD Milan, and with the C libraries glibc 2.36 and 2.41. An emulated processor (Debian's qemu-user)
takes some ten minutes: `qemu-x86_64 -cpu Haswell $(which python) -m same_bytes`. The exit code is 1
where a stage differs.
"""

import argparse
import hashlib
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from same_bytes import stages

from deepfake_uncertainty import cache, files

DIGESTS = Path(__file__).with_name("digests.json")


def digest(parts: list) -> str:
    """Return 16 hex digits of arrays, with their types and shapes, and of bytes."""
    state = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            part = f"{part.dtype}{part.shape}".encode() + np.ascontiguousarray(part).tobytes()
        state.update(part)
    return state.hexdigest()[:16]


def main() -> int:
    """Print the digests; return 1 where one is not the committed one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--renew", action="store_true", help=f"write {DIGESTS.name}")
    options = parser.parse_args()
    print(cache.arithmetic(), flush=True)
    committed = json.loads(DIGESTS.read_text()) if DIGESTS.is_file() else {}
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        for name, parts in stages.run(Path(folder)):
            found[name] = digest(parts)
            same = "same" if committed.get(name) == found[name] else "differs"
            print(
                f"{name:12s} {found[name]} {same} {time.perf_counter() - start:6.1f} s", flush=True
            )
            start = time.perf_counter()
    found["all"] = digest([value.encode() for value in found.values()])
    if options.renew:
        files.write_json(DIGESTS, found)
        return 0
    return int(found != committed)


if __name__ == "__main__":
    sys.exit(main())
