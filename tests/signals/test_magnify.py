"""The learned magnifier against exact magnified motion, and how it is trained."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from support.moving_pictures import moved, picture

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.signals import magnify, magnify_training


@pytest.fixture(scope="module")
def held_out():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(magnify_training, "HELD_OUT", 6)
        magnify_training.textures.cache_clear()
        yield magnify_training.draw(np.random.default_rng(5), 48, held_out=True)
    magnify_training.textures.cache_clear()


def test_learned_magnifier_beats_frame_differences_on_held_out_motion(held_out):
    # The others: the unchanged frame, the difference of frames times the factor (linear Eulerian
    # magnification), and the same with a blurred difference.
    reference, frames, true, factor, _ = held_out
    with torch.no_grad():
        made = magnify.load_weights()(reference, frames, factor)
    difference = frames - reference
    blurred = torch.from_numpy(ndimage.gaussian_filter(difference.numpy(), 1.0, axes=(2, 3)))
    others = frames, frames + factor * difference, frames + factor * blurred
    ours, *theirs = ((x.clamp(0, 1) - true).abs().mean((1, 2, 3)) for x in (made, *others))
    assert all(ours.mean() < 0.9 * other.mean() for other in theirs)


def test_learned_magnifier_leaves_a_still_frame_as_it_is_whatever_the_factor(held_out):
    network, still = magnify.load_weights(), held_out.reference[:4]
    with torch.no_grad():
        factors = (torch.full((4, 1, 1, 1), float(factor)) for factor in (0, 5, 50))
        made = [network(still, still, factor) for factor in factors]
    torch.testing.assert_close(made[0], made[1])
    torch.testing.assert_close(made[0], made[2])
    assert (made[0] - still).abs().mean() < 0.02


def test_learned_change_is_linear_in_the_factor_and_grows_with_the_motion():
    network = magnify.load_weights()
    grey = np.stack([moved(picture(48), x) for x in (0, 0.1, 0.2, 0.4)])
    frames = np.repeat(grey[..., None], 3, 3).astype(np.float32)
    shapes = magnify.shapes(network, frames)
    assert shapes.shape == (4, magnify.SHAPE, 24, 24)
    once, thrice = magnify.changes(network, shapes, 1.0), magnify.changes(network, shapes, 3.0)
    np.testing.assert_allclose(thrice, 3 * once, atol=1e-5)
    size = np.abs(once).mean((1, 2, 3))
    assert size[0] == 0 and (np.diff(size) > 0).all()


def test_drawn_motion_repeats_and_is_magnified_from_the_reference(held_out):
    again = magnify_training.draw(np.random.default_rng(5), 48, held_out=True)
    assert all(torch.equal(a, b) for a, b in zip(held_out[:4], again[:4], strict=True))
    assert np.linalg.norm(held_out.shift, axis=1).max() <= magnify_training.MOST_MOVED
    changed = held_out.moved, held_out.magnified
    little, much = ((x - held_out.reference).abs().mean((1, 2, 3)) for x in changed)
    assert (much > little).double().mean() > 0.8


def test_training_lowers_the_loss_and_repeats(monkeypatch):
    for name, value in (("PEOPLE", 1), ("NOISES", 2), ("BATCH", 4), ("SIZE", 16)):
        monkeypatch.setattr(magnify_training, name, value)
    magnify_training.textures.cache_clear()
    (first, card), (second, _) = magnify_training.train(steps=14), magnify_training.train(steps=14)
    magnify_training.textures.cache_clear()
    weights = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in weights)
    assert card["loss"] < card["loss_before"] and {"world", "seed", "steps", "seconds"} <= set(card)


def test_magnifier_without_its_weights_says_how_to_train_it(tmp_path, monkeypatch):
    monkeypatch.setattr(magnify, "WEIGHTS", tmp_path)
    magnify.load_weights.cache_clear()
    with pytest.raises(InputError, match="python -m deepfake_uncertainty retrain magnifier"):
        magnify.load_weights()
    magnify.save_weights(magnify.Magnifier(), {"steps": 0})
    assert magnify.read_card() == {"steps": 0} and not magnify.load_weights().training
    magnify.load_weights.cache_clear()
