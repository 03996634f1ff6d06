"""What changes the key of a piece of code: its own code and what it imports, and nothing else.

All keys are those of a copy of the library, which is edited.
"""

import pytest
from support import code_keys

from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.training import methods

pytestmark = pytest.mark.slow

RESNET, BASE = "detectors/resnet18.py", "detectors/base.py"
SPEC = """
import dataclasses

import numpy as np

from deepfake_uncertainty.detectors import mobilenet


def inputs(track, n):
    return np.zeros((1, 3, 8, 8), np.float32), np.zeros(1, np.int64)


DETECTORS = [dataclasses.replace(mobilenet.DETECTORS[0], name="mine", inputs=inputs)]
"""
WITHOUT_EFFECT = {
    "comment": [(RESNET, "    return images.", "    # Why.\n\n\n    return images.")],
    "docstrings": [
        (RESNET, '"""ResNet18', '"""Residual network'),
        (RESNET, '    """Return timm', '    """Give timm'),
        (BASE, '    """A detector.', '    """What a detector is.'),
    ],
    "hints": [
        (RESNET, "n_classes: int, dropout: float", "n_classes, dropout: 'float | None'"),
        (RESNET, ") -> Classifier:", "):"),
        (RESNET, "stem = nn", "stem: nn.Module = nn"),
        (BASE, "epochs: int", "epochs: float"),
        (BASE, "from typing import TYPE_CHECKING", "from typing import TYPE_CHECKING, Any"),
        (BASE, "if TYPE_CHECKING:\n", "if TYPE_CHECKING:\n    import decimal\n"),
    ],
    "layout": [(RESNET, "stride=2, padding=1", "stride=2,\n        padding=(1)")],
    "housekeeping": [("paths.py", "import os", "import os\nX = 1")],
    "notes": [("signals/weights/notes.txt", "", "x")],
}
EDITS = WITHOUT_EFFECT | {
    "own code": [(RESNET, "padding=1", "padding=2")],
    "default of a field": [(BASE, "threads: int = 1", "threads: int = 2")],
    "new field": [(BASE, "    threads: int = 1", "    threads: int = 1\n    more: int = 1")],
    "other detector": [("detectors/fakecatcher.py", "CHANNELS = 32", "CHANNELS = 31")],
    "new detector": [("detectors/fresh.py", "", SPEC)],
    "new method": [("training/methods/fresh.py", "", "METHODS = []\n")],
    "other method": [("training/methods/temperature.py", '"nll": after', '"nll_after": after')],
    "import": [("detectors/images.py", "SIZE = 64", "SIZE = 60 + 4")],
    "import of an import": [("signals/ppg.py", "\n\nimport ", "\n\nX = 1\nimport ")],
    "weights": [("signals/weights/new.safetensors", "", "x")],
    "engine": [("uncertainty/sampling.py", "import torch\n", "import torch\nX = 1\n")],
    "report": [("report/results.py", "import json\n", "import json\nX = 1\n")],
}
PLUGINS = {
    "plug-in": SPEC,
    "plug-in with a comment": f"# mine\n{SPEC}",
    "plug-in with other code": SPEC.replace("8, 8", "9, 9"),
}
JOBS = {
    name: {f"job {name} {method}", f"samples {name} {method}"}
    for name, method in (("resnet18", "deterministic"), ("fakecatcher", "bnn"))
}
BLIND = {name for name in registry.names() if registry.get(name).kind == "blind"}
BIOLOGICAL = set(registry.names()) - BLIND
FAKECATCHERS = {"fakecatcher", "fakecatcher128"}


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Return {scenario: {name: key}}, with '' for the library as it is."""
    scenarios = {name: {"edits": edits} for name, edits in EDITS.items()}
    scenarios |= {name: {"plugins": {"mine.py": text}} for name, text in PLUGINS.items()}
    return code_keys.keys_after(scenarios, tmp_path_factory.mktemp("copy"))


@pytest.fixture
def changed(keys):
    """Return a function: the names whose keys a scenario changes."""

    def names(scenario, before=""):
        return {name for name in keys[""] if keys[scenario][name] != keys[before][name]}

    return names


def test_parts_have_keys_of_their_own(keys):
    found = keys[""]
    assert all(len(key) == 16 and int(key, 16) >= 0 for key in found.values())
    # MC dropout trains and samples by the functions of others; its name is in the keys of results.
    found = dict(found)
    assert found.pop("mc_dropout") in found.values()
    assert len(set(found.values())) == len(found)


@pytest.mark.parametrize("scenario", list(WITHOUT_EFFECT))
def test_what_changes_no_result_changes_no_key(changed, scenario):
    assert changed(scenario) == set()


def test_a_change_of_code_changes_the_keys_of_its_detector_alone(changed):
    assert changed("own code") == {"library", "resnet18"} | JOBS["resnet18"]
    assert changed("other detector") == {"library"} | FAKECATCHERS | JOBS["fakecatcher"]


@pytest.mark.parametrize("scenario", ["default of a field", "new field"])
def test_a_field_is_code(changed, scenario):
    assert {"library", *registry.names(), *methods.names()} <= changed(scenario)


@pytest.mark.parametrize("scenario", ["new detector", "new method", "report"])
def test_what_a_detector_does_not_import_changes_no_key_of_it(changed, scenario):
    assert changed(scenario) == {"library"}


def test_a_method_changes_no_key_of_another(changed):
    assert changed("other method") == {"library", "temperature"}


def test_an_import_changes_the_keys_of_what_imports_it(changed):
    assert changed("import") == {"library"} | BLIND | JOBS["resnet18"]
    assert changed("import of an import") == {"library"} | FAKECATCHERS | JOBS["fakecatcher"]


def test_the_engine_changes_the_keys_of_methods_and_jobs(changed):
    engine = {"library", "uncertainty", "training.train", *methods.names()}
    assert changed("engine") == engine | JOBS["resnet18"] | JOBS["fakecatcher"]


def test_weights_change_the_keys_of_what_reads_them(changed):
    assert changed("weights") == {"library"} | BIOLOGICAL | JOBS["fakecatcher"]


def test_a_plug_in_has_a_key_of_its_own_and_changes_no_other(keys, changed):
    assert all(changed(scenario) == {"library"} for scenario in PLUGINS)
    plain, commented, other = (keys[scenario]["mine"] for scenario in PLUGINS)
    assert plain == commented != other
    assert plain not in keys[""].values()
    assert keys["plug-in"]["mobilenet"] == keys[""]["mobilenet"]
