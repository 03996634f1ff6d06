"""Single-frame detectors: inputs of the whole clip, and the right weights."""

import cv2
import numpy as np
import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage import data
from support.clips import track

from deepfake_uncertainty.detectors import base, efficientnet_lite0, images, resnet18
from deepfake_uncertainty.errors import InputError


def test_evenly_spaced_by_hand():
    assert base.evenly_spaced(10, 1).tolist() == [5]
    assert base.evenly_spaced(100, 4).tolist() == [12, 37, 62, 87]
    assert base.evenly_spaced(3, 8).tolist() == [0, 1, 2]


@given(length=st.integers(1, 2000), n=st.integers(1, 300))
def test_evenly_spaced_covers_the_whole_clip(length, n):
    chosen = base.evenly_spaced(length, n)
    gaps = np.diff([-1, *chosen, length])
    assert len(chosen) == min(n, length) and gaps.min() >= 1
    assert gaps.max() <= length // len(chosen) + 1


def test_blind_inputs_are_frames_of_the_whole_clip_not_the_first():
    x, starts = images.frames(track(200), 4)
    assert starts.tolist() == [25, 75, 125, 175]
    assert x.shape == (4, 3, 64, 64) and x.dtype == np.float32 and 0 <= x.min() and x.max() <= 1
    np.testing.assert_allclose(255 * x.mean(axis=(1, 2, 3)), starts + 1, atol=0.1)


def test_blind_inputs_keep_red_red():
    red = track(4)
    red.crops[...] = (255, 0, 51)
    np.testing.assert_allclose(images.frames(red, 1)[0][0, :, 30, 30], [1, 0, 0.2], atol=1e-6)


def test_normalisation_by_hand():
    x = torch.full((1, 3, 1, 1), 0.5)
    expected = [
        (0.5 - mean) / std for mean, std in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))
    ]
    assert images.Normalise()(x).flatten().tolist() == pytest.approx(expected)
    assert images.Normalise((0.5,) * 3, (0.5,) * 3)(torch.zeros(1, 3, 1, 1)).flatten().tolist() == [
        -1,
        -1,
        -1,
    ]


@pytest.mark.parametrize("size", [64, 96, 160])
def test_lite0_with_its_weights_is_timms_network_with_them(size):
    reference = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    efficientnet_lite0.load_weights(reference)
    reference.reset_classifier(0)
    network = efficientnet_lite0.build(2, 0.2).eval()
    x = torch.rand(2, 3, size, size)
    with torch.no_grad():
        found, expected = network.features(x), reference.eval()(2 * x - 1)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("picture", "label"), [("coffee", 967), ("chelsea", 285)])
def test_lite0_knows_photographs(picture, label):
    """Espresso and an Egyptian cat: tensors in the wrong places would not find them."""
    photograph = cv2.resize(
        getattr(data, picture)()[:, 60:360], (224, 224), interpolation=cv2.INTER_AREA
    )
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    efficientnet_lite0.load_weights(network)
    with torch.no_grad():
        logits = network.eval()(torch.from_numpy(photograph).permute(2, 0, 1)[None] / 127.5 - 1)
    assert logits.argmax() == label


def test_lite0_without_its_package_is_an_error(monkeypatch):
    monkeypatch.setattr(efficientnet_lite0, "PACKAGE", "no_such_package_here")
    with pytest.raises(InputError, match="requirements/no-deps.txt"):
        efficientnet_lite0.build(2, 0.2)
    assert efficientnet_lite0.build(2, 0.2, pretrained=False).stages


def test_lite0_refuses_tensors_of_another_network(monkeypatch):
    monkeypatch.setattr(
        torch, "load", lambda *arguments, weights_only, **options: {"one": torch.zeros(3)}
    )
    with pytest.raises(InputError, match="does not hold the tensors"):
        efficientnet_lite0.build(2, 0.2)


def test_missing_weights_are_an_error_not_a_random_network(monkeypatch):
    def offline(*args, pretrained, **options):
        assert pretrained
        raise OSError("cannot reach the hub\nmore")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(InputError, match="cannot reach the hub"):
        resnet18.build(2, 0.2, pretrained=True)


def test_pretrained_weights_reach_the_stem(monkeypatch):
    source = timm.create_model("resnet18", num_classes=0)
    kernel = source.conv1.weight.detach().clone()
    monkeypatch.setattr(timm, "create_model", lambda *args, **options: source)
    network = resnet18.build(2, 0.2, pretrained=True)
    assert torch.equal(network.features[1].conv1.weight, kernel[:, :, 2:5, 2:5])
