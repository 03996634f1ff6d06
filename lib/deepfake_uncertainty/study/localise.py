"""Where is the uncertainty? Pixel maps of the test videos against the true masks, and whether they tell the generator."""

import dataclasses
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity
from tqdm.auto import tqdm

from deepfake_uncertainty.datasets import leakage, tracks
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.seeding import threads
from deepfake_uncertainty.study import evaluate, masks, metrics
from deepfake_uncertainty.uncertainty import maps
from deepfake_uncertainty.uncertainty.sampling import device_of

KEY = [*leakage.KEY, "identity"]
BATCH = 32
DESTROYED = 0.2  # rank correlation below which a map counts as destroyed: 4 % of the ranks' variance is left
CENTRE = 1 / 4  # standard deviation of the centre control, in sides of the crop


class Frames(NamedTuple):
    """Inputs x float32 (N, 3, H, W), what was painted in them bool (N, H, W), and the frame of N rows (video, identity).

    The column `masked` says whether the mask is known: it is for real videos, where nothing is painted.
    """

    x: np.ndarray
    painted: np.ndarray
    rows: pd.DataFrame


def frames(index, detector, count):
    """Return `Frames`, `count` of each test video of `index`, as `detector` (registry name) reads them.

    rows.attrs['skipped'] lists (path, reason) of videos left out. Raises InputError for a detector that does not read single
    aligned pictures: only those lie on the face pixel by pixel; and when no video is left.
    """
    spec, found, painted, rows, skipped = registry.get(detector), [], [], [], []
    if spec.window != 1:
        raise InputError(f"{detector} reads {spec.window} frames at once: pixel maps need a detector of single pictures")
    for row in tqdm(list(index[index["split"] == "test"].itertuples(index=False)), desc="frames", unit="video"):
        try:
            track = tracks.load(row.path)
            x, starts = spec.inputs(track, count)
            known = masks.of_video(row, track, starts)
        except InputError as error:
            skipped.append((str(row.path), str(error)))
            continue
        size = x.shape[2:]
        known_or_none = np.zeros((len(x), *size), bool) if known is None else _resized(known, size)
        found.append(x)
        painted.append(known_or_none)
        rows += [{name: getattr(row, name) for name in KEY} | {"masked": known is not None}] * len(x)
    if not found:
        raise InputError(f"no test video can be used by {detector}: {skipped[0][1] if skipped else 'there is none'}")
    rows = pd.DataFrame(rows)
    rows.attrs["skipped"] = skipped
    return Frames(np.concatenate(found), np.concatenate(painted), rows)


def _resized(painted, size):
    share = [cv2.resize(part.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA) for part in painted]
    return np.stack(share) > 0.5


