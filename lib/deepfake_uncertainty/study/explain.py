"""What one decision rests on: the part of the face whose hiding changes it, and the pixels that its uncertainty depends on."""

from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from deepfake_uncertainty.datasets import regions
from deepfake_uncertainty.study import evaluate

NOTABLE = 0.05  # a region is named when hiding it lowers P(fake) by this much
WHOLE = "nothing"


def part(track, start, length):
    """Return the frames [start, start + length) of a track, as a track."""
    chosen = slice(start, start + length)
    return replace(track, crops=np.array(track.crops[chosen]), landmarks=track.landmarks[chosen],
                   matrices=track.matrices[chosen], times=track.times[chosen])  # fmt: skip


def hidden(track, region):
    """Return a track in which `region` of each face has the mean colour of its crop."""
    crops = track.crops.copy()
    for crop, points in zip(crops, track.crop_landmarks, strict=True):
        crop[regions.region_mask(points, region, crop.shape[0])] = crop.mean((0, 1)).astype(np.uint8)
    return replace(track, crops=crops)


def by_region(track, spec, model, T):
    """Return a frame, one row a hidden region, 'nothing' first: p_fake, total and epistemic (nats) of a track of one window."""
    names = [WHOLE, *regions.REGIONS]
    versions = [track, *(hidden(track, name) for name in names[1:])]
    probabilities = model.sample(np.concatenate([spec.inputs(version, 1)[0] for version in versions]), T)
    found = evaluate.scores(probabilities)
    columns = {"p_fake": probabilities.mean(0)[:, 1], "total": found["total"], "epistemic": found["epistemic"]}
    return pd.DataFrame(columns, index=pd.Index(names, name="hidden"))


def decisive(table):
    """Return (region, P(fake) without it) of the region whose hiding lowers P(fake) most; None, None if none by 0.05."""
    p_fake = table["p_fake"].drop(WHOLE)
    least = p_fake.idxmin()
    return (least, float(p_fake[least])) if table["p_fake"][WHOLE] - p_fake[least] >= NOTABLE else (None, None)


def sensitivity(network, x):
    """Return |gradient| of the total uncertainty, H(p) in nats, of a deterministic network to inputs x (N, C, H, W).

    float32 (N, H, W) >= 0, the largest of the channels (Simonyan et al. 2014).
    """
    x = torch.from_numpy(np.array(x, dtype=np.float32)).requires_grad_()
    network.eval()
    logp = network(x).log_softmax(-1)
    (gradient,) = torch.autograd.grad(-(logp.exp() * logp).sum(), x)
    return gradient.abs().amax(1).numpy()
