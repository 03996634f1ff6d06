"""Detectors of several frames: their windows, clips and networks."""

import numpy as np
import pytest
import torch
from support.clips import track

from deepfake_uncertainty.detectors import fakecatcher, frame_transformer, images, registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.signals import ppg


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


def test_clips_stack_following_frames_in_channels():
    x, starts = frame_transformer.clips(track(160), 4)
    assert x.shape == (4, 24, 64, 64) and starts.tolist() == [16, 56, 96, 136]
    np.testing.assert_array_equal(x[1, 3:6], images.resized(track(160).crops[57:58])[0])
    shades = 255 * x.reshape(4, 8, 3, 64, 64).mean((2, 3, 4)) - 1
    np.testing.assert_allclose(shades, starts[:, None] + np.arange(8), atol=0.1)
    assert frame_transformer.clips(track(160), 99)[1].tolist() == list(
        range(0, 160, 8)
    ) and frame_transformer.clips(track(8), 4)[1].tolist() == [0]
    assert frame_transformer.clips(track(40), 9, frames=4, stride=3)[1].tolist() == [0, 10, 20, 30]


def test_clips_refuse_what_has_no_clip():
    with pytest.raises(InputError, match="7 frames .* 8"):
        frame_transformer.clips(track(7), 4)
    uneven = track(40)
    uneven.times = np.cumsum([0.04, 0.1] * 20)
    with pytest.raises(InputError, match="variable frame rate"):
        frame_transformer.clips(uneven, 4)


def test_the_frame_transformer_sees_the_order_of_frames():
    torch.manual_seed(0)
    network, x = frame_transformer.build(2, 0.2).eval(), torch.rand(1, 24, 64, 64)
    turned = x.unflatten(1, (8, 3)).flip(1).flatten(1, 2)
    with torch.no_grad():
        assert (network.features(x) - network.features(turned)).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("n_classes", "dropout"), [(1, 0.2), (2, 1.0), (2, -0.1), (2, float("nan"))]
)
def test_impossible_heads_are_refused(n_classes, dropout):
    with pytest.raises(InputError):
        fakecatcher.build(n_classes, dropout)
