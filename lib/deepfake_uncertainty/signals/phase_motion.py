"""Motion in the phase of a complex steerable pyramid, measured and magnified.

The pyramid is that of Simoncelli & Freeman (1995), the magnification that of Wadhwa et al. (2013).
A local shift of a picture is a change of phase in its bands: 2 pi per wavelength. All frames,
orientations and scales are filtered at once in the frequency domain.
"""

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import fft, ndimage
from scipy import signal as dsp

from deepfake_uncertainty.errors import InputError

SCALES, ORIENTATIONS = 3, 4
# Width in px of a band of the Gaussian that spreads phase from strong places to weak ones.
SMOOTHING = 1.0
LEAST = 1e-6  # amplitude below which a band holds rounding errors only, and no phase
OCTAVES = (0, 1 / 8), (1 / 8, 1 / 4), (1 / 4, 1 / 2)  # rates in cycles per frame, low < r <= high


class Pyramid(NamedTuple):
    """A complex steerable pyramid of frames (F, H, W).

    bands: one array complex64 (F, K, H / 2^s, W / 2^s) per scale s, fine to coarse, with K
    orientations that start at the horizontal frequencies. highpass: float32 (F, H, W). lowpass:
    float32 (F, H / 2^S, W / 2^S).
    """

    bands: list[np.ndarray]
    highpass: np.ndarray
    lowpass: np.ndarray


class _Filters(NamedTuple):
    """Filters in the frequency domain: one array (K, h, w) per scale.

    `analysis` holds half of the frequency plane, `synthesis` all of it. `places` are the rows and
    columns of the whole spectrum that each scale covers, and last those of the lowpass.
    """

    analysis: list[np.ndarray]
    synthesis: list[np.ndarray]
    highpass: np.ndarray
    lowpass: np.ndarray
    places: list[tuple[np.ndarray, ...]]


