"""Motion detectors: windows of the whole clip, what they ignore, and what they refuse."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from deepfake_uncertainty.detectors import motion, registry
from deepfake_uncertainty.errors import InputError

BOTH = pytest.mark.parametrize("inputs", [motion.phase_maps, motion.deep_maps])


def track(n_frames=24, still=False, seed=0):
    rng = np.random.default_rng(seed)
    crop = rng.integers(60, 200, (1, 64, 64, 3)).repeat(n_frames, 0)
    crops = crop if still else crop + rng.integers(-9, 9, crop.shape)
    return SimpleNamespace(crops=crops.astype(np.uint8), times=np.arange(n_frames) / 25, fps=25.0)


@BOTH
def test_windows_cover_the_clip_half_a_window_apart(inputs):
    clip = track(24)
    x, starts = inputs(clip, 9)
    assert starts.tolist() == [0, 8] and starts.dtype == np.int64
    assert x.shape[2:] == (16, 16) and x.dtype == np.float32 and 0 <= x.min() and 0.05 < x.max() < 1
    later = SimpleNamespace(crops=clip.crops[8:], times=clip.times[8:], fps=25.0)
    np.testing.assert_array_equal(inputs(later, 1)[0][0], x[1])
    assert inputs(clip, 9, window=8)[1].tolist() == [0, 4, 8, 12, 16]


@BOTH
def test_a_still_clip_gives_nothing(inputs):
    assert inputs(track(16, still=True), 1)[0].max() < 1e-3


@BOTH
def test_the_factor_magnifies_and_its_scale_saturates(inputs):
    clip = track(16)
    once, little, much = (inputs(clip, 1, factor=factor)[0] for factor in (1.0, 1e-3, 1e3))
    odds = once / (1 - once)
    np.testing.assert_allclose(little, 1e-3 * odds, rtol=2e-2, atol=1e-6)
    np.testing.assert_allclose(much, 1e3 * odds / (1 + 1e3 * odds), rtol=1e-2, atol=1e-4)


@BOTH
@pytest.mark.parametrize(
    ("clip", "options", "says"),
    [
        (track(15), {}, r"15 frames .* 16"),
        (track(1), {}, r"1 frames .* 16"),
        (track(16), {"factor": 0.0}, "factor"),
        (track(16), {"factor": float("nan")}, "factor"),
        (track(16), {"window": 7}, "8 or more"),
    ],
)
def test_what_cannot_be_read_is_refused(inputs, clip, options, says):
    with pytest.raises(InputError, match=says):
        inputs(clip, 2, **options)


@BOTH
def test_variable_frame_rate_is_refused(inputs):
    clip = track(16)
    clip.times = clip.times**2
    with pytest.raises(InputError, match="variable frame rate"):
        inputs(clip, 2)


@pytest.mark.parametrize("name", ["motion_phase", "motion_deep"])
def test_networks_are_traceable_and_name_their_stages(name):
    spec = registry.get(name)
    network = spec.build(3, 0.2).eval()
    x = torch.from_numpy(spec.inputs(track(24), 2)[0])
    with torch.no_grad():
        torch.testing.assert_close(torch.fx.symbolic_trace(network)(x), network(x))
    assert network.stages and set(network.stages) <= set(dict(network.named_modules()))
