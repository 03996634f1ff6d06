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

# Landmarks that the renderer's head and MediaPipe's mesh both have; the outer eye corners come first.
MESH = {"eye_outer_left": 33, "eye_outer_right": 263, "eye_inner_left": 133, "eye_inner_right": 362, "nose_tip": 4,
        "mouth_left": 61, "mouth_right": 291, "upper_lip": 0, "lower_lip": 17, "chin": 152}  # fmt: skip


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


def found_wave(path):
    """Return the pulse wave float (F,) that CHROM finds on the skin regions of the tracked face of a video, and frames/s."""
    track = tracks.load(path)
    traces = ppg.region_traces(track.crops, track.crop_landmarks)
    return ppg.skin_pulse(traces, track.fps), track.fps


def pulse(index, root):
    """Return a frame, one row a video: key, identity, split, tone (1..6), true, found and error of the heart rate.

    Rates and errors are in beats/min; chance_bpm is the error by guessing, snr_db and coherence those of the wave against
    the truth, which is the wave of the *target*, also for fakes.
    """
    rows = []
    for row in tqdm(index.itertuples(index=False), total=len(index), desc="pulse", unit="video"):
        known = load(root, row.target)
        wave, fps = found_wave(row.path)
        rate, snr = ppg.heart_rate(wave, fps)
        true = float(known["heart_rate"])
        rows.append({"dataset": row.dataset, "generator": row.generator, "video": row.video, "identity": row.identity,
                     "split": row.split, "tone": known["parameters"]["tone"], "true_bpm": true, "found_bpm": rate,
                     "error_bpm": abs(rate - true), "snr_db": snr,
                     "coherence": coherence(wave, known["pulse"][: len(wave)], fps)})  # fmt: skip
    found = pd.DataFrame(rows)
    return found.assign(chance_bpm=pd.concat([chance(part) for _, part in found.groupby("generator")]))


def landmarks(index, root):
    """Return a frame, one row a frame of the real videos of `index`: key, identity, tone, yaw (degrees), error.

    `error` is the mean distance of found from true landmarks, in distances of the outer eye corners; how the two meshes
    differ on average (a constant a landmark) is taken out first. True landmarks that are out of sight do not count.
    """
    rows = []
    for row in tqdm(index[index["generator"].eq("real")].itertuples(index=False), desc="landmarks", unit="video"):
        known, track = load(root, row.target), tracks.load(row.path)
        names = [str(name) for name in known["landmark_names"]]
        picked = [names.index(name) for name in MESH]
        count = min(len(track.landmarks), len(known["landmarks"]))
        true, seen = known["landmarks"][:count, picked], known["visible"][:count, picked]
        width = np.linalg.norm(true[:, 0] - true[:, 1], axis=-1).mean()
        offset = np.where(seen[..., None], (track.landmarks[:count, list(MESH.values())] - true) / width, np.nan)
        rows.append(pd.DataFrame({"dataset": row.dataset, "generator": row.generator, "video": row.video,
                                  "identity": row.identity, "tone": known["parameters"]["tone"],
                                  "yaw": np.degrees(known["pose"][:count, 0])}).assign(offset=list(offset)))  # fmt: skip
    found = pd.concat(rows, ignore_index=True)
    offset = np.stack(found.pop("offset"))
    distance = np.linalg.norm(offset - np.nanmedian(offset, axis=0), axis=-1)
    return found.assign(error=np.nanmean(distance, axis=1))


def chance(found):
    """Return the error by guessing (N,): the median distance of a true rate to those found for the other identities."""
    distance = np.abs(found["true_bpm"].to_numpy()[:, None] - found["found_bpm"].to_numpy())
    same = found["identity"].to_numpy()[:, None] == found["identity"].to_numpy()
    distance[same] = np.nan
    return pd.Series(np.nanmedian(distance, axis=1) if not same.all() else np.nan, found.index)
