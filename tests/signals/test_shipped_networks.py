"""The networks that ship with the library: their names, and how one of them is trained again."""

import pytest

from deepfake_uncertainty.benchmark.generators import catalogue, learned
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.signals import magnify, magnify_training, shipped_networks


def test_names_are_the_trained_generators_and_the_magnifier():
    names = shipped_networks.names()
    generators = {"FaceShifter", "NeuralTextures", "faceswap", "fsgan", "wav2lip"}
    assert set(names) == {*generators, "magnifier"} and len(names) == len(set(names))
    for name in names:
        folder = magnify.WEIGHTS if name == magnify.NAME else learned.WEIGHTS
        assert (folder / f"{name}.safetensors").is_file() and (folder / f"{name}.json").is_file()


def test_an_unknown_name_is_refused_in_one_line():
    with pytest.raises(InputError, match="no network 'unknown' ships") as caught:
        shipped_networks.retrain("unknown")
    message = str(caught.value)
    assert "\n" not in message and all(name in message for name in shipped_networks.names())


@pytest.mark.parametrize("name", ["magnifier", "fsgan"])
def test_a_known_name_is_trained_and_saved(name, tmp_path, monkeypatch):
    network, card = magnify.Magnifier(), {"steps": 0}
    trained = {"fsgan": lambda: (network, card)}
    monkeypatch.setattr(magnify_training, "train", lambda: (network, card))
    monkeypatch.setattr(catalogue, "trained", lambda: trained)
    monkeypatch.setattr(magnify, "WEIGHTS", tmp_path)
    monkeypatch.setattr(learned, "WEIGHTS", tmp_path)
    assert shipped_networks.retrain(name) == card
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {f"{name}.safetensors", f"{name}.json"}
