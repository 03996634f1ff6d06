"""Properties of a video: plain ones of its face track, and its deep features."""

import cv2
import numpy as np
import torch

from deepfake_uncertainty.datasets.tracks import Track
from deepfake_uncertainty.detectors.base import DetectorSpec, evenly_spaced
from deepfake_uncertainty.seeding import threads
from deepfake_uncertainty.training import predict
from deepfake_uncertainty.uncertainty import engine

NEIGHBOURS = 5
SAMPLED_FRAMES = 16  # per video, for brightness, contrast and sharpness
TINY = 1e-6
EYE_CORNERS = 33, 263  # outer, in the face mesh
FEATURES = "features"
# Each check, and what a value above and below the known ones is called.
WORDS = {
    "size": ("larger face", "smaller face"),
    "brightness": ("brighter", "darker"),
    "contrast": ("more contrast", "less contrast"),
    "sharpness": ("sharper", "blurrier"),
    "redness": ("redder face", "paler face"),
    "motion": ("more motion", "less motion"),
    "rate": ("higher frame rate", "lower frame rate"),
    FEATURES: ("features unlike any trained on", ""),
}
UNITS = {
    "size": "px between the eyes",
    "brightness": "grey level / 255",
    "contrast": "std of grey / 255",
    "sharpness": "std of the Laplacian / 255",
    "redness": "red / green",
    "motion": "eye distances/s",
    "rate": "frames/s",
    FEATURES: "distance to the training videos",
}


def video_properties(track: Track, spec: DetectorSpec) -> dict[str, float]:
    """Return {check: value > 0} of a face track, in the units of UNITS.

    The frame rate is there only for detectors that read signals over time.
    """
    crops = np.array(track.crops[evenly_spaced(len(track.crops), SAMPLED_FRAMES)])
    levels = np.stack([cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) for crop in crops])
    grey = levels.astype(np.float64) / 255
    edges = [cv2.Laplacian(frame, cv2.CV_64F).std() for frame in grey]
    left, right = (track.landmarks[:, corner].astype(np.float64) for corner in EYE_CORNERS)
    size = np.median(np.linalg.norm(right - left, axis=1))
    seconds = max(track.times[-1] - track.times[0], 1 / track.fps)
    path = np.linalg.norm(np.diff((left + right) / 2, axis=0), axis=1).sum()
    red, green = crops[..., 0].mean(), crops[..., 1].mean()
    values = {
        "size": size,
        "brightness": grey.mean(),
        "contrast": grey.std(axis=(1, 2)).mean(),
        "sharpness": np.mean(edges),
        "redness": (red + 1) / (green + 1),
        "motion": path / size / seconds,
    }
    if spec.window > 1:
        values["rate"] = track.fps
    # A black or frozen picture has values of zero, which have no logarithm.
    return {name: max(float(value), TINY) for name, value in values.items()}


def deep_features(model: predict.Fitted, x: np.ndarray) -> np.ndarray:
    """Return the penultimate features float32 (N, D), of length 1, of a deterministic Fitted.

    Inputs x are (N, C, H, W).
    """
    with threads(model.recipe.threads), engine.evaluation(model.model):
        network = model.model.get_submodule("features")
        features = engine.map_batches(predict.batches(x), network, engine.device_of(model.model))
    return torch.nn.functional.normalize(features, dim=1).cpu().numpy()


def knn_distance(bank: np.ndarray, vectors: np.ndarray) -> float:
    """Return the distance to the k-th nearest row of `bank` (M, D), the mean over vectors (N, D).

    k is min(5, M).
    """
    squared = (vectors**2).sum(1)[:, None] + (bank**2).sum(1) - 2 * vectors @ bank.T
    k = min(NEIGHBOURS, len(bank))
    return float(np.sqrt(np.maximum(np.partition(squared, k - 1, axis=1)[:, k - 1], 0)).mean())
