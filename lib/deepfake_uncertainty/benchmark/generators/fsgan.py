"""FSGAN: the source reenacted in the target's pose, its face segmented, in-painted where it is not seen, and blended.

A working miniature of FSGAN (Nirkin 2019). Reenactment warps the source frame of the most similar pose and expression; one
network then does what three do in the original: it in-paints what the warp left uncovered, blends the face into the light
of the target, and segments it. Trained to reconstruct a frame from another frame of the same person, recoloured and with
holes.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from deepfake_uncertainty.benchmark.generators import aligned, base, faceswap, learned, texture

NAME = "fsgan"
STEPS = 1000


class Network(nn.Module):
    """Faces (N, 3, 64, 64) and logits of their segmentation (N, 1, 64, 64) from maps (N, 13, 64, 64)."""

    def __init__(self):
        super().__init__()
        self.register_buffer("chart", torch.zeros(aligned.POINTS, 2))
        self.unet = learned.UNet(13, 4)

    def forward(self, maps):
        made = self.unet(maps)
        return torch.cat([maps[:, 4:7] + made[:, :3], made[:, 3:]], 1)


def inputs(warped, seen, faces, guides):
    """Return (N, 13, 64, 64): reenacted face and where it is seen, the target coarse, its surroundings, its landmarks."""
    warped = learned.relight(warped * seen, learned.coarse(faces), seen * guides[:, :1])
    return torch.cat([warped, seen, learned.coarse(faces), faces * (1 - guides[:, :1]), guides], 1)


def where_seen(pairs):
    """Return (N, 1, 64, 64) in {0, 1} of (face, covered) pairs."""
    return torch.from_numpy(np.stack([covered for _, covered in pairs]))[:, None].float()


def holes(rng, count):
    """Return (N, 1, 64, 64), 0 in a rectangle and beyond a slanted line, 1 elsewhere: what a turned head hides."""
    y, x = np.mgrid[: aligned.SIZE, : aligned.SIZE]
    seen = np.ones((count, 1, aligned.SIZE, aligned.SIZE), np.float32)
    for k in range(count):
        (top, left), (height, width) = rng.integers(8, 48, 2), rng.integers(4, 16, 2)
        seen[k, 0, top : top + height, left : left + width] = 0
        angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(10, 40)
        seen[k, 0, (x - 32) * np.cos(angle) + (y - 32) * np.sin(angle) > reach] = 0
    return torch.from_numpy(seen)


def teach(seed=0, steps=STEPS):
    """Train the network on the people of the learning world and return (network, card)."""
    clips = learned.people()
    torch.manual_seed(seed)
    network = Network()
    network.chart.copy_(torch.from_numpy(texture.chart_of(clips)))
    mesh = texture.triangles(network.chart.numpy())
    stacks = [clip.faces for clip in clips]
    regions = [np.stack([aligned.region(points) for points in clip.points]) for clip in clips]

    def step(rng):
        who, t = learned.draw(rng, clips)
        pairs = []
        for k, here, there in zip(who, t, rng.integers(learned.FRAMES, size=len(t)), strict=True):
            pairs.append(base.warp(clips[k].faces[there], clips[k].points[there], clips[k].points[here], mesh))
        truth, guides = learned.look_up(stacks, who, t), learned.look_up(learned.guides(), who, t)
        warped, seen = learned.recolour(learned.tensor(np.stack([face for face, _ in pairs])), rng), where_seen(pairs)
        made = network(inputs(warped, seen * holes(rng, len(truth)), truth, guides))
        region = torch.from_numpy(np.stack([regions[k][here] for k, here in zip(who, t, strict=True)]))[:, None]
        segment = functional.binary_cross_entropy_with_logits(made[:, 3:], region)
        return learned.reconstruction(made[:, :3], truth, learned.attention(guides)) + 0.05 * segment

    return network, learned.train(network, step, clips, steps, seed)


@torch.no_grad()
def generate(source, target, rng):
    """Return frames uint8 (F, H, W, 3) and mask bool (F, H, W) of `target` with the face of `source` reenacted in it.

    `rng` draws the width of the feather. Raises InputError outside the benchmark.
    """
    base.admit(source, target)
    network, own, other = learned.shipped(NAME, Network), aligned.align(target), aligned.align(source)
    chosen, mesh = faceswap.nearest(source, target), texture.triangles(network.chart.numpy())
    pairs = [base.warp(other.faces[s], other.points[s], points, mesh) for s, points in zip(chosen, own.points, strict=True)]
    guides = learned.tensor(aligned.guides(own.points))
    warped = learned.tensor(np.stack([face for face, _ in pairs]))
    maps = inputs(warped, where_seen(pairs), learned.tensor(own.faces), guides)
    made = learned.run(network, maps)
    segments = torch.sigmoid(made[:, 3]).numpy()
    return aligned.paste(target, learned.image(made[:, :3]), own.maps, faceswap.region, rng.uniform(0.05, 0.1), segments)
