"""`ppg` in PyTorch: a gradient runs from a PPG map to the pixels.

It repeats the colour means, CHROM, the signals and the spectra. The filters are linear, so their
matrices are computed with SciPy itself; the tests compare the maps with those of `ppg`.
"""

import functools
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import signal as dsp
from torch.nn import functional

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.signals import ppg

TINY = 1e-24  # avoids a division by the spread of a constant row, and the slope of a root at 0


def cell_points(landmarks: ArrayLike, size: int) -> torch.Tensor:
    """Return the sampling points float32 (F, 32, P, 2) of `ppg`, in px of crops of `size` px.

    landmarks (F, 468, 2) in crop px. Raises InputError for other shapes or NaN.
    """
    landmarks = np.asarray(landmarks, np.float32)
    if landmarks.ndim != 3 or landmarks.shape[1:] != (468, 2) or not np.isfinite(landmarks).all():
        raise InputError(
            f"landmarks of shape {landmarks.shape}: PPG needs finite (F, 468, 2) in crop px"
        )
    left, middle, right = np.moveaxis(landmarks[:, ppg.LINES], 2, 0)
    left, right = left + ppg.INSET * (middle - left), right + ppg.INSET * (middle - right)
    grid = np.stack([left, (left + middle) / 2, middle, (middle + right) / 2, right], axis=2)
    steps = max(8, size // 8)
    v, u = np.meshgrid(*2 * [(np.arange(steps) + 0.5) / steps], indexing="ij")
    weights = np.stack([(1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u]).reshape(4, -1)
    corners = np.stack([grid[:, :-1, :-1], grid[:, :-1, 1:], grid[:, 1:, :-1], grid[:, 1:, 1:]])
    points = np.einsum("kp,kfrcx->frcpx", weights, corners)
    points = points.reshape(len(landmarks), ppg.REGIONS, -1, 2)
    return torch.from_numpy(points.clip(0, size - 1.001).astype(np.float32))


def region_traces(crops: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Return the mean colour (F, 32, 3) of the face sub-regions, in the units of the crops.

    crops (F, 3, S, S); points as of `cell_points`.
    """
    size = crops.shape[-1]
    places = points.to(crops) * 2 / (size - 1) - 1
    sampled = functional.grid_sample(crops, places, mode="bilinear", align_corners=True)
    return sampled.mean(-1).transpose(1, 2)


class _Filters(NamedTuple):
    """The linear steps of `ppg` as matrices float64.

    bandpass: (F, F). interpolation: (bins, F), for a spectrum. hann: (L,), a window of CHROM.
    starts: the first frames of the windows.
    """

    bandpass: torch.Tensor
    interpolation: torch.Tensor
    hann: torch.Tensor
    starts: list[int]


@functools.cache
def _filters(count: int, fps: float) -> _Filters:
    """Return the filters of `ppg` for `count` frames at `fps` frames/s."""
    sections = dsp.butter(3, ppg.BAND, "bandpass", fs=fps, output="sos")
    # SciPy returns a view with negative strides, which torch does not accept: hence the copy.
    bandpass = dsp.sosfiltfilt(sections, np.eye(count), axis=0).copy()
    frequency = np.fft.rfftfreq(8 * count, 1 / fps)
    columns = np.linspace(*ppg.BAND, count)
    interpolation = np.stack([np.interp(columns, frequency, row) for row in np.eye(len(frequency))])
    length = 2 * int(np.ceil(ppg.CHROM_SECONDS * fps / 2))
    hann = dsp.windows.hann(length + 1)[:length] + 1e-3
    starts = [*range(0, count - length, length // 2), count - length]
    matrices = torch.from_numpy(bandpass), torch.from_numpy(interpolation)
    return _Filters(*matrices, torch.from_numpy(hann), starts)


def _spread(signal: torch.Tensor, axis: int) -> torch.Tensor:
    """Return the standard deviation along an axis, with a finite gradient where it is zero."""
    # Not `sqrt`, which MKL rounds otherwise on Intel than on AMD.
    return (signal.var(axis, correction=0) + TINY).rsqrt().reciprocal()


def _pulses(traces: torch.Tensor, fps: float) -> torch.Tensor:
    """Return CHROM signals (F, K) of traces float64 (F, K, 3), as `ppg` does."""
    filters = _filters(len(traces), fps)
    filtered = torch.einsum("fg,gkc->fkc", filters.bandpass.to(traces), traces)
    pulse, weight = torch.zeros_like(traces[..., 0]), torch.zeros_like(traces[:, :1, 0])
    hann = filters.hann.to(traces)[:, None]
    for start in filters.starts:
        part = slice(start, start + len(hann))
        mean = traces[part].mean(0)
        red, green, blue = (filtered[part] / mean.clamp_min(1e-6)).unbind(-1)
        x, y = 3 * red - 2 * green, 1.5 * red + green - 1.5 * blue
        window = x - _spread(x, 0) / _spread(y, 0) * y
        padding = 0, 0, start, len(traces) - part.stop
        pulse = pulse + functional.pad(hann * window, padding)
        weight = weight + functional.pad(hann, padding)
    return pulse / weight


def _spectra(pulses: torch.Tensor, fps: float) -> torch.Tensor:
    """Return Welch spectra (K, F) of pulses (K, F) as `ppg` does: two Hann segments, peaks at 1."""
    count = pulses.shape[1]
    size, interpolation = count * 3 // 4, _filters(count, fps).interpolation.to(pulses)
    segments = pulses.unfold(1, size, size - count // 2)
    segments = segments - segments.mean(-1, keepdim=True)
    hann = torch.from_numpy(dsp.windows.hann(size, sym=False)).to(pulses)
    power = torch.fft.rfft(segments * hann, n=8 * count).abs().square().mean(1)
    rows = power @ interpolation
    return rows / rows.amax(1, keepdim=True).clamp_min(TINY)


def ppg_map(traces: torch.Tensor, fps: float) -> torch.Tensor:
    """Return the PPG map float32 (64, F) in [0, 1], differentiable, as `ppg.ppg_map`.

    traces (F, 32, 3) at fps frames/s.
    """
    pulses = _pulses(traces.double(), fps).T
    spread = _spread(pulses, 1)
    # A quantile: torch's median is the lower of the two middle values, NumPy's is their mean.
    signals = (0.5 + pulses / (6 * spread.quantile(0.5))).clamp(0, 1)
    return torch.cat([signals, _spectra(pulses, fps)]).float()
