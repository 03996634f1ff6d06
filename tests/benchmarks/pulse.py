"""Speed of PPG maps; the peer is a plain NumPy version of their equations."""

from collections.abc import Iterator

import numpy as np
from benchmarks.runner import Entry
from scipy import signal as dsp

from deepfake_uncertainty.signals import ppg

FPS = 25.0


def clip(n: int, size: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Return crops uint8 (n, size, size, 3) of noise, and landmarks float32 (n, 468, 2) px."""
    rng = np.random.default_rng(0)
    crops = rng.integers(60, 200, (n, size, size, 3), np.uint8)
    points = np.zeros((n, 468, 2), np.float32)
    for row, line in enumerate(ppg.LINES):
        points[:, line, 0] = size * np.array([0.2, 0.5, 0.8])
        points[:, line, 1] = size * (0.1 + 0.1 * row)
    return crops, points + rng.normal(0, 0.5, points.shape).astype(np.float32)


def ours(crops: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Return the PPG map (64, F) of a clip by the library."""
    return ppg.ppg_map(ppg.region_traces(crops, landmarks), FPS, len(crops))


def traces(crops: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Return mean colours (F, 32, 3): the mean of a bilinear picture of each quadrilateral."""
    steps = max(8, crops.shape[1] // 8)
    v, u = np.meshgrid(*[(np.arange(steps) + 0.5) / steps] * 2, indexing="ij")
    corners = np.stack([(1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u])
    found = []
    for picture, points in zip(crops.astype(float), landmarks.astype(float), strict=True):
        left, middle, right = np.moveaxis(points[ppg.LINES], 1, 0)
        left, right = left + ppg.INSET * (middle - left), right + ppg.INSET * (middle - right)
        grid = np.stack([left, (left + middle) / 2, middle, (middle + right) / 2, right], 1)
        for row, column in np.ndindex(ppg.ROWS, ppg.COLUMNS):
            quad = grid[row : row + 2, column : column + 2].reshape(4, 2)
            x, y = np.clip(np.tensordot(quad.T, corners, 1), 0, crops.shape[1] - 1.001)
            i, j = y.astype(int), x.astype(int)
            a, b = (x - j)[..., None], (y - i)[..., None]
            top, low = ((1 - a) * picture[r, j] + a * picture[r, j + 1] for r in (i, i + 1))
            found.append(((1 - b) * top + b * low).mean((0, 1)))
    return np.reshape(found, (len(crops), ppg.REGIONS, 3))


def chrom(rgb: np.ndarray) -> np.ndarray:
    """Return the CHROM signal (F,) of one colour trace (F, 3), window by window."""
    length = 2 * int(np.ceil(ppg.CHROM_SECONDS * FPS / 2))
    band = dsp.butter(3, ppg.BAND, "bandpass", fs=FPS, output="sos")
    filtered = dsp.sosfiltfilt(band, rgb, axis=0)
    hann = dsp.windows.hann(length + 1)[:length] + 1e-3
    pulse, weight = np.zeros(len(rgb)), np.zeros(len(rgb))
    for start in [*range(0, len(rgb) - length, length // 2), len(rgb) - length]:
        part = slice(start, start + length)
        red, green, blue = (filtered[part] / rgb[part].mean(0)).T
        x, y = 3 * red - 2 * green, 1.5 * red + green - 1.5 * blue
        pulse[part] += hann * (x - x.std() / y.std() * y)
        weight[part] += hann
    return pulse / weight


def peer(crops: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Return the PPG map (64, F) of a clip, region by region."""
    n, pulses = len(crops), [chrom(trace) for trace in np.moveaxis(traces(crops, landmarks), 1, 0)]
    spread = np.median([pulse.std() for pulse in pulses])
    spectra = []
    for pulse in pulses:
        frequency, density = dsp.welch(pulse, FPS, nperseg=n * 3 // 4, noverlap=n // 2, nfft=8 * n)
        row = np.interp(np.linspace(*ppg.BAND, n), frequency, density)
        spectra.append(row / row.max())
    return np.concatenate([np.clip(0.5 + np.array(pulses) / (6 * spread), 0, 1), spectra])


def entries(small: bool) -> Iterator[Entry]:
    """Yield the entry: a PPG map of 128 frames of 128 x 128 from its landmarks."""
    crops, landmarks = clip(48 if small else 128)
    yield Entry(
        "PPG map, 128 frames of 128 x 128",
        lambda: ours(crops, landmarks),
        "plain NumPy",
        lambda: peer(crops, landmarks),
        5,
    )
