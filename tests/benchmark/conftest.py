"""Footage and a Deepfakes network that several modules of tests use."""

import pytest
from support import small_footage

from deepfake_uncertainty.benchmark.generators import deepfakes_training


@pytest.fixture
def pair(tmp_path):
    """Two clips of drawn faces."""
    return small_footage.pair(tmp_path)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A Deepfakes network of the two clips, and its card."""
    clips = small_footage.pair(tmp_path_factory.mktemp("pair"))
    return deepfakes_training.train(clips, seed=0, steps=150, batch=8)
