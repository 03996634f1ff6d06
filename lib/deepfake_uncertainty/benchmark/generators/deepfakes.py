"""Deepfakes: a shared encoder, a decoder for each identity of a split, colour transfer, feathered paste.

A working miniature of the autoencoder family of FaceForensics++ (Rössler 2019), trained on aligned faces of one split's
own clips, each warped at random as in the original. Simpler than the original in two ways, so that a minute of one core is
enough: four units of the code are taught (mouth, eyes, pitch, yaw, from frames and found landmarks), and a decoder moves its
identity's likeness by a flow and shades it, linearly in the code, like an active appearance model (Cootes 2001).
"""

from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import nn

from deepfake_uncertainty.benchmark.generators import aligned, base, faceswap
from deepfake_uncertainty.benchmark.generators.aligned import EYES, SIZE, alignments, template
from deepfake_uncertainty.errors import InputError

CODE, CELLS, SHADES = 16, 16, 8  # units of the code; sides of the grids of the flow and of the shading
NAMED = 4  # the first units are taught mouth, eyes, pitch and yaw; the others are free
NAMING, BENDING, RIDGE = 0.1, 0.05, 0.02
LEARNT = 0.7  # largest share of the mean face's error, and of the variance of the mouth's opening, that may be left


class Autoencoder(nn.Module):
    """Faces (N, 3, 64, 64) in [0, 1] through the shared encoder and the decoders `whose` int (N,) of `identities`."""

    def __init__(self, identities):
        super().__init__()
        self.identities, n = list(identities), len(identities)
        down = [layer for i, o in pairwise((1, 16, 32, 64, 96)) for layer in (nn.Conv2d(i, o, 3, 2, 1), nn.LeakyReLU(0.1))]
        self.encoder = nn.Sequential(*down, nn.Flatten(), nn.Linear(96 * 16, 128), nn.LeakyReLU(0.1), nn.Linear(128, CODE))
        for layer in self.encoder:
            if isinstance(layer, (nn.Conv2d, nn.Linear)):  # the default start shrinks the faces to nothing on the way
                nn.init.kaiming_normal_(layer.weight, 0.1)
                nn.init.zeros_(layer.bias)
        self.encoder.to(memory_format=torch.channels_last)
        self.flow = nn.Parameter(torch.randn(CODE, 2 * CELLS**2) * 0.003)
        self.shade = nn.Parameter(torch.zeros(CODE, 3 * SHADES**2))
        self.offset = nn.Parameter(torch.zeros(n, 2 * CELLS**2))
        self.likeness = nn.Parameter(torch.zeros(n, 3 * SIZE**2))
        # What each named unit changes in the likeness, such as its eyelids, and how far the identity has shown it.
        self.register_buffer("traits", torch.zeros(n, 1 + NAMED, 3 * SIZE**2))
        self.register_buffer("range", torch.zeros(2, n, NAMED))

    def encode(self, faces):
        """Return codes (N, 16) of faces; grey and standardised, so that a code does not tell the tone of the skin."""
        grey = faces.mean(1, keepdim=True)
        spread, mean = torch.std_mean(grey, (2, 3), keepdim=True)
        return self.encoder((grey - mean) / (spread + 1e-3))

    def field(self, codes, whose):
        """Return the flow (N, 2, 16, 16) from the likeness, in tenths of the half side."""
        return (codes @ self.flow + self.offset[whose]).view(-1, 2, CELLS, CELLS)

    def terms(self, codes, whose):
        """Return (N, 5): 1 and the named units, held inside what the identity itself has shown."""
        low, high = self.range[:, whose]
        shown = torch.minimum(torch.maximum(codes[:, :NAMED], low), high)
        return torch.cat([torch.ones(len(codes), 1), shown], 1)

    def decode(self, codes, whose):
        """Return the faces (N, 3, 64, 64) of codes (N, 16): the likeness with its traits, moved, then shaded."""
        return self.moved(self.likeness[whose] + (self.terms(codes, whose)[:, None] @ self.traits[whose])[:, 0], codes, whose)

    def moved(self, still, codes, whose):
        """Return the faces (N, 3, 64, 64) of still ones (N, 3 * 64 * 64), moved and then shaded as codes (N, 16) say."""
        shades = _enlarge((codes @ self.shade).view(-1, 3, SHADES, SHADES)) * 0.05
        return _sample(still.view(-1, 3, SIZE, SIZE), _enlarge(self.field(codes, whose)) * 0.1) + shades

    def forward(self, faces, whose):
        return self.decode(self.encode(faces), whose)


@lru_cache(maxsize=8)
def _stretch(size, mode):
    """Return the matrix (64, size) that stretches a line of `size` values to 64."""
    unit = torch.eye(size)[None, :, :, None]
    return nn.functional.interpolate(unit, size=(SIZE, 1), mode=mode, align_corners=True)[0, :, :, 0].T.contiguous()


