"""A tiny data set and a tiny detector for the command line."""

import pytest
from support import small_world

from deepfake_uncertainty import paths
from deepfake_uncertainty.datasets import tracks
from deepfake_uncertainty.detectors import registry


@pytest.fixture
def world(tmp_path, monkeypatch):
    root = small_world.write_root(tmp_path / "root")
    monkeypatch.setenv("DEEPFAKE_UNCERTAINTY_DATA_ROOT", str(root))
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(tracks, "load", small_world.load_track)
    monkeypatch.setitem(registry.DETECTORS.specs(), "small", small_world.SPEC)
    monkeypatch.chdir(tmp_path)
    return root
