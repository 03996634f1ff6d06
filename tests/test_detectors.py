"""Detectors: their inputs cover the whole clip, their networks are a feature part and a dropout head, names are checked."""

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage import data

from deepfake_uncertainty import plotting
from deepfake_uncertainty.detectors import base, blind, clip, efficientnet_lite, fakecatcher, registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.seeding import seed_everything
from deepfake_uncertainty.signals import ppg
from deepfake_uncertainty.study import train


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
    red = track(4)
    red.crops[...] = (255, 0, 51)
    np.testing.assert_allclose(blind.frames(red, 1)[0][0, :, 30, 30], [1, 0, 0.2], atol=1e-6)


@pytest.mark.parametrize(("window", "starts"), [(64, [0, 32, 64, 96]), (128, [0])])
def test_ppg_inputs_are_windows_half_a_window_apart(window, starts):
    long = track(160)
    x, found = fakecatcher.maps(long, 99, window)
    assert found.tolist() == starts and x.shape == (len(starts), 1, 64, window)
    traces = ppg.region_traces(long.crops, long.crop_landmarks)[starts[-1] : starts[-1] + window]
    np.testing.assert_array_equal(x[-1, 0], ppg.ppg_map(traces, 25.0, window))
    assert fakecatcher.maps(long, 1, window)[1].tolist() == [starts[len(starts) // 2]]


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
def test_every_detector_learns_eight_inputs_by_heart(name):
    torch.manual_seed(0)
    spec = registry.get(name)
    network = spec.build(2, 0.0)
    x, y = torch.from_numpy(spec.inputs(track(160), 1)[0]), torch.arange(8) % 2
    x = (x + torch.rand(8, *x.shape[1:])) / 2
    optimiser = torch.optim.AdamW(network.parameters(), lr=spec.recipe.lr)
    for _ in range(50):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(x), y)
        loss.backward()
        optimiser.step()
        if loss.item() < 0.1:
            return
    pytest.fail(f"eight inputs are not learnt by heart: loss {loss.item():.2f}")


@pytest.mark.parametrize("name", registry.DETECTORS)
def test_every_detector_can_be_traced_and_repeats(name):
    torch.manual_seed(0)
    network = registry.get(name).build(3, 0.3).eval()
    x = torch.from_numpy(registry.get(name).inputs(track(160), 1)[0])
    traced = torch.fx.symbolic_trace(network)
    with torch.no_grad():
        assert torch.equal(network(x), network(x)) and torch.equal(traced(x), network(x))
        # One input at a time gives what a batch gives: nothing is shared between the items of a batch.
        pair = torch.cat([x, 1 - x])
        torch.testing.assert_close(network(pair)[1:], network(1 - x), rtol=1e-3, atol=1e-4)
    torch.manual_seed(0)
    again = registry.get(name).build(3, 0.3).state_dict()
    assert all(torch.equal(value, again[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", registry.DETECTORS)
def test_training_repeats_to_the_byte(name):
    spec, states = registry.get(name), []
    x = spec.inputs(track(160), 1)[0]
    x = (x + np.random.default_rng(0).random((6, *x.shape[1:]), np.float32)) / 2
    for _ in range(2):
        seed_everything(3)
        network = spec.build(2, 0.2)
        train.fit(network, x, np.arange(6) % 2, replace(spec.recipe, epochs=2), 3)
        states.append(network.state_dict())
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


@pytest.mark.parametrize("name", registry.DETECTORS)
def test_stages_exist_and_are_passed_in_their_order(name):
    network = registry.get(name).build(2, 0.3).eval()
    parts, seen = dict(network.named_modules()), []
    assert len(network.stages) >= 2 and all(stage in parts for stage in network.stages)
    for stage in network.stages:
        parts[stage].register_forward_hook(lambda *_, stage=stage: seen.append(stage))
    with torch.no_grad():
        network(torch.from_numpy(registry.get(name).inputs(track(160), 1)[0]))
    assert tuple(seen) == network.stages


@pytest.mark.parametrize(
    ("name", "millions"),
    [("resnet18", 11.18), ("xception", 20.81), ("efficientnet_b4", 17.55), ("efficientnet_lite0", 3.37), ("mobilenet", 1.52),
     ("vit_tiny", 5.49), ("clip_transformer", 2.29), ("fakecatcher", 0.06)],
)  # fmt: skip
def test_parameters_are_those_of_the_papers(name, millions):
    """The published counts less the thousand classes of ImageNet; on 64 px the stem of ResNet18 and ViT's places are fewer."""
    network = registry.get(name).build(2, 0.3)
    assert sum(value.numel() for value in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.02)


@pytest.mark.parametrize("name", registry.DETECTORS)
def test_figures_know_every_detector_as_the_registry_does(name):
    assert plotting.label(name) == registry.get(name).label and plotting.color(name).startswith("#")


def test_normalisation_by_hand():
    x = torch.full((1, 3, 1, 1), 0.5)
    expected = [(0.5 - mean) / std for mean, std in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))]
    assert blind.Normalise()(x).flatten().tolist() == pytest.approx(expected)
    assert blind.Normalise((0.5,) * 3, (0.5,) * 3)(torch.zeros(1, 3, 1, 1)).flatten().tolist() == [-1, -1, -1]


@pytest.mark.parametrize("size", [64, 96, 160])
def test_lite0_with_its_weights_is_timms_network_with_them(size):
    reference = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    efficientnet_lite.load_weights(reference)
    reference.reset_classifier(0)
    network = efficientnet_lite.efficientnet_lite0(2, 0.2).eval()
    x = torch.rand(2, 3, size, size)
    with torch.no_grad():
        found, expected = network.features(x), reference.eval()(2 * x - 1)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("picture", "label"), [("coffee", 967), ("chelsea", 285)])
def test_lite0_knows_photographs(picture, label):
    """Espresso and an Egyptian cat: a network whose tensors were in the wrong places would not find them."""
    photograph = cv2.resize(getattr(data, picture)()[:, 60:360], (224, 224), interpolation=cv2.INTER_AREA)
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    efficientnet_lite.load_weights(network)
    with torch.no_grad():
        logits = network.eval()(torch.from_numpy(photograph).permute(2, 0, 1)[None] / 127.5 - 1)
    assert logits.argmax() == label


def test_lite0_without_its_package_is_an_error(monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "PACKAGE", "no_such_package_here")
    with pytest.raises(InputError, match="environment.yml"):
        efficientnet_lite.efficientnet_lite0(2, 0.2)
    assert efficientnet_lite.efficientnet_lite0(2, 0.2, pretrained=False).stages


def test_lite0_refuses_tensors_of_another_network(monkeypatch):
    monkeypatch.setattr(torch, "load", lambda *arguments, weights_only, **options: {"one": torch.zeros(3)})
    with pytest.raises(InputError, match="does not hold the tensors"):
        efficientnet_lite.efficientnet_lite0(2, 0.2)


def test_clips_stack_following_frames_in_channels():
    x, starts = clip.clips(track(160), 4)
    assert x.shape == (4, 24, 64, 64) and starts.tolist() == [16, 56, 96, 136]
    np.testing.assert_array_equal(x[1, 3:6], blind.resized(track(160).crops[57:58])[0])
    shades = 255 * x.reshape(4, 8, 3, 64, 64).mean((2, 3, 4)) - 1
    np.testing.assert_allclose(shades, starts[:, None] + np.arange(8), atol=0.1)
    assert clip.clips(track(160), 99)[1].tolist() == list(range(0, 160, 8)) and clip.clips(track(8), 4)[1].tolist() == [0]
    assert clip.clips(track(40), 9, frames=4, stride=3)[1].tolist() == [0, 10, 20, 30]


def test_clips_refuse_what_has_no_clip():
    with pytest.raises(InputError, match="7 frames .* 8"):
        clip.clips(track(7), 4)
    uneven = track(40)
    uneven.times = np.cumsum([0.04, 0.1] * 20)
    with pytest.raises(InputError, match="variable frame rate"):
        clip.clips(uneven, 4)


def test_the_clip_transformer_sees_the_order_of_frames():
    torch.manual_seed(0)
    network, x = clip.clip_transformer(2, 0.2).eval(), torch.rand(1, 24, 64, 64)
    turned = x.unflatten(1, (8, 3)).flip(1).flatten(1, 2)
    with torch.no_grad():
        assert (network.features(x) - network.features(turned)).abs().max() > 1e-3


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
    with pytest.raises(InputError, match="resnet18, xception, .*, fakecatcher128"):
        registry.get("nope")