def _enlarge(maps, mode="bilinear"):
    """Return maps (N, C, h, w) as (N, C, 64, 64); two products of matrices take a tenth of the time of `interpolate`."""
    return _stretch(maps.shape[-2], mode) @ maps @ _stretch(maps.shape[-1], mode).T


def _sample(faces, field):
    """Return faces (N, 3, 64, 64) read at the identity plus `field` (N, 2, 64, 64), in half sides."""
    axis = torch.linspace(-1, 1, SIZE)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1) + field.permute(0, 2, 3, 1)
    return nn.functional.grid_sample(faces, grid, padding_mode="border", align_corners=True)


def distort(faces, generator):
    """Return the faces (N, 3, 64, 64) warped by a smooth random field of 5 x 5 knots, as the original trainer does."""
    knots = torch.randn(len(faces), 2, 5, 5, generator=generator) * 0.03
    return _sample(faces, _enlarge(knots, "bicubic"))


def faces(clip, picked):
    """Return the aligned faces uint8 (N, 3, 64, 64) of frames `picked` (N,); the skin goes on beyond the face's oval.

    Without that a narrow face pasted into a broad one would bring its background along.
    """
    maps, crops = alignments(clip), []
    for t in picked:
        crop = cv2.warpAffine(clip.frames[t], maps[t], (SIZE, SIZE), flags=cv2.INTER_AREA)
        oval = base.apply(maps[t], clip.landmarks[t][base.OVAL])
        inside = base.polygon(base.enlarge(oval, 0.93), crop.shape) > 0
        near = distance_transform_edt(~inside, return_distances=False, return_indices=True)
        smooth = cv2.GaussianBlur(crop[tuple(near)], (0, 0), 2)
        crops.append(np.where(inside[..., None], crop, smooth))
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)


def eye_contrast(frames, landmarks):
    """Return the deviation (F,) of grey inside the eyes: it falls in a blink, which found landmarks hardly show."""
    values = []
    for frame, points in zip(frames, landmarks, strict=True):
        inside = np.maximum(*(base.polygon(base.enlarge(points[eye], 1.2), frame.shape) for eye in EYES)) > 0
        values.append(frame.mean(-1)[inside].std() if inside.any() else 0.0)
    return np.array(values)


def lesson(clip, most=96):
    """Return what at most `most` evenly spaced frames teach: faces uint8 (N, 3, 64, 64) and (N, 4) mouth, eyes, pitch, yaw.

    Mouth, eyes and pitch count from the clip's own rest; yaw means the same in every face.
    """
    usable = np.flatnonzero(clip.found)
    picked = usable[np.linspace(0, len(usable) - 1, min(most, len(usable))).round().astype(int)]
    mouth, _, yaw, pitch = base.pose_and_expression(clip.landmarks[picked]).T
    eyes = eye_contrast(clip.frames[picked], clip.landmarks[picked])
    named = [mouth - np.quantile(mouth, 0.2), eyes / (np.median(eyes) + 1e-6), pitch - pitch.mean(), yaw]
    return faces(clip, picked), torch.from_numpy(np.stack(named, 1)).float()


def window():
    """Return the (64, 64) indicator of the face in the aligned square, an ellipse."""
    axis = torch.linspace(-1, 1, SIZE)
    return ((axis / 0.72) ** 2 + (axis[:, None] / 0.95) ** 2 < 1).float()


def attention(clips):
    """Return weights (64, 64) of mean 1: the face counts, its lips and eyes up to 7 times."""
    parts = np.zeros((SIZE, SIZE), np.float32)
    for goal in map(template, clips):
        for part in (base.LIPS, *EYES):
            parts += base.polygon(base.enlarge(goal[part], 1.5), parts.shape)
    weights = window() * (1 + 6 * torch.from_numpy(parts / parts.max()))
    return weights / weights.mean()


def _loss(guess, truth, weights):
    """L1 on colours and on their differences: the second term keeps edges that the first would blur."""
    error = (guess - truth) * weights
    return error.abs().mean() + sum(error.diff(dim=d).abs().mean() for d in (2, 3))


def train(clips, seed, steps=700, batch=32):
    """Return an Autoencoder trained on Footage `clips`, and its card: a JSON-able dict of what it learnt from and how well.

    Deterministic in `seed` on one thread. Raises InputError outside the benchmark or when the network did not learn.
    """
    base.admit(*clips)
    pools, features = zip(*map(lesson, clips), strict=True)
    scale = torch.cat(features).std(0) + 1e-6
    centre = torch.tensor([0, 1.0, 0, 0])
    features = [(part - centre) / scale for part in features]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Autoencoder([clip.identity for clip in clips])
    for k, (pool, part) in enumerate(zip(pools, features, strict=True)):
        network.likeness.data[k] = pool[part.square().sum(1).argmin()].flatten() / 255
    _descend(network, pools, features, attention(clips), seed, steps, batch)
    settle(network, pools)
    loss, mean_loss = errors(network, pools)
    missed = mouth_missed(network, pools, features)
    card = dict(identities=network.identities, frames=sum(map(len, pools)), steps=steps, seed=seed,
                loss=round(loss, 6), mean_face_loss=round(mean_loss, 6), mouth_missed=round(missed, 4))  # fmt: skip
    if loss > LEARNT * mean_loss or missed > LEARNT:
        raise InputError(f"Deepfakes of {len(clips)} identities did not learn in {steps} steps: error {loss:.4f} beside the "
                         f"mean face's {mean_loss:.4f}, {missed:.0%} of the mouth's motion missed, wanted at most "
                         f"{LEARNT:.0%} of either; give more steps")  # fmt: skip
    return network.eval(), card


