"""Sound: voices that follow the mouth, and mel columns that follow the frames."""

import numpy as np
import pytest
from scipy import signal
from scipy.ndimage import uniform_filter1d

from deepfake_uncertainty.benchmark.renderer import performance, render, voice
from deepfake_uncertainty.errors import InputError

MAN, WOMAN = voice.Speaker(110.0, 17.0), voice.Speaker(220.0, 14.5)


def held(opening, spread=0.0, n=50):
    """The expression of a mouth that holds one shape."""
    return np.stack([np.full(n, opening), np.full(n, spread), *np.zeros((3, n))], 1)


def say(expression, speaker=MAN, seed=0):
    return voice.voice(expression, 25.0, np.random.default_rng(seed), speaker)


def centroid(sound, low, high):
    """The mean frequency in Hz of a sound between two frequencies."""
    hertz, power = signal.welch(sound, voice.RATE, nperseg=min(1024, len(sound)))
    band = (hertz > low) & (hertz < high)
    return (hertz * power)[band].sum() / power[band].sum()


def test_a_closed_mouth_is_silent_and_an_open_one_sounds():
    expression = held(0.0)
    assert not say(expression).any()
    expression[20:30, 0] = 0.8
    sound = say(expression)
    assert sound.dtype == np.float32 and sound.shape == (2 * voice.RATE,)
    assert np.abs(sound).max() <= 1
    frame = np.arange(len(sound)) / 640
    assert not sound[(frame < 19) | (frame > 30)].any()
    assert sound[(frame > 20) & (frame < 29)].std() > 0.1


@pytest.mark.parametrize("speaker", [MAN, WOMAN])
def test_the_loudness_is_the_mouths_opening(speaker):
    expression = performance.perform(np.random.default_rng(3), 200, 25.0)["expression"]
    envelope = np.sqrt(uniform_filter1d(np.float64(say(expression, speaker)) ** 2, 640).clip(0))
    assert np.corrcoef(envelope[np.arange(200) * 640], expression[:, 0])[0, 1] > 0.9


def test_formants_move_with_the_mouth_and_are_heard_in_the_sound():
    shapes = (0.1, -0.5), (1.0, 0.5)
    low, high = (voice.formants(np.array([o]), np.array([s]), 17.0)[0] for o, s in shapes)
    assert high[0] > low[0] + 300 and high[1] > low[1] + 300
    assert centroid(say(held(0.9)), 200, 1000) > centroid(say(held(0.1)), 200, 1000) + 100
    spread, round_ = (centroid(say(held(0.5, s)), 1000, 2200) for s in (0.8, -0.3))
    assert spread > round_ + 100


@pytest.mark.parametrize("speaker", [MAN, WOMAN])
def test_the_pitch_is_the_speakers(speaker):
    sound = say(held(0.6), speaker)[1000:]
    lags = np.arange(voice.RATE // 300, voice.RATE // 70)
    best = lags[np.argmax([sound[lag:] @ sound[:-lag] / len(sound[lag:]) for lag in lags])]
    assert voice.RATE / best == pytest.approx(speaker.f0, rel=0.2)


def test_lips_that_part_or_meet_make_noise():
    """Noise has its power higher up than a voice has."""
    expression = held(0.0, n=50)
    expression[10:40, 0] = 0.5
    sound = say(expression)
    parting, speaking = sound[int(9.15 * 640) : int(9.5 * 640)], sound[8000:24000]
    assert centroid(parting, 100, 7900) > 1.5 * centroid(speaking, 100, 7900)


def test_the_same_arguments_give_the_same_sound_and_others_another():
    expression = held(0.5)
    assert np.array_equal(say(expression), say(expression))
    assert not np.array_equal(say(expression), say(expression, seed=1))
    assert not np.array_equal(say(expression), say(expression, WOMAN))


def test_speakers_lie_in_their_ranges():
    rng = np.random.default_rng(0)
    men, women = ([voice.speaker(rng, male) for _ in range(50)] for male in (True, False))
    assert {s.gender for s in men} == {"men"} and {s.gender for s in women} == {"women"}
    assert max(s.f0 for s in men) < min(s.f0 for s in women)
    assert min(s.tract for s in men) > max(s.tract for s in women)


def test_a_rendered_person_has_a_voice_of_the_clips_length_and_no_beard_with_a_high_voice():
    clip = render.render_clip(2, 0, n_frames=10, size=32)
    assert clip.truth["sound"].shape == (6400,) and clip.truth["expression"].shape == (10, 5)
    people = [render.person(number, 0) for number in range(60)]
    assert clip.truth["parameters"] == people[2] | {"fps": 25.0, "size": 32}
    women = [p for p in people if voice.Speaker(**p["speaker"]).gender == "women"]
    assert 15 < len(women) < 45 and {p["beard"] for p in women} == {"none"}


@pytest.mark.parametrize("band", [3, 8, 15])
def test_a_tone_peaks_in_its_mel_band(band):
    hertz = np.fft.rfftfreq(voice.WINDOW, 1 / voice.RATE)[voice.mel_filters()[band].argmax()]
    tone = 0.5 * np.sin(2 * np.pi * hertz * np.arange(voice.RATE) / voice.RATE)
    columns = voice.log_mel(tone, 25.0, 25)
    assert columns.shape == (25, 20) and columns.dtype == np.float32
    assert (columns.argmax(1) == band).all()


def test_mel_columns_stand_on_their_frames_and_silence_is_the_floor():
    click = np.zeros(voice.RATE, np.float32)
    click[round(7 / 30 * voice.RATE)] = 1
    loud = voice.log_mel(click, 30.0, 30).sum(1)
    assert loud.argmax() == 7 and loud[6] == pytest.approx(loud[8], abs=0.5)
    silence = voice.log_mel(np.zeros(10), 25.0, 50)
    np.testing.assert_allclose(silence, np.log(voice.FLOOR), rtol=1e-6)
    sounds = (np.zeros((2, 9)), 25.0, 3), (np.zeros(0), 25.0, 3)
    for wrong in (*sounds, (click, 0.0, 3), (click, 25.0, 0)):
        with pytest.raises(InputError, match="log_mel"):
            voice.log_mel(*wrong)
