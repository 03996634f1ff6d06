"""Phase motion against synthetic motion and against an independent steerable pyramid."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyrtools.pyramids import SteerablePyramidFreq
from support.moving_pictures import moved, picture, sine

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.signals import phase_motion

RNG = np.random.default_rng(0)
FLAT = np.zeros((3, 32, 32))


def shift(before, after, wavelength=8):
    """Return the shift in px along x of the given wavelength."""
    rate = len(before[0]) // wavelength
    turn = np.fft.fft(after.mean(0))[rate] / np.fft.fft(before.mean(0))[rate]
    return -np.angle(turn) * wavelength / (2 * np.pi)


@pytest.mark.parametrize(
    ("shape", "scales", "orientations"),
    [((2, 64, 64), 3, 4), ((1, 48, 80), 2, 6), ((3, 32, 32), 1, 2)],
)
def test_pyramid_equals_that_of_pyrtools(shape, scales, orientations):
    frames = RNG.random(shape)
    ours = phase_motion.decompose(frames, scales, orientations)
    assert [band.shape[-1] for band in ours.bands] == [shape[2] >> s for s in range(scales)]
    for k, frame in enumerate(frames):
        theirs = SteerablePyramidFreq(frame, scales, orientations - 1, is_complex=True)
        for s, o in np.ndindex(scales, orientations):
            np.testing.assert_allclose(ours.bands[s][k, o], theirs.pyr_coeffs[s, o], atol=1e-4)
        for name in ("highpass", "lowpass"):
            residual = theirs.pyr_coeffs[f"residual_{name}"]
            np.testing.assert_allclose(getattr(ours, name)[k], residual, atol=1e-4)
    changed = ours._replace(bands=[band * np.exp(0.3j) for band in ours.bands])
    for key in np.ndindex(scales, orientations):
        theirs.pyr_coeffs[key] = changed.bands[key[0]][-1, key[1]]
    np.testing.assert_allclose(phase_motion.reconstruct(changed)[-1], theirs.recon_pyr(), atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    scales=st.integers(1, 3),
    orientations=st.integers(2, 8),
    seed=st.integers(0, 99),
)
def test_reconstruction_is_exact(height, width, scales, orientations, seed):
    step = 2 ** (scales + 1)
    frames = np.random.default_rng(seed).random((2, height * step, width * step))
    found = phase_motion.reconstruct(phase_motion.decompose(frames, scales, orientations))
    assert found.dtype == np.float32 and np.abs(found - frames).max() <= 1e-5


def test_a_tenth_of_a_pixel_magnified_by_five_is_six_tenths():
    frames = np.stack([sine(), moved(sine(), 0.1)])
    found = phase_motion.magnify(frames, 5)
    assert shift(*found) == pytest.approx(0.6, rel=0.05)
    np.testing.assert_allclose(found[1], moved(sine(), 0.6), atol=1e-4)


def grown(image, **options):
    """Return the shift in px that 0.1 px becomes when magnified by 5.

    It is the least-squares fit to the change that a shift of 0.6 px would cause.
    """
    before = moved(image, 0.1)
    found = phase_motion.magnify(np.stack([image, before]), 5, **options)[1] - before
    true = moved(image, 0.6) - before
    return 0.1 + 0.5 * (found * true).sum() / (true**2).sum()


def test_narrow_bands_reach_six_tenths_and_wide_ones_fall_short():
    y, x = np.mgrid[:64, :64] - 31.5
    narrow = np.exp(-(x**2 + y**2) / 128) * np.cos(2 * np.pi * x / 8)
    assert grown(narrow) == pytest.approx(0.6, rel=0.05)
    # Within an octave the phase turns but the envelope stays: a known limit of the pyramid, smaller
    # with more orientations.
    wide = grown(picture(), scales=4)
    assert 0.5 < wide < grown(picture(), scales=4, orientations=8) < 0.6


@settings(max_examples=15, deadline=None)
@given(x=st.floats(-0.3, 0.3), factor=st.floats(0, 6))
def test_any_small_shift_of_a_sine_grows_by_the_factor(x, factor):
    found = phase_motion.magnify(np.stack([sine(), moved(sine(), x)]), factor)
    assert shift(*found) == pytest.approx((1 + factor) * x, abs=2e-3)


def test_the_change_is_linear_in_a_small_factor():
    frames = np.stack([picture(), moved(picture(), 0.02, 0.01)])
    change = [phase_motion.magnify(frames, factor)[1] - frames[1] for factor in (0.5, 1)]
    assert np.abs(2 * change[0] - change[1]).max() < 0.02 * np.abs(change[1]).max()


def test_no_motion_gives_nothing():
    still = np.repeat(picture()[None], 9, axis=0)
    np.testing.assert_allclose(phase_motion.magnify(still, 20), still, atol=1e-5)
    assert phase_motion.phase_spectrum(still).max() < 1e-4
    for value in (0, 0.4, 1):
        assert phase_motion.phase_spectrum(np.full((9, 64, 64), value)).max() < 1e-4
    one = phase_motion.magnify(picture()[None], 20)
    np.testing.assert_allclose(one[0], picture(), atol=1e-5)


def test_phases_follow_a_sinusoid_a_step_and_more_than_a_turn():
    time = np.arange(32)
    for path in (0.2 * np.sin(2 * np.pi * time / 8), 0.2 * (time >= 16), 0.5 * time):
        frames = np.stack([moved(sine(), x) for x in path - path[0]])
        band = phase_motion.decompose(frames).bands[1][:, 0]
        phase = np.median(phase_motion.phases(band), axis=(1, 2))
        np.testing.assert_allclose(phase, -2 * np.pi / 8 * (path - path[0]), atol=1e-3)


def test_phase_ignores_brightness_and_contrast():
    frames = np.stack([moved(picture(), x) for x in 0.2 * np.sin(np.arange(9))])
    found = phase_motion.phase_spectrum(0.2 + 0.5 * frames)
    np.testing.assert_allclose(found, phase_motion.phase_spectrum(frames), rtol=1e-2, atol=2e-4)


def test_a_shift_of_the_whole_picture_is_taken_out_and_one_of_a_part_is_not():
    path = 0.2 * np.sin(2 * np.pi * np.arange(16) / 4)
    y, x = np.mgrid[:64, :64] - 32.0
    whole = np.stack([moved(sine(), step) for step in path])
    part = np.exp(-(x**2 + y**2) / 50)
    local = np.stack([sine() * (1 - part) + frame * part for frame in whole])
    taken, left = phase_motion.phase_spectrum(whole), phase_motion.phase_spectrum(local)
    channel = 1 * 12 + 1 * 4  # scale 1, rates about a quarter cycle, horizontal
    assert taken[channel].max() < 1e-3 and left[channel, 8, 8] > 0.03
    assert left[channel, 8, 8] > 5 * np.median(left[channel])


def test_affine_fit_by_hand():
    y, x = np.meshgrid(np.linspace(-1, 1, 8), np.linspace(-1, 1, 10), indexing="ij")
    plane = np.float32(3 + 2 * x - y)
    rest, weight = np.where(np.arange(80) == 33, 1, 0).reshape(8, 10), np.ones((8, 10))
    weight[rest == 1] = 0
    found = phase_motion.without_affine(np.float32([plane, 2 * plane + rest]), weight)
    np.testing.assert_allclose(found, [0 * plane, rest], atol=1e-4)


def test_smoothing_lends_the_phase_of_strong_places():
    phase, amplitude = np.zeros((16, 16), np.float32), np.zeros((16, 16), np.float32)
    phase[8, 8], amplitude[8, 8] = 1, 1
    np.testing.assert_allclose(phase_motion.smooth(phase, amplitude)[7:10, 7:10], 1, rtol=1e-3)
    assert phase_motion.smooth(phase, amplitude, 0) is phase


def test_band_pass_keeps_its_rates():
    time = np.arange(100) / 25
    slow, fast = np.sin(2 * np.pi * 0.3 * time), np.sin(2 * np.pi * 5 * time)
    found = phase_motion.band_pass(np.stack([slow, fast, slow + fast], 1), (3, 8), 25)[20:-20]
    assert found[:, 0].std() < 0.06 * slow.std() and found[:, 1].std() > 0.9 * fast.std()
    np.testing.assert_allclose(found[:, 2], found[:, 0] + found[:, 1], atol=1e-5)
    frames = np.stack([moved(sine(), a + b) for a, b in zip(0.5 * slow, 0.05 * fast, strict=True)])
    fine, everything = (
        np.ptp([shift(frames[0], f) for f in phase_motion.magnify(frames, 5, *rates)])
        for rates in [((3, 8), 25), ()]
    )
    assert fine < 2.2 and everything > 5


def test_rate_spectrum_of_sinusoids_by_hand():
    time = np.arange(16)
    for octave, rate in enumerate((2 / 16, 3 / 16, 6 / 16)):
        found = phase_motion.rate_spectrum(7 + 0.5 * time + 2 * np.cos(2 * np.pi * rate * time + 1))
        assert found.argmax() == octave
        assert np.hypot.reduce(found) == pytest.approx(np.sqrt(2), rel=0.15)
    assert phase_motion.rate_spectrum(3 - 2.0 * time).max() < 1e-4
    noise = RNG.normal(size=(64, 4000))
    total = np.sqrt((phase_motion.rate_spectrum(noise) ** 2).mean(axis=1).sum())
    assert total == pytest.approx(1, abs=0.05)  # Parseval, less what the trend took


def test_cell_rms_by_hand():
    values = np.array([[1.0, 7, 0, 0], [1, 1, 0, 2]])
    weight = np.array([[1.0, 0, 1, 1], [1, 2, 1, 1]])
    found = phase_motion.cell_rms(np.vstack([values, values]), np.vstack([weight, weight]), 2)
    np.testing.assert_allclose(found, [[1, 1], [1, 1]], rtol=1e-5)
    assert (phase_motion.cell_rms(values[:, :2], np.zeros((2, 2)), 1) == 0).all()
    with pytest.raises(InputError, match="divisor"):
        phase_motion.cell_rms(values, weight, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: phase_motion.decompose(np.zeros((32, 32))), "shape"),
        (lambda: phase_motion.decompose(np.zeros((0, 32, 32))), "shape"),
        (lambda: phase_motion.decompose(np.zeros((2, 40, 41))), "multiples of 16"),
        (lambda: phase_motion.decompose(FLAT, scales=0), "at least"),
        (lambda: phase_motion.decompose(FLAT, orientations=1), "at least"),
        (lambda: phase_motion.decompose(FLAT + np.nan), "NaN"),
        (lambda: phase_motion.magnify(FLAT, 2, (1, 4), 25), "9 or more"),
        (lambda: phase_motion.magnify(FLAT, 2, (1, 4)), "at 0 frames/s"),
        (lambda: phase_motion.band_pass(np.zeros(20), (4, 13), 25), "12.5"),
        (lambda: phase_motion.phase_spectrum(FLAT), "8 or more"),
    ],
)
def test_what_cannot_be_read_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_repeats_to_the_byte():
    frames = RNG.random((8, 32, 32))
    first, second = (phase_motion.phase_spectrum(frames, 8) for _ in range(2))
    assert first.tobytes() == second.tobytes()
