"""The folders of the project. Every other module takes them from here."""

import os
from pathlib import Path

PROJECT = Path(os.environ.get("DEEPFAKE_UNCERTAINTY_HOME", Path(__file__).resolve().parents[2]))
DATA = PROJECT / "data"
CACHE = PROJECT / ".cache"
# A test that executes the notebooks must not touch the figures of the study.
FIGURES = Path(os.environ.get("DEEPFAKE_UNCERTAINTY_FIGURES", PROJECT / "figures"))
NOTEBOOKS = PROJECT / "notebooks"
