"""Any known data set on disk as one index of videos.

The known layouts are the modules of the package `layouts` that have a NAME. A new module there is a
new data set; the package says what such a module must have.
"""

import importlib
import inspect
import itertools
import os
import pkgutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import pandas as pd

from deepfake_uncertainty.datasets import layouts
from deepfake_uncertainty.errors import InputError

REQUIRED = "NAME", "LAYOUT", "fits", "index"  # what a module of `layouts` with a NAME must have
SHOWN, WIDTH = 6, 55  # entries of a folder that a message lists, and characters of that list
LEVELS = 2  # levels above and below a wrong root that are searched for the right one
SEARCHED = 1000  # sub-folders per level that are searched at most
SUGGESTED = 3  # folders that a message suggests at most


def adapters() -> list[ModuleType]:
    """Return the modules of `layouts` that read a data set, in the order in which they are tried.

    Raises InputError for a module that has a NAME and lacks another of REQUIRED.
    """
    names = [module.name for module in pkgutil.iter_modules(layouts.__path__)]
    modules = [importlib.import_module(f"{layouts.__name__}.{name}") for name in sorted(names)]
    found = [module for module in modules if hasattr(module, "NAME")]
    for module in found:
        missing = [name for name in REQUIRED if not hasattr(module, name)]
        if missing:
            raise InputError(f"{module.__file__} lacks {', '.join(missing)}: add what is missing")
    return sorted(found, key=lambda module: getattr(module, "ORDER", float("inf")))


def index(
    root: str | Path, compression: str = "c23", dataset: str | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return (videos, skipped) of the data set in the folder `root`, in any of the known layouts.

    videos has the columns `records.COLUMNS`, skipped has path and reason. `compression` (c0 or raw,
    c23, c40) is used by layouts with several compressions, such as FaceForensics++. `dataset`
    replaces the name of the data set. Raises InputError for a folder that is missing, empty or in
    no known layout.
    """
    root = Path(root)
    known = adapters()
    adapter = next((module for module in known if root.is_dir() and module.fits(root)), None)
    if adapter is None:
        raise InputError(_refusal(root, known))
    if "compression" in inspect.signature(adapter.index).parameters:
        return adapter.index(root, compression=compression, dataset=dataset)
    return adapter.index(root, dataset=dataset)


def _refusal(root: Path, known: Sequence[ModuleType]) -> str:
    """Return the message about a root that no adapter reads."""
    example = f"such as {known[0].LAYOUT.split(',')[0]}"
    expected = f"expected one of {', '.join(module.NAME for module in known)}, {example}"
    if not root.is_dir():
        return f"no folder {root}: give the root of a data set; {expected}"
    suggested = _roots_below(root, known) or _roots_above(root, known)
    if suggested:
        return f"root {root} holds no data set itself; did you mean {_either(suggested)}?"
    names = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
    if not names:
        return f"{root} is empty; {expected}"
    return f"{root} is in no known layout: found {_shortened(names)}; {expected}"


def _roots_below(root: Path, known: Sequence[ModuleType]) -> list[Path]:
    """Return sub-folders of `root`, at most LEVELS down, that fit a known layout."""
    found: list[Path] = []
    level = [root]
    for _ in range(LEVELS):
        folders = list(itertools.islice(_subfolders(level), SEARCHED))
        fitting = [folder for folder in folders if _fits(folder, known)]
        found += fitting
        level = [folder for folder in folders if folder not in fitting]
    return found[:SUGGESTED]


def _roots_above(root: Path, known: Sequence[ModuleType]) -> list[Path]:
    """Return parents of `root`, at most LEVELS up, that fit a known layout by the folder of `root`.

    The other folders of a parent are no reason: anything may lie beside a wrong root.
    """
    place = Path(os.path.abspath(root))
    found = []
    for parent in place.parents[:LEVELS]:
        folder = place.relative_to(parent).parts[0]
        with tempfile.TemporaryDirectory() as alone:
            (Path(alone) / folder).symlink_to(parent / folder)
            if _fits(Path(alone), known):
                found.append(parent)
    return found


def _subfolders(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        try:
            yield from sorted(
                path for path in folder.iterdir() if path.name[0] != "." and path.is_dir()
            )
        except OSError:  # not ours to read, so not what the user meant
            continue


def _fits(folder: Path, known: Sequence[ModuleType]) -> bool:
    try:
        return any(module.fits(folder) for module in known)
    except OSError:
        return False


def _either(paths: Sequence[Path]) -> str:
    *first, last = map(str, paths)
    return f"{', '.join(first)} or {last}" if first else last


def _shortened(names: Sequence[str]) -> str:
    """Return the first names, at most SHOWN, in about WIDTH characters."""
    shown = [names[0] if len(names[0]) <= WIDTH else f"{names[0][: WIDTH - 1]}…"]
    for name in names[1:SHOWN]:
        if len(", ".join([*shown, name])) > WIDTH:
            break
        shown.append(name)
    return ", ".join(shown) + (", …" if len(names) > len(shown) else "")
