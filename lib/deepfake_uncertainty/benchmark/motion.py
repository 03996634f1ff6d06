"""Performance: how a head moves, speaks, blinks, twitches and pulses."""

import numpy as np
from scipy.ndimage import gaussian_filter1d


def wander(rng, n, fps, seconds):
    """Return a smooth random walk about 0, (n,), unit standard deviation in expectation, correlated over `seconds`."""
    sigma = seconds * fps
    pad = int(4 * sigma) + 1
    smooth = gaussian_filter1d(rng.standard_normal(n + 2 * pad), sigma)[pad : pad + n]
    return smooth * np.sqrt(2 * sigma * np.sqrt(np.pi))


def speech(rng, n, fps):
    """Return mouth opening (n,) in [0, 1]: syllables at 3 to 5 Hz within phrases of a second or two."""
    t = np.arange(n) / fps
    phase = 2 * np.pi * np.cumsum(rng.uniform(3, 5) * (1 + 0.25 * wander(rng, n, fps, 0.4))) / fps
    phrases = 1 / (1 + np.exp(-6 * (wander(rng, n, fps, 0.5) + rng.uniform(-0.2, 0.8))))
    loudness = np.clip(0.6 + 0.35 * wander(rng, n, fps, 0.15), 0.1, 1.2)
    syllables = 0.5 - 0.5 * np.cos(phase + 2 * np.pi * rng.random() + 0 * t)
    return np.clip(phrases * loudness * syllables * rng.uniform(0.5, 1.0), 0, 1)


def blinks(rng, n, fps):
    """Return lid closure (n,) in [0, 1]: about 17 blinks a minute, each 0.2 to 0.35 s."""
    t, closure = np.arange(n) / fps, np.zeros(n)
    start = rng.exponential(1.5)
    while start < n / fps:
        length = rng.uniform(0.2, 0.35)
        x = np.clip((t - start) / length, 0, 1)
        closure = np.maximum(closure, np.clip(1.6 * np.sin(np.pi * x**0.75), 0, 1))
        start += length + 0.4 + rng.exponential(3.0)
    return closure


def pulse(rng, n, fps):
    """Return (wave (n,) float32 of unit standard deviation, mean heart rate in bpm over the clip).

    Resting rates of 50 to 110 bpm; the rate follows breath (0.25 Hz) and vasomotion (0.1 Hz) by up to 4 percent.
    """
    t = np.arange(n + 1) / fps
    rate = rng.uniform(50, 110) / 60
    sway = [np.sin(2 * np.pi * f * t + 2 * np.pi * rng.random()) for f in (0.1, rng.uniform(0.2, 0.3))]
    instant = rate * (1 + 0.02 * sway[0] + 0.02 * sway[1])
    phase = 2 * np.pi * (np.cumsum(instant) / fps + rng.random())
    wave = np.cos(phase) + 0.4 * np.cos(2 * phase - 1.1) + 0.12 * np.cos(3 * phase - 2.0)
    wave = wave[:n] * (1 + 0.1 * sway[1][:n])
    mean_rate = 60 * fps * (phase[n] - phase[0]) / (2 * np.pi * n)
    return (wave / np.sqrt((1 + 0.4**2 + 0.12**2) / 2)).astype(np.float32), float(mean_rate)


def perform(rng, n, fps):
    """Return one performance: dict of pose (n, 3) yaw, pitch, roll in radians, shift (n, 2) in head radii, blink (n,),
    expression (n, 5) in the order of `head.EXPRESSIONS`, pulse (n,) and the scalar heart_rate in bpm."""
    mouth = speech(rng, n, fps)
    gaze = np.array([rng.uniform(-0.3, 0.3), rng.uniform(-0.08, 0.1), rng.uniform(-0.05, 0.05)])
    sway = np.stack([wander(rng, n, fps, s) for s in (0.7, 0.4, 0.6)], 1) * [0.09, 0.04, 0.03]
    sway[:, 1] += 0.05 * gaussian_filter1d(mouth, 3)  # Heads nod with their speech.
    shift = np.stack([wander(rng, n, fps, 0.8), wander(rng, n, fps, 0.8)], 1) * [0.04, 0.025]
    smile = np.clip(rng.uniform(-0.2, 0.5) + 0.35 * wander(rng, n, fps, 0.7), -0.3, 1)
    brow = 0.35 * wander(rng, n, fps, 0.35) + 0.3 * gaussian_filter1d(mouth, 2)
    tremor = [0.12 * wander(rng, n, fps, 0.05) for _ in range(2)]
    wave, heart_rate = pulse(rng, n, fps)
    return dict(pose=gaze + sway, shift=shift, blink=blinks(rng, n, fps), pulse=wave, heart_rate=heart_rate,
                expression=np.stack([mouth, smile, brow, *tremor], 1))  # fmt: skip
