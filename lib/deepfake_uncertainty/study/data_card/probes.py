"""Probes for shortcuts: simple features that are no manipulation but separate fake from real."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from deepfake_uncertainty.datasets import tracks, video
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.evaluation import metric_tables, metrics

# Points of the 468-point mesh: outer corners of the eyes, tip of the nose, chin.
LEFT, RIGHT, NOSE, CHIN = 33, 263, 1, 152
PROBES = {
    "mean colour": ["red", "green", "blue"],
    "contrast": ["contrast"],
    "noise": ["noise"],
    "bits a frame": ["bits"],
    "duration": ["seconds"],
    "pose": ["yaw", "yaw_spread", "pitch", "pitch_spread"],
    "landmark jitter": ["jitter"],
}
EVERY = "all of them"


def noise_level(grey: np.ndarray) -> float:
    """Return the standard deviation of the noise of a grey image (H, W), in the image's units.

    The estimate is that of Immerkaer (1996).
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], float)
    residue = cv2.filter2D(np.asarray(grey, float), -1, kernel)[1:-1, 1:-1]
    return float(np.sqrt(np.pi / 2) * np.abs(residue).mean() / 6)


def pose(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (yaw, pitch), each (F,), of landmarks (F, 468, 2).

    They are the position of the nose relative to the middle of the eyes, in eye distances.
    """
    eyes = landmarks[:, RIGHT] - landmarks[:, LEFT]
    width = np.linalg.norm(eyes, axis=-1)
    across = eyes / width[:, None]
    down = np.stack([-across[:, 1], across[:, 0]], 1)
    offset = landmarks[:, NOSE] - (landmarks[:, LEFT] + landmarks[:, RIGHT]) / 2
    return (offset * across).sum(1) / width, (offset * down).sum(1) / width


def jitter(landmarks: np.ndarray) -> float:
    """Return the mean length of the second differences of landmarks (F, 468, 2).

    The unit is the eye distance; the result is 0 for F < 3.
    """
    width = np.linalg.norm(landmarks[:, RIGHT] - landmarks[:, LEFT], axis=-1).mean()
    second = np.diff(landmarks, n=2, axis=0)
    return float(np.linalg.norm(second, axis=-1).mean() / width) if len(second) else 0.0


def features_of_video(path: str | Path, n_frames: int, fps: float) -> dict[str, Any]:
    """Return the features {name: value} of one video.

    Colours, contrast and noise are in grey levels, bits are per frame, and the duration is in s.
    """
    track = tracks.load(path)
    crops = np.asarray(track.crops[:: max(1, len(track.crops) // 16)])
    grey = crops.mean(-1)
    yaw, pitch = pose(np.asarray(track.landmarks))
    red, green, blue = crops.mean((0, 1, 2))
    return {
        "red": red,
        "green": green,
        "blue": blue,
        "contrast": grey.std((1, 2)).mean(),
        "noise": np.mean([noise_level(image) for image in grey]),
        "bits": video.picture_bits(path) / n_frames,
        "seconds": n_frames / fps,
        "yaw": yaw.mean(),
        "yaw_spread": yaw.std(),
        "pitch": pitch.mean(),
        "pitch_spread": pitch.std(),
        "jitter": jitter(np.asarray(track.landmarks)),
    }


def probe_features(index: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `index` that have a face track, with the features of each video added."""
    rows = []
    for row in tqdm(index.to_dict("records"), desc="probes", unit="video"):
        try:
            rows.append(row | features_of_video(row["path"], row["n_frames"], row["fps"]))
        except InputError:
            continue  # it is listed where the inputs of detectors are made
    return pd.DataFrame(rows)


def probe_auroc(features: pd.DataFrame, seed: int, n_boot: int = 1000) -> pd.DataFrame:
    """Return the AUROC of each probe, fake against real, on the test split of `probe_features`.

    A probe is a logistic regression on its standardised features, fitted to the train split. The
    index levels are probe and generator, where 'all' is every generator at once. The columns are
    value, low, high (95 % interval, bootstrap over identities). Raises InputError when a split
    lacks a class.
    """
    train, test = (_split(features, name) for name in ("train", "test"))
    rows = {}
    drawn = metric_tables.cluster_resamples(test, seed, n_boot)
    fake = test["generator"].ne("real").to_numpy()
    for probe, columns in (PROBES | {EVERY: sum(PROBES.values(), [])}).items():
        regression = LogisticRegression(class_weight="balanced", max_iter=1000)
        model = make_pipeline(StandardScaler(), regression)
        model.fit(train[columns], train["generator"].ne("real"))
        score = model.predict_proba(test[columns])[:, 1]
        for name in ("all", *pd.unique(test.loc[fake, "generator"])):
            chosen = test["generator"].isin([name, "real"]).to_numpy() | (name == "all")
            auroc = metrics.auroc(score[chosen], fake[chosen], drawn.of(chosen))
            rows[probe, name] = metric_tables.interval(auroc)
    return pd.DataFrame(rows, index=["value", "low", "high"]).T.rename_axis(["probe", "generator"])


def _split(features: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the rows of one split; InputError unless it has real and fake videos."""
    part = features[features["split"] == name].reset_index(drop=True)
    if part["generator"].eq("real").nunique() < 2:
        raise InputError(f"the {name} split has only one class: probes need real and fake videos")
    return part
