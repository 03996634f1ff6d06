"""Where networks compute: on the processor, or on a graphics card that CUDA drives.

The environment variable `VARIABLE` chooses, which `--device` sets. The study of record is computed
on the processor; a card rounds otherwise, so its results have keys of their own.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from deepfake_uncertainty import pins
from deepfake_uncertainty.errors import InputError

if TYPE_CHECKING:
    import torch

VARIABLE = "DEEPFAKE_UNCERTAINTY_DEVICE"
CHOICES = "auto", "cpu", "cuda"


def chosen() -> str:
    """Return what $DEEPFAKE_UNCERTAINTY_DEVICE asks for, by default 'cpu'."""
    return os.environ.get(VARIABLE) or "cpu"


def device_kind() -> str:
    """Return 'cpu' or 'cuda', as $DEEPFAKE_UNCERTAINTY_DEVICE asks; 'auto' takes a card if any.

    Raises InputError for another value, and for 'cuda' where PyTorch finds no card.
    """
    asked = chosen()
    if asked not in CHOICES:
        raise InputError(f"unknown device '{asked}': use {', '.join(CHOICES)}")
    if asked == "cpu":
        return "cpu"
    import torch  # the command line starts without it

    if torch.cuda.is_available():
        return "cuda"
    if asked == "cuda":
        raise InputError("device cuda: PyTorch finds no CUDA card here; use --device cpu or auto")
    return "cpu"


def halves(device: torch.device) -> bool:
    """Return True where networks compute in bfloat16: on a card, and in a fast run (`--fast`).

    A processor without instructions for bfloat16 keeps float32, which is faster there.
    """
    if device.type == "cuda":
        return True
    import torch

    return pins.is_fast() and torch.cpu.get_capabilities().get("avx512_bf16", False)


def send(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return `values` of the processor on a device; a card is not waited for."""
    if device.type == "cpu":
        return values
    return values.pin_memory().to(device, non_blocking=True)


@contextlib.contextmanager
def training(device: torch.device) -> Iterator[None]:
    """Let a card take its fastest algorithms inside the block, which do not repeat to the bit.

    The processor keeps what is set.
    """
    if device.type == "cpu":
        yield
        return
    import torch

    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("default")
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=True):
            yield
    finally:
        torch.set_deterministic_debug_mode(before)


def main() -> int:
    """Print the kind of device that is asked for; return the exit code, 2 when there is none."""
    try:
        print(device_kind())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
