"""One video in, one Report out: P(fake) of each window, its uncertainty, and a decision."""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from deepfake_uncertainty.datasets import face_regions, tracks, video
from deepfake_uncertainty.datasets.tracks import Track
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.detectors.base import DetectorSpec, Recipe
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.evaluation import decide, metric_tables
from deepfake_uncertainty.study.your_video import explain, familiarity_check
from deepfake_uncertainty.study.your_video.report import Report
from deepfake_uncertainty.training import predict, profiles
from deepfake_uncertainty.training.config import Settings

WINDOWS_PER_SECOND = 4
MIN_FRAMES = 2  # a video of one frame is a picture
TAIL = 5  # percent of the samples of p_fake on either side of their spread


def analyze(
    path: str | Path, detector: str, method: str, profile: str = "quick", alpha: float = 0.1
) -> Report:
    """Return the Report of a video file, with a decision of error rate `alpha` per class.

    The detector and the decision rule are trained and calibrated on the data of `profile`, unless
    the cache has them. Raises InputError for a video that is unreadable, a still picture, without a
    face or too short for the detector, for unknown names, and unless 0 < alpha < 1.
    """
    predict.check_names(detector, method)
    spec, run = registry.get(detector), profiles.get(profile).run()
    decide.check_alpha(alpha)
    index, _ = profiles.videos(profile)
    # Any fault of the video is reported before minutes of training.
    track, x, starts, judged = _usable(path, spec, run.recipe(spec, Settings()))
    model, samples = predict.model_and_samples(detector, method, index, run)
    known, known_rows = metric_tables.by_video(*samples.of_split("val"))
    rule = decide.calibrate(known.mean(0)[:, 1], known_rows["label"], alpha)
    guard = familiarity_check.Guard(detector, index, run)
    familiarity = guard.judge(track, judged)
    probabilities, sampled = _sampled(model, judged, x, run.T)
    p_fake = float(probabilities.mean(0)[0, 1])
    windows = _windows(sampled, track.times[starts])
    return Report(
        video=Path(path).name,
        seconds=float(track.times[-1] + 1 / track.fps),
        detector=detector,
        method=method,
        windows=windows,
        p_fake=p_fake,
        spread=_spread(probabilities[:, 0, 1]),
        measures=_measures(probabilities, known),
        decision=_decision(p_fake, rule, familiarity),
        rule=rule,
        familiarity=familiarity,
        trained_on=_trained_on(index),
        n_faces=track.n_faces,
        seen=_split(path, index),
        **_evidence(windows, track, x, starts, model, guard.model, run.T),
    )


def _sampled(
    model: predict.Fitted, judged: np.ndarray, x: np.ndarray, T: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return samples (T, 1, 2), the mean over the inputs `judged`, and (T, N, 2) of the inputs x.

    All are of one video and have the same draws, as the videos of the calibration have.
    """
    one_video = np.zeros(len(judged) + len(x), int)
    found = model.sample(np.concatenate([judged, x]), T, one_video)
    return found[:, : len(judged)].mean(1, keepdims=True), found[:, len(judged) :]


def _evidence(
    windows: pd.DataFrame,
    track: Track,
    x: np.ndarray,
    starts: np.ndarray,
    model: predict.Fitted,
    plain: predict.Fitted,
    T: int,
) -> dict:
    """Return the fields of a Report on its most suspicious window; `plain` is deterministic."""
    spec, worst = model.detector, int(windows["p_fake"].to_numpy().argmax())
    shown = track.part(int(starts[worst]), spec.window)
    table = explain.by_region(shown, spec, model, T)
    region, hidden = explain.decisive(table)
    mask = None
    if region:
        size = shown.crops.shape[1]
        mask = face_regions.region_mask(shown.crop_landmarks[0], region, size)
    return {
        "worst": worst,
        "regions": table,
        "region": region,
        "hidden_p_fake": hidden,
        "mask": mask,
        "crop": shown.crops[0],
        "x": x[worst],
        "sensitive": explain.sensitivity(plain, x[worst : worst + 1])[0],
    }


def _usable(
    path: str | Path, spec: DetectorSpec, recipe: Recipe
) -> tuple[Track, np.ndarray, np.ndarray, np.ndarray]:
    """Return the track, the inputs to show, their first frames, and the inputs to decide by."""
    video.header(path)
    track = tracks.load(path)
    if len(track.times) < MIN_FRAMES:
        raise InputError(f"{path} is a still picture, one frame: give a video")
    try:
        count = max(recipe.inputs_per_video, int(WINDOWS_PER_SECOND * track.times[-1]))
        x, starts = spec.inputs(track, count)
        # The rule was calibrated on this number of inputs: a mean over more would vary less.
        return track, x, starts, spec.inputs(track, recipe.inputs_per_video)[0]
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _windows(probabilities: np.ndarray, starts: np.ndarray) -> pd.DataFrame:
    """Return the frame `windows` of a Report, of samples (T, N, 2) and their starts (N,) in s."""
    scores = metric_tables.uncertainty_scores(probabilities)
    columns = {"start": starts, "p_fake": probabilities.mean(0)[:, 1]}
    return pd.DataFrame(columns | {name: scores[name] for name in ("total", "epistemic")})


def _decision(p_fake: float, rule: decide.Rule, familiarity: familiarity_check.Familiarity) -> str:
    """Return the decision of the rule, or CANNOT_TELL for an unfamiliar video."""
    return str(decide.decide([p_fake], rule)[0]) if familiarity.familiar else decide.CANNOT_TELL


def _spread(p_fake: np.ndarray) -> tuple[float, float]:
    """Return the limits of the middle 90 % of samples (T,)."""
    low, high = np.percentile(p_fake, [TAIL, 100 - TAIL]).tolist()
    return low, high


def _measures(probabilities: np.ndarray, known: np.ndarray) -> pd.DataFrame:
    """Return the frame `measures` of a Report.

    The values are those of samples (T, 1, 2); the percentiles are among samples `known` (T, V, 2).
    """
    values = metric_tables.uncertainty_scores(probabilities)
    others = metric_tables.uncertainty_scores(known)
    rows = {}
    for name in metric_tables.SCORES[1:]:
        value = values[name][0]
        rows[name] = {"value": value, "percentile": 100 * np.mean(others[name] <= value)}
    return pd.DataFrame.from_dict(rows, orient="index")


def _trained_on(index: pd.DataFrame) -> str:
    """Return the training data of an index in words."""
    training = index[index["split"] == "train"]
    generators = ", ".join(sorted(set(training["generator"]) - {"real"}))
    people, dataset = training["identity"].nunique(), training["dataset"].iloc[0]
    return f"{people} identities of {dataset} (real, {generators})"


def _split(path: str | Path, index: pd.DataFrame) -> str | None:
    """Return 'train' or 'val' when the video itself is in that split, else None."""
    same = [os.path.realpath(known) == os.path.realpath(path) for known in index["path"]]
    return next((name for name in index[same]["split"] if name != "test"), None)
