"""Photoplethysmography: the pulse in the colour of the skin, and the PPG maps of FakeCatcher.

FakeCatcher (Ciftci, Demir, Yin 2020) divides the aligned face into 32 sub-regions. Here they are
8 rows from the forehead to the chin by 4 columns. Each gives a chrominance signal (CHROM, de Haan &
Jeanne 2013) and its Welch spectrum.
"""

import numpy as np
from numba import njit
from numpy.typing import ArrayLike
from scipy import signal as dsp

from deepfake_uncertainty.errors import InputError

BAND = 0.7, 4.0  # Hz: 42 to 240 beats per minute
# Length in s of the windows in which CHROM weighs its two chrominances (de Haan & Jeanne 2013).
CHROM_SECONDS = 1.6
ROWS, COLUMNS = 8, 4
REGIONS = ROWS * COLUMNS

# Face-mesh landmarks (left contour, midline, right contour) of the 9 lines between the rows, from
# the forehead to the chin. The midline keeps the halves of the face apart when the head turns.
LINES = np.array([
    (103, 151, 332), (54, 9, 284), (162, 168, 389),
    (127, 197, 356), (234, 4, 454), (93, 2, 323),
    (132, 0, 361), (172, 17, 397), (150, 199, 379),
])  # fmt: skip
# The contour moves by this share towards the midline: its own pixels mix with the background.
INSET = 0.12
# Brows, eyes and mouth move and hold little pulse, and the jaw may have a beard: the signal of the
# whole face leaves their rows out.
SKIN_ROWS = 0, 3, 4, 5


