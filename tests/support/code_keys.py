"""Keys of code in a copy of the library whose files are edited, for tests of cache.code_digest.

`keys_after` runs this file as a script. It imports the copy once and forks for each set of edits,
so that every set starts from the library as it is.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from deepfake_uncertainty import cache

Edit = tuple[str, str, str]  # path in the library, old text ('' for a new file), new text


def keys_after(scenarios: dict[str, dict], folder: Path) -> dict[str, dict[str, str]]:
    """Return {scenario: {name: key}}: of the copy as it is ('') and after each set of changes.

    A scenario is {'edits': [Edit, ...], 'plugins': {file name: text}}; both may be absent.
    """
    library = Path(cache.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(library, folder / "lib" / library.name, ignore=ignored)
    (folder / "scenarios.json").write_text(json.dumps({"": {}} | scenarios))
    names = {name: value for name, value in os.environ.items() if "UNCERTAINTY" not in name}
    environ = names | {"PYTHONPATH": str(folder / "lib"), "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, __file__, str(folder)]
    done = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "keys.json").read_text())


def apply(scenario: dict, library: Path) -> None:
    for path, old, new in scenario.get("edits", []):
        text = (library / path).read_text() if old else ""
        assert text.count(old) >= 1, f"{path} does not hold {old!r}"
        (library / path).write_text(text.replace(old, new, 1) if old else new)
    for name, text in scenario.get("plugins", {}).items():
        (library.parent / name).write_text(text)
    files = [str(library.parent / name) for name in scenario.get("plugins", {})]
    os.environ["DEEPFAKE_UNCERTAINTY_PLUGINS"] = os.pathsep.join(files)


def keys() -> dict[str, str]:
    """Return {name: key} of detectors, methods, jobs, samples, parts and the whole library."""
    from deepfake_uncertainty.detectors import registry
    from deepfake_uncertainty.training import batch, methods, predict

    registry.DETECTORS._read = methods.METHODS._read = None  # a scenario may add a module
    found = {"library": cache.code_digest()}
    for name in registry.names():
        spec = registry.get(name)
        found[name] = cache.code_digest(spec.build, spec.inputs)
    for name in methods.names():
        method = methods.get(name)
        found[name] = cache.code_digest(method.blank, method.fit, method.sample)
    for detector, method in (("resnet18", "deterministic"), ("fakecatcher", "bnn")):
        job = batch.Job("binary", detector, (method,), 0)
        found[f"job {detector} {method}"] = batch.code(job)
        spec = registry.get(detector)
        found[f"samples {detector} {method}"] = predict._code(spec, methods.get(method))
    for part in ("datasets.tracks", "uncertainty", "training.train"):
        found[part] = cache.code_digest(part)
    return found


def in_fork(scenario: dict, folder: Path) -> dict[str, str]:
    """Return the keys after the edits of a scenario, which are undone."""
    library, output = folder / "lib/deepfake_uncertainty", folder / "child.json"
    paths = [library / path for path, _, _ in scenario.get("edits", [])]
    before = {path: path.read_bytes() if path.is_file() else None for path in paths}
    child = os.fork()
    if not child:
        try:
            apply(scenario, library)
            output.write_text(json.dumps(keys()))
        finally:
            for path, content in before.items():
                path.unlink() if content is None else path.write_bytes(content)
            sys.stderr.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    return json.loads(output.read_text())


def main() -> None:
    import torch

    from deepfake_uncertainty.detectors import registry
    from deepfake_uncertainty.training import batch, methods  # noqa: F401

    torch.set_num_threads(1)  # a forked child cannot use its parent's threads
    list(registry.names()), list(methods.names())  # all imports happen once, before the forks
    folder = Path(sys.argv[1])
    assert Path(cache.__file__).is_relative_to(folder)
    scenarios = json.loads((folder / "scenarios.json").read_text())
    found = {name: in_fork(scenario, folder) for name, scenario in scenarios.items()}
    (folder / "keys.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
