"""What a processor may choose, pinned, so that a record has the same bytes on Intel and AMD.

Libraries take the widest instructions that a processor has, and as many threads as it has cores.
Both change the order of sums, and so the last digits. The pins hold every library to AVX2 on one
thread. They must be in the environment before a library is loaded. `run_all.sh` and the command
line set them; before JupyterLab is started by hand, a shell does:

    eval "$(python -m deepfake_uncertainty.pins)"

This module imports no library, so that it can be asked first.
"""

import functools
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FAST_VARIABLE = "DEEPFAKE_UNCERTAINTY_FAST"
THREADS = {
    name: "1"
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
}
INSTRUCTIONS = {
    # PyTorch: convolutions, its own kernels, and matrix products. MKL takes other code on AMD than
    # on Intel even where both are told to use AVX2.
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "COMPATIBLE",
    # NumPy's own loops, and the matrix products of NumPy, SciPy and OpenCV.
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
    "OPENCV_CPU_DISABLE": "AVX512-SKX",
    "OPENCV_IPP": "avx2",
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+popcnt",
}
PINS = INSTRUCTIONS | THREADS
# What numba may do for speed. It may not take the processor's estimates of 1 / x and 1 / sqrt(x)
# (`arcp`, `afn`), which are others on AMD than on Intel.
FASTMATH = {"contract", "nnan", "ninf", "nsz", "reassoc"}
# They read the pins when they are loaded, and not later.
LIBRARIES = {"torch", "numpy", "scipy", "cv2", "numba"}
# Of these instructions the pinned libraries are free to use any.
NEEDED = {"avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"}


@functools.cache
def _instructions() -> frozenset[str]:
    """Return the names of the processor's instructions, none where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.split() for line in lines if line.startswith("flags")), ()))


def is_fast() -> bool:
    """Return True when a run asked for every instruction of its processor (`--fast`)."""
    return os.environ.get(FAST_VARIABLE) == "1"


def needed_pins() -> dict[str, str]:
    """Return {variable: value} of the pins of this processor, {} where none can hold.

    OpenCV complains when it is told to leave out what the processor does not have.
    """
    if not _instructions() >= NEEDED:
        return {}
    absent = set() if "avx512f" in _instructions() else {"OPENCV_CPU_DISABLE"}
    return {name: value for name, value in PINS.items() if name not in absent}


def mode() -> str:
    """Return 'pinned', 'fast' or 'unpinned': how this process's arithmetic was chosen.

    It is 'pinned' where the processor can hold all pins and they are in the environment, 'fast'
    where a run asked for all instructions.
    """
    if is_fast():
        return "fast"
    pins = needed_pins()
    holds = all(os.environ.get(name) == value for name, value in pins.items())
    return "pinned" if pins and holds and _torch_is_held() else "unpinned"


def _torch_is_held() -> bool:
    """Return False where PyTorch was loaded before the pins were set, and took what it found."""
    torch = sys.modules.get("torch")
    backends = getattr(torch, "backends", None)
    return backends is None or backends.cpu.get_cpu_capability() == "AVX2"


def hold() -> None:
    """Pin this process and those that it starts, where no library has been loaded yet."""
    if not is_fast() and not LIBRARIES & sys.modules.keys():
        os.environ.update(needed_pins() or THREADS)


@contextmanager
def for_children() -> Iterator[None]:
    """Pin the processes that are started inside the block; a fast run has no pins to set."""
    pins = {} if is_fast() else needed_pins() or THREADS
    before = {name: os.environ.get(name) for name in pins}
    os.environ.update(pins)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def shell_lines() -> list[str]:
    """Return the lines of shell that set the pins, or one thread where none can hold.

    For a fast run they lift the pins, and keep the number of threads that it was given.
    """
    if is_fast():
        given = dict.fromkeys(THREADS, os.environ.get("OMP_NUM_THREADS") or "1")
        return [f"unset {' '.join(INSTRUCTIONS)}", *_exports(given)]
    return _exports(needed_pins() or THREADS)


def _exports(values: dict[str, str]) -> list[str]:
    return [f"export {name}={shlex.quote(value)}" for name, value in values.items()]


def main() -> None:
    """Print the lines of shell, and where no pin can hold, one line about it as an error."""
    if not is_fast() and not needed_pins():
        print(
            "this processor is not known to have AVX2 and FMA: everything runs, "
            "but the last digits differ from those of the record",
            file=sys.stderr,
        )
    print("\n".join(shell_lines()))


if __name__ == "__main__":
    main()
