"""Motion in the phase of a complex steerable pyramid, measured and magnified (Simoncelli & Freeman 1995; Wadhwa et al. 2013).

A local shift of a picture is a change of phase in the bands that it passes: 2 pi a wavelength. All frames, orientations and
scales are filtered at once in the frequency domain.
"""

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np
import torch
from scipy import fft, ndimage
from scipy import signal as dsp

from deepfake_uncertainty.errors import InputError

SCALES, ORIENTATIONS = 3, 4
SMOOTHING = 1.0  # px of a band: width of the Gaussian that lends weak places the phase of strong ones
LEAST = 1e-6  # amplitude below which a band holds rounding only, and no phase


class Pyramid(NamedTuple):
    """A complex steerable pyramid of frames (F, H, W).

    bands: one complex64 (F, K, H / 2^s, W / 2^s) a scale s, fine to coarse, of K orientations from the horizontal
    frequencies on; highpass float32 (F, H, W); lowpass float32 (F, H / 2^S, W / 2^S).
    """

    bands: list
    highpass: np.ndarray
    lowpass: np.ndarray


class _Filters(NamedTuple):
    """In the frequency domain: (K, h, w) a scale, half of the plane in `analysis` and all of it in `synthesis`.

    places are the rows and columns of the whole spectrum that each scale, and last the lowpass, holds.
    """

    analysis: list
    synthesis: list
    highpass: np.ndarray
    lowpass: np.ndarray
    places: list


