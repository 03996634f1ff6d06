"""Specs by name: built-in ones from the modules of a package, and those of plug-ins.

A built-in module, or a plug-in file, lists its specs in a module-level list such as `DETECTORS` or
`METHODS`. Plug-ins are files named by `--plugin` or by the environment variable
`DEEPFAKE_UNCERTAINTY_PLUGINS`, or entry points of an installed package in the group
`deepfake_uncertainty.detectors` or `deepfake_uncertainty.methods`.
"""

import functools
import importlib.util
import os
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, Protocol, TypeVar

from deepfake_uncertainty import files
from deepfake_uncertainty.errors import InputError

LISTS = "DETECTORS", "METHODS", "FAMILIES"  # what a plug-in file may have
VARIABLE = "DEEPFAKE_UNCERTAINTY_PLUGINS"  # paths of plug-in files, separated as in PATH


class Named(Protocol):
    """A spec: an object with a name."""

    @property
    def name(self) -> str:
        """Return the name that the spec is found by."""


Spec = TypeVar("Spec", bound=Named)


def plugin_files() -> list[Path]:
    """Return the absolute paths of the plug-in files that the environment names, in order."""
    return [Path(name).resolve() for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name]


def add_plugin(path: str | Path) -> None:
    """Load a plug-in file and name it for this process and all processes that it starts.

    Raises InputError, with file and line, when it cannot be loaded.
    """
    path = Path(path).resolve()
    if path not in plugin_files():
        load_file(path)
        os.environ[VARIABLE] = os.pathsep.join(map(str, [*plugin_files(), path]))


@functools.cache
def load_file(path: Path) -> ModuleType:
    """Return the module of a plug-in file.

    Raises InputError that names the file and the line of the fault.
    """
    if not path.is_file():
        raise InputError(f"no plug-in file {path}: give the path of a .py file")
    name = f"deepfake_uncertainty_plugin_{path.stem}_{files.digest(str(path))}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"plug-in {path} is no Python file: give the path of a .py file")
    module = importlib.util.module_from_spec(spec)
    # Registered first, as for any import: dataclasses and pickling of classes look their module up.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # it can fail in any way; its author asks where
        del sys.modules[name]
        where = f"plug-in {path}, line {_line(error, path)}"
        raise InputError(f"{where}: {_one_line(error)}") from error
    if not any(hasattr(module, listed) for listed in LISTS):
        raise InputError(f"plug-in {path} adds nothing: give it a list {' or '.join(LISTS)}")
    return module


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _line(error: BaseException, path: Path) -> int:
    """Return the last line of the file at `path` that the error passed through."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno or 1
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(path)
    ]
    return (lines or [1])[-1] or 1


class Registry(Generic[Spec]):
    """The specs of one kind by name, in a fixed order: built-in ones, entry points, plug-in files.

    kind: the word for a spec in messages, such as 'detector'.
    package: the package that holds the built-in modules.
    listed: the name of the list in each module and plug-in, such as 'DETECTORS'; in lower case it
    ends the name of the group of entry points.
    spec_type: the class of the specs.
    order: the sort key of the built-in specs.
    """

    def __init__(
        self,
        kind: str,
        package: str,
        listed: str,
        spec_type: type[Spec],
        order: Callable[[Spec], Any],
    ) -> None:
        self.kind, self.package, self.listed = kind, package, listed
        self.spec_type, self.order = spec_type, order
        self._specs: dict[str, Spec] = {}
        self._read: set[Path] | None = None

    def specs(self) -> dict[str, Spec]:
        """Return {name: spec} of all that are known now.

        Raises InputError for a broken plug-in, and for a name that is used twice.
        """
        if self._read is None:
            # Assigned at the end only: a plug-in that fails is reported again at the next call.
            found = self._named(sorted(self._built_in(), key=self.order), {})
            self._specs, self._read = self._named(self._entry_points(), found), set()
        for path in plugin_files():
            if path not in self._read:
                self._specs = self._named(self._listed_in(load_file(path), path), self._specs)
                self._read.add(path)
        return self._specs

    def get(self, name: str) -> Spec:
        """Return the spec called `name`; raises InputError that lists the known names."""
        if name not in self.specs():
            raise InputError(f"unknown {self.kind} '{name}': use {', '.join(self)}")
        return self.specs()[name]

    def register(self, spec: Spec) -> None:
        """Add a spec for this process; a name that is known keeps its spec."""
        self.specs().setdefault(spec.name, spec)

    def __iter__(self) -> Iterator[str]:
        return iter(self.specs())

    def __contains__(self, name: str) -> bool:
        return name in self.specs()

    def _built_in(self) -> list[Spec]:
        package = importlib.import_module(self.package)
        modules = [
            importlib.import_module(f"{self.package}.{found.name}")
            for found in pkgutil.iter_modules(package.__path__)
        ]
        # In the module of the registry itself, this name is the registry and no list.
        lists = {module.__name__: getattr(module, self.listed, None) for module in modules}
        return [
            spec
            for name, specs in lists.items()
            if isinstance(specs, list | tuple)
            for spec in self._checked(specs, name)
        ]

    def _entry_points(self) -> list[Spec]:
        specs: list[Spec] = []
        for point in metadata.entry_points(group=f"deepfake_uncertainty.{self.listed.lower()}"):
            try:
                loaded = point.load()
            except Exception as error:  # as for files: code of others can fail in any way
                message = f"entry point {point.value} cannot be loaded: {_one_line(error)}"
                raise InputError(message) from error
            specs += self._checked(loaded, point.value)
        return specs

    def _listed_in(self, module: ModuleType, path: Path) -> list[Spec]:
        return self._checked(getattr(module, self.listed, []), str(path))

    def _checked(self, specs: Any, where: str) -> list[Spec]:
        """Return specs as a list, also a single one; raises InputError for other objects."""
        specs = list(specs) if isinstance(specs, list | tuple) else [specs]
        for spec in specs:
            if not isinstance(spec, self.spec_type):
                expected = f"a list of {self.spec_type.__name__}"
                raise InputError(
                    f"{where}: {self.listed} holds a {type(spec).__name__}: make it {expected}"
                )
        return specs

    def _named(self, specs: list[Spec], before: dict[str, Spec]) -> dict[str, Spec]:
        found = dict(before)
        for spec in specs:
            if spec.name in found:
                raise InputError(f"two {self.kind}s are called '{spec.name}': rename the plug-in's")
            found[spec.name] = spec
        return found
