"""Phase motion against made motion and an independent pyramid; the learned magnifier against exact magnified motion."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyrtools.pyramids import SteerablePyramidFreq
from scipy import ndimage

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.signals import magnify, magnify_training, motion

RNG = np.random.default_rng(0)
FLAT = np.zeros((3, 32, 32))


def picture(size=64, seed=0):
    """A smooth periodic picture (size, size) in [0, 1]."""
    rough = ndimage.gaussian_filter(np.random.default_rng(seed).random((size, size)), 1.5, mode="wrap")
    return (rough - rough.min()) / np.ptp(rough)


def sine(size=64, wavelength=8):
    return 0.5 + 0.3 * np.sin(2 * np.pi * np.arange(size) / wavelength)[None] + np.zeros((size, 1))


def moved(image, x, y=0.0):
    """The periodic picture moved by x, y px, exactly."""
    turn = np.add.outer(y * np.fft.fftfreq(len(image)), x * np.fft.fftfreq(image.shape[1]))
    return np.fft.ifft2(np.fft.fft2(image) * np.exp(-2j * np.pi * turn)).real


def shift(before, after, wavelength=8):
    """The shift in px along x of what has the given wavelength."""
    rate = len(before[0]) // wavelength
    turn = np.fft.fft(after.mean(0))[rate] / np.fft.fft(before.mean(0))[rate]
    return -np.angle(turn) * wavelength / (2 * np.pi)


@pytest.mark.parametrize(("shape", "scales", "orientations"), [((2, 64, 64), 3, 4), ((1, 48, 80), 2, 6), ((3, 32, 32), 1, 2)])
def test_pyramid_equals_that_of_pyrtools(shape, scales, orientations):
    frames = RNG.random(shape)
    ours = motion.decompose(frames, scales, orientations)
    assert [band.shape[-1] for band in ours.bands] == [shape[2] >> s for s in range(scales)]
    for k, frame in enumerate(frames):
        theirs = SteerablePyramidFreq(frame, scales, orientations - 1, is_complex=True)
        for s, o in np.ndindex(scales, orientations):
            np.testing.assert_allclose(ours.bands[s][k, o], theirs.pyr_coeffs[s, o], atol=1e-4)
        np.testing.assert_allclose(ours.highpass[k], theirs.pyr_coeffs["residual_highpass"], atol=1e-4)
        np.testing.assert_allclose(ours.lowpass[k], theirs.pyr_coeffs["residual_lowpass"], atol=1e-4)
    changed = ours._replace(bands=[band * np.exp(0.3j) for band in ours.bands])
    for key in np.ndindex(scales, orientations):
        theirs.pyr_coeffs[key] = changed.bands[key[0]][-1, key[1]]
    np.testing.assert_allclose(motion.reconstruct(changed)[-1], theirs.recon_pyr(), atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 5), width=st.integers(1, 5), scales=st.integers(1, 3), orientations=st.integers(2, 8),
       seed=st.integers(0, 99))  # fmt: skip
def test_reconstruction_is_exact(height, width, scales, orientations, seed):
    step = 2 ** (scales + 1)
    frames = np.random.default_rng(seed).random((2, height * step, width * step))
    found = motion.reconstruct(motion.decompose(frames, scales, orientations))
    assert found.dtype == np.float32 and np.abs(found - frames).max() <= 1e-5


def test_a_tenth_of_a_pixel_magnified_by_five_is_six_tenths():
    frames = np.stack([sine(), moved(sine(), 0.1)])
    found = motion.magnify(frames, 5)
    assert shift(*found) == pytest.approx(0.6, rel=0.05)
    np.testing.assert_allclose(found[1], moved(sine(), 0.6), atol=1e-4)


def grown(image, **options):
    """The shift in px that 0.1 px magnified by 5 becomes, by least squares on what 0.6 px would change."""
    before = moved(image, 0.1)
    found = motion.magnify(np.stack([image, before]), 5, **options)[1] - before
    true = moved(image, 0.6) - before
    return 0.1 + 0.5 * (found * true).sum() / (true**2).sum()


def test_narrow_bands_reach_six_tenths_and_wide_ones_fall_short():
    y, x = np.mgrid[:64, :64] - 31.5
    assert grown(np.exp(-(x**2 + y**2) / 128) * np.cos(2 * np.pi * x / 8)) == pytest.approx(0.6, rel=0.05)
    # Within an octave the phase turns, but the envelope stays: a known limit of the pyramid, smaller with more orientations.
    wide = grown(picture(), scales=4)
    assert 0.5 < wide < grown(picture(), scales=4, orientations=8) < 0.6


@settings(max_examples=15, deadline=None)
@given(x=st.floats(-0.3, 0.3), factor=st.floats(0, 6))
def test_any_small_shift_of_a_sine_grows_by_the_factor(x, factor):
    found = motion.magnify(np.stack([sine(), moved(sine(), x)]), factor)
    assert shift(*found) == pytest.approx((1 + factor) * x, abs=2e-3)


def test_the_change_is_linear_in_a_small_factor():
    frames = np.stack([picture(), moved(picture(), 0.02, 0.01)])
    change = [motion.magnify(frames, factor)[1] - frames[1] for factor in (0.5, 1)]
    assert np.abs(2 * change[0] - change[1]).max() < 0.02 * np.abs(change[1]).max()


def test_no_motion_gives_nothing():
    still = np.repeat(picture()[None], 9, axis=0)
    np.testing.assert_allclose(motion.magnify(still, 20), still, atol=1e-5)
    assert motion.phase_spectrum(still).max() < 1e-4
    for value in (0, 0.4, 1):
        assert motion.phase_spectrum(np.full((9, 64, 64), value)).max() < 1e-4
    one = motion.magnify(picture()[None], 20)
    np.testing.assert_allclose(one[0], picture(), atol=1e-5)


def test_phases_follow_a_sinusoid_a_step_and_more_than_a_turn():
    time = np.arange(32)
    for path in (0.2 * np.sin(2 * np.pi * time / 8), 0.2 * (time >= 16), 0.5 * time):
        band = motion.decompose(np.stack([moved(sine(), x) for x in path - path[0]])).bands[1][:, 0]
        phase = np.median(motion.phases(band), axis=(1, 2))
        np.testing.assert_allclose(phase, -2 * np.pi / 8 * (path - path[0]), atol=1e-3)


def test_phase_ignores_brightness_and_contrast():
    frames = np.stack([moved(picture(), x) for x in 0.2 * np.sin(np.arange(9))])
    found = motion.phase_spectrum(0.2 + 0.5 * frames)
    np.testing.assert_allclose(found, motion.phase_spectrum(frames), rtol=1e-2, atol=2e-4)


def test_a_shift_of_the_whole_picture_is_taken_out_and_one_of_a_part_is_not():
    path = 0.2 * np.sin(2 * np.pi * np.arange(16) / 4)
    y, x = np.mgrid[:64, :64] - 32.0
    whole = np.stack([moved(sine(), step) for step in path])
    part = np.exp(-(x**2 + y**2) / 50)
    local = np.stack([sine() * (1 - part) + frame * part for frame in whole])
    taken, left = motion.phase_spectrum(whole), motion.phase_spectrum(local)
    channel = 1 * 12 + 1 * 4  # scale 1, rates about a quarter cycle, horizontal
    assert taken[channel].max() < 1e-3 and left[channel, 8, 8] > 0.03
    assert left[channel, 8, 8] > 5 * np.median(left[channel])


def test_affine_fit_by_hand():
    y, x = np.meshgrid(np.linspace(-1, 1, 8), np.linspace(-1, 1, 10), indexing="ij")
    plane = np.float32(3 + 2 * x - y)
    rest, weight = np.where(np.arange(80) == 33, 1, 0).reshape(8, 10), np.ones((8, 10))
    weight[rest == 1] = 0
    found = motion.without_affine(np.float32([plane, 2 * plane + rest]), weight)
    np.testing.assert_allclose(found, [0 * plane, rest], atol=1e-4)


def test_smoothing_lends_the_phase_of_strong_places():
    phase, amplitude = np.zeros((16, 16), np.float32), np.zeros((16, 16), np.float32)
    phase[8, 8], amplitude[8, 8] = 1, 1
    np.testing.assert_allclose(motion.smooth(phase, amplitude)[7:10, 7:10], 1, rtol=1e-3)
    assert motion.smooth(phase, amplitude, 0) is phase


def test_band_pass_keeps_its_rates():
    time = np.arange(100) / 25
    slow, fast = np.sin(2 * np.pi * 0.3 * time), np.sin(2 * np.pi * 5 * time)
    found = motion.band_pass(np.stack([slow, fast, slow + fast], 1), (3, 8), 25)[20:-20]
    assert found[:, 0].std() < 0.06 * slow.std() and found[:, 1].std() > 0.9 * fast.std()
    np.testing.assert_allclose(found[:, 2], found[:, 0] + found[:, 1], atol=1e-5)
    frames = np.stack([moved(sine(), a + b) for a, b in zip(0.5 * slow, 0.05 * fast, strict=True)])
    fine, all_of_it = (np.ptp([shift(frames[0], f) for f in motion.magnify(frames, 5, *r)]) for r in [((3, 8), 25), ()])
    assert fine < 2.2 and all_of_it > 5


def test_rate_spectrum_of_sinusoids_by_hand():
    time = np.arange(16)
    for octave, rate in enumerate((2 / 16, 3 / 16, 6 / 16)):
        found = motion.rate_spectrum(7 + 0.5 * time + 2 * np.cos(2 * np.pi * rate * time + 1))
        assert found.argmax() == octave and np.hypot.reduce(found) == pytest.approx(np.sqrt(2), rel=0.15)
    assert motion.rate_spectrum(3 - 2.0 * time).max() < 1e-4
    noise = RNG.normal(size=(64, 4000))
    total = np.sqrt((motion.rate_spectrum(noise) ** 2).mean(axis=1).sum())
    assert total == pytest.approx(1, abs=0.05)  # Parseval, less what the trend took


def test_cell_rms_by_hand():
    values = np.array([[1.0, 7, 0, 0], [1, 1, 0, 2]])
    weight = np.array([[1.0, 0, 1, 1], [1, 2, 1, 1]])
    np.testing.assert_allclose(motion.cell_rms(np.vstack([values, values]), np.vstack([weight, weight]), 2),
                               [[1, 1], [1, 1]], rtol=1e-5)  # fmt: skip
    assert (motion.cell_rms(values[:, :2], np.zeros((2, 2)), 1) == 0).all()
    with pytest.raises(InputError, match="divisor"):
        motion.cell_rms(values, weight, 3)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: motion.decompose(np.zeros((32, 32))), "shape"),
        (lambda: motion.decompose(np.zeros((0, 32, 32))), "shape"),
        (lambda: motion.decompose(np.zeros((2, 40, 41))), "multiples of 16"),
        (lambda: motion.decompose(FLAT, scales=0), "at least"),
        (lambda: motion.decompose(FLAT, orientations=1), "at least"),
        (lambda: motion.decompose(FLAT + np.nan), "NaN"),
        (lambda: motion.magnify(FLAT, 2, (1, 4), 25), "9 or more"),
        (lambda: motion.band_pass(np.zeros(20), (4, 13), 25), "12.5"),
        (lambda: motion.phase_spectrum(FLAT), "8 or more"),
    ],
)
def test_what_cannot_be_read_is_refused(call, says):
    with pytest.raises(InputError, match=says):
        call()


def test_repeats_to_the_byte():
    frames = RNG.random((8, 32, 32))
    assert motion.phase_spectrum(frames, 8).tobytes() == motion.phase_spectrum(frames, 8).tobytes()


@pytest.fixture(scope="module")
def held_out():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(magnify_training, "HELD_OUT", 6)
        magnify_training.textures.cache_clear()
        yield magnify_training.draw(np.random.default_rng(5), 48, held_out=True)
    magnify_training.textures.cache_clear()


def test_learned_magnifier_beats_frame_differences_on_held_out_motion(held_out):
    """Against the frame as it is, the difference of frames times the factor (linear Eulerian), and the same blurred."""
    reference, frames, true, factor, _ = held_out
    with torch.no_grad():
        made = magnify.shipped()(reference, frames, factor)
    difference = frames - reference
    blurred = torch.from_numpy(ndimage.gaussian_filter(difference.numpy(), 1.0, axes=(2, 3)))
    peers = frames, frames + factor * difference, frames + factor * blurred
    ours, *theirs = (((x.clamp(0, 1) - true).abs().mean((1, 2, 3))) for x in (made, *peers))
    assert all(ours.mean() < 0.9 * other.mean() for other in theirs)


def test_learned_magnifier_leaves_a_still_frame_as_it_is_whatever_the_factor(held_out):
    network, still = magnify.shipped(), held_out.reference[:4]
    with torch.no_grad():
        made = [network(still, still, torch.full((4, 1, 1, 1), float(factor))) for factor in (0, 5, 50)]
    torch.testing.assert_close(made[0], made[1])
    torch.testing.assert_close(made[0], made[2])
    assert (made[0] - still).abs().mean() < 0.02


def test_learned_change_is_linear_in_the_factor_and_grows_with_the_motion():
    network = magnify.shipped()
    frames = np.stack([np.repeat(moved(picture(48), x)[..., None], 3, 2) for x in (0, 0.1, 0.2, 0.4)]).astype(np.float32)
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
    little, much = ((x - held_out.reference).abs().mean((1, 2, 3)) for x in (held_out.moved, held_out.magnified))
    assert (much > little).double().mean() > 0.8


def test_teaching_lowers_the_loss_and_repeats(monkeypatch):
    for name, value in (("PEOPLE", 1), ("NOISES", 2), ("BATCH", 4), ("SIZE", 16)):
        monkeypatch.setattr(magnify_training, name, value)
    magnify_training.textures.cache_clear()
    (first, card), (second, _) = magnify_training.teach(steps=14), magnify_training.teach(steps=14)
    magnify_training.textures.cache_clear()
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True))
    assert card["loss"] < card["loss_before"] and {"world", "seed", "steps", "seconds"} <= set(card)


def test_magnifier_without_its_weights_says_how_to_train_it(tmp_path, monkeypatch):
    monkeypatch.setattr(magnify, "WEIGHTS", tmp_path)
    magnify.shipped.cache_clear()
    with pytest.raises(InputError, match="python -m deepfake_uncertainty.signals"):
        magnify.shipped()
    magnify.ship(magnify.Magnifier(), {"steps": 0})
    assert magnify.card() == {"steps": 0} and not magnify.shipped().training
    magnify.shipped.cache_clear()
