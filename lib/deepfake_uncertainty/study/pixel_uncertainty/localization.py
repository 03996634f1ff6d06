"""Where is the uncertainty? Pixel maps of the test videos against the true masks."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
import torch
from skimage.metrics import structural_similarity
from tqdm.auto import tqdm

from deepfake_uncertainty.datasets import leakage, masks, tracks
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.evaluation import metric_tables, metrics
from deepfake_uncertainty.seeding import threads
from deepfake_uncertainty.training.predict import Fitted
from deepfake_uncertainty.uncertainty import maps
from deepfake_uncertainty.uncertainty.engine import device_of

KEY = [*leakage.KEY, "identity"]
BATCH = 32
DESTROYED = 0.2  # rank correlation below which a map counts as destroyed: 4 % of its variance left
CENTRE = 1 / 4  # standard deviation of the centre control, in sides of the crop
SCORES = ["auroc", "hit", "area"]


class Frames(NamedTuple):
    """Inputs x float32 (N, 3, H, W), their painted pixels bool (N, H, W), and the frame of N rows.

    A row has the key and identity of its video. Its column `masked` is True when the mask is known:
    it is for real videos, where nothing is painted.
    """

    x: np.ndarray
    painted: np.ndarray
    rows: pd.DataFrame


def test_frames(index: pd.DataFrame, detector: str, count: int) -> Frames:
    """Return `count` frames of each test video of `index`, as the detector reads them.

    `detector` is a registry name. rows.attrs['skipped'] lists (path, reason) of the videos left
    out. Raises InputError when no video is left, and for a detector that does not read single
    aligned pictures: only those lie on the face pixel by pixel.
    """
    spec = registry.get(detector)
    if spec.window != 1:
        raise InputError(
            f"{detector} reads {spec.window} frames at once: "
            "pixel maps need a detector of single pictures"
        )
    inputs, painted, rows, skipped = [], [], [], []
    videos = list(index[index["split"] == "test"].itertuples(index=False))
    for row in tqdm(videos, desc="frames", unit="video"):
        try:
            track = tracks.load(row.path)
            x, starts = spec.inputs(track, count)
            mask = masks.of_video(row, track, starts)
        except InputError as error:
            skipped.append((str(row.path), str(error)))
            continue
        size = x.shape[2:]
        inputs.append(x)
        painted.append(np.zeros((len(x), *size), bool) if mask is None else _resized(mask, size))
        key = {name: getattr(row, name) for name in KEY}
        rows += [key | {"masked": mask is not None}] * len(x)
    if not inputs:
        reason = skipped[0][1] if skipped else "there is none"
        raise InputError(f"no test video can be used by {detector}: {reason}")
    frame = pd.DataFrame(rows)
    frame.attrs["skipped"] = skipped
    return Frames(np.concatenate(inputs), np.concatenate(painted), frame)


def _resized(mask: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Return a mask in the size (H, W), bool: True where over half of a pixel is painted."""
    share = [
        cv2.resize(part.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)
        for part in mask
    ]
    return np.stack(share) > 0.5


