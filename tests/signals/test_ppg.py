"""PPG signals against synthetic pulses and an independent CHROM, and input without a pulse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal as dsp
from support.ppg_faces import PULSE_COLOUR, blood, flat_face, region_traces, trace
from vitallens.methods.chrom import CHROMRPPGMethod

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.signals import ppg


@pytest.mark.parametrize("bpm", [48, 72, 100, 180])
@pytest.mark.parametrize("fps", [25.0, 29.97, 50.0])
def test_heart_rate_of_a_known_pulse(bpm, fps):
    rate, snr = ppg.heart_rate(ppg.chrom(trace(bpm, fps, n=int(10 * fps)), fps), fps)
    assert abs(rate - bpm) < 1.5 and snr > 3


def test_signal_rises_with_blood_volume():
    pulse = ppg.chrom(trace(noise=0), 25.0)
    assert np.corrcoef(pulse[20:-20], blood(72, 25.0, 256)[20:-20])[0, 1] > 0.98


@pytest.mark.parametrize(("bpm", "fps"), [(60, 25.0), (72, 30.0), (110, 25.0)])
def test_agrees_with_vitallens(bpm, fps):
    chrom = CHROMRPPGMethod()
    rgb = trace(bpm, fps, n=300)
    assert abs(np.corrcoef(ppg.chrom(rgb, fps), chrom.algorithm(rgb, fps))[0, 1]) >= 0.95


@settings(max_examples=25, deadline=None)
@given(bpm=st.floats(50, 200), gain=st.floats(0.2, 1.3), n=st.integers(250, 400))
def test_brightness_changes_neither_signal_nor_rate(bpm, gain, n):
    rgb = trace(bpm, n=n)
    pulse, brighter = ppg.chrom(rgb, 25.0), ppg.chrom(gain * rgb, 25.0)
    np.testing.assert_allclose(pulse, brighter, atol=1e-10)
    assert abs(ppg.heart_rate(pulse, 25.0)[0] - bpm) < 2


def test_a_change_of_light_is_no_pulse():
    flicker = np.array([180.0, 130.0, 105.0]) * (1 + 0.05 * blood(90, 25.0, 256))[:, None]
    real = ppg.chrom(trace(noise=0), 25.0)
    flicker += np.random.default_rng(0).normal(0, 1e-3, flicker.shape)
    # CHROM does not react to a common scale of all three colours once each is divided by its mean:
    # 3 - 2 = 1.5 + 1 - 1.5.
    assert ppg.chrom(flicker, 25.0).std() < 0.02 * real.std()


def test_a_film_without_colour_is_refused():
    grey = np.repeat(trace()[:, 1:2], 3, axis=1)
    with pytest.raises(InputError, match="black-and-white"):
        ppg.chrom(grey, 25.0)
    with pytest.raises(InputError, match="black-and-white"):
        ppg.ppg_map(np.repeat(region_traces()[..., 1:2], 3, axis=2), 25.0, 64)
    partly = region_traces()
    # One grey region among coloured ones has no pulse, and the map is still finite.
    partly[:, 3] = partly[:, 3, 1:2]
    assert np.isfinite(ppg.ppg_map(partly, 25.0, 64)).all()


def test_heart_rate_of_pure_sines_by_hand():
    rate, snr = ppg.heart_rate(blood(90, 25.0, 500), 25.0)
    assert rate == pytest.approx(90, abs=0.1)
    assert snr == pytest.approx(33, abs=1)  # a Hann window keeps 99.95 % of a sine in its main lobe
    _, noisy = ppg.heart_rate(np.random.default_rng(0).normal(size=500), 25.0)
    assert noisy < 0


@pytest.mark.parametrize("bpm", [50.3, 63.7, 81.2, 94.9, 109.6])
def test_heart_rate_between_the_bins_of_a_short_clip(bpm):
    # 144 frames at 25 frames/s have bins 10.4 beats/min apart. The mirror image of the sine may
    # shift its peak by 0.3.
    for phase in np.linspace(0, np.pi, 7):
        wave = np.sin(2 * np.pi * bpm / 60 * np.arange(144) / 25 + phase)
        assert ppg.heart_rate(wave, 25.0)[0] == pytest.approx(bpm, abs=0.4)


def test_chrom_by_hand_in_one_window():
    red, green, blue = 0.02 * np.random.default_rng(0).normal(size=(3, 40, 1))
    x, y = 3 * red - 2 * green, 1.5 * red + green - 1.5 * blue
    mean = np.array([[180.0, 130.0, 105.0]])
    found = ppg._window(mean, np.stack([red, green, blue], axis=-1) * mean)
    np.testing.assert_allclose(found, x - x.std() / y.std() * y)


def test_noise_at_every_rate_is_passed_alike():
    # CHROM gets a pulse of white noise: it must not favour a rate within the band, as a moving mean
    # would.
    noise = np.random.default_rng(0).normal(size=(20000, 1))
    rgb = np.array([180.0, 130.0, 105.0]) * (1 + 0.01 * noise * PULSE_COLOUR)
    frequency, power = dsp.welch(ppg.chrom(rgb, 25.0), 25.0, nperseg=500)
    lows = 0.8, 1.2, 2.0, 3.0
    bands = [power[(frequency > low) & (frequency < low + 0.4)].mean() for low in lows]
    np.testing.assert_allclose(bands, np.mean(bands), rtol=0.15)


def test_face_pulse_is_the_mean_of_its_skin_regions():
    traces = region_traces(144)
    kept = [row * ppg.COLUMNS + column for row in ppg.SKIN_ROWS for column in range(ppg.COLUMNS)]
    by_hand = np.mean([ppg.chrom(traces[:, k], 25.0) for k in kept], axis=0)
    np.testing.assert_allclose(ppg.skin_pulse(traces, 25.0), by_hand, atol=1e-12)


@pytest.mark.parametrize("window", [64, 128])
def test_map_shows_the_rate_in_its_spectrum_rows(window):
    image = ppg.ppg_map(region_traces(window, bpm=120.0), 25.0, window)
    assert image.shape == (64, window) and image.dtype == np.float32
    assert image.min() >= 0 and image.max() <= 1
    found = np.linspace(*ppg.BAND, window)[image[32:].argmax(axis=1)]
    assert np.median(np.abs(found - 2.0)) < 0.15
    np.testing.assert_allclose(image[32:].max(axis=1), 1)
    assert np.abs(image[:32].mean(axis=1) - 0.5).max() < 0.1


def test_map_keeps_a_dead_region_dead():
    traces = region_traces()
    traces[:, 5], traces[:, 6] = 0, 120
    image = ppg.ppg_map(traces, 25.0, 64)
    assert (image[5:7] == 0.5).all() and (image[37:39] == 0).all() and np.isfinite(image).all()


def test_regions_are_the_cells_of_the_face():
    y, x = np.mgrid[:96, :96]
    crops = np.repeat(np.stack([x, y, 0 * x], -1)[None], 3, axis=0).astype(np.uint8)
    traces = ppg.region_traces(crops, flat_face())
    half = (86 - 10) / 2 * (1 - ppg.INSET)
    columns = 48 + half * np.array([-0.75, -0.25, 0.25, 0.75])
    np.testing.assert_allclose(traces[0, :, 0], np.tile(columns, 8), atol=1e-3)
    np.testing.assert_allclose(traces[0, :, 1], np.repeat(13 + 10 * np.arange(8), 4), atol=1e-3)
    assert traces.shape == (3, 32, 3) and not traces[..., 2].any()


def test_regions_outside_the_crop_read_its_edge():
    traces = ppg.region_traces(np.full((3, 32, 32, 3), 7, np.uint8), flat_face())
    np.testing.assert_allclose(traces, 7, rtol=1e-5)


def test_skin_pulse_is_the_mean_over_its_rows_alone():
    traces = region_traces()
    regions = [4 * row + column for row in ppg.SKIN_ROWS for column in range(4)]
    skin = [ppg.chrom(traces[:, region], 25.0) for region in regions]
    np.testing.assert_allclose(ppg.skin_pulse(traces, 25.0), np.mean(skin, axis=0), atol=1e-12)


def spoiled(value):
    rgb = trace()
    rgb[10, 1] = value
    return rgb


@pytest.mark.parametrize(
    ("rgb", "fps", "message"),
    [
        (np.full((64, 3), 9.0), 25.0, "constant"),
        (spoiled(np.nan), 25.0, "NaN"),
        (spoiled(np.inf), 25.0, "NaN"),
        (trace(n=39), 25.0, "39 frames"),
        (trace(), 8.0, "frames/s"),
        (trace(), np.nan, "frames/s"),
        (trace()[:, :2], 25.0, "shape"),
        (np.empty((0, 3)), 25.0, "0 frames"),
    ],
)
def test_what_has_no_pulse_is_refused(rgb, fps, message):
    with pytest.raises(InputError, match=message):
        ppg.chrom(rgb, fps)


@pytest.mark.parametrize(
    "signal", [np.zeros(64), np.full(64, np.nan), np.zeros(10), np.zeros(0), np.zeros((64, 2))]
)
def test_heart_rate_refuses_what_is_no_signal(signal):
    with pytest.raises(InputError):
        ppg.heart_rate(signal, 25.0)


def test_maps_and_regions_refuse_wrong_shapes():
    with pytest.raises(InputError, match="64 frames"):
        ppg.ppg_map(region_traces(50), 25.0, 64)
    with pytest.raises(InputError, match="constant"):
        ppg.ppg_map(np.full((64, 32, 3), 3.0), 25.0, 64)
    with pytest.raises(InputError, match="uint8"):
        ppg.region_traces(np.zeros((3, 32, 32, 3), np.float32), flat_face())
    with pytest.raises(InputError, match="landmarks"):
        ppg.region_traces(np.zeros((2, 32, 32, 3), np.uint8), flat_face())
    with pytest.raises(InputError, match="finite"):
        ppg.region_traces(np.zeros((3, 32, 32, 3), np.uint8), flat_face() * np.nan)