def _descend(network, pools, features, weights, seed, steps, batch):
    """Adam on reconstruction of distorted faces; every other face is mirrored, so that all see both sides."""
    generator = torch.Generator().manual_seed(seed)
    whose = torch.repeat_interleave(torch.arange(len(pools)), torch.tensor([len(pool) for pool in pools]))
    pool, named = torch.cat(pools), torch.cat(features)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3, betas=(0.8, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=max(steps, 2), pct_start=0.15)
    for _ in range(steps):
        k = torch.randint(len(pool), (batch,), generator=generator)
        sharp, taught = pool[k].float() / 255, named[k]
        sharp[::2], taught[::2, 3] = sharp[::2].flip(3), -taught[::2, 3]
        codes = network.encode(distort(sharp, generator))
        field = network.field(codes, whose[k])
        bending = sum(field.diff(dim=d).square().mean() for d in (2, 3))
        naming = (codes[:, :NAMED] - taught).square().mean()
        # The traits come when all else is learnt.
        guess = network.moved(network.likeness[whose[k]], codes, whose[k])
        loss = _loss(guess, sharp, weights) + NAMING * naming + BENDING * bending
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()


@torch.no_grad()
def settle(network, pools, rounds=3):
    """Give each identity its traits: the ridge regression on the named units of what the decoder misses of its faces.

    Misses are carried back to the likeness by the opposite flow, which is nearly its inverse; hence the rounds. Closed
    form, as a stochastic descent sees an identity's few blinks too seldom.
    """
    for k, pool in enumerate(pools):
        whose, truth = torch.full((len(pool),), k), pool.float() / 255
        codes = network.encode(truth)
        network.range[:, k] = torch.stack([codes[:, :NAMED].quantile(q, 0) for q in (0.03, 0.97)])
        terms, back = network.terms(codes, whose), -0.1 * _enlarge(network.field(codes, whose))
        solve = torch.linalg.inv(terms.T @ terms + RIDGE * len(pool) * torch.eye(NAMED + 1)) @ terms.T
        for _ in range(rounds):
            missed = _sample(truth - network.decode(codes, whose), back)
            network.traits[k] += solve @ missed.flatten(1)


@torch.no_grad()
def errors(network, pools):
    """Return the mean absolute error inside the face of what is decoded, and that of the mean faces, both in [0, 1].

    Differences are averaged over 2 x 2 px first: the rest is the camera's noise, which nothing could decode.
    """
    seen, ours, means = window()[::2, ::2] > 0, [], []
    for k, pool in enumerate(pools):
        truth = pool.float() / 255
        guesses = network(truth, torch.full((len(pool),), k)), truth.mean(0)
        for total, guess in zip((ours, means), guesses, strict=True):
            total.append(nn.functional.avg_pool2d(guess - truth, 2)[..., seen].abs().mean().item())
    return float(np.mean(ours)), float(np.mean(means))


@torch.no_grad()
def mouth_missed(network, pools, features):
    """Return the share of the variance of the mouth's opening, features (N, 4) of each pool, that the codes miss."""
    codes = torch.cat([network.encode(pool.float() / 255) for pool in pools])
    mouth = torch.cat(features)[:, 0]
    return ((codes[:, 0] - mouth).square().mean() / mouth.var()).item()


@torch.no_grad()
def decode(network, clip, identity):
    """Return the faces uint8 (F, 64, 64, 3) that the decoder of `identity` makes of the aligned frames of `clip`."""
    inputs = faces(clip, range(len(clip.frames))).float() / 255
    whose = torch.full((len(inputs),), network.identities.index(identity))
    outputs = torch.cat([network(*part) for part in zip(inputs.split(32), whose.split(32), strict=True)])
    return (outputs.permute(0, 2, 3, 1).clamp(0, 1) * 255).round().byte().numpy()


def generate(source, target, rng, network):
    """Return frames uint8 (F, H, W, 3) and mask bool (F, H, W) of `target` decoded as `source`.

    `rng` draws the width of the feather; frames in which no face was found stay as they are. Raises InputError outside
    the benchmark or when `source` has no decoder of its own.
    """
    base.admit(source, target)
    if source.identity not in network.identities:
        raise InputError(f"identity {source.identity:03d} has no Deepfakes decoder; choose one of {network.identities}")
    decoded, maps = decode(network, target, source.identity), alignments(target)
    return aligned.paste(target, decoded, maps, faceswap.region, rng.uniform(0.06, 0.12))
