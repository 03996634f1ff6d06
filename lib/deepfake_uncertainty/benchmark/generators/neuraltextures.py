"""NeuralTextures: the target's texture sampled at the source's expression, and a small network that renders the mouth.

A working miniature of Thies 2019: the texture of the target holds, for each place of its face, the mean and the spread over
its frames, from which the first layers read learned features (the original optimises these for each video); it is sampled
at the target's own geometry moved to the source's expression, and a U-Net renders the lower face from it. The loss is a
reconstruction and an adversary that judges patches.
"""

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import nn
from torch.nn import functional

from deepfake_uncertainty.benchmark.generators import aligned, base, face2face, learned, texture

NAME = "NeuralTextures"
STEPS = 1000
ADVERSE = 0.01


class Network(nn.Module):
    """Faces (N, 3, 64, 64) from sampled textures (N, 6, 64, 64) and their setting (N, 7, 64, 64)."""

    def __init__(self):
        super().__init__()
        self.register_buffer("chart", torch.zeros(aligned.POINTS, 2))
        self.features = nn.Sequential(learned.block(6, 16), nn.Conv2d(16, 12, 1))
        self.unet = learned.UNet(6 + 12 + 7, 3)

    def forward(self, sampled, setting):
        return sampled[:, :3] + self.unet(torch.cat([sampled, self.features(sampled), setting], 1))


class Judge(nn.Module):
    """Logits (N, 1, 8, 8) of patches of faces (N, 3, 64, 64) and their landmarks (N, 3, 64, 64) being real."""

    def __init__(self):
        super().__init__()
        blocks = [learned.block(i, o, 2) for i, o in ((6, 24), (24, 48), (48, 64))]
        self.layers = nn.Sequential(*blocks, nn.Conv2d(64, 1, 3, 1, 1))

    def forward(self, faces, guides):
        return self.layers(torch.cat([faces, guides], 1))


def texture_of(charted):
    """Return the mean and the spread, uint8 (64, 64, 3) each, over frames (N, 64, 64, 3) on the chart.

    Both go on beyond the face, so that nothing black is read at its border.
    """
    near = distance_transform_edt(~charted.any((0, 3)), return_distances=False, return_indices=True)
    stack = charted.astype(np.float32)[:, near[0], near[1]]
    return np.uint8(stack.mean(0)), np.uint8(np.minimum(4 * stack.std(0), 255))


def sampled_at(parts, chart, points, ground):
    """Return the texture as it lies at landmarks (468, 2), on `ground` uint8 (64, 64, 3): uint8 (64, 64, 6)."""
    (mean, covered), (spread, _) = (texture.sample(part, chart, points) for part in parts)
    return np.concatenate([np.where(covered[..., None], mean, ground), spread], -1)


def setting(faces, guides, lower):
    """Return (N, 7, 64, 64): the frame without its lower face, where that is, and the landmarks to be rendered."""
    return torch.cat([faces * (1 - lower), lower, guides], 1)


def teach(seed=0, steps=STEPS):
    """Train the network against its judge on the people of the learning world and return (network, card)."""
    clips = learned.people()
    torch.manual_seed(seed)
    network, judge = Network(), Judge()
    network.chart.copy_(torch.from_numpy(texture.chart_of(clips)))
    chart = network.chart.numpy()
    textures = [[texture_of(texture.unwrap(clip, range(k, len(clip.faces), 8), chart)) for k in range(8)] for clip in clips]
    stacks = [clip.faces for clip in clips]
    lowers = [np.stack([aligned.lower(points) for points in clip.points])[..., None] for clip in clips]
    rival = torch.optim.Adam(judge.parameters(), 5e-4, betas=(0.5, 0.99))

    def step(rng):
        who, t = learned.draw(rng, clips)
        sampled = []
        for k, frame in zip(who, t, strict=True):
            parts = textures[k][(frame + 1 + int(rng.integers(7))) % 8]  # of other frames than the one that is rendered
            sampled.append(sampled_at(parts, chart, clips[k].points[frame], clips[k].faces[frame]))
        truth, guides = learned.look_up(stacks, who, t), learned.look_up(learned.guides(), who, t)
        lower = learned.look_up(lowers, who, t) * 255
        made = network(learned.tensor(np.stack(sampled)), setting(truth, guides, lower))
        full = truth * (1 - lower) + made * lower
        loss = functional.relu(1 - judge(truth, guides)).mean() + functional.relu(1 + judge(full.detach(), guides)).mean()
        rival.zero_grad()
        loss.backward()
        rival.step()
        return learned.reconstruction(made, truth, learned.attention(guides) * lower) - ADVERSE * judge(full, guides).mean()

    return network, learned.train(network, step, clips, steps, seed)


@torch.no_grad()
def generate(source, target, rng):
    """Return frames uint8 (F, H, W, 3) and mask bool (F, H, W) of `target` with its mouth performing as that of `source`.

    `rng` draws the width of the feather. Raises InputError outside the benchmark.
    """
    base.admit(source, target)
    network, own = learned.shipped(NAME, Network), aligned.align(target)
    moved = face2face.transfer(source, target)
    goal = np.stack([base.apply(m, points) for m, points in zip(own.maps, moved, strict=True)]).astype(np.float32)
    chart, usable = network.chart.numpy(), np.flatnonzero(target.found)
    parts = texture_of(texture.unwrap(own, usable[:: max(len(usable) // 16, 1)], chart))
    sampled = learned.tensor(np.stack([sampled_at(parts, chart, *place) for place in zip(goal, own.faces, strict=True)]))
    guides = learned.tensor(aligned.guides(goal))
    both = [np.maximum(aligned.lower(a), aligned.lower(b)) for a, b in zip(own.points, goal, strict=True)]
    lower = torch.from_numpy(np.stack(both))[:, None]
    made = learned.run(network, sampled, setting(learned.tensor(own.faces), guides, lower))
    return aligned.paste(target, learned.image(made), own.maps, None, rng.uniform(0.04, 0.08), lower[:, 0].numpy())