def _batched(function, x, device):
    """Return function(batch) {name: (n, H, W)} of all batches as {name: float32 (N, H, W)}."""
    parts = []
    for batch in tqdm(torch.from_numpy(np.ascontiguousarray(x)).split(BATCH), desc="maps", unit="batch", leave=False):
        parts.append({name: value.cpu().numpy() for name, value in function(batch.to(device)).items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def uncertainty_maps(fitted, x, T, copies, chosen=("total", "epistemic"), seed=None):
    """Return {measure: maps float32 (N, H, W) >= 0} of a `predict.Fitted` for inputs x: SmoothGrad of each measure.

    T fixed draws and `copies` noisy copies from `seed` (default: the model's); the length of the gradient over the channels.
    """
    seed = fitted.seed if seed is None else seed
    outputs = maps.uncertainty(maps.draws(fitted, T, seed), chosen)

    def function(batch):
        return {name: maps.magnitude(value) for name, value in maps.smoothed(outputs, batch, copies, seed=seed).items()}

    with threads(fitted.recipe.threads):
        return _batched(function, x, device_of(fitted.model))


def reference_maps(fitted, x, T):
    """Return what uncertainty maps are set beside, {name: maps float32 (N, H, W) >= 0}.

    'gradient' is the plain gradient of the log odds of fake, 'grad_cam' is Grad-CAM of it. The others have seen no network:
    'edges' is the picture's own gradient (Sobel), 'centre' one blob in the middle of every crop.
    """
    functions = maps.draws(fitted, T)

    def function(batch):
        slope = maps.gradients(maps.fake_margin(functions), batch)["margin"]
        return {"gradient": maps.magnitude(slope), "grad_cam": maps.grad_cam(functions, fitted.model, batch)}

    with threads(fitted.recipe.threads):
        found = _batched(function, x, device_of(fitted.model))
    height, width = x.shape[2:]
    v, u = (np.linspace(-0.5, 0.5, n) for n in (height, width))
    blob = np.exp(-(u[None] ** 2 + v[:, None] ** 2) / (2 * CENTRE**2))
    found["centre"] = np.broadcast_to(blob, (len(x), height, width)).astype(np.float32)
    found["edges"] = np.stack([_edges(image.mean(0)) for image in x])
    return found


def _edges(grey):
    return np.hypot(*(cv2.Sobel(grey.astype(np.float32), -1, dx, dy) for dx, dy in ((1, 0), (0, 1))))


def relative(values, rows):
    """Return maps (N, H, W) divided by the mean map of the real videos: what is the same in every face is taken out.

    The strides of a network leave a grid in its gradients, whatever it has learnt and sees. Pixels that are 0 in all of
    these stay 0. Raises InputError without real videos.
    """
    real = rows["generator"].eq("real").to_numpy()
    if not real.any():
        raise InputError("relative maps need the real videos: keep them in the index")
    common = values[real].mean(0)
    return np.divide(values, common, out=np.zeros_like(values), where=common > 0)


def scores(found, data):
    """Return a frame, one row a (fake video, map): its key, map, auroc, hit and area, the mean over its frames.

    found: {name: maps (N, H, W)}. auroc ranks the painted pixels of a frame above the others; hit is the pointing game
    (Zhang et al. 2018), 1 when the largest value lies inside the mask, ties shared; area is what a random point would hit.
    Frames without a mask, or painted wholly or not at all, are left out: they define neither.
    """
    flat = data.painted.reshape(len(data.painted), -1)
    use = np.flatnonzero(data.rows["masked"].to_numpy() & flat.any(1) & ~flat.all(1))
    parts = []
    for name, values in found.items():
        values = values.reshape(len(values), -1)
        own = data.rows.iloc[use][KEY].assign(
            map=name, auroc=[float(metrics.auroc(values[i], flat[i])) for i in use], area=flat[use].mean(1),
            hit=[flat[i][values[i] == values[i].max()].mean() for i in use])  # fmt: skip
        parts.append(own.groupby([*KEY, "map"], sort=False, as_index=False).mean())
    return pd.concat(parts, ignore_index=True)


def table(scored, seed, n_boot=1000):
    """Return the mean of auroc, hit, area and `gain` of `scores` by (map, generator): value, low, high (95 percent), n videos.

    Rows (map, generator, metric), generator 'all' being every fake; bootstrap over identities. gain is the auroc less that
    of the centre control on the same resamples.
    """
    wide = scored.pivot(index=KEY, columns="map", values=["auroc", "hit", "area"])
    videos, rows = wide.index.to_frame(index=False), {}
    weights = np.vstack([np.ones(len(videos)), evaluate.resamples(videos, seed, n_boot)])
    for name in pd.unique(scored["map"]):
        for generator in ("all", *pd.unique(videos["generator"])):
            own = weights if generator == "all" else weights * videos["generator"].eq(generator).to_numpy()
            columns = {metric: wide[metric, name].to_numpy(float) for metric in ("auroc", "hit", "area")}
            columns["gain"] = columns["auroc"] - wide["auroc", "centre"].to_numpy(float)
            for metric, values in columns.items():
                rows[name, generator, metric] = [*evaluate.interval(metrics.mean(values, own)), int((own[0] > 0).sum())]
    found = pd.DataFrame(rows, index=["value", "low", "high", "n"]).T.rename_axis(["map", "generator", "metric"])
    return found.astype({"n": int})


def likeness(one, other):
    """Return (rank correlation, SSIM), each (N,), of maps one and other (N, H, W); NaN correlation where one is constant.

    For SSIM each map is scaled to its own range (Adebayo et al. 2018; Wang et al. 2004).
    """
    ranks, structure = [], []
    for a, b in zip(one, other, strict=True):
        constant = np.ptp(a) == 0 or np.ptp(b) == 0
        ranks.append(np.nan if constant else spearmanr(a.ravel(), b.ravel()).statistic)
        structure.append(structural_similarity(_unit(a), _unit(b), data_range=1.0))
    return np.array(ranks), np.array(structure)


def _unit(values):
    width = np.ptp(values)
    return (values - values.min()) / width if width > 0 else np.zeros_like(values)


def sanity(fitted, data, T, copies, shares, seed, n_boot=1000, measure="total"):
    """Return how much of a map of `measure` is left when the last `share` of the parameters is shuffled (Adebayo et al. 2018).

    Rows (share, metric), metric 'rank' (Spearman's correlation with the trained network's map; a constant map ranks nothing
    and counts as 0), 'ssim', or 'relative' (the rank correlation of the two `relative` maps); columns value,
    low, high (95 percent, bootstrap over identities), n videos. Share 0 is the trained network again, with other draws and
    other noise: as alike as two maps of one network can be.
    """
    trained = uncertainty_maps(fitted, data.x, T, copies, (measure,))[measure]
    weights = np.vstack([np.ones(len(data.rows)), evaluate.resamples(data.rows, seed, n_boot)])
    count, rows = data.rows[KEY].drop_duplicates().shape[0], {}
    for share in shares:
        model = dataclasses.replace(fitted, model=maps.randomised(fitted.model, share, seed))
        other = uncertainty_maps(model, data.x, T, copies, (measure,), seed=seed + 1)[measure]
        own = dict(zip(("rank", "ssim"), likeness(trained, other), strict=True))
        own["relative"], _ = likeness(relative(trained, data.rows), relative(other, data.rows))
        for metric, values in own.items():
            rows[share, metric] = [*evaluate.interval(metrics.mean(np.nan_to_num(values), weights)), count]
    table = pd.DataFrame(rows, index=["value", "low", "high", "n"]).T.rename_axis(["share", "metric"])
    return table.astype({"n": int})


def subset(data, people):
    """Return `Frames` of the first `people` identities of each data set."""
    groups = data.rows.groupby("dataset", sort=False)["identity"]
    use = (groups.transform(lambda names: pd.factorize(names)[0]) < people).to_numpy()
    return Frames(data.x[use], data.painted[use], data.rows[use].reset_index(drop=True))
