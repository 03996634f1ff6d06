"""What a generator leaves behind: where it painted, how much it changed inside and outside of that, and its spectrum."""

import numpy as np
import pandas as pd
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio
from tqdm.auto import tqdm

from deepfake_uncertainty.datasets import leakage, tracks, video
from deepfake_uncertainty.errors import InputError

KEY = [*leakage.KEY, "identity", "split"]
RADII = 24  # rings of the spectrum, from 0 to half a cycle a pixel


def psnr(one, other, where):
    """Return the peak signal-to-noise ratio in dB of frames uint8 (F, H, W, 3) at the pixels `where` (F, H, W); inf if equal."""
    one, other = (torch.from_numpy(part[where].astype(np.float64)) for part in (one, other))
    return float(peak_signal_noise_ratio(one, other, data_range=255.0)) if len(one) else float("nan")


def read(fake, real, frames=24):
    """Return (fake, target) frames uint8 (F, H, W, 3) and the bool mask (F, H, W) of the pixels that the generator painted.

    `fake` and `real` are rows of an index: of a fake and of its target's real clip. Raises InputError without a mask.
    """
    if not fake.mask_path:
        raise InputError(f"{fake.path} has no mask: only fakes of a set that ships masks can be compared")
    painted = video.decode(fake.mask_path, frames)[0][..., 0] > 127
    ours, theirs = (video.decode(row.path, frames)[0] for row in (fake, real))
    count = min(len(painted), len(ours), len(theirs))
    return ours[:count], theirs[:count], painted[:count]


def table(index, frames=24):
    """Return a frame, one row a fake with a mask: its key, coverage (share of the frame painted), outside_db (PSNR with the
    target's own clip outside the mask, dB) and inside (mean absolute difference inside it, grey levels of 255). attrs['skipped']
    lists (path, reason) of fakes left out."""
    real = {(row.dataset, row.target): row for row in index.itertuples(index=False) if row.generator == "real"}
    fakes = [row for row in index.itertuples(index=False) if row.mask_path]
    rows, skipped = [], []
    for row in tqdm(fakes, desc="residue", unit="video"):
        try:
            ours, theirs, painted = read(row, _target(row, real), frames)
        except InputError as error:
            skipped.append((str(row.path), str(error)))
            continue
        change = np.abs(ours.astype(np.float32) - theirs).mean(-1)
        rows.append({name: getattr(row, name) for name in KEY}
                    | {"coverage": painted.mean(), "outside_db": psnr(ours, theirs, ~painted),
                       "inside": change[painted].mean() if painted.any() else np.nan})  # fmt: skip
    found = pd.DataFrame(rows)
    found.attrs["skipped"] = skipped
    return found


def _target(row, real):
    if (row.dataset, row.target) not in real:
        raise InputError(f"{row.path}: its target {row.target} has no real clip in {row.dataset} to compare it with")
    return real[row.dataset, row.target]


def radial_spectrum(crops):
    """Return the mean power (24,) of grey crops (N, S, S) over rings of spatial frequency, in squared grey levels.

    A Hann window keeps the borders out; ring k is centred at (k + 1/2) / 48 cycles a pixel.
    """
    side = crops.shape[-1]
    window = np.hanning(side)[:, None] * np.hanning(side)
    grey = crops - crops.mean((1, 2), keepdims=True)
    power = (np.abs(np.fft.fft2(grey * window)) ** 2).mean(0) / np.square(window).sum()
    frequency = np.fft.fftfreq(side)
    ring = (np.hypot(frequency[:, None], frequency) * 2 * RADII).astype(int).ravel()
    inside = ring < RADII
    return np.bincount(ring[inside], power.ravel()[inside], RADII) / np.bincount(ring[inside], minlength=RADII)


def spectra(index, frames=8):
    """Return a frame, one row a video whose face can be tracked: its key and the power (dB) of its face at each frequency.

    Columns of the spectrum are named by their frequency in cycles a pixel of the 96 x 96 crop.
    """
    names, rows = [f"{(k + 0.5) / (2 * RADII):.3f}" for k in range(RADII)], []
    for row in tqdm(index.itertuples(index=False), total=len(index), desc="spectra", unit="video"):
        try:
            crops = tracks.load(row.path).crops
        except InputError:
            continue  # it is listed where the detectors' inputs are made
        grey = np.asarray(crops[:: max(1, len(crops) // frames)]).mean(-1)
        power = 10 * np.log10(radial_spectrum(grey) + 1e-9)
        rows.append({name: getattr(row, name) for name in KEY} | dict(zip(names, power, strict=True)))
    return pd.DataFrame(rows)


def against_targets(powers):
    """Return the rows of `spectra` that are fakes, each less the spectrum (dB) of its target's own clip."""
    names = [name for name in powers if name not in KEY]
    real = powers[powers["generator"].eq("real")].set_index(["dataset", "identity"])[names]
    fakes = powers[powers["generator"].ne("real")]
    known = [place in real.index for place in zip(fakes["dataset"], fakes["identity"], strict=True)]
    fakes = fakes[known].reset_index(drop=True)
    fakes[names] -= real.loc[list(zip(fakes["dataset"], fakes["identity"], strict=True))].to_numpy()
    return fakes