def _lowest(size: int, octaves: int) -> np.ndarray:
    """Return the positions of the lowest `size` / 2^octaves frequencies in a spectrum of `size`."""
    count = size >> octaves
    return np.r_[: count // 2, size - count // 2 : size]


@functools.lru_cache(maxsize=8)
def _filters(height: int, width: int, scales: int, orientations: int) -> _Filters:
    """Return the filters of Simoncelli & Freeman (1995).

    They are raised cosines over one octave times powers of the cosine of the angle.
    """
    y, x = np.meshgrid(2 * fft.fftfreq(height), 2 * fft.fftfreq(width), indexing="ij")
    with np.errstate(divide="ignore"):
        octave, angle = np.log2(np.hypot(x, y)), np.arctan2(y, x)
    ramps = [np.pi / 2 * np.clip(octave + s, -1, 0) for s in range(scales + 1)]
    order = orientations - 1
    gain = 2**order * math.factorial(order) / math.sqrt(orientations * math.factorial(2 * order))
    turned = np.stack([angle - np.pi * k / orientations for k in range(orientations)])
    fan = gain * np.cos(turned) ** order
    half = np.abs((turned + np.pi) % (2 * np.pi) - np.pi) < np.pi / 2
    places = [np.ix_(_lowest(height, s), _lowest(width, s)) for s in range(scales + 1)]
    analysis, synthesis = [], []
    passed = np.abs(np.sin(ramps[0]))
    for s in range(scales):
        band = passed * np.cos(ramps[s + 1]) * fan
        analysis.append(((-1j) ** order * 2 * band * half).astype(np.complex64)[:, *places[s]])
        synthesis.append((1j**order * band).astype(np.complex64)[:, *places[s]])
        passed = passed * np.abs(np.sin(ramps[s + 1]))
    highpass = np.cos(ramps[0]).astype(np.float32)
    lowpass = passed[places[-1]].astype(np.float32)
    return _Filters(analysis, synthesis, highpass, lowpass, places)


def decompose(frames: ArrayLike, scales: int = SCALES, orientations: int = ORIENTATIONS) -> Pyramid:
    """Return the `Pyramid` of grey frames (F, H, W) with any finite values.

    Raises InputError for other shapes, NaN, sides that are no multiple of 2^(scales + 1), and fewer
    than 1 scale or 2 orientations.
    """
    frames = _checked(frames, scales, orientations)
    filters = _filters(*frames.shape[1:], scales, orientations)
    spectrum = fft.fft2(frames)
    bands = [
        fft.ifft2(spectrum[:, *place][:, None] * mask, overwrite_x=True)
        for mask, place in zip(filters.analysis, filters.places, strict=False)
    ]
    lowpass = fft.ifft2(spectrum[:, *filters.places[-1]] * filters.lowpass).real
    return Pyramid(bands, fft.ifft2(spectrum * filters.highpass).real, lowpass)


def _checked(frames: ArrayLike, scales: int, orientations: int) -> np.ndarray:
    """Return the frames as float32 (F, H, W), or raise InputError as `decompose` says."""
    frames = np.asarray(frames, np.float32)
    if scales < 1 or orientations < 2:
        raise InputError(
            f"a pyramid of {scales} scales and {orientations} orientations: give at least 1 and 2"
        )
    step = 2 ** (scales + 1)
    if frames.ndim != 3 or not frames.size or any(side % step for side in frames.shape[1:]):
        raise InputError(
            f"frames of shape {frames.shape}: {scales} scales need (F, H, W), F >= 1,"
            f" H and W multiples of {step} px"
        )
    if not np.isfinite(frames).all():
        raise InputError("the frames hold NaN or infinite values: check the video they come from")
    return frames


def reconstruct(pyramid: Pyramid) -> np.ndarray:
    """Return the frames float32 (F, H, W) of a `Pyramid`.

    An unchanged pyramid gives its original frames within 1e-5.
    """
    orientations = pyramid.bands[0].shape[1]
    filters = _filters(*pyramid.highpass.shape[1:], len(pyramid.bands), orientations)
    spectrum = fft.fft2(pyramid.highpass) * filters.highpass
    for band, mask, place in zip(pyramid.bands, filters.synthesis, filters.places, strict=False):
        spectrum[:, *place] += (fft.fft2(band.real) * mask).sum(axis=1)
    spectrum[:, *filters.places[-1]] += fft.fft2(pyramid.lowpass) * filters.lowpass
    return fft.ifft2(spectrum).real


def phases(band: np.ndarray) -> np.ndarray:
    """Return the phase float32 (F, ..., h, w) in radians of a complex band since its first frame.

    The phase is unwrapped over time: each step between frames is in (-pi, pi], the sum need not be.
    Where the amplitude is zero, the phase does not change.
    """
    phase = np.zeros(band.shape, np.float32)
    product = band[1:] * band[:-1].conj()
    # PyTorch's angle and sums of whole frames: NumPy's take 4 and 80 times as long.
    steps = torch.from_numpy(product).angle().numpy()
    phase[1:] = np.where(np.abs(product) > LEAST**2, steps, 0)
    for before, here in itertools.pairwise(phase):
        here += before
    return phase


def smooth(phase: np.ndarray, amplitude: np.ndarray, width: float = SMOOTHING) -> np.ndarray:
    """Return phases (..., h, w) smoothed by a Gaussian of `width` px; 0 returns them unchanged.

    The average is weighted by amplitude (..., h, w).
    """
    if not width:
        return phase
    blur = functools.partial(ndimage.gaussian_filter, sigma=width, mode="wrap", axes=(-2, -1))
    weight = np.abs(amplitude) + np.float32(LEAST)
    return blur(phase * weight) / blur(weight)


def band_pass(phase: np.ndarray, band: tuple[float, float], fps: float) -> np.ndarray:
    """Return phases (F, ...) at fps frames/s with only the rates `band` (low, high) in Hz.

    The filter has no delay. Raises InputError unless 0 < low < high < fps / 2, and for fewer than 9
    frames.
    """
    low, high = band
    if not 0 < low < high < fps / 2:
        raise InputError(
            f"rates of {low:g} to {high:g} Hz at {fps:g} frames/s:"
            f" give 0 < low < high < {fps / 2:g}"
        )
    if len(phase) < 9:
        raise InputError(f"{len(phase)} frames: a band of rates needs 9 or more")
    sections = dsp.butter(1, band, "bandpass", fs=fps, output="sos")
    return dsp.sosfiltfilt(sections, phase, axis=0, padlen=len(phase) - 1).astype(np.float32)


def magnify(
    frames: ArrayLike,
    factor: float,
    rates: tuple[float, float] | None = None,
    fps: float = 0.0,
    width: float = SMOOTHING,
    scales: int = SCALES,
    orientations: int = ORIENTATIONS,
) -> np.ndarray:
    """Return grey frames float32 (F, H, W) with 1 + factor times their motion since the first.

    `rates` (low, high) in Hz, with `fps` in frames/s, magnifies only motion at these rates. `width`
    is that of `smooth` in px. Structure that is coarser than the coarsest band does not move. The
    motion of a pattern as wide as a band grows by about 10 % less, since the phase turns but its
    envelope does not move (Wadhwa et al. 2013). Raises InputError as `decompose` and `band_pass`.
    """
    pyramid, moved = decompose(frames, scales, orientations), []
    for band in pyramid.bands:
        phase = phases(band)
        if rates is not None:
            phase = band_pass(phase, rates, fps)
        moved.append(band * np.exp(1j * np.float32(factor) * smooth(phase, band, width)))
    return reconstruct(pyramid._replace(bands=moved))


def without_affine(phase: np.ndarray, amplitude: np.ndarray) -> np.ndarray:
    """Return phases (F, ..., h, w) minus their best affine fit over the picture.

    The fit is weighted by the squares of amplitude (..., h, w). Within a band, the phase follows
    the shift, so the rest is no shift, rotation or growth of the whole picture.
    """
    height, width = phase.shape[-2:]
    rows, columns = (np.linspace(-1, 1, size, dtype=np.float32) for size in (height, width))
    y, x = np.meshgrid(rows, columns, indexing="ij")
    maps = np.stack([np.ones_like(x), x, y]).reshape(3, -1)
    weight = (np.abs(amplitude) ** 2 + np.float32(LEAST**2)).reshape(*phase.shape[1:-2], -1)
    weight = weight / weight.mean(-1, keepdims=True)
    normal = np.einsum("ip,...p,jp->...ij", maps, weight, maps, optimize=True) / maps.shape[1]
    normal = normal + np.float32(LEAST) * np.eye(3, dtype=np.float32)
    # The inverse times the weighted maps is one matrix for all frames, as the weights are.
    fit = np.linalg.solve(normal, weight[..., None, :] * maps) / maps.shape[1]
    flat = phase.reshape(len(phase), *weight.shape)
    coefficients = np.einsum("...ip,f...p->f...i", fit, flat, optimize=True)
    return phase - (coefficients @ maps).reshape(phase.shape)


def rate_spectrum(signals: np.ndarray) -> np.ndarray:
    """Return the RMS float32 (3, ...) of signals (F, ...) in three octaves of rates.

    They are up to 1/8, 1/8 to 1/4, and 1/4 to 1/2 cycle per frame. A linear trend is removed first,
    and a Hann window separates the three. Raises InputError for fewer than 8 frames.
    """
    count = len(signals)
    if count < 8:
        raise InputError(f"{count} frames: three octaves of rates need 8 or more")
    window, time = dsp.windows.hann(count, sym=False), np.arange(count) - (count - 1) / 2
    trend = np.full((count, count), 1 / count) + np.outer(time, time) / (time @ time)
    matrix = np.float32(window[:, None] * (np.eye(count) - trend))
    prepared = np.tensordot(matrix, np.float32(signals), axes=1)
    power = np.abs(fft.rfft(prepared, axis=0)) ** 2
    power[1 : (count + 1) // 2] *= 2  # the negative rates; zero and the highest rate have none
    rate = fft.rfftfreq(count)
    octaves = [power[(rate > low) & (rate <= high)].sum(0) for low, high in OCTAVES]
    return np.sqrt(np.stack(octaves) / (count * (window**2).sum())).astype(np.float32)


def cell_rms(values: np.ndarray, weight: np.ndarray, cells: int) -> np.ndarray:
    """Return the RMS (..., cells, cells) of values (..., h, w) over a grid of cells.

    It is weighted by `weight` (..., h, w) >= 0. Raises InputError unless `cells` divides h and w.
    """
    if values.shape[-2] % cells or values.shape[-1] % cells:
        raise InputError(
            f"maps of shape {values.shape[-2:]} cannot be cut into {cells} x {cells} cells:"
            " give a divisor"
        )

    def means(maps: np.ndarray) -> np.ndarray:
        height, width = (side // cells for side in maps.shape[-2:])
        return maps.reshape(*maps.shape[:-2], cells, height, cells, width).mean(axis=(-3, -1))

    return np.sqrt(means(values**2 * weight) / (means(weight) + np.float32(LEAST**2)))


def phase_spectrum(
    frames: ArrayLike, cells: int = 16, scales: int = SCALES, orientations: int = ORIENTATIONS
) -> np.ndarray:
    """Return the RMS motion float32 (3 S K, cells, cells) of grey frames (F, H, W), F >= 8.

    The unit is radians of phase. Channels are ordered by S scales, fine to coarse; within each by
    three octaves of rates, slow to fast; within each by K orientations. The affine motion of the
    whole picture is removed. Raises InputError as `decompose`, `rate_spectrum` and `cell_rms` do.
    """
    channels = []
    for band in decompose(frames, scales, orientations).bands:
        amplitude = np.abs(band).mean(axis=0)
        phase = smooth(without_affine(phases(band), amplitude), amplitude)
        channels.append(cell_rms(rate_spectrum(phase), amplitude**2, cells))
    return np.concatenate([part.reshape(-1, cells, cells) for part in channels])
