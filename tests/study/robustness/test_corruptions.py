"""Corruptions: severity 0 is the clip itself, harm grows with severity, and values by hand."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study.robustness import corruptions


def crops(frames=8, size=48, seed=0):
    """A smooth moving pattern with a little texture, away from black and white."""
    rng = np.random.default_rng(seed)
    pattern = gaussian_filter(rng.normal(size=(frames, size, size, 3)), (2, 2, 2, 0))
    texture = rng.normal(0, 4, pattern.shape)
    return (128 + 30 * pattern / pattern.std() + texture).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", list(corruptions.PARAMETERS))
def test_harm_grows_with_severity_and_0_is_none(kind):
    clip = crops()
    found = [
        corruptions.corrupt(clip, kind, severity, seed=1) for severity in corruptions.SEVERITIES
    ]
    assert (found[0] == clip).all()
    assert all(one.dtype == np.uint8 and one.shape == clip.shape for one in found)
    harm = [np.abs(one.astype(float) - clip).mean() for one in found]
    assert (np.diff(harm) > 0).all()


@pytest.mark.parametrize("kind", list(corruptions.PARAMETERS))
def test_the_same_seed_gives_the_same_bytes(kind):
    one, other = (corruptions.corrupt(crops(), kind, 3, seed=2) for _ in range(2))
    assert (one == other).all()


def test_every_kind_has_five_parameters_and_a_function():
    assert set(corruptions.KINDS) == set(corruptions.PARAMETERS)
    assert all(len(values) == 5 and unit for values, unit in corruptions.PARAMETERS.values())


def test_light_by_hand():
    clip = np.full((2, 4, 4, 3), 100, np.uint8)
    clip[1] = 140
    assert (corruptions.corrupt(clip, "brightness", 1) == clip + 10).all()
    # The mean of the clip is 120, the factor 0.85: 103 and 137; the two frames stay apart.
    assert np.unique(corruptions.corrupt(clip, "contrast", 1)).tolist() == [103, 137]
    assert corruptions.corrupt(np.full((1, 4, 4, 3), 250, np.uint8), "brightness", 5).max() == 255


def test_noise_has_its_deviation_and_another_seed_another_noise():
    clip = np.full((4, 64, 64, 3), 128, np.uint8)
    one, other = (corruptions.corrupt(clip, "noise", 4, seed=seed).astype(float) for seed in (0, 1))
    assert (one - 128).std() == pytest.approx(15, rel=0.02) and (one != other).any()


def test_one_frame_is_enough():
    assert all(
        corruptions.corrupt(crops(1), kind, 5).shape == (1, 48, 48, 3)
        for kind in corruptions.PARAMETERS
    )


@pytest.mark.parametrize(
    ("clip", "kind", "severity", "said"),
    [
        (crops(), "rain", 1, "unknown corruption 'rain'"),
        (crops(), "blur", 6, "severity 6"),
        (crops() / 255, "blur", 1, "give uint8"),
        (crops()[:0], "blur", 1, "F >= 1"),
    ],
)
def test_bad_input_is_refused(clip, kind, severity, said):
    with pytest.raises(InputError, match=said):
        corruptions.corrupt(clip, kind, severity)
