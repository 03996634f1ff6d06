"""faceswap, as in FakeAVCeleb: style transfer from one person's face to another person's frames.

A working miniature of Korshunova 2017. Content comes from the target: its coarse light and its
drawn landmarks. Style comes from the source: for each place of the face, the mean and the spread
over all frames, at 8, 16 and 32 cells (after Huang 2017, who has no places). The original trains
one network per source; here one network reads the statistics of any source.
"""

from collections.abc import Sequence
from typing import Any

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
    """Map content and style (N, 6, 64, 64) to faces (N, 3, 64, 64).

    Content is coarse colours and landmark maps; the style lies at the target's geometry.
    """

    chart: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("chart", torch.zeros(aligned.POINTS, 2))
        self.start = learned.conv_block(6, WIDTHS[0])
        self.norms = nn.ModuleList(nn.GroupNorm(8, w, affine=False) for w in WIDTHS)
        self.styles = nn.ModuleList(
            nn.Sequential(learned.conv_block(6, 24), nn.Conv2d(24, 2 * w, 1)) for w in WIDTHS
        )
        self.contents = nn.ModuleList(nn.Conv2d(6, w, 3, 1, 1) for w in WIDTHS)
        layers = zip(WIDTHS, (48, 32, 24), strict=True)
        self.layers = nn.ModuleList(learned.conv_block(*shape) for shape in layers)
        self.out = nn.Sequential(learned.conv_block(24 + 6, 16), nn.Conv2d(16, 3, 3, 1, 1))

    def forward(self, content: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        colours = learned.relight(style[:, :3], content[:, :3], content[:, 3:4])
        style = torch.cat([colours, style[:, 3:]], 1)
        maps = self.start(functional.adaptive_avg_pool2d(content, SCALES[0]))
        modules = self.layers, self.norms, self.styles, self.contents
        for side, layer, norm, of_style, of_content in zip(SCALES, *modules, strict=True):
            maps = maps if side == SCALES[0] else learned.upsample(maps)
            gain, shift = of_style(functional.adaptive_avg_pool2d(style, side)).chunk(2, 1)
            maps = norm(maps + of_content(functional.adaptive_avg_pool2d(content, side)))
            maps = layer((1 + gain) * maps + shift)
        return content[:, :3] + self.out(torch.cat([learned.upsample(maps), content], 1))


def statistics(charted: np.ndarray) -> list[np.ndarray]:
    """Return the mean and the spread, uint8 (64, 64, 3) each, over frames (N, 64, 64, 3).

    Both are smoothed to the finest scale of the style.
    """
    side, full = (SCALES[-1],) * 2, (aligned.SIZE,) * 2
    small = [cv2.resize(face, side, interpolation=cv2.INTER_AREA) for face in charted]
    stack = np.stack(small).astype(np.float32)
    parts = stack.mean(0), np.minimum(4 * stack.std(0), 255)
    large = [cv2.resize(part, full, interpolation=cv2.INTER_LINEAR) for part in parts]
    return [part.astype(np.uint8) for part in large]


def style_at(parts: Sequence[np.ndarray], chart: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the style statistics at landmarks (468, 2): uint8 (64, 64, 6)."""
    return np.concatenate([texture.sample(part, chart, points)[0] for part in parts], -1)


def train(seed: int = 0, steps: int = STEPS) -> tuple[Network, dict[str, Any]]:
    """Train the network on `learned.training_clips` and return it with its card."""
    clips = learned.training_clips()
    torch.manual_seed(seed)
    network = Network()
    network.chart.copy_(torch.from_numpy(texture.chart_of(clips)))
    chart = network.chart.numpy()
    unwrapped = [texture.unwrap(clip, range(0, len(clip.faces), 4), chart) for clip in clips]
    stacks = [clip.faces for clip in clips]

    def step(rng: np.random.Generator) -> torch.Tensor:
        people, frames = learned.draw_batch(rng, clips)
        styles = []
        for k, t in zip(people, frames, strict=True):
            shots = unwrapped[k][rng.choice(len(unwrapped[k]), 8, replace=False)]
            styles.append(style_at(statistics(shots), chart, clips[k].points[t]))
        truth = learned.gather(stacks, people, frames)
        landmarks = learned.gather(learned.training_landmarks(), people, frames)
        style = learned.to_tensor(np.stack(styles))
        style[:, :3] = learned.recolour(style[:, :3], rng)
        made = network(torch.cat([learned.coarse(truth), landmarks], 1), style)
        return learned.reconstruction(made, truth, learned.face_weights(landmarks))

    return network, learned.train(network, step, clips, steps, seed)


@torch.no_grad()
def generate(
    source: base.Footage, target: base.Footage, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return frames uint8 (F, H, W, 3) and mask bool (F, H, W) of `target`.

    Its face has the style of the face of `source`. `rng` draws the width of the feather. Raises
    InputError for clips that do not come from the benchmark.
    """
    base.require_benchmark_clip(source, target)
    network = learned.load_weights(NAME, Network)
    faces, source_faces = aligned.align(target), aligned.align(source)
    chart, usable = network.chart.numpy(), np.flatnonzero(source.found)
    shots = usable[:: max(len(usable) // 24, 1)]
    parts = statistics(texture.unwrap(source_faces, shots, chart))
    style = learned.to_tensor(np.stack([style_at(parts, chart, p) for p in faces.points]))
    landmarks = learned.to_tensor(aligned.landmark_maps(faces.points))
    content = torch.cat([learned.coarse(learned.to_tensor(faces.faces)), landmarks], 1)
    made = learned.run(network, content, style)
    images, softness = learned.to_images(made), rng.uniform(0.05, 0.1)
    return aligned.paste(target, images, faces.maps, faceswap.region, softness)


FAMILIES = [
    base.Family(
        "faceswap",
        "SynthAV",
        0,
        swaps_identity=True,
        generate=generate,
        train=train,
        color="#9E403C",
    )
]
