"""Probes for shortcuts: does something simple, that is no manipulation, already tell fake videos from real ones?"""

import cv2
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from deepfake_uncertainty.datasets import tracks, video
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import evaluate, metrics

# Points of the 468-point mesh: outer corners of the eyes, tip of the nose, chin.
LEFT, RIGHT, NOSE, CHIN = 33, 263, 1, 152
PROBES = {
    "mean colour": ["red", "green", "blue"], "contrast": ["contrast"], "noise": ["noise"], "bits a frame": ["bits"],
    "duration": ["seconds"], "pose": ["yaw", "yaw_spread", "pitch", "pitch_spread"], "landmark jitter": ["jitter"],
}  # fmt: skip
EVERY = "all of them"


def noise_level(grey):
    """Return the standard deviation of the noise of a grey image (H, W), in its own units (Immerkaer 1996)."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], float)
    residue = cv2.filter2D(np.asarray(grey, float), -1, kernel)[1:-1, 1:-1]
    return float(np.sqrt(np.pi / 2) * np.abs(residue).mean() / 6)


def pose(landmarks):
    """Return (yaw, pitch), each (F,), of landmarks (F, 468, 2): where the nose lies, in distances of the eyes."""
    eyes = landmarks[:, RIGHT] - landmarks[:, LEFT]
    width = np.linalg.norm(eyes, axis=-1)
    across = eyes / width[:, None]
    down = np.stack([-across[:, 1], across[:, 0]], 1)
    offset = landmarks[:, NOSE] - (landmarks[:, LEFT] + landmarks[:, RIGHT]) / 2
    return (offset * across).sum(1) / width, (offset * down).sum(1) / width


def jitter(landmarks):
    """Return the mean length of the second difference of landmarks (F, 468, 2), in distances of the eyes; 0 for F < 3."""
    width = np.linalg.norm(landmarks[:, RIGHT] - landmarks[:, LEFT], axis=-1).mean()
    second = np.diff(landmarks, n=2, axis=0)
    return float(np.linalg.norm(second, axis=-1).mean() / width) if len(second) else 0.0


def features_of(path, n_frames, fps):
    """Return the features {name: value} of one video; colours and noise in grey levels, bits a frame, seconds."""
    track = tracks.load(path)
    crops = np.asarray(track.crops[:: max(1, len(track.crops) // 16)])
    grey = crops.mean(-1)
    yaw, pitch = pose(np.asarray(track.landmarks))
    red, green, blue = crops.mean((0, 1, 2))
    return {"red": red, "green": green, "blue": blue, "contrast": grey.std((1, 2)).mean(),
            "noise": np.mean([noise_level(image) for image in grey]), "bits": video.picture_bits(path) / n_frames,
            "seconds": n_frames / fps, "yaw": yaw.mean(), "yaw_spread": yaw.std(), "pitch": pitch.mean(),
            "pitch_spread": pitch.std(), "jitter": jitter(np.asarray(track.landmarks))}  # fmt: skip


def features(index):
    """Return the rows of `index` whose face can be tracked, with the features of each video as further columns."""
    rows = []
    for row in tqdm(index.to_dict("records"), desc="probes", unit="video"):
        try:
            rows.append(row | features_of(row["path"], row["n_frames"], row["fps"]))
        except InputError:
            continue  # it is listed where the detectors' inputs are made
    return pd.DataFrame(rows)


def table(found, seed, n_boot=1000):
    """Return the AUROC of each probe, fake against real, on the test split of `found`; columns value, low, high.

    A probe is a logistic regression on its standardised features, fitted to the train split. Rows (probe, generator),
    'all' being every generator at once; 95 percent intervals by bootstrap over identities. Raises InputError when a split
    lacks a class.
    """
    parts = {split: found[found["split"] == split].reset_index(drop=True) for split in ("train", "test")}
    for name, part in parts.items():
        if part["generator"].eq("real").nunique() < 2:
            raise InputError(f"the {name} split has only one class: probes need real and fake videos")
    test, rows = parts["test"], {}
    drawn = evaluate.clustered(test, seed, n_boot)
    fake = test["generator"].ne("real").to_numpy()
    for probe, columns in (PROBES | {EVERY: sum(PROBES.values(), [])}).items():
        model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
        model.fit(parts["train"][columns], parts["train"]["generator"].ne("real"))
        score = model.predict_proba(test[columns])[:, 1]
        for name in ("all", *pd.unique(test.loc[fake, "generator"])):
            own = test["generator"].isin([name, "real"]).to_numpy() | (name == "all")
            rows[probe, name] = evaluate.interval(metrics.auroc(score[own], fake[own], drawn.of(own)))
    return pd.DataFrame(rows, index=["value", "low", "high"]).T.rename_axis(["probe", "generator"])
