"""Periodic pictures and their exact motion, for tests of phase motion and magnification."""

import numpy as np
from scipy import ndimage


def picture(size=64, seed=0):
    """Return a smooth periodic picture (size, size) in [0, 1]."""
    noise = np.random.default_rng(seed).random((size, size))
    rough = ndimage.gaussian_filter(noise, 1.5, mode="wrap")
    return (rough - rough.min()) / np.ptp(rough)


def sine(size=64, wavelength=8):
    """Return a picture (size, size) of vertical stripes of the given wavelength in px."""
    return 0.5 + 0.3 * np.sin(2 * np.pi * np.arange(size) / wavelength)[None] + np.zeros((size, 1))


def moved(image, x, y=0.0):
    """Return the periodic picture moved by x, y px, exactly."""
    turn = np.add.outer(y * np.fft.fftfreq(len(image)), x * np.fft.fftfreq(image.shape[1]))
    return np.fft.ifft2(np.fft.fft2(image) * np.exp(-2j * np.pi * turn)).real
