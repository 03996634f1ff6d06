"""faceswap, as in FakeAVCeleb: a convolutional network transfers the style of one person's face to another's frames.

A working miniature of Korshunova 2017: what the network keeps of the target is content (coarse light and the drawn
landmarks), and the look comes from multi-scale local style statistics of the source: the mean and the spread over all its
frames of each place of the face, on charts of 8, 16 and 32 cells (after Huang 2017, with a place). The original trains one
network for each source; here one network reads each source's statistics.
"""

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from deepfake_uncertainty.benchmark.generators import aligned, base, faceswap, learned, texture

NAME = "faceswap"
STEPS = 1500
SCALES = (8, 16, 32)
WIDTHS = (64, 48, 32)


class Network(nn.Module):
    """Faces (N, 3, 64, 64) from content (coarse colours, landmarks) and style where the target has it, (N, 6, 64, 64)."""

    def __init__(self):
        super().__init__()
        self.register_buffer("chart", torch.zeros(aligned.POINTS, 2))
        self.start = learned.block(6, WIDTHS[0])
        self.norms = nn.ModuleList(nn.GroupNorm(8, w, affine=False) for w in WIDTHS)
        self.styles = nn.ModuleList(nn.Sequential(learned.block(6, 24), nn.Conv2d(24, 2 * w, 1)) for w in WIDTHS)
        self.contents = nn.ModuleList(nn.Conv2d(6, w, 3, 1, 1) for w in WIDTHS)
        self.layers = nn.ModuleList(learned.block(w, o) for w, o in zip(WIDTHS, (48, 32, 24), strict=True))
        self.out = nn.Sequential(learned.block(24 + 6, 16), nn.Conv2d(16, 3, 3, 1, 1))

    def forward(self, content, style):
        look = learned.relight(style[:, :3], content[:, :3], content[:, 3:4])
        style = torch.cat([look, style[:, 3:]], 1)
        maps = self.start(functional.adaptive_avg_pool2d(content, SCALES[0]))
        for side, layer, norm, of_style, of_content in zip(
            SCALES, self.layers, self.norms, self.styles, self.contents, strict=True
        ):
            maps = maps if side == SCALES[0] else learned.double(maps)
            gain, shift = of_style(functional.adaptive_avg_pool2d(style, side)).chunk(2, 1)
            maps = norm(maps + of_content(functional.adaptive_avg_pool2d(content, side)))
            maps = layer((1 + gain) * maps + shift)
        return content[:, :3] + self.out(torch.cat([learned.double(maps), content], 1))


def statistics(charted):
    """Return the mean and the spread (64, 64, 3) uint8 over frames (N, 64, 64, 3), smoothed to the finest scale of style."""
    side = SCALES[-1]
    small = np.stack([cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA) for face in charted]).astype(np.float32)
    parts = small.mean(0), np.minimum(4 * small.std(0), 255)
    return [np.uint8(cv2.resize(part, (aligned.SIZE,) * 2, interpolation=cv2.INTER_LINEAR)) for part in parts]


def style_at(parts, chart, points):
    """Return the style statistics as they lie at landmarks (468, 2): uint8 (64, 64, 6)."""
    return np.concatenate([texture.sample(part, chart, points)[0] for part in parts], -1)


def teach(seed=0, steps=STEPS):
    """Train the network on the people of the learning world and return (network, card)."""
    clips = learned.people()
    torch.manual_seed(seed)
    network = Network()
    network.chart.copy_(torch.from_numpy(texture.chart_of(clips)))
    chart = network.chart.numpy()
    unwrapped = [texture.unwrap(clip, range(0, len(clip.faces), 4), chart) for clip in clips]
    stacks = [clip.faces for clip in clips]

    def step(rng):
        (who, t), styles = learned.draw(rng, clips), []
        for k, frame in zip(who, t, strict=True):
            shots = unwrapped[k][rng.choice(len(unwrapped[k]), 8, replace=False)]
            styles.append(style_at(statistics(shots), chart, clips[k].points[frame]))
        truth, guides = learned.look_up(stacks, who, t), learned.look_up(learned.guides(), who, t)
        style = learned.tensor(np.stack(styles))
        style[:, :3] = learned.recolour(style[:, :3], rng)
        made = network(torch.cat([learned.coarse(truth), guides], 1), style)
        return learned.reconstruction(made, truth, learned.attention(guides))

    return network, learned.train(network, step, clips, steps, seed)


@torch.no_grad()
def generate(source, target, rng):
    """Return frames uint8 (F, H, W, 3) and mask bool (F, H, W) of `target` in the style of the face of `source`.

    `rng` draws the width of the feather. Raises InputError outside the benchmark.
    """
    base.admit(source, target)
    network, own, other = learned.shipped(NAME, Network), aligned.align(target), aligned.align(source)
    chart, usable = network.chart.numpy(), np.flatnonzero(source.found)
    parts = statistics(texture.unwrap(other, usable[:: max(len(usable) // 24, 1)], chart))
    style = learned.tensor(np.stack([style_at(parts, chart, points) for points in own.points]))
    guides = learned.tensor(aligned.guides(own.points))
    content = torch.cat([learned.coarse(learned.tensor(own.faces)), guides], 1)
    made = learned.run(network, content, style)
    return aligned.paste(target, learned.image(made), own.maps, faceswap.region, rng.uniform(0.05, 0.1))
