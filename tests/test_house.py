"""The rules of the house: limits of size, pins, imports, names of plug-ins, options of run_all.sh.

Each limit is one test, which prints the largest case with its size.
"""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import jupytext
import pytest
import yaml

from deepfake_uncertainty import paths
from deepfake_uncertainty.benchmark.generators import catalogue
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.report import notebooks
from deepfake_uncertainty.training import methods

ROOT = paths.PROJECT
LIB, TESTS = ROOT / "lib" / "deepfake_uncertainty", ROOT / "tests"


def python_files(*folders):
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


CODE, SCRIPTS = python_files(LIB, TESTS), notebooks.scripts()
SHELL = [ROOT / "run_all.sh", ROOT / "Snakefile"]


def tree(path):
    return ast.parse(path.read_text())


# ----- limits of size


REGISTRIES = {"registry", "catalogue", "__init__"}  # they look up the lists of others


def package_sizes():
    """Yield (number of .py files, package), without the files that list specs.

    A package of detectors, methods, generators or layouts may hold any number of these.
    """
    for package in {path.parent for path in python_files(LIB)}:
        yield sum(not lists_specs(path) for path in package.glob("*.py")), package


def lists_specs(path):
    """Return True for a file that adds a detector, a method, a generator or a data set."""
    targets = [node.targets for node in tree(path).body if isinstance(node, ast.Assign)]
    names = {target.id for one in targets for target in one if isinstance(target, ast.Name)}
    listed = {"DETECTORS", "METHODS", "FAMILIES"} & names and path.stem not in REGISTRIES
    return bool(listed or {"NAME", "LAYOUT"} <= names)


def file_lengths():
    for path in CODE:
        yield len(path.read_text().splitlines()), path


def function_lengths():
    """Yield (lines from `def` to the end, place), the docstring included."""
    for path in CODE:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node.end_lineno - node.lineno + 1, f"{path}:{node.lineno} {node.name}"


def line_lengths():
    for path in [*CODE, *SCRIPTS, *SHELL]:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            yield len(line), f"{path}:{number}"


def cell_lengths():
    for path in SCRIPTS:
        for cell in jupytext.read(path).cells:
            if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", []):
                first = cell.source.partition("\n")[0]
                yield cell.source.count("\n") + 1, f"{path}, cell '{first}'"


LIMITS = [
    (package_sizes, 14, "files of the largest package"),
    (file_lengths, 300, "lines of the longest file"),
    (function_lengths, 40, "lines of the longest function"),
    (line_lengths, 100, "characters of the longest line"),
    (cell_lengths, 15, "lines of the longest cell"),
]


@pytest.mark.parametrize(("sizes", "limit", "what"), LIMITS, ids=[row[2] for row in LIMITS])
def test_a_size_is_within_its_limit(sizes, limit, what):
    found = sorted(((size, str(place)) for size, place in sizes()), reverse=True)
    size, place = found[0]
    report = f"{what}: {size} of at most {limit}: {place.replace(str(ROOT), '.')}"
    print(report)
    assert size <= limit, f"{report}; {sum(other > limit for other, _ in found)} are above"


# ----- pins and imports


