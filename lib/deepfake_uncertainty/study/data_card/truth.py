"""The ground truth of the benchmark, for scoring only: the pulse and landmarks of a clip."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import signal
from tqdm.auto import tqdm

from deepfake_uncertainty.datasets import leakage, tracks
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.signals import ppg

KEY = [*leakage.KEY, "identity", "split"]
# Landmarks of both the renderer's head and MediaPipe's mesh; the outer eye corners come first.
MESH = {
    "eye_outer_left": 33,
    "eye_outer_right": 263,
    "eye_inner_left": 133,
    "eye_inner_right": 362,
    "nose_tip": 4,
    "mouth_left": 61,
    "mouth_right": 291,
    "upper_lip": 0,
    "lower_lip": 17,
    "chin": 152,
}


def load(root: str | Path, identity: str) -> dict[str, Any]:
    """Return the ground truth of a real clip: arrays by name, such as pulse and landmarks.

    The parameters of the renderer are under 'parameters'. Raises InputError when the data set has
    no ground truth, as real footage has none.
    """
    folder = Path(root) / "truth"
    if not (folder / f"{identity}.npz").is_file():
        raise InputError(f"no truth of {identity} in {folder}: only the embedded benchmark has one")
    with np.load(folder / f"{identity}.npz", allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return arrays | {"parameters": json.loads((folder / f"{identity}.json").read_text())}


def coherence(measured: np.ndarray, true: np.ndarray, fps: float) -> float:
    """Return the magnitude-squared coherence in [0, 1] of two signals (F,).

    It is read at the frequency of the pulse band where `true` is strongest.
    """
    length = min(64, len(true) // 2)
    frequency, value = signal.coherence(measured, true, fps, nperseg=length)
    _, power = signal.welch(true, fps, nperseg=length)
    band = (frequency >= ppg.BAND[0]) & (frequency <= ppg.BAND[1])
    return float(value[band][power[band].argmax()])


def found_wave(path: str | Path) -> tuple[np.ndarray, float]:
    """Return the pulse wave float (F,) of the tracked face of a video, and the frames/s.

    The wave is found by CHROM on the skin regions.
    """
    track = tracks.load(path)
    traces = ppg.region_traces(track.crops, track.crop_landmarks)
    return ppg.skin_pulse(traces, track.fps), track.fps


def pulse(index: pd.DataFrame, root: str | Path) -> pd.DataFrame:
    """Return how well the pulse can be read from each video, one row per video.

    The columns are the key of the video, identity, split, tone (1..6); true_bpm, found_bpm and
    error_bpm, the heart rate and its error; snr_db and coherence, of the wave against the truth;
    and chance_bpm, the error of a guess. Rates are in beats/min. The truth is that of the target,
    also for fakes.
    """
    rows = []
    for row in tqdm(index.itertuples(index=False), total=len(index), desc="pulse", unit="video"):
        known = load(root, row.target)
        wave, fps = found_wave(row.path)
        rate, snr = ppg.heart_rate(wave, fps)
        true = float(known["heart_rate"])
        values = {
            "tone": known["parameters"]["tone"],
            "true_bpm": true,
            "found_bpm": rate,
            "error_bpm": abs(rate - true),
            "snr_db": snr,
            "coherence": coherence(wave, known["pulse"][: len(wave)], fps),
        }
        rows.append({name: getattr(row, name) for name in KEY} | values)
    table = pd.DataFrame(rows)
    guesses = [chance(part) for _, part in table.groupby("generator")]
    return table.assign(chance_bpm=pd.concat(guesses))


def landmarks(index: pd.DataFrame, root: str | Path) -> pd.DataFrame:
    """Return the errors of landmarks in the real videos of `index`, one row per frame.

    The columns are dataset, generator, video, identity, tone, yaw (degrees) and error: the mean
    distance of found from true landmarks, in distances of the outer eye corners. The average
    difference of the two meshes (a constant per landmark) is removed first. True landmarks that are
    hidden do not count.
    """
    parts = []
    videos = index[index["generator"].eq("real")].itertuples(index=False)
    for row in tqdm(videos, desc="landmarks", unit="video"):
        known, track = load(root, row.target), tracks.load(row.path)
        offset = _offsets(track.landmarks, known)
        columns = {name: getattr(row, name) for name in KEY[:-1]}
        columns["tone"] = known["parameters"]["tone"]
        columns["yaw"] = np.degrees(known["pose"][: len(offset), 0])
        parts.append(pd.DataFrame(columns).assign(offset=list(offset)))
    table = pd.concat(parts, ignore_index=True)
    offset = np.stack(table.pop("offset"))
    distance = np.linalg.norm(offset - np.nanmedian(offset, axis=0), axis=-1)
    return table.assign(error=np.nanmean(distance, axis=1))


def _offsets(found: np.ndarray, known: dict[str, Any]) -> np.ndarray:
    """Return found less true landmarks (F, 10, 2), in eye distances, NaN where they are hidden."""
    names = [str(name) for name in known["landmark_names"]]
    picked = [names.index(name) for name in MESH]
    count = min(len(found), len(known["landmarks"]))
    true, seen = known["landmarks"][:count, picked], known["visible"][:count, picked]
    width = np.linalg.norm(true[:, 0] - true[:, 1], axis=-1).mean()
    offset = (found[:count, list(MESH.values())] - true) / width
    return np.where(seen[..., None], offset, np.nan)


def chance(table: pd.DataFrame) -> pd.Series:
    """Return the error of a guess for each row of a `pulse` table, in beats/min.

    It is the median distance of the true rate to the rates found for the other identities.
    """
    distance = np.abs(table["true_bpm"].to_numpy()[:, None] - table["found_bpm"].to_numpy())
    same = table["identity"].to_numpy()[:, None] == table["identity"].to_numpy()
    distance[same] = np.nan
    return pd.Series(np.nanmedian(distance, axis=1) if not same.all() else np.nan, table.index)
