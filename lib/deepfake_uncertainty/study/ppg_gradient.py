"""`ppg` again in PyTorch, so that a gradient runs from a PPG map to the pixels: colour means, CHROM, signals and spectra.

The filters are linear, so their matrices are read off SciPy's own; the tests hold the maps against `ppg`.
"""

import functools

import numpy as np
import torch
from scipy import signal as dsp
from torch.nn import functional

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.signals import ppg

TINY = 1e-24  # a constant row has no spread, and the root no slope at 0


def cell_points(landmarks, size):
    """Return the sampling points float32 (F, 32, P, 2), in px of crops of `size`, of landmarks (F, 468, 2): as `ppg` has them."""
    landmarks = np.asarray(landmarks, np.float32)
    if landmarks.ndim != 3 or landmarks.shape[1:] != (468, 2) or not np.isfinite(landmarks).all():
        raise InputError(f"landmarks of shape {landmarks.shape}: PPG needs finite (F, 468, 2) in crop px")
    left, middle, right = np.moveaxis(landmarks[:, ppg.LINES], 2, 0)
    left, right = left + ppg.INSET * (middle - left), right + ppg.INSET * (middle - right)
    grid = np.stack([left, (left + middle) / 2, middle, (middle + right) / 2, right], axis=2)
    steps = max(8, size // 8)
    v, u = np.meshgrid(*2 * [(np.arange(steps) + 0.5) / steps], indexing="ij")
    weights = np.stack([(1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u]).reshape(4, -1)
    corners = np.stack([grid[:, :-1, :-1], grid[:, :-1, 1:], grid[:, 1:, :-1], grid[:, 1:, 1:]])
    points = np.einsum("kp,kfrcx->frcpx", weights, corners).reshape(len(landmarks), ppg.REGIONS, -1, 2)
    return torch.from_numpy(points.clip(0, size - 1.001).astype(np.float32))


def region_traces(crops, points):
    """Return the mean colour (F, 32, 3) of the face sub-regions in the units of crops (F, 3, S, S), at `cell_points`."""
    size = crops.shape[-1]
    places = points.to(crops) * 2 / (size - 1) - 1
    sampled = functional.grid_sample(crops, places, mode="bilinear", align_corners=True)
    return sampled.mean(-1).transpose(1, 2)


@functools.cache
def _filters(count, fps):
    """Return the bandpass (F, F), the spectrum's interpolation (K, F) and the windows of CHROM of `count` frames at `fps`."""
    sections = dsp.butter(3, ppg.BAND, "bandpass", fs=fps, output="sos")
    bandpass = dsp.sosfiltfilt(sections, np.eye(count), axis=0).copy()  # it comes reversed, which torch refuses
    frequency = np.fft.rfftfreq(8 * count, 1 / fps)
    columns = np.linspace(*ppg.BAND, count)
    reading = np.stack([np.interp(columns, frequency, row) for row in np.eye(len(frequency))])
    length = 2 * int(np.ceil(ppg.CHROM_SECONDS * fps / 2))
    hann = dsp.windows.hann(length + 1)[:length] + 1e-3
    starts = [*range(0, count - length, length // 2), count - length]
    return torch.from_numpy(bandpass), torch.from_numpy(reading), torch.from_numpy(hann), starts


def _spread(signal, axis):
    return (signal.var(axis, correction=0) + TINY).sqrt()


def _pulses(traces, fps):
    """Return CHROM signals (F, K) of traces float64 (F, K, 3), as `ppg` does."""
    bandpass, _, hann, starts = _filters(len(traces), fps)
    filtered = torch.einsum("fg,gkc->fkc", bandpass.to(traces), traces)
    pulse, weight = torch.zeros_like(traces[..., 0]), torch.zeros_like(traces[:, :1, 0])
    for start in starts:
        part = slice(start, start + len(hann))
        mean = traces[part].mean(0)
        red, green, blue = (filtered[part] / mean.clamp_min(1e-6)).unbind(-1)
        x, y = 3 * red - 2 * green, 1.5 * red + green - 1.5 * blue
        window = x - _spread(x, 0) / _spread(y, 0) * y
        lead = functional.pad(hann.to(traces)[:, None] * window, (0, 0, start, len(traces) - part.stop))
        pulse, weight = pulse + lead, weight + functional.pad(hann.to(traces)[:, None], (0, 0, start, len(traces) - part.stop))
    return pulse / weight


def _spectra(pulses, fps):
    """Return Welch spectra (K, F) of pulses (K, F), as `ppg` does: two Hann segments, each row's peak at 1."""
    count = pulses.shape[1]
    size, reading = count * 3 // 4, _filters(count, fps)[1].to(pulses)
    segments = pulses.unfold(1, size, size - count // 2)
    segments = segments - segments.mean(-1, keepdim=True)
    hann = torch.from_numpy(dsp.windows.hann(size, sym=False)).to(pulses)
    power = torch.fft.rfft(segments * hann, n=8 * count).abs().square().mean(1)
    rows = power @ reading
    return rows / rows.amax(1, keepdim=True).clamp_min(TINY)


def ppg_map(traces, fps):
    """Return the PPG map (64, F) in [0, 1], differentiable, of traces (F, 32, 3) at fps frames/s: as `ppg.ppg_map`."""
    pulses = _pulses(traces.double(), fps).T
    # torch's median is the lower of the two in the middle, NumPy's their mean.
    spread = _spread(pulses, 1)
    signals = (0.5 + pulses / (6 * spread.quantile(0.5))).clamp(0, 1)
    return torch.cat([signals, _spectra(pulses, fps)]).float()