def _batched(
    function: Callable[[torch.Tensor], dict[str, torch.Tensor]], x: np.ndarray, device: torch.device
) -> dict[str, np.ndarray]:
    """Return function(batch) {name: (n, H, W)} of all batches as {name: float32 (N, H, W)}."""
    parts = []
    batches = torch.from_numpy(np.ascontiguousarray(x)).split(BATCH)
    for batch in tqdm(batches, desc="maps", unit="batch", leave=False):
        values = function(batch.to(device))
        parts.append({name: value.cpu().numpy() for name, value in values.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def uncertainty_maps(
    fitted: Fitted,
    x: np.ndarray,
    T: int,
    copies: int,
    chosen: Sequence[str] = ("total", "epistemic"),
    seed: int | None = None,
) -> dict[str, np.ndarray]:
    """Return {measure: maps float32 (N, H, W) >= 0} of a Fitted for inputs x: SmoothGrad of each.

    A map is the length of the gradient over the channels. It has T fixed draws, and `copies` noisy
    copies of x, from `seed` (by default that of the model).
    """
    noise_seed = fitted.seed if seed is None else seed
    outputs = maps.uncertainty(fitted.draws(T, noise_seed), chosen)

    def function(batch):
        gradients = maps.smooth_grad(outputs, batch, copies, seed=noise_seed)
        return {name: maps.magnitude(value) for name, value in gradients.items()}

    with threads(fitted.recipe.threads):
        return _batched(function, x, device_of(fitted.model))


def reference_maps(fitted: Fitted, x: np.ndarray, T: int) -> dict[str, np.ndarray]:
    """Return {name: maps float32 (N, H, W) >= 0}, which uncertainty maps are compared with.

    'gradient' is the plain gradient of the log odds of fake, and 'grad_cam' is Grad-CAM of it. The
    other two do not depend on a network: 'edges' is the gradient of the picture itself (Sobel),
    and 'centre' is one blob in the middle of every crop.
    """
    functions = fitted.draws(T)

    def function(batch):
        gradient = maps.gradients(maps.fake_margin(functions), batch)["margin"]
        cam = maps.grad_cam(functions, fitted.model, batch)
        return {"gradient": maps.magnitude(gradient), "grad_cam": cam}

    with threads(fitted.recipe.threads):
        found = _batched(function, x, device_of(fitted.model))
    height, width = x.shape[2:]
    v, u = (np.linspace(-0.5, 0.5, n) for n in (height, width))
    blob = np.exp(-(u[None] ** 2 + v[:, None] ** 2) / (2 * CENTRE**2))
    found["centre"] = np.broadcast_to(blob, (len(x), height, width)).astype(np.float32)
    found["edges"] = np.stack([_edges(image.mean(0)) for image in x])
    return found


def _edges(grey: np.ndarray) -> np.ndarray:
    dx, dy = (cv2.Sobel(grey.astype(np.float32), -1, *order) for order in ((1, 0), (0, 1)))
    return np.hypot(dx, dy)


def relative_maps(values: np.ndarray, rows: pd.DataFrame) -> np.ndarray:
    """Return maps (N, H, W) divided by the mean map of the real videos: the common part is removed.

    The strides of a network leave a grid in its gradients, whatever it has learnt. Pixels that are
    0 in all real videos stay 0. Raises InputError without real videos.
    """
    real = rows["generator"].eq("real").to_numpy()
    if not real.any():
        raise InputError("relative maps need the real videos: keep them in the index")
    common = values[real].mean(0)
    return np.divide(values, common, out=np.zeros_like(values), where=common > 0)


def localization_scores(found: Mapping[str, np.ndarray], data: Frames) -> pd.DataFrame:
    """Return the scores of {name: maps (N, H, W)}, one row per fake video and map.

    The columns are the key of the video, map, auroc, area and hit, each the mean over its frames.
    auroc ranks the painted pixels of a frame above the others. hit is the pointing game (Zhang et
    al. 2018): 1 when the largest value lies inside the mask, ties shared. area is the share of
    painted pixels, the hit rate of a random point. Frames without a mask, and frames that are
    painted wholly or not at all, are left out: they define neither.
    """
    masks_flat = data.painted.reshape(len(data.painted), -1)
    partly = masks_flat.any(1) & ~masks_flat.all(1)
    use = np.flatnonzero(data.rows["masked"].to_numpy() & partly)
    parts = []
    for name, values in found.items():
        flat = values.reshape(len(values), -1)
        scores = data.rows.iloc[use][KEY].assign(
            map=name,
            auroc=[float(metrics.auroc(flat[i], masks_flat[i])) for i in use],
            area=masks_flat[use].mean(1),
            hit=[masks_flat[i][flat[i] == flat[i].max()].mean() for i in use],
        )
        parts.append(scores.groupby([*KEY, "map"], sort=False, as_index=False).mean())
    return pd.concat(parts, ignore_index=True)


def localization_table(scored: pd.DataFrame, seed: int, n_boot: int = 1000) -> pd.DataFrame:
    """Return the mean of each of `localization_scores` over videos, by map, generator and metric.

    Generator 'all' is every fake. The metrics are auroc, hit, area and gain: the auroc less that of
    the centre control on the same resamples. The columns are value, low, high (95 % interval,
    bootstrap over identities) and n (videos).
    """
    wide = scored.pivot(index=KEY, columns="map", values=SCORES)
    videos, rows = wide.index.to_frame(index=False), {}
    drawn = metric_tables.cluster_resamples(videos, seed, n_boot)
    for name in pd.unique(scored["map"]):
        columns = {metric: wide[metric, name].to_numpy(float) for metric in SCORES}
        columns["gain"] = columns["auroc"] - wide["auroc", "centre"].to_numpy(float)
        for generator in ("all", *pd.unique(videos["generator"])):
            chosen = videos["generator"].eq(generator).to_numpy() | (generator == "all")
            for metric, values in columns.items():
                mean = metrics.mean(values[chosen], drawn.of(chosen))
                rows[name, generator, metric] = [*metric_tables.interval(mean), int(chosen.sum())]
    return _table(rows, ["map", "generator", "metric"])


def _table(rows: dict[tuple, list], levels: list[str]) -> pd.DataFrame:
    """Return {key: [value, low, high, n]} as a frame whose index has `levels`."""
    table = pd.DataFrame(rows, index=["value", "low", "high", "n"]).T
    return table.rename_axis(levels).astype({"n": int})


def map_similarity(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rank correlation (N,) and the SSIM (N,) of maps one and other (N, H, W).

    The correlation is NaN where a map is constant. For the SSIM each map is scaled to its own range
    (Adebayo et al. 2018; Wang et al. 2004).
    """
    ranks = metrics.spearman_rows(*(part.reshape(len(part), -1) for part in (one, other)))
    pairs = zip(one, other, strict=True)
    return ranks, np.array(
        [structural_similarity(_unit(a), _unit(b), data_range=1.0) for a, b in pairs]
    )


def _unit(values: np.ndarray) -> np.ndarray:
    """Return a map scaled to [0, 1], or zeros for a constant map."""
    width = np.ptp(values)
    return (values - values.min()) / width if width > 0 else np.zeros_like(values)


def randomization_check(
    fitted: Fitted,
    data: Frames,
    T: int,
    copies: int,
    shares: Sequence[float],
    seed: int,
    n_boot: int = 1000,
    measure: str = "total",
) -> pd.DataFrame:
    """Return the similarity of maps before and after the last `share` of parameters is shuffled.

    The check is that of Adebayo et al. (2018), for maps of `measure`. The index levels are share
    and metric: 'rank' (Spearman's correlation with the map of the trained network; a constant map
    counts as 0), 'ssim', or 'relative' (the rank correlation of the two `relative_maps`). The
    columns are value, low, high (95 % interval, bootstrap over identities) and n (videos). Share 0
    is the trained network with other draws and other noise: an upper limit of the similarity.
    """
    trained = uncertainty_maps(fitted, data.x, T, copies, (measure,))[measure]
    drawn = metric_tables.cluster_resamples(data.rows, seed, n_boot)
    count, rows = data.rows[KEY].drop_duplicates().shape[0], {}
    for share in shares:
        shuffled = maps.shuffle_parameters(fitted.model, share, seed)
        model = dataclasses.replace(fitted, model=shuffled)
        after = uncertainty_maps(model, data.x, T, copies, (measure,), seed=seed + 1)[measure]
        similarity = dict(zip(("rank", "ssim"), map_similarity(trained, after), strict=True))
        both_relative = (relative_maps(values, data.rows) for values in (trained, after))
        similarity["relative"], _ = map_similarity(*both_relative)
        for metric, values in similarity.items():
            mean = metrics.mean(np.nan_to_num(values), drawn)
            rows[share, metric] = [*metric_tables.interval(mean), count]
    return _table(rows, ["share", "metric"])


def first_identities(data: Frames, people: int) -> Frames:
    """Return the Frames of the first `people` identities of each data set."""
    groups = data.rows.groupby("dataset", sort=False)["identity"]
    use = (groups.transform(lambda names: pd.factorize(names)[0]) < people).to_numpy()
    return Frames(data.x[use], data.painted[use], data.rows[use].reset_index(drop=True))