def region_traces(crops: ArrayLike, landmarks: ArrayLike) -> np.ndarray:
    """Return the mean colour float32 (F, 32, 3), RGB in [0, 255], of the 32 face sub-regions.

    They go row by row from the forehead. crops uint8 (F, S, S, 3); landmarks (F, 468, 2) in crop
    px. Raises InputError for other shapes or NaN landmarks.
    """
    crops, landmarks = np.asarray(crops), np.asarray(landmarks, np.float32)
    if crops.ndim != 4 or crops.shape[3] != 3 or crops.dtype != np.uint8 or not len(crops):
        raise InputError(
            f"crops of shape {crops.shape}, {crops.dtype}: PPG needs uint8 (F, S, S, 3) with F >= 1"
        )
    if landmarks.shape != (len(crops), 468, 2) or not np.isfinite(landmarks).all():
        raise InputError(
            f"landmarks of shape {landmarks.shape}:"
            f" PPG needs finite ({len(crops)}, 468, 2) in crop px"
        )
    left, middle, right = np.moveaxis(landmarks[:, LINES], 2, 0)
    left, right = left + INSET * (middle - left), right + INSET * (middle - right)
    grid = np.stack([left, (left + middle) / 2, middle, (middle + right) / 2, right], axis=2)
    return _cell_means(np.ascontiguousarray(crops), grid, max(8, crops.shape[1] // 8))


@njit(cache=True)
def _cell_means(crops: np.ndarray, grid: np.ndarray, steps: int) -> np.ndarray:
    """Return the mean colour float32 (F, 32, 3) of the quadrilaterals of grid (F, 9, 5, 2).

    It averages steps x steps bilinear samples of each: the face mapped to a rectangle.
    """
    n_frames, height, width = crops.shape[:3]
    means = np.zeros((n_frames, REGIONS, 3), np.float32)
    for frame in range(n_frames):
        image = crops[frame]
        for cell in range(REGIONS):
            row, column = cell // COLUMNS, cell % COLUMNS
            corners = grid[frame, row : row + 2, column : column + 2]
            xs, ys = corners[:, :, 0], corners[:, :, 1]
            for i in range(steps):
                v = (i + 0.5) / steps
                for j in range(steps):
                    u = (j + 0.5) / steps
                    nw, ne, sw, se = (1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u
                    x = nw * xs[0, 0] + ne * xs[0, 1] + sw * xs[1, 0] + se * xs[1, 1]
                    y = nw * ys[0, 0] + ne * ys[0, 1] + sw * ys[1, 0] + se * ys[1, 1]
                    x, y = min(max(x, 0.0), width - 1.001), min(max(y, 0.0), height - 1.001)
                    x0, y0 = int(x), int(y)
                    a, b = x - x0, y - y0
                    for c in range(3):
                        top = (1 - a) * image[y0, x0, c] + a * image[y0, x0 + 1, c]
                        low = (1 - a) * image[y0 + 1, x0, c] + a * image[y0 + 1, x0 + 1, c]
                        means[frame, cell, c] += (1 - b) * top + b * low
    return means / steps**2


def skin_pulse(traces: ArrayLike, fps: float) -> np.ndarray:
    """Return the CHROM signal float64 (F,) of a face from region traces (F, 32, 3).

    It is the mean over the regions of forehead, cheeks and nose. fps in frames/s. Raises InputError
    as `chrom` does.
    """
    traces = np.asarray(traces)
    rows = traces.reshape(len(traces), ROWS, COLUMNS, 3)[:, SKIN_ROWS, :]
    # Each region has its own chrominance balance: the codec and the motion disturb each
    # differently, but the pulse is the same in all.
    return _pulses(rows.reshape(len(traces), -1, 3), fps).mean(axis=1)


def chrom(rgb: ArrayLike, fps: float) -> np.ndarray:
    """Return the CHROM pulse signal float64 (F,) of a colour trace (F, 3) at fps frames/s.

    It rises with blood volume, and its mean is near 0. Raises InputError for a trace that is
    constant, grey, not finite or negative, shorter than 1.6 s or 24 frames, or of 8 frames/s or
    fewer (de Haan & Jeanne 2013).
    """
    rgb = np.asarray(rgb, float)
    if rgb.ndim != 2 or rgb.shape[1] != 3:
        raise InputError(f"colour trace of shape {rgb.shape}: CHROM needs (F, 3)")
    return _pulses(rgb[:, None], fps)[:, 0]


def _pulses(traces: ArrayLike, fps: float) -> np.ndarray:
    """Return CHROM signals (F, K) of traces (F, K, 3).

    A constant trace gives zeros if others vary.
    """
    traces = np.asarray(traces, float)
    length = _window_length(traces, fps)
    sections = dsp.butter(3, BAND, "bandpass", fs=fps, output="sos")
    pulses = _overlap_add(traces, dsp.sosfiltfilt(sections, traces, axis=0), length)
    pulses[:, np.ptp(traces, axis=0).max(axis=-1) == 0] = 0
    # A billionth of the light is a rounding error, as in a film without colour.
    if pulses.std(axis=0).max() < 1e-9:
        raise InputError(
            "no colour changes in this clip, as in a black-and-white one: a pulse needs colour"
        )
    return pulses


def _window_length(traces: np.ndarray, fps: float) -> int:
    """Return the length in frames of a CHROM window.

    Raises InputError for traces that cannot contain a pulse.
    """
    if not np.isfinite(fps) or fps <= 2 * BAND[1]:
        raise InputError(
            f"{fps} frames/s: a pulse of up to {BAND[1]:g} Hz needs more than {2 * BAND[1]:g}"
        )
    length = 2 * int(np.ceil(CHROM_SECONDS * fps / 2))
    shortest = max(length, 24)
    if len(traces) < shortest:
        raise InputError(
            f"trace of {len(traces)} frames at {fps:g} frames/s: CHROM needs {shortest} or more"
        )
    if not np.isfinite(traces).all() or traces.min() < 0:
        raise InputError(
            "colour trace holds NaN, infinite or negative values:"
            " check its source, the crops and landmarks"
        )
    if not np.ptp(traces, axis=0).any():
        raise InputError(
            "colour trace is constant: a still picture has no pulse, give a clip that moves"
        )
    return length


def _overlap_add(traces: np.ndarray, filtered: np.ndarray, length: int) -> np.ndarray:
    """Return CHROM (F, K) of traces (F, K, 3) and of their bandpass `filtered` (F, K, 3).

    It is computed in half-overlapping Hann windows of `length` frames.
    """
    pulse, weight = np.zeros(traces.shape[:2]), np.zeros((len(traces), 1))
    # The small constant gives the ends of the clip a weight above zero.
    hann = dsp.windows.hann(length + 1)[:length, None] + 1e-3
    for start in [*range(0, len(traces) - length, length // 2), len(traces) - length]:
        part = slice(start, start + length)
        pulse[part] += hann * _window(traces[part].mean(axis=0), filtered[part])
        weight[part] += hann
    return pulse / weight


def _window(mean: np.ndarray, filtered: np.ndarray) -> np.ndarray:
    """Return x - (std x / std y) y (L, K) of one window.

    x and y are the chrominances of the filtered colour (L, K, 3), relative to its mean (K, 3).
    """
    # One mean per window: a mean that moves with the frame would be a filter of its own. One of
    # 1.6 s amplifies rates about 54 beats/min.
    zeros = np.zeros_like(filtered)
    relative = np.divide(filtered, mean, out=zeros, where=mean > 0)
    red, green, blue = np.moveaxis(relative, -1, 0)
    x, y = 3 * red - 2 * green, 1.5 * red + green - 1.5 * blue
    spread = y.std(axis=0)
    return x - np.divide(x.std(axis=0), spread, out=np.zeros_like(spread), where=spread > 1e-12) * y


def ppg_map(traces: ArrayLike, fps: float, window: int) -> np.ndarray:
    """Return the PPG map float32 (64, window) in [0, 1] (Ciftci, Demir, Yin 2020).

    It holds 32 pulse signals, whose zero is at 0.5, then their 32 spectra. traces (window, 32, 3)
    are at fps frames/s. The columns of a spectrum run from 0.7 to 4 Hz; each row is divided by its
    own peak. Raises InputError for other shapes, and as `chrom` does.
    """
    traces = np.asarray(traces, float)
    if traces.shape != (window, REGIONS, 3):
        raise InputError(
            f"traces of shape {traces.shape}:"
            f" a PPG map of {window} frames needs ({window}, {REGIONS}, 3)"
        )
    pulses = _pulses(traces, fps).T
    # One scale for all rows shows which regions pulse strongly. It is a median, so that a blinking
    # eye does not set it.
    spread = pulses.std(axis=1)
    signals = np.clip(0.5 + pulses / (6 * np.median(spread[spread > 0])), 0, 1)
    return np.concatenate([signals, _spectra(pulses, fps)]).astype(np.float32)


def _spectra(pulses: np.ndarray, fps: float) -> np.ndarray:
    """Return Welch spectra (K, window) of pulses (K, window), the peak of each row at 1.

    The columns are evenly spaced from 0.7 to 4 Hz.
    """
    window = pulses.shape[1]
    # Two segments of three quarters: shorter ones would blur the heart rate over the band.
    length, overlap = window * 3 // 4, window // 2
    frequency, density = dsp.welch(pulses, fps, nperseg=length, noverlap=overlap, nfft=8 * window)
    columns = np.linspace(*BAND, window)
    rows = np.array([np.interp(columns, frequency, row) for row in density])
    peak = rows.max(axis=1, keepdims=True)
    return np.divide(rows, peak, out=np.zeros_like(rows), where=peak > 0)


def heart_rate(signal: ArrayLike, fps: float) -> tuple[float, float]:
    """Return the heart rate in beats/min and the signal-to-noise ratio in dB of a pulse signal.

    signal (F,) at fps frames/s. The rate is the peak of the periodogram in 0.7-4 Hz. The ratio
    compares the power near the rate and near its double with the rest of the band (de Haan & Jeanne
    2013). Raises InputError for a signal that is constant, not finite, or shorter than 1.6 s.
    """
    signal = np.asarray(signal, float)
    if signal.ndim != 1:
        raise InputError(f"pulse signal of shape {signal.shape}: a heart rate needs (F,)")
    _window_length(signal[:, None] - np.nanmin(signal, initial=np.inf), fps)
    # Steps of 0.1 beats/min or finer.
    n_bins = max(1 << int(np.ceil(np.log2(600 * fps))), 8 * len(signal))
    # Without a window, the peak is the most likely rate of one sine in white noise (Rife & Boorstyn
    # 1974), and a clip of a few beats has twice the resolution. The ratio needs the window: without
    # it, the leakage of the peak itself would count as noise.
    frequency, plain = dsp.periodogram(signal, fps, nfft=n_bins)
    _, power = dsp.periodogram(signal, fps, window="hann", nfft=n_bins)
    inside = (frequency >= BAND[0]) & (frequency <= BAND[1])
    frequency, power = frequency[inside], power[inside]
    peak = frequency[plain[inside].argmax()]
    width = max(0.1, 1.5 * fps / len(signal))  # Hz; a short clip cannot resolve the paper's 0.1
    near = (np.abs(frequency - peak) <= width) | (np.abs(frequency - 2 * peak) <= 2 * width)
    rest = max(power[~near].sum(), np.finfo(float).tiny)
    return float(60 * peak), float(10 * np.log10(power[near].sum() / rest))
