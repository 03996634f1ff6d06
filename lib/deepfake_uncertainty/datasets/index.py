"""Any known data set on disk as one index of videos."""

from pathlib import Path

from deepfake_uncertainty.datasets import celebdf, dfdc, faceforensics, fakeavceleb, framefolders
from deepfake_uncertainty.errors import InputError

ADAPTERS = {
    "FaceForensics++": faceforensics, "FakeAVCeleb": fakeavceleb, "Celeb-DF": celebdf, "DFDC": dfdc,
    "frame folders": framefolders,
}  # fmt: skip
SHOWN = 6  # entries of a folder that an error lists


def index(root, compression="c23", dataset=None):
    """Return (videos, skipped) of the data set in the folder `root`, whichever of the known layouts it is in.

    videos has `records.COLUMNS`, skipped `path, reason`; compression (c0 or raw, c23, c40) is that of FaceForensics++;
    the data set's name may be given. Raises InputError for a folder that is missing, empty or in no known layout.
    """
    root = Path(root)
    adapter = next((module for module in ADAPTERS.values() if root.is_dir() and module.fits(root)), None)
    if adapter is None:
        known = "; ".join(f"{name}: {module.LAYOUT}" for name, module in ADAPTERS.items())
        raise InputError(f"{_wrong(root)}; expected one of {known}")
    options = {"compression": compression} if adapter is faceforensics else {}
    return adapter.index(root, dataset=dataset, **options)


def _wrong(root):
    """Say what is the matter with a root that no adapter reads."""
    if not root.is_dir():
        return f"no folder {root}: give the root of a data set"
    names = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
    found = ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
    return f"{root} is in no known layout: found {found}" if names else f"{root} is empty"
