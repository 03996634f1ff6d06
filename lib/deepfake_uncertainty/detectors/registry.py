"""The detectors by name: those of this package, one file per detector, and those of plug-ins."""

from collections.abc import Iterator

from deepfake_uncertainty import plugins
from deepfake_uncertainty.detectors.base import KINDS, DetectorSpec

DETECTORS = plugins.Registry(
    "detector", "deepfake_uncertainty.detectors", "DETECTORS", DetectorSpec,
    order=lambda spec: (KINDS.index(spec.kind), spec.year),
)  # fmt: skip


def get(name: str) -> DetectorSpec:
    """Return the `DetectorSpec` called `name`; raises InputError that lists the known names."""
    return DETECTORS.get(name)


def names() -> Iterator[str]:
    """Return the names of all detectors: blind ones, biological ones, plug-ins.

    Each kind is sorted by the year of publication.
    """
    return iter(DETECTORS)
