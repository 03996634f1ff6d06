"""Sound: speech-like voices that follow the mouth, and the mel spectra that a generator reads.

A glottal pulse train (Rosenberg 1971) passes three formant resonators in cascade (Klatt 1980). The
formants follow the opening and the spread of the mouth. The loudness follows the opening, and
bursts of noise mark the moments where the lips part and meet.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from scipy import ndimage, signal

from deepfake_uncertainty.benchmark.renderer.performance import wander
from deepfake_uncertainty.datasets.video import SOUND_RATE
from deepfake_uncertainty.errors import InputError

RATE = SOUND_RATE
CLOSED = 0.03  # mouth opening below which there is silence
MALE_F0, FEMALE_F0 = (85.0, 150.0), (170.0, 255.0)  # Hz
MALE_TRACT, FEMALE_TRACT = (16.0, 18.0), (13.5, 15.5)  # cm
BANDWIDTHS = np.array([80.0, 100.0, 140.0])  # Hz
# Root mean square at the widest opening. The peaks of a pulse train are 4 to 5 times as high and
# stay below 1.
LOUDNESS = 0.2
BURST = 0.03  # s
N_MELS, WINDOW, BAND = 20, 1024, (60.0, 7600.0)  # bands, samples, Hz
FLOOR = 1e-8  # energy that counts as silence: about that of 16-bit rounding


class Speaker(NamedTuple):
    """A voice: fundamental frequency f0 in Hz and length of the vocal tract in cm."""

    f0: float
    tract: float

    @property
    def gender(self) -> str:
        """'men' or 'women', as in FakeAVCeleb, by the range that f0 lies in."""
        return "men" if self.f0 < (MALE_F0[1] + FEMALE_F0[0]) / 2 else "women"


def speaker(rng: np.random.Generator, male: bool) -> Speaker:
    """Return the Speaker of one person, in the male or the female range of f0 and tract length."""
    f0, tract = (MALE_F0, MALE_TRACT) if male else (FEMALE_F0, FEMALE_TRACT)
    return Speaker(float(rng.uniform(*f0)), float(rng.uniform(*tract)))


def voice(
    expression: np.ndarray, fps: float, rng: np.random.Generator, speaker: Speaker
) -> np.ndarray:
    """Return the sound float32 (S,) in [-1, 1] of `speaker` at 16 kHz, S = round(16000 F / fps).

    `expression` (F, 5) comes from `performance.perform`; frame k is at k / fps. The sound is
    silent where the mouth is closed.
    """
    n = len(expression)
    frame = np.arange(round(n * RATE / fps)) * (fps / RATE)
    opening, spread = (np.interp(frame, np.arange(n), expression[:, k]) for k in (0, 1))
    pitch = speaker.f0 * 2 ** (0.1 * np.interp(frame, np.arange(n), wander(rng, n, fps, 0.4)))
    breath = rng.standard_normal(len(frame))
    source = glottis(pitch) + 0.02 * breath
    voiced = resonate(source, formants(opening, spread, speaker.tract), BANDWIDTHS)
    edge = burst(opening)
    carrier = (1 - edge) * _level(voiced) + edge * _level(signal.lfilter([1, -0.95], 1, breath))
    loudness = np.where(opening > CLOSED, opening, 0)
    return np.clip(LOUDNESS * loudness * carrier, -1, 1).astype(np.float32)


def glottis(pitch: np.ndarray) -> np.ndarray:
    """Return the derivative (S,) of the glottal air flow with frequency `pitch` (S,) Hz."""
    phase = np.cumsum(pitch / RATE) % 1
    rising = 0.5 - 0.5 * np.cos(np.pi * phase / 0.4)
    falling = np.cos(np.pi / 2 * (phase - 0.4) / 0.16)
    return np.diff(np.where(phase < 0.4, rising, np.where(phase < 0.56, falling, 0)), prepend=0)


def formants(opening: np.ndarray, spread: np.ndarray, tract: float) -> np.ndarray:
    """Return the formants (S, 3) in Hz of a mouth `opening` and `spread` (S,).

    An open jaw raises the first, spread lips the second, and a short `tract` (cm) all.
    """
    first = 280 + 500 * np.clip(opening, 0, 1)
    second = 1450 + 550 * np.clip(spread, -1, 1) - 150 * np.clip(opening, 0, 1)
    return np.stack([first, second, np.full_like(first, 2550.0)], 1) * (17 / tract)


@njit(cache=True, nogil=True)
def resonate(source: np.ndarray, frequencies: np.ndarray, bandwidths: np.ndarray) -> np.ndarray:
    """Return `source` (S,) after a cascade of resonators.

    They are at `frequencies` (S, K) Hz and `bandwidths` (K,) Hz wide.
    """
    out = source.copy()
    for k in range(len(bandwidths)):
        c = -np.exp(-2 * np.pi * bandwidths[k] / RATE)
        before, last = 0.0, 0.0
        for i in range(len(out)):
            b = 2 * np.sqrt(-c) * np.cos(2 * np.pi * frequencies[i, k] / RATE)
            before, last = last, (1 - b - c) * out[i] + b * last + c * before
            out[i] = last
    return out


def burst(opening: np.ndarray) -> np.ndarray:
    """Return weights (S,) in [0, 1] that are 1 where the mouth has just parted or is about to meet.

    `opening` is (S,).
    """
    closed = np.pad(opening <= CLOSED, 1, constant_values=True)
    distance = ndimage.distance_transform_edt(~closed)[1:-1] / RATE
    return np.clip(1 - distance / BURST, 0, 1) * (opening > CLOSED)


def _level(sound: np.ndarray) -> np.ndarray:
    """Return the sound at a root mean square of 1 in every 30 ms.

    The loudness then depends on the mouth's opening only, not on the formants.
    """
    power = ndimage.uniform_filter1d(sound**2, round(0.03 * RATE), mode="nearest")
    return sound / np.sqrt(power + 1e-12)


def mel_filters() -> np.ndarray:
    """Return triangular filters (20, WINDOW / 2 + 1) evenly spaced in mel from 60 to 7600 Hz."""
    lowest, highest = 2595 * np.log10(1 + np.array(BAND) / 700)
    edges = 700 * (10 ** (np.linspace(lowest, highest, N_MELS + 2) / 2595) - 1)
    hertz = np.fft.rfftfreq(WINDOW, 1 / RATE)
    low, centre, high = (edges[i : i + N_MELS, None] for i in range(3))
    rising, falling = (hertz - low) / (centre - low), (high - hertz) / (high - centre)
    return np.clip(np.minimum(rising, falling), 0, None)


def log_mel(sound: np.ndarray, fps: float, n_frames: int) -> np.ndarray:
    """Return the natural logs of mel energies, float32 (n_frames, 20), of `sound` (S,) at 16 kHz.

    Window k is 64 ms long and centred at k / fps. Silence gives log(1e-8). Samples outside the
    sound are silent. Raises InputError for an empty sound and for values that are not positive.
    """
    sound = np.asarray(sound)
    if sound.ndim != 1 or not sound.size or not fps > 0 or n_frames < 1:
        raise InputError(
            f"log_mel of {sound.shape} at {fps} frames/s, {n_frames} frames: "
            "give sound (S,), and fps and n_frames above 0"
        )
    starts = np.round(np.arange(n_frames) * RATE / fps).astype(int)
    padded = np.pad(sound, (WINDOW // 2, max(0, starts[-1] + WINDOW // 2 - len(sound))))
    hann = signal.get_window("hann", WINDOW)
    pieces = padded[starts[:, None] + np.arange(WINDOW)] * hann
    power = np.abs(np.fft.rfft(pieces)) ** 2 / (WINDOW * (hann**2).sum())
    return np.log(power @ mel_filters().T + FLOOR).astype(np.float32)
