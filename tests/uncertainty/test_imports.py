"""What the engine costs to import: it is a library for any network, and needs PyTorch alone."""

import json
import subprocess
import sys

import pytest

HEAVY = {"pandas", "matplotlib", "timm", "torchvision", "sklearn", "numba", "cv2", "av"}
SCRIPT = """
import importlib, json, pkgutil, sys
from deepfake_uncertainty import uncertainty
for found in pkgutil.iter_modules(uncertainty.__path__):
    importlib.import_module(f"{uncertainty.__name__}.{found.name}")
print(json.dumps(sorted(sys.modules)))
"""


@pytest.mark.slow
def test_the_engine_imports_neither_tables_nor_figures_nor_other_networks():
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert "deepfake_uncertainty.uncertainty.sampling" in loaded and "torch" in loaded
    assert not HEAVY & loaded
