"""The residue of a generator: the painted pixels, the change inside and outside, the spectrum."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio
from tqdm.auto import tqdm

from deepfake_uncertainty.datasets import leakage, tracks, video
from deepfake_uncertainty.errors import InputError

KEY = [*leakage.KEY, "identity", "split"]
RADII = 24  # rings of the spectrum, from 0 to half a cycle per pixel


def psnr(one: np.ndarray, other: np.ndarray, where: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio in dB of frames uint8 (F, H, W, 3).

    Only the pixels `where` (F, H, W) count. The ratio is infinite for equal pixels and NaN without
    any.
    """
    if not where.any():
        return float("nan")
    first, second = (torch.from_numpy(part[where].astype(np.float64)) for part in (one, other))
    return float(peak_signal_noise_ratio(first, second, data_range=255.0))


def read_pair(fake: Any, real: Any, frames: int = 24) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the frames uint8 (F, H, W, 3) of a fake and of its target, and the painted pixels.

    `fake` and `real` are rows of an index: of a fake, and of the real clip of its target. The mask
    bool (F, H, W) is True where the generator painted. Raises InputError without a mask.
    """
    if not fake.mask_path:
        raise InputError(
            f"{fake.path} has no mask: only fakes of a set that ships masks can be compared"
        )
    painted = video.decode(fake.mask_path, frames)[0][..., 0] > 127
    ours, theirs = (video.decode(row.path, frames)[0] for row in (fake, real))
    count = min(len(painted), len(ours), len(theirs))
    return ours[:count], theirs[:count], painted[:count]


def residue_table(index: pd.DataFrame, frames: int = 24) -> pd.DataFrame:
    """Return the residue of each fake that has a mask, one row per fake.

    The columns are the key of the video, identity, split, coverage (share of the frame painted),
    outside_db (PSNR with the real clip of the target outside the mask, in dB) and inside (mean
    absolute difference inside it, in grey levels of 255). attrs['skipped'] lists (path, reason) of
    the fakes left out.
    """
    real = {
        (row.dataset, row.target): row
        for row in index.itertuples(index=False)
        if row.generator == "real"
    }
    fakes = [row for row in index.itertuples(index=False) if row.mask_path]
    rows, skipped = [], []
    for row in tqdm(fakes, desc="residue", unit="video"):
        try:
            ours, theirs, painted = read_pair(row, _target(row, real), frames)
        except InputError as error:
            skipped.append((str(row.path), str(error)))
            continue
        change = np.abs(ours.astype(np.float32) - theirs).mean(-1)
        key = {name: getattr(row, name) for name in KEY}
        values = {
            "coverage": painted.mean(),
            "outside_db": psnr(ours, theirs, ~painted),
            "inside": change[painted].mean() if painted.any() else np.nan,
        }
        rows.append(key | values)
    table = pd.DataFrame(rows)
    table.attrs["skipped"] = skipped
    return table


def _target(row: Any, real: dict[tuple[str, str], Any]) -> Any:
    """Return the real clip of the target of a fake, of {(data set, target): row}."""
    if (row.dataset, row.target) not in real:
        missing = f"{row.path}: its target {row.target} has no real clip in {row.dataset}"
        raise InputError(f"{missing} to compare it with")
    return real[row.dataset, row.target]


def radial_spectrum(crops: np.ndarray) -> np.ndarray:
    """Return the mean power (24,) of grey crops (N, S, S) over rings of spatial frequency.

    The unit is squared grey levels. Ring k is centred at (k + 1/2) / 48 cycles per pixel. A Hann
    window removes the effect of the borders.
    """
    side = crops.shape[-1]
    window = np.hanning(side)[:, None] * np.hanning(side)
    grey = crops - crops.mean((1, 2), keepdims=True)
    power = (np.abs(np.fft.fft2(grey * window)) ** 2).mean(0) / np.square(window).sum()
    frequency = np.fft.fftfreq(side)
    ring = (np.hypot(frequency[:, None], frequency) * 2 * RADII).astype(int).ravel()
    inside = ring < RADII
    total = np.bincount(ring[inside], power.ravel()[inside], RADII)
    return total / np.bincount(ring[inside], minlength=RADII)


def spectra(index: pd.DataFrame, frames: int = 8) -> pd.DataFrame:
    """Return the spectrum of the face of each video that has a face track, one row per video.

    The columns are the key of the video, identity, split, and the power in dB at each frequency.
    These are named by their frequency in cycles per pixel of the 96 x 96 crop.
    """
    names, rows = [f"{(k + 0.5) / (2 * RADII):.3f}" for k in range(RADII)], []
    for row in tqdm(index.itertuples(index=False), total=len(index), desc="spectra", unit="video"):
        try:
            crops = tracks.load(row.path).crops
        except InputError:
            continue  # it is listed where the inputs of detectors are made
        grey = np.asarray(crops[:: max(1, len(crops) // frames)]).mean(-1)
        power = 10 * np.log10(radial_spectrum(grey) + 1e-9)
        key = {name: getattr(row, name) for name in KEY}
        rows.append(key | dict(zip(names, power, strict=True)))
    return pd.DataFrame(rows)


def relative_to_targets(powers: pd.DataFrame) -> pd.DataFrame:
    """Return the fakes of `spectra`, each less the spectrum (dB) of the real clip of its target.

    Fakes without such a clip are left out.
    """
    names = [name for name in powers if name not in KEY]
    real = powers[powers["generator"].eq("real")].set_index(["dataset", "identity"])[names]
    fakes = powers[powers["generator"].ne("real")]
    known = [place in real.index for place in zip(fakes["dataset"], fakes["identity"], strict=True)]
    fakes = fakes[known].reset_index(drop=True)
    fakes[names] -= real.loc[list(zip(fakes["dataset"], fakes["identity"], strict=True))].to_numpy()
    return fakes
