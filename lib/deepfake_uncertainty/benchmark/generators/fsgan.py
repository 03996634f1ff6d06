"""FSGAN: the source's face in the target's pose, segmented, completed and blended.

A working miniature of FSGAN (Nirkin 2019). Reenactment warps the source frame of the most similar
pose and expression. One network then does the work of three in the original: it in-paints the parts
that the warp left uncovered, blends the face into the light of the target, and segments it.
Training reconstructs a frame from another frame of the same person, recoloured and with holes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from deepfake_uncertainty.benchmark.generators import aligned, base, faceswap, learned, texture

NAME = "fsgan"
STEPS = 1000
SEGMENT_WEIGHT = 0.05  # of the segmentation in the loss


class Network(nn.Module):
    """Map (N, 13, 64, 64) to faces (N, 3, 64, 64) and the logits (N, 1, 64, 64) of their segments.

    The two are concatenated.
    """

    chart: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("chart", torch.zeros(aligned.POINTS, 2))
        self.unet = learned.UNet(13, 4)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        made = self.unet(maps)
        return torch.cat([maps[:, 4:7] + made[:, :3], made[:, 3:]], 1)


def inputs(
    warped: torch.Tensor, seen: torch.Tensor, faces: torch.Tensor, landmarks: torch.Tensor
) -> torch.Tensor:
    """Return (N, 13, 64, 64).

    Channels: the reenacted face, where it is seen, and the target's coarse colours, surroundings
    and landmarks.
    """
    warped = learned.relight(warped * seen, learned.coarse(faces), seen * landmarks[:, :1])
    surroundings = faces * (1 - landmarks[:, :1])
    return torch.cat([warped, seen, learned.coarse(faces), surroundings, landmarks], 1)


def where_seen(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> torch.Tensor:
    """Return (N, 1, 64, 64) in {0, 1} of (face, covered) pairs."""
    return torch.from_numpy(np.stack([covered for _, covered in pairs]))[:, None].float()


def holes(rng: np.random.Generator, count: int) -> torch.Tensor:
    """Return (N, 1, 64, 64), 0 in a rectangle and beyond a slanted line, 1 elsewhere.

    The zeros imitate the parts that a turned head hides.
    """
    y, x = np.mgrid[: aligned.SIZE, : aligned.SIZE]
    seen = np.ones((count, 1, aligned.SIZE, aligned.SIZE), np.float32)
    for k in range(count):
        (top, left), (height, width) = rng.integers(8, 48, 2), rng.integers(4, 16, 2)
        seen[k, 0, top : top + height, left : left + width] = 0
        angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(10, 40)
        seen[k, 0, (x - 32) * np.cos(angle) + (y - 32) * np.sin(angle) > reach] = 0
    return torch.from_numpy(seen)


def train(seed: int = 0, steps: int = STEPS) -> tuple[Network, dict[str, Any]]:
    """Train the network on `learned.training_clips` and return it with its card."""
    clips = learned.training_clips()
    torch.manual_seed(seed)
    network = Network()
    network.chart.copy_(torch.from_numpy(texture.chart_of(clips)))
    mesh = texture.triangles(network.chart.numpy())
    stacks = [clip.faces for clip in clips]
    regions = [np.stack([aligned.region(points) for points in clip.points]) for clip in clips]

    def step(rng: np.random.Generator) -> torch.Tensor:
        people, frames = learned.draw_batch(rng, clips)
        others, pairs = rng.integers(learned.FRAMES, size=len(frames)), []
        for k, t, other in zip(people, frames, others, strict=True):
            faces, points = clips[k].faces, clips[k].points
            pairs.append(base.warp(faces[other], points[other], points[t], mesh))
        truth = learned.gather(stacks, people, frames)
        landmarks = learned.gather(learned.training_landmarks(), people, frames)
        warped = learned.recolour(learned.to_tensor(np.stack([face for face, _ in pairs])), rng)
        seen = where_seen(pairs) * holes(rng, len(truth))
        made = network(inputs(warped, seen, truth, landmarks))
        region = np.stack([regions[k][t] for k, t in zip(people, frames, strict=True)])[:, None]
        segment = functional.binary_cross_entropy_with_logits(made[:, 3:], torch.from_numpy(region))
        weights = learned.face_weights(landmarks)
        return learned.reconstruction(made[:, :3], truth, weights) + SEGMENT_WEIGHT * segment

    return network, learned.train(network, step, clips, steps, seed)


@torch.no_grad()
def generate(
    source: base.Footage, target: base.Footage, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return frames uint8 (F, H, W, 3) and mask bool (F, H, W) of `target`.

    It has the face of `source`. `rng` draws the width of the feather. Raises InputError for clips
    that do not come from the benchmark.
    """
    base.require_benchmark_clip(source, target)
    network = learned.load_weights(NAME, Network)
    faces, source_faces = aligned.align(target), aligned.align(source)
    chosen, mesh = faceswap.nearest(source, target), texture.triangles(network.chart.numpy())
    pairs = [
        base.warp(source_faces.faces[s], source_faces.points[s], points, mesh)
        for s, points in zip(chosen, faces.points, strict=True)
    ]
    landmarks = learned.to_tensor(aligned.landmark_maps(faces.points))
    warped = learned.to_tensor(np.stack([face for face, _ in pairs]))
    maps = inputs(warped, where_seen(pairs), learned.to_tensor(faces.faces), landmarks)
    made = learned.run(network, maps)
    segments = torch.sigmoid(made[:, 3]).numpy()
    images, softness = learned.to_images(made[:, :3]), rng.uniform(0.05, 0.1)
    return aligned.paste(target, images, faces.maps, faceswap.region, softness, segments)


FAMILIES = [
    base.Family(
        "fsgan", "SynthAV", 1, swaps_identity=True, generate=generate, train=train, color="#072963"
    )
]
