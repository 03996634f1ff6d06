"""Detectors: their inputs cover the whole clip, their networks are a feature part and a dropout head, names are checked."""

from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepfake_uncertainty.detectors import base, blind, fakecatcher, registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.signals import ppg


def track(n_frames, size=96):
    """A clip whose frame i is grey with value i, plus a little noise, and a face that fills it."""
    rng = np.random.default_rng(0)
    crops = np.arange(n_frames)[:, None, None, None] + rng.integers(0, 3, (n_frames, size, size, 3))
    landmarks = np.zeros((n_frames, 468, 2), np.float32)
    for row, line in enumerate(ppg.LINES):
        landmarks[:, line] = [(10, 8 + 10 * row), (48, 8 + 10 * row), (86, 8 + 10 * row)]
    return SimpleNamespace(crops=crops.astype(np.uint8), crop_landmarks=landmarks, times=np.arange(len(crops)) / 25, fps=25.0)


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
    x, starts = blind.frames(track(200), 4)
    assert starts.tolist() == [25, 75, 125, 175]
    assert x.shape == (4, 3, 64, 64) and x.dtype == np.float32 and 0 <= x.min() and x.max() <= 1
    np.testing.assert_allclose(255 * x.mean(axis=(1, 2, 3)), starts + 1, atol=0.1)


def test_blind_inputs_keep_red_red():
    clip = track(4)
    clip.crops[...] = (255, 0, 51)
    np.testing.assert_allclose(blind.frames(clip, 1)[0][0, :, 30, 30], [1, 0, 0.2], atol=1e-6)


@pytest.mark.parametrize(("window", "starts"), [(64, [0, 32, 64, 96]), (128, [0])])
def test_ppg_inputs_are_windows_half_a_window_apart(window, starts):
    clip = track(160)
    x, found = fakecatcher.maps(clip, 99, window)
    assert found.tolist() == starts and x.shape == (len(starts), 1, 64, window)
    traces = ppg.region_traces(clip.crops, clip.crop_landmarks)[starts[-1] : starts[-1] + window]
    np.testing.assert_array_equal(x[-1, 0], ppg.ppg_map(traces, 25.0, window))
    assert fakecatcher.maps(clip, 1, window)[1].tolist() == [starts[len(starts) // 2]]


def test_a_clip_shorter_than_the_window_is_refused_with_both_lengths():
    with pytest.raises(InputError, match=r"63 frames .* 64"):
        fakecatcher.maps(track(63), 4)
    with pytest.raises(InputError, match=r"100 frames .* 128"):
        registry.get("fakecatcher128").inputs(track(100), 4)


@pytest.mark.parametrize("name", registry.DETECTORS)
@pytest.mark.parametrize("n_classes", [2, 5])
def test_every_detector_follows_the_contract(name, n_classes):
    torch.manual_seed(0)
    spec = registry.get(name)
    x, starts = spec.inputs(track(160), 2)
    network = spec.build(n_classes, 0.3).eval()
    assert isinstance(network, base.Classifier) and spec.name == name and starts.dtype == np.int64
    assert x.min() >= 0 and x.max() <= 1 and (starts + spec.window <= 160).all()
    with torch.no_grad():
        features = network.features(torch.from_numpy(x))
        logits = network(torch.from_numpy(x))
    dropout, linear = network.head
    assert features.shape == (len(x), linear.in_features) and dropout.p == 0.3
    assert logits.shape == (len(x), n_classes) and torch.isfinite(logits).all()
    torch.testing.assert_close(logits, linear(features))


@pytest.mark.parametrize("name", registry.DETECTORS)
def test_every_detector_can_overfit_eight_inputs(name):
    torch.manual_seed(0)
    spec = registry.get(name)
    network = spec.build(2, 0.0)
    x, y = torch.rand(8, *spec.inputs(track(160), 1)[0].shape[1:]), torch.arange(8) % 2
    optimiser = torch.optim.AdamW(network.parameters(), lr=spec.recipe.lr)
    for _ in range(25):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(x), y)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.1


@pytest.mark.parametrize(("n_classes", "dropout"), [(1, 0.2), (2, 1.0), (2, -0.1), (2, float("nan"))])
def test_impossible_heads_are_refused(n_classes, dropout):
    with pytest.raises(InputError):
        fakecatcher.network(n_classes, dropout)


def test_missing_weights_are_an_error_not_a_random_network(monkeypatch):
    def offline(*args, pretrained, **options):
        assert pretrained
        raise OSError("cannot reach the hub\nmore")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(InputError, match="cannot reach the hub"):
        blind.resnet18(2, 0.2, pretrained=True)


def test_pretrained_weights_reach_the_stem(monkeypatch):
    source = timm.create_model("resnet18", num_classes=0)
    kernel = source.conv1.weight.detach().clone()
    monkeypatch.setattr(timm, "create_model", lambda *args, **options: source)
    network = blind.resnet18(2, 0.2, pretrained=True)
    assert torch.equal(network.features[1].conv1.weight, kernel[:, :, 2:5, 2:5])


def test_registry_lists_its_names():
    with pytest.raises(InputError, match="resnet18, fakecatcher, fakecatcher128"):
        registry.get("nope")