def _lowest(size, octaves):
    """Return where the lowest frequencies of a spectrum of `size` lie, as many as a picture halved `octaves` times has."""
    count = size >> octaves
    return np.r_[: count // 2, size - count // 2 : size]


@functools.lru_cache(maxsize=8)
def _filters(height, width, scales, orientations):
    """Return raised cosines over an octave times cosine powers over the angle, the filters of Simoncelli & Freeman (1995)."""
    y, x = np.meshgrid(2 * fft.fftfreq(height), 2 * fft.fftfreq(width), indexing="ij")
    with np.errstate(divide="ignore"):
        octave, angle = np.log2(np.hypot(x, y)), np.arctan2(y, x)
    ramps = [np.pi / 2 * np.clip(octave + s, -1, 0) for s in range(scales + 1)]
    order = orientations - 1
    gain = 2**order * math.factorial(order) / math.sqrt(orientations * math.factorial(2 * order))
    turned = np.stack([angle - np.pi * k / orientations for k in range(orientations)])
    fan, half = gain * np.cos(turned) ** order, np.abs((turned + np.pi) % (2 * np.pi) - np.pi) < np.pi / 2
    places = [np.ix_(_lowest(height, s), _lowest(width, s)) for s in range(scales + 1)]
    analysis, synthesis, passed = [], [], np.abs(np.sin(ramps[0]))
    for s in range(scales):
        band = passed * np.cos(ramps[s + 1]) * fan
        analysis.append(np.complex64((-1j) ** order * 2 * band * half)[:, *places[s]])
        synthesis.append(np.complex64(1j**order * band)[:, *places[s]])
        passed = passed * np.abs(np.sin(ramps[s + 1]))
    return _Filters(analysis, synthesis, np.float32(np.cos(ramps[0])), np.float32(passed[places[-1]]), places)


def decompose(frames, scales=SCALES, orientations=ORIENTATIONS):
    """Return the `Pyramid` of grey frames (F, H, W), any finite values.

    Raises InputError for other shapes, NaN, sides that cannot be halved `scales` times, or fewer than 2 orientations.
    """
    frames = _checked(frames, scales, orientations)
    filters = _filters(*frames.shape[1:], scales, orientations)
    spectrum = fft.fft2(frames)
    bands = [fft.ifft2(spectrum[:, *place][:, None] * mask, overwrite_x=True)
             for mask, place in zip(filters.analysis, filters.places, strict=False)]  # fmt: skip
    lowpass = fft.ifft2(spectrum[:, *filters.places[-1]] * filters.lowpass).real
    return Pyramid(bands, fft.ifft2(spectrum * filters.highpass).real, lowpass)


def _checked(frames, scales, orientations):
    frames = np.asarray(frames, np.float32)
    if scales < 1 or orientations < 2:
        raise InputError(f"a pyramid of {scales} scales and {orientations} orientations: give at least 1 and 2")
    if frames.ndim != 3 or not len(frames) or not frames.size or any(side % 2 ** (scales + 1) for side in frames.shape[1:]):
        side = f"multiples of {2 ** (scales + 1)} px"
        raise InputError(f"frames of shape {frames.shape}: {scales} scales need (F, H, W), F >= 1, H and W {side}")
    if not np.isfinite(frames).all():
        raise InputError("the frames hold NaN or infinite values: find the video they come from")
    return frames


def reconstruct(pyramid):
    """Return the frames float32 (F, H, W) of a `Pyramid`; of an unchanged one, those it was made from within 1e-5."""
    orientations = pyramid.bands[0].shape[1]
    filters = _filters(*pyramid.highpass.shape[1:], len(pyramid.bands), orientations)
    spectrum = fft.fft2(pyramid.highpass) * filters.highpass
    for band, mask, place in zip(pyramid.bands, filters.synthesis, filters.places, strict=False):
        spectrum[:, *place] += (fft.fft2(band.real) * mask).sum(axis=1)
    spectrum[:, *filters.places[-1]] += fft.fft2(pyramid.lowpass) * filters.lowpass
    return fft.ifft2(spectrum).real


def phases(band):
    """Return the phase float32 (F, ..., h, w) in radians of a complex band since its first frame, followed over time.

    Steps from frame to frame lie in (-pi, pi], their sum does not; where there is no amplitude, the phase stands still.
    """
    phase = np.zeros(band.shape, np.float32)
    product = band[1:] * band[:-1].conj()
    # PyTorch's angle and sums of whole frames: NumPy's take four and eighty times as long.
    phase[1:] = np.where(np.abs(product) > LEAST**2, torch.from_numpy(product).angle(), 0)
    for before, here in itertools.pairwise(phase):
        here += before
    return phase


def smooth(phase, amplitude, width=SMOOTHING):
    """Return phases (..., h, w) averaged over a Gaussian of `width` px (0: as they are), weighted by amplitude (..., h, w)."""
    if not width:
        return phase
    blur = functools.partial(ndimage.gaussian_filter, sigma=width, mode="wrap", axes=(-2, -1))
    weight = np.abs(amplitude) + np.float32(LEAST)
    return blur(phase * weight) / blur(weight)


def band_pass(phase, band, fps):
    """Return phases (F, ...) with only the rates `band` (low, high) in Hz kept, without delay, at fps frames/s.

    Raises InputError for rates that fps cannot hold and for fewer than 9 frames.
    """
    low, high = band
    if not 0 < low < high < fps / 2:
        raise InputError(f"rates of {low:g} to {high:g} Hz at {fps:g} frames/s: give 0 < low < high < {fps / 2:g}")
    if len(phase) < 9:
        raise InputError(f"{len(phase)} frames: a band of rates needs 9 or more")
    sections = dsp.butter(1, band, "bandpass", fs=fps, output="sos")
    return dsp.sosfiltfilt(sections, phase, axis=0, padlen=len(phase) - 1).astype(np.float32)


def magnify(frames, factor, rates=None, fps=None, width=SMOOTHING, scales=SCALES, orientations=ORIENTATIONS):
    """Return grey frames float32 (F, H, W) whose motion since the first frame is 1 + factor times as large.

    rates (low, high) in Hz, at fps frames/s, magnifies only what moves so fast; width is that of `smooth` in px. What is
    coarser than the coarsest band stays, and a pattern as wide as a band grows by some 10 % less: the phase turns, its
    envelope does not move. Raises InputError as `decompose` and `band_pass` do (Wadhwa et al. 2013).
    """
    pyramid, moved = decompose(frames, scales, orientations), []
    for band in pyramid.bands:
        phase = phases(band)
        if rates is not None:
            phase = band_pass(phase, rates, fps)
        moved.append(band * np.exp(1j * np.float32(factor) * smooth(phase, band, width)))
    return reconstruct(pyramid._replace(bands=moved))


def without_affine(phase, amplitude):
    """Return phases (F, ..., h, w) less their best affine map, weighted by the squares of amplitude (..., h, w).

    Within a band, the phase follows the shift: what is left is no shift, turn or growth of the whole picture.
    """
    height, width = phase.shape[-2:]
    y, x = np.meshgrid(np.linspace(-1, 1, height, dtype=np.float32), np.linspace(-1, 1, width, dtype=np.float32), indexing="ij")
    maps = np.stack([np.ones_like(x), x, y]).reshape(3, -1)
    weight = (np.abs(amplitude) ** 2 + np.float32(LEAST**2)).reshape(*phase.shape[1:-2], -1)
    weight = weight / weight.mean(-1, keepdims=True)
    normal = np.einsum("ip,...p,jp->...ij", maps, weight, maps, optimize=True) / maps.shape[1]
    # The inverse times the weighted maps is one matrix for all frames, as the weights are.
    fit = np.linalg.solve(normal + np.float32(LEAST) * np.eye(3, dtype=np.float32), weight[..., None, :] * maps) / maps.shape[1]
    found = np.einsum("...ip,f...p->f...i", fit, phase.reshape(len(phase), *weight.shape), optimize=True)
    return phase - (found @ maps).reshape(phase.shape)


def rate_spectrum(signals):
    """Return the RMS float32 (3, ...) of signals (F, ...) by rate: up to 1/8, 1/8 to 1/4 and 1/4 to 1/2 cycle a frame.

    A linear trend is taken out first, and a Hann window keeps the three apart. Raises InputError for fewer than 8 frames.
    """
    count = len(signals)
    if count < 8:
        raise InputError(f"{count} frames: three octaves of rates need 8 or more")
    window, time = dsp.windows.hann(count, sym=False), np.arange(count) - (count - 1) / 2
    trend = np.full((count, count), 1 / count) + np.outer(time, time) / (time @ time)
    prepared = np.tensordot(np.float32(window[:, None] * (np.eye(count) - trend)), np.float32(signals), axes=1)
    power = np.abs(fft.rfft(prepared, axis=0)) ** 2
    power[1 : (count + 1) // 2] *= 2  # the negative rates; zero and the highest have none
    rate = fft.rfftfreq(count)
    parts = [(rate > low) & (rate <= high) for low, high in ((0, 1 / 8), (1 / 8, 1 / 4), (1 / 4, 1 / 2))]
    return np.sqrt(np.stack([power[part].sum(0) for part in parts]) / (count * (window**2).sum())).astype(np.float32)


def cell_rms(values, weight, cells):
    """Return the RMS (..., cells, cells) of values (..., h, w) over square cells, weighted by `weight` (..., h, w) >= 0."""

    def means(maps):
        height, width = (side // cells for side in maps.shape[-2:])
        return maps.reshape(*maps.shape[:-2], cells, height, cells, width).mean(axis=(-3, -1))

    if values.shape[-2] % cells or values.shape[-1] % cells:
        raise InputError(f"maps of shape {values.shape[-2:]} cannot be cut into {cells} x {cells} cells: give a divisor")
    return np.sqrt(means(values**2 * weight) / (means(weight) + np.float32(LEAST**2)))


def phase_spectrum(frames, cells=16, scales=SCALES, orientations=ORIENTATIONS):
    """Return the RMS motion float32 (3 S K, cells, cells), radians of phase, of grey frames (F, H, W), F >= 8.

    Scales S, fine to coarse; in each three octaves of rates, slow to fast; in each K orientations. What the whole picture
    does, an affine motion, is taken out. Raises InputError as `decompose` and `rate_spectrum` do.
    """
    found = []
    for band in decompose(frames, scales, orientations).bands:
        amplitude = np.abs(band).mean(axis=0)
        phase = smooth(without_affine(phases(band), amplitude), amplitude)
        found.append(cell_rms(rate_spectrum(phase), amplitude**2, cells))
    return np.concatenate([part.reshape(-1, cells, cells) for part in found])
