"""FaceShifter: an identity code and multi-scale attributes meet in adaptive denormalisation; the whole face is written.

A working miniature of the AEI-Net of FaceShifter (Li 2020). The code is that of the source's mean face among eigenfaces
(Turk 1991), where the original takes a face recogniser's; attributes are the target's coarse colours, its surroundings and
its landmarks, at every scale. Trained to reconstruct a person from other frames of the same. There is no HEAR-Net, as
nothing occludes these faces.
"""

import numpy as np
import torch
from torch import nn

from deepfake_uncertainty.benchmark.generators import aligned, base, faceswap, learned, texture

NAME = "FaceShifter"
CODE, WIDTHS = 48, (48, 40, 32, 16)
STEPS = 1500


class Denormalise(nn.Module):
    """Adaptive attentional denormalisation (Li 2020, equation 5) of maps (N, C, H, W)."""

    def __init__(self, width, attributes):
        super().__init__()
        self.norm = nn.GroupNorm(4, width, affine=False)
        self.by_attribute = nn.Conv2d(attributes, 2 * width, 1)
        self.by_identity = nn.Linear(CODE, 2 * width)
        self.choice = nn.Conv2d(width, 1, 1)

    def forward(self, maps, attributes, code):
        maps = self.norm(maps)
        (a, b), (c, d) = self.by_attribute(attributes).chunk(2, 1), self.by_identity(code)[:, :, None, None].chunk(2, 1)
        choice = torch.sigmoid(self.choice(maps))
        return (1 - choice) * ((1 + a) * maps + b) + choice * ((1 + c) * maps + d)


class Network(nn.Module):
    """Faces (N, 3, 64, 64) from likenesses at the target's geometry, attributes (N, 9, 64, 64) and codes (N, 48)."""

    def __init__(self):
        super().__init__()
        self.register_buffer("chart", torch.zeros(aligned.POINTS, 2))
        self.register_buffer("mean", torch.zeros(3 * aligned.SIZE**2))
        self.register_buffer("basis", torch.zeros(CODE, 3 * aligned.SIZE**2, dtype=torch.float16))
        self.register_buffer("spread", torch.ones(CODE))
        self.down = nn.ModuleList(learned.block(i, o, s) for i, o, s in ((12, 16, 1), (16, 32, 2), (32, 40, 2), (40, 48, 2)))
        self.norms = nn.ModuleList(Denormalise(w, o) for w, o in zip(WIDTHS, (48, 40, 32, 16), strict=True))
        self.layers = nn.ModuleList(learned.block(i, o) for i, o in zip(WIDTHS, (40, 32, 16, 16), strict=True))
        self.out = nn.Conv2d(16, 3, 3, 1, 1)

    def code(self, charted):
        """Return the code (48,) of unit spread of a mean face on the chart, float32 (64, 64, 3) in [0, 255]."""
        flat = torch.from_numpy(np.float32(charted)).flatten() / 255 - self.mean
        return (self.basis.float() @ flat / self.spread).clamp(-2.5, 2.5)

    def likeness(self, code):
        """Return the face uint8 (64, 64, 3) on the chart that a code (48,) stands for."""
        face = self.mean + (code * self.spread) @ self.basis.float()
        return (face.view(aligned.SIZE, aligned.SIZE, 3).clamp(0, 1) * 255).byte().numpy()

    def forward(self, likeness, attributes, code):
        likeness = learned.relight(likeness, attributes[:, :3], attributes[:, 6:7])
        maps, kept = torch.cat([likeness, attributes], 1), []
        for layer in self.down:
            maps = layer(maps)
            kept.append(maps)
        for k, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            maps = layer(norm(maps if k == 0 else learned.double(maps), kept[-1 - k], code))
        return likeness + self.out(maps)


def attributes_of(faces, guides):
    """Return (N, 9, 64, 64): coarse colours, the surroundings of the face, and the landmarks drawn."""
    return torch.cat([learned.coarse(faces), faces * (1 - guides[:, :1]), guides], 1)


def eigenfaces(network, means):
    """Set the mean, basis and spread of `network` from mean faces (N, 64, 64, 3) on the chart, N > 48."""
    flat = torch.from_numpy(np.float32(means)).flatten(1) / 255
    network.mean.copy_(flat.mean(0))
    _, spread, basis = torch.linalg.svd(flat - network.mean, full_matrices=False)
    network.basis.copy_(basis[:CODE])
    network.spread.copy_(spread[:CODE] / len(flat) ** 0.5)


def teach(seed=0, steps=STEPS):
    """Train the network on the people of the learning world and return (network, card)."""
    clips = learned.people()
    torch.manual_seed(seed)
    network = Network()
    network.chart.copy_(torch.from_numpy(texture.chart_of(clips)))
    chart = network.chart.numpy()
    unwrapped = [texture.unwrap(clip, range(0, len(clip.faces), 4), chart) for clip in clips]
    eigenfaces(network, [faces.mean(0) for faces in unwrapped])
    stacks = [clip.faces for clip in clips]

    def step(rng):
        who, t = learned.draw(rng, clips)
        codes, likenesses = [], []
        for k, frame in zip(who, t, strict=True):
            shots = rng.choice(len(unwrapped[k]), 5, replace=False)
            codes.append(network.code(unwrapped[k][shots].mean(0)) + 0.2 * torch.from_numpy(rng.normal(size=CODE)).float())
            likenesses.append(texture.sample(network.likeness(codes[-1]), chart, clips[k].points[frame])[0])
        truth, guides = learned.look_up(stacks, who, t), learned.look_up(learned.guides(), who, t)
        # Another light on the source than on the target: the colours of the target win, as they do between persons.
        likeness = learned.recolour(learned.tensor(np.stack(likenesses)), rng)
        made = network(likeness, attributes_of(truth, guides), torch.stack(codes))
        return learned.reconstruction(made, truth, learned.attention(guides))

    return network, learned.train(network, step, clips, steps, seed)


@torch.no_grad()
def generate(source, target, rng):
    """Return frames uint8 (F, H, W, 3) and mask bool (F, H, W) of `target` with the identity of `source`.

    `rng` draws the frames that show the source and the feather. Raises InputError outside the benchmark.
    """
    base.admit(source, target)
    network, own, other = learned.shipped(NAME, Network), aligned.align(target), aligned.align(source)
    shots = rng.choice(np.flatnonzero(source.found), min(16, source.found.sum()), replace=False)
    chart = network.chart.numpy()
    code = network.code(texture.unwrap(other, shots, chart).mean(0))
    face = network.likeness(code)
    likeness = learned.tensor(np.stack([texture.sample(face, chart, points)[0] for points in own.points]))
    guides = learned.tensor(aligned.guides(own.points))
    attributes = attributes_of(learned.tensor(own.faces), guides)
    made = learned.run(network, likeness, attributes, code.expand(len(attributes), -1))
    return aligned.paste(target, learned.image(made), own.maps, faceswap.region, rng.uniform(0.05, 0.1))
