"""Random changes of training images: each does what its name says, in range and repeatably."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepfake_uncertainty.detectors.augment import augment
from deepfake_uncertainty.detectors.base import Recipe

PLAIN = Recipe(
    epochs=1, batch=4, lr=0.1, weight_decay=0.0, variational_epochs=1, inputs_per_video=1
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_without_changes_it_is_the_images_themselves():
    x = torch.rand(3, 3, 8, 8)
    assert augment(x, PLAIN, seeded()) is x


def test_flip_mirrors_about_half_and_nothing_else():
    x = torch.rand(400, 1, 2, 5)
    found = augment(x, replace(PLAIN, flip=True), seeded())
    turned = (found == x.flip(-1)).flatten(1).all(1)
    kept = (found == x).flatten(1).all(1)
    assert (turned ^ kept).all() and 160 < turned.sum() < 240


def test_shift_moves_whole_images_within_reach_and_reflects_at_the_edge():
    ramp = (
        torch.arange(12.0).repeat(2, 12, 1)[None].repeat(200, 1, 1, 1) / 12
    )  # columns rise, both channels alike
    found = augment(ramp, replace(PLAIN, shift=2), seeded()) * 12
    first = found[:, 0, 0, 4] - 4
    assert set(first.round().int().tolist()) == {-2, -1, 0, 1, 2}
    assert torch.equal(found[:, 0], found[:, 1]) and torch.equal(found[:, :, 0], found[:, :, 11])
    left = found[first.round() == -2][0, 0, 0].round().tolist()
    assert left == [2, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_colour_by_hand():
    x = torch.tensor([0.2, 0.4]).view(1, 1, 1, 2).repeat(300, 1, 1, 1)
    found = augment(x, replace(PLAIN, colour=0.25), seeded()).flatten(1)
    gain = found.mean(1) / 0.3
    contrast = (found[:, 1] - found[:, 0]) / (0.2 * gain)
    for drawn in (gain, contrast):
        assert 0.75 <= drawn.min() < 0.78 and 1.22 < drawn.max() <= 1.25 + 1e-5
    assert abs(torch.corrcoef(torch.stack([gain, contrast]))[0, 1]) < 0.2


@settings(deadline=None, max_examples=30)
@given(
    n=st.integers(1, 5),
    channels=st.sampled_from([1, 3, 24]),
    shift=st.integers(0, 4),
    colour=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_shape_range_and_seed(n, channels, shift, colour, seed):
    x = torch.rand(n, channels, 9, 7, generator=seeded(seed))
    before, recipe = x.clone(), replace(PLAIN, flip=True, shift=shift, colour=colour)
    found = augment(x, recipe, seeded(seed))
    assert found.shape == x.shape and found.dtype == x.dtype and torch.equal(x, before)
    assert 0 <= found.min() and found.max() <= 1
    assert torch.equal(found, augment(x, recipe, seeded(seed)))


def test_a_shift_beyond_the_image_is_an_error():
    with pytest.raises(RuntimeError):
        augment(torch.rand(1, 1, 4, 4), replace(PLAIN, shift=4), seeded())
