"""Deepfakes: a shared encoder, one decoder for each identity of a small cast, colour transfer, feathered paste.

A working miniature of the autoencoder family of FaceForensics++ (Rössler 2019). Trained on aligned faces of one split's
own clips, each face warped at random as in the original: the decoder learns to undo the warp and so the likeness.
"""

from itertools import pairwise

import cv2
import numpy as np
import torch
from torch import nn

from deepfake_uncertainty.benchmark.generators import base, faceswap
from deepfake_uncertainty.errors import InputError

SIZE = 64
ALIGNED = [33, 133, 362, 263, 168, 1, 61, 291, 152]  # points whose mean positions fix the aligned face
FRACTION = 0.66  # of the aligned square is the height from forehead to chin


class Autoencoder(nn.Module):
    """Faces (N, 3, 64, 64) in [0, 1] through the shared encoder and the decoder of one of `cast + 1` identities.

    The last decoder serves every identity outside the cast, so that the encoder sees the targets too.
    """

    def __init__(self, cast):
        super().__init__()
        self.cast = list(cast)
        channels = (3, 16, 32, 64, 96)
        down = [layer for i, o in pairwise(channels)
                for layer in (nn.Conv2d(i, o, 5, 2, 2), nn.LeakyReLU(0.1))]  # fmt: skip
        self.encoder = nn.Sequential(*down, nn.Flatten(), nn.Linear(96 * 16, 192), nn.Linear(192, 96 * 16),
                                     nn.Unflatten(1, (96, 4, 4)), *_upscale(96, 48))  # fmt: skip
        self.decoders = nn.ModuleList(
            nn.Sequential(*_upscale(48, 40), *_upscale(40, 24), *_upscale(24, 12), nn.Conv2d(12, 3, 3, padding=1))
            for _ in range(len(self.cast) + 1)
        )
        # A decoder's last bias is an image (logits): it starts as the identity's mean face and saves most of the steps.
        self.likeness = nn.Parameter(torch.zeros(len(self.cast) + 1, 3, SIZE, SIZE))

    def decoder_of(self, identity):
        """Return the index of the decoder that `identity` trains."""
        return self.cast.index(identity) if identity in self.cast else len(self.cast)

    def forward(self, faces, decoder):
        return torch.sigmoid(self.decoders[decoder](self.encoder(faces)) + self.likeness[decoder])


def _upscale(inputs, outputs):
    return nn.Conv2d(inputs, outputs * 4, 3, padding=1), nn.LeakyReLU(0.1), nn.PixelShuffle(2)


def alignments(clip):
    """Return the (F, 2, 3) similarities from frame px to the 64 x 64 aligned face."""
    mean = base.mean_face(clip.landmarks)
    height = np.linalg.norm(mean[10] - mean[152])
    goal = (mean - mean[base.OVAL].mean(0)) * (FRACTION * SIZE / height) + SIZE / 2
    return np.stack([base.similarity(points[ALIGNED], goal[ALIGNED]) for points in clip.landmarks])


def faces(clip, most=48):
    """Return at most `most` evenly spaced aligned faces float32 (N, 3, 64, 64) in [0, 1] of a clip."""
    usable = np.flatnonzero(clip.found)
    picked = usable[np.linspace(0, len(usable) - 1, min(most, len(usable))).round().astype(int)]
    maps = alignments(clip)
    crops = [cv2.warpAffine(clip.frames[t], maps[t], (SIZE, SIZE), flags=cv2.INTER_AREA) for t in picked]
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255


def distort(batch, generator):
    """Return the faces (N, 3, H, W) warped by a smooth random field of 5 x 5 knots, as the original trainer does."""
    knots = torch.randn(len(batch), 2, 5, 5, generator=generator) * 0.045
    field = nn.functional.interpolate(knots, size=batch.shape[2:], mode="bicubic", align_corners=True)
    axis = torch.linspace(-1, 1, batch.shape[-1])
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
    return nn.functional.grid_sample(
        batch, grid + field.permute(0, 2, 3, 1), padding_mode="border", align_corners=True
    )


def train(clips, cast, seed, steps=500, batch=8):
    """Return an Autoencoder trained for `steps` on Footage `clips`, `cast` naming the decoders.

    Deterministic in `seed` on one thread. Raises InputError outside the benchmark or when a cast member has no clip.
    """
    base.admit(*clips)
    missing = sorted(set(cast) - {clip.identity for clip in clips})
    if missing:
        raise InputError(f"no clip of cast member {missing[0]:03d}: give the Deepfakes generator one clip an identity")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Autoencoder(cast)
    generator = torch.Generator().manual_seed(seed)
    pools = [[] for _ in network.decoders]
    for clip in clips:
        pools[network.decoder_of(clip.identity)].append(faces(clip))
    pools = {k: torch.cat(pool) for k, pool in enumerate(pools) if pool}
    for decoder, pool in pools.items():
        network.likeness.data[decoder] = pool.mean(0).clamp(0.01, 0.99).logit()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.5, 0.999))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, total_steps=steps)
    for step in range(steps):
        decoder = list(pools)[step % len(pools)]
        pool = pools[decoder]
        sharp = pool[torch.randint(len(pool), (batch,), generator=generator)]
        loss = _loss(network(distort(sharp, generator), decoder), sharp)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)  # one bad step can saturate the sigmoid for good
        optimiser.step()
        schedule.step()
    return network.eval()


def _loss(guess, truth):
    """L1 on colours and on their differences: the second term keeps edges that the first would blur."""
    edges = sum((guess.diff(dim=d) - truth.diff(dim=d)).abs().mean() for d in (2, 3))
    return (guess - truth).abs().mean() + edges


@torch.no_grad()
def decode(network, clip, identity, batch=32):
    """Return the faces uint8 (F, 64, 64, 3) that the decoder of `identity` makes of the aligned frames of `clip`."""
    crops = [cv2.warpAffine(f, m, (SIZE, SIZE), flags=cv2.INTER_AREA)
             for f, m in zip(clip.frames, alignments(clip), strict=True)]  # fmt: skip
    inputs = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
    outputs = torch.cat([network(part, network.decoder_of(identity)) for part in inputs.split(batch)])
    return (outputs.permute(0, 2, 3, 1) * 255).round().byte().numpy()


def generate(source, target, rng, network):
    """Return frames uint8 (F, H, W, 3) and mask bool (F, H, W) of `target` decoded as `source`, a member of the cast.

    `rng` draws the width of the feather; frames in which no face was found stay as they are. Raises InputError outside
    the benchmark or when `source` has no decoder of its own.
    """
    base.admit(source, target)
    if source.identity not in network.cast:
        raise InputError(f"identity {source.identity:03d} has no Deepfakes decoder; choose one of {network.cast}")
    decoded, maps = decode(network, target, source.identity), alignments(target)
    softness = rng.uniform(0.06, 0.12)
    frames, masks = target.frames.copy(), np.zeros(target.frames.shape[:3], bool)
    for t in np.flatnonzero(target.found):
        points, (height, width) = target.landmarks[t], frames.shape[1:3]
        face = cv2.warpAffine(decoded[t], maps[t], (width, height), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
                              borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
        square = cv2.warpAffine(np.ones((SIZE, SIZE), np.float32), maps[t], (width, height), flags=cv2.WARP_INVERSE_MAP)
        inside = (faceswap.region(points, frames[t].shape) > 0) & (square > 0.99)
        face = base.match_colour(face, target.frames[t], inside)
        alpha = base.feather(inside, softness * np.linalg.norm(points[10] - points[152]))
        frames[t], masks[t] = base.blend(face, target.frames[t], alpha)
    return frames, masks
