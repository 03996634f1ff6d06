"""The benchmark's truth, for scoring only: how much of a target's pulse can still be read from a clip."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import signal
from tqdm.auto import tqdm

from deepfake_uncertainty.datasets import tracks
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.signals import ppg


def load(root, identity):
    """Return the truth of a real clip: arrays (pulse, landmarks, …) and the renderer's parameters under 'parameters'.

    Raises InputError when the data set has none, as real footage has none.
    """
    folder = Path(root) / "truth"
    if not (folder / f"{identity}.npz").is_file():
        raise InputError(f"no truth of {identity} in {folder}: only the embedded benchmark has one")
    with np.load(folder / f"{identity}.npz", allow_pickle=False) as archive:
        found = {name: archive[name] for name in archive.files}
    return found | {"parameters": json.loads((folder / f"{identity}.json").read_text())}


def coherence(found, true, fps):
    """Return the magnitude-squared coherence in [0, 1] of two signals (F,) at the frequency where `true` is strongest."""
    length = min(64, len(true) // 2)
    frequency, value = signal.coherence(found, true, fps, nperseg=length)
    _, power = signal.welch(true, fps, nperseg=length)
    band = (frequency >= ppg.BAND[0]) & (frequency <= ppg.BAND[1])
    return float(value[band][power[band].argmax()])


def pulse(index, root):
    """Return a frame, one row a video: key, identity, split, tone (1..6), true and found beats/min, error, snr (dB), coherence.

    The pulse is CHROM on the skin regions of the tracked face; the truth is the wave of the *target*, also for fakes.
    """
    rows = []
    for row in tqdm(index.itertuples(index=False), total=len(index), desc="pulse", unit="video"):
        truth = load(root, row.target)
        track = tracks.load(row.path)
        wave = ppg.skin_pulse(ppg.region_traces(track.crops, track.crop_landmarks), track.fps)
        rate, snr = ppg.heart_rate(wave, track.fps)
        true = float(truth["heart_rate"])
        rows.append({"generator": row.generator, "video": row.video, "identity": row.identity, "split": row.split,
                     "tone": truth["parameters"]["tone"], "true_bpm": true, "found_bpm": rate, "error_bpm": abs(rate - true),
                     "snr_db": snr, "coherence": coherence(wave, truth["pulse"][: len(wave)], track.fps)})  # fmt: skip
    return pd.DataFrame(rows)


def summary(found, by, columns=("error_bpm", "coherence", "snr_db"), seed=0, n_boot=1000):
    """Return the median of each column within each group of `by`, with its 95 % interval by bootstrap over identities, and n."""
    rng, rows = np.random.default_rng(seed), []
    for name, group in found.groupby(by, sort=False):
        people = [part for _, part in group.groupby("identity")[list(columns)]]
        draws = rng.integers(0, len(people), (n_boot, len(people)))
        medians = np.array([pd.concat([people[i] for i in draw]).median().to_numpy() for draw in draws])
        for column, low, high in zip(columns, *np.percentile(medians, [2.5, 97.5], axis=0), strict=True):
            rows.append({by: name, "measure": column, "value": group[column].median(), "low": low, "high": high,
                         "videos": len(group), "identities": len(people)})  # fmt: skip
    return pd.DataFrame(rows)