PINS = {
    part: [
        line
        for line in (ROOT / "requirements" / f"{part}.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    for part in ("study", "tests", "no-deps")
}
# Names of imports that are not those of their packages.
PACKAGES = {
    "PIL": "pillow", "bs4": "beautifulsoup4", "cv2": "opencv-python-headless",
    "importlinter": "import-linter", "laplace": "laplace-torch", "skimage": "scikit-image",
    "sklearn": "scikit-learn", "yaml": "PyYAML",
}  # fmt: skip
LOCAL = {"deepfake_uncertainty", "support", *(path.name for path in TESTS.iterdir())}


def package_name(requirement):
    """Return the name of a requirement in its normal form (PEP 503)."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement).group()).lower()


def declared():
    """Return the packages that pyproject.toml declares: {'' for the library, extra: names}."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = {"": project["dependencies"]} | project["optional-dependencies"]
    return {group: {package_name(one) for one in found} for group, found in groups.items()}


def pinned(*parts):
    return {package_name(pin) for part in parts for pin in PINS[part]}


def imported(files):
    """Return {package: a file that imports it} of the third-party packages that `files` import."""
    found = {}
    for path in files:
        for node in ast.walk(tree(path)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for top in {name.partition(".")[0] for name in names} - LOCAL:
                if top not in sys.stdlib_module_names:
                    found[package_name(PACKAGES.get(top, top))] = path.name
    return found


def test_every_pin_is_a_name_and_a_version():
    for pin in [pin for pins in PINS.values() for pin in pins]:
        assert re.fullmatch(r"[\w.-]+(\[\w+\])?==[\w.]+", pin), pin
    names = [package_name(pin) for pins in PINS.values() for pin in pins]
    assert len(names) == len(set(names))


def test_the_environment_reads_the_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    assert pip == ["-r requirements/study.txt", "-r requirements/tests.txt"]
    assert "no-deps.txt" in (ROOT / "environment.yml").read_text()
    run_all = (ROOT / "run_all.sh").read_text()
    assert 'requirements/$part.txt"' in run_all and "requirements/no-deps.txt" in run_all
    assert "for part in study " in run_all and "environment tests" in run_all


def test_no_other_file_pins():
    names = ["*.toml", "*.yml", "*.yaml", "*.md", "*.cff", "run_all.sh", "Snakefile", ".ci/*"]
    names += [".github/**/*", ".*.yaml", "notebooks/*.py", "notebooks/params/*"]
    files = {path for name in names for path in ROOT.glob(name) if path.is_file()}
    assert {"pyproject.toml", "environment.yml", "run_all.sh"} <= {path.name for path in files}
    for path in sorted(files):
        assert not re.findall(r"[\w\]]==\d[\w.]*", path.read_text()), path


def test_every_declared_package_is_pinned():
    groups = declared()
    assert groups[""] | groups["notebooks"] <= pinned("study")
    assert groups["dev"] <= pinned("tests")


@pytest.mark.parametrize(
    ("files", "groups"),
    [(python_files(LIB), ("", "notebooks")), (SCRIPTS, ("", "notebooks"))],
    ids=["lib", "notebooks"],
)
def test_every_import_is_declared(files, groups):
    known = set().union(*(declared()[group] for group in groups))
    assert {name: path for name, path in imported(files).items() if name not in known} == {}


def test_every_import_of_the_tests_is_declared_or_installed_without_dependencies():
    known = set().union(*declared().values()) | pinned("no-deps")
    found = imported(python_files(TESTS))
    assert {name: path for name, path in found.items() if name not in known} == {}


def test_arrows_go_down_only():
    beside = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    command = beside or shutil.which("lint-imports")
    if command is None:
        pytest.skip("import-linter is not installed: it is in requirements/tests.txt")
    call = [command, "--no-cache"]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


# ----- what has a spec is named in its spec alone


def strings(path):
    """Yield (line, text) of the string constants of a file, without docstrings."""
    module = tree(path)
    skipped = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(node.value)
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in skipped:
            yield node.lineno, node.value


@pytest.mark.parametrize("package", ["report", "evaluation"])
def test_no_detector_method_or_generator_is_named(package):
    registries = registry.DETECTORS, methods.METHODS, catalogue.FAMILIES
    names = "|".join(re.escape(name) for specs in registries for name in specs)
    for path in python_files(LIB / package):
        for line, text in strings(path):
            assert not re.search(rf"(?<![\w-])({names})(?![\w-])", text), f"{path.name}:{line}"


# ----- the options of run_all.sh


def run_all(*words):
    call = ["bash", "run_all.sh", *words]
    return subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)


def parsed(words, variable):
    """Return a variable of run_all.sh after its options were read; nothing is run."""
    text = (ROOT / "run_all.sh").read_text().split('\nparse "$@"')[0]
    text = text.replace('cd "$(dirname "${BASH_SOURCE[0]}")"', "")
    call = ["bash", "-c", f'{text}\nparse "$@"; printf %s "${variable}"', "run_all.sh", *words]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--profile", "huge"], "unknown profile 'huge'"),
        (["--colour"], "unknown option '--colour'"),
        (["fly"], "unknown command 'fly'"),
        (["--jobs", "0"], "--jobs needs a number"),
        (["--jobs"], "--jobs needs a value"),
        (["--data-root", "/nowhere"], "is not a folder"),
        (["--profile", "paper"], "needs --data-root"),
        (["--plugin"], "--plugin needs a value"),
        (["--plugin", "/nowhere.py"], "--plugin '/nowhere.py' is not a file"),
        (["--plugin", "tests"], "--plugin 'tests' is not a file"),
        (["--slow"], "--slow goes with the command test"),
        (["bench", "--slow"], "--slow goes with the command test"),
        (["test", "--slow", "yes"], "unknown option 'yes'"),
    ],
)
def test_bad_options_say_one_line_and_exit_with_2(words, said):
    done = run_all(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_good_options_are_read(tmp_path, monkeypatch):
    monkeypatch.delenv("DEEPFAKE_UNCERTAINTY_PLUGINS", raising=False)
    assert parsed(["test", "--slow"], "slow") == "1" and parsed(["test"], "slow") == "0"
    assert parsed([], "command") == "run" and parsed(["--jobs", "3"], "jobs") == "3"
    files = [tmp_path / name for name in ("one.py", "with space.py")]
    for path in files:
        path.write_text("DETECTORS = []\n")
    words = [word for path in files for word in ("--plugin", str(path))]
    assert parsed(words, "plugins") == ":".join(map(str, files)) and parsed([], "plugins") == ""


def test_help_names_every_command_and_option():
    done = run_all("--help")
    assert done.returncode == 0
    options = ("--profile", "--jobs", "--data-root", "--plugin", "--slow")
    assert all(word in done.stdout for word in ("test", "bench", "html", "clean", *options))
