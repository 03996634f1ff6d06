"""FaceShifter: a network that joins an identity code with attributes of the target at all scales.

A working miniature of the AEI-Net of FaceShifter (Li 2020), with adaptive denormalisation. The
whole face is written. The code is that of the source's mean face in a basis of eigenfaces (Turk
1991), where the original uses a face recogniser. The attributes are the target's coarse colours,
its surroundings and its landmarks. Training reconstructs a person from other frames of the same
person. There is no HEAR-Net, because nothing occludes these faces.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from deepfake_uncertainty.benchmark.generators import aligned, base, faceswap, learned, texture

NAME = "FaceShifter"
CODE, WIDTHS = 48, (48, 40, 32, 16)
STEPS = 1500


class Denormalise(nn.Module):
    """Adaptive attentional denormalisation (Li 2020, equation 5) of maps (N, C, H, W)."""

    def __init__(self, width: int, attributes: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(4, width, affine=False)
        self.by_attribute = nn.Conv2d(attributes, 2 * width, 1)
        self.by_identity = nn.Linear(CODE, 2 * width)
        self.choice = nn.Conv2d(width, 1, 1)

    def forward(
        self, maps: torch.Tensor, attributes: torch.Tensor, code: torch.Tensor
    ) -> torch.Tensor:
        maps = self.norm(maps)
        gain, shift = self.by_attribute(attributes).chunk(2, 1)
        gain_id, shift_id = self.by_identity(code)[:, :, None, None].chunk(2, 1)
        choice = torch.sigmoid(self.choice(maps))
        by_attribute = (1 - choice) * ((1 + gain) * maps + shift)
        return by_attribute + choice * ((1 + gain_id) * maps + shift_id)


class Network(nn.Module):
    """Map face, attributes (N, 9, 64, 64) and codes (N, 48) to faces (N, 3, 64, 64).

    The first input is the face (N, 3, 64, 64) that the code stands for, at the target's geometry.
    """

    chart: torch.Tensor
    mean: torch.Tensor
    basis: torch.Tensor
    spread: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("chart", torch.zeros(aligned.POINTS, 2))
        self.register_buffer("mean", torch.zeros(3 * aligned.SIZE**2))
        self.register_buffer("basis", torch.zeros(CODE, 3 * aligned.SIZE**2, dtype=torch.float16))
        self.register_buffer("spread", torch.ones(CODE))
        down = ((12, 16, 1), (16, 32, 2), (32, 40, 2), (40, 48, 2))
        self.down = nn.ModuleList(learned.conv_block(*shape) for shape in down)
        norms = zip(WIDTHS, (48, 40, 32, 16), strict=True)
        self.norms = nn.ModuleList(Denormalise(*shape) for shape in norms)
        layers = zip(WIDTHS, (40, 32, 16, 16), strict=True)
        self.layers = nn.ModuleList(learned.conv_block(*shape) for shape in layers)
        self.out = nn.Conv2d(16, 3, 3, 1, 1)

    def code(self, charted: np.ndarray) -> torch.Tensor:
        """Return the code (48,) of unit spread of a mean face, float32 (64, 64, 3) in [0, 255]."""
        flat = torch.from_numpy(charted.astype(np.float32)).flatten() / 255 - self.mean
        return (self.basis.float() @ flat / self.spread).clamp(-2.5, 2.5)

    def likeness(self, code: torch.Tensor) -> np.ndarray:
        """Return the face uint8 (64, 64, 3) on the chart that a code (48,) stands for."""
        face = self.mean + (code * self.spread) @ self.basis.float()
        return (face.view(aligned.SIZE, aligned.SIZE, 3).clamp(0, 1) * 255).byte().numpy()

    def forward(
        self, likeness: torch.Tensor, attributes: torch.Tensor, code: torch.Tensor
    ) -> torch.Tensor:
        likeness = learned.relight(likeness, attributes[:, :3], attributes[:, 6:7])
        maps, kept = torch.cat([likeness, attributes], 1), []
        for layer in self.down:
            maps = layer(maps)
            kept.append(maps)
        for k, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            maps = maps if k == 0 else learned.upsample(maps)
            maps = layer(norm(maps, kept[-1 - k], code))
        return likeness + self.out(maps)


def attributes_of(faces: torch.Tensor, landmarks: torch.Tensor) -> torch.Tensor:
    """Return (N, 9, 64, 64): coarse colours, the surroundings of the face, and its landmarks."""
    surroundings = faces * (1 - landmarks[:, :1])
    return torch.cat([learned.coarse(faces), surroundings, landmarks], 1)


def eigenfaces(network: Network, means: Sequence[np.ndarray]) -> None:
    """Set the mean, basis and spread of `network` from mean faces (N, 64, 64, 3), N > 48."""
    flat = torch.from_numpy(np.array(means, np.float32)).flatten(1) / 255
    network.mean.copy_(flat.mean(0))
    _, spread, basis = torch.linalg.svd(flat - network.mean, full_matrices=False)
    network.basis.copy_(basis[:CODE])
    network.spread.copy_(spread[:CODE] / len(flat) ** 0.5)


def train(seed: int = 0, steps: int = STEPS) -> tuple[Network, dict[str, Any]]:
    """Train the network on `learned.training_clips` and return it with its card."""
    clips = learned.training_clips()
    torch.manual_seed(seed)
    network = Network()
    network.chart.copy_(torch.from_numpy(texture.chart_of(clips)))
    chart = network.chart.numpy()
    unwrapped = [texture.unwrap(clip, range(0, len(clip.faces), 4), chart) for clip in clips]
    eigenfaces(network, [faces.mean(0) for faces in unwrapped])
    stacks = [clip.faces for clip in clips]

    def step(rng: np.random.Generator) -> torch.Tensor:
        people, frames = learned.draw_batch(rng, clips)
        codes, likenesses = [], []
        for k, t in zip(people, frames, strict=True):
            shots = unwrapped[k][rng.choice(len(unwrapped[k]), 5, replace=False)]
            noise = 0.2 * torch.from_numpy(rng.normal(size=CODE)).float()
            codes.append(network.code(shots.mean(0)) + noise)
            face = network.likeness(codes[-1])
            likenesses.append(texture.sample(face, chart, clips[k].points[t])[0])
        truth = learned.gather(stacks, people, frames)
        landmarks = learned.gather(learned.training_landmarks(), people, frames)
        # The source gets another light than the target, so the network learns to use the target's
        # colours, as it has to between two persons.
        likeness = learned.recolour(learned.to_tensor(np.stack(likenesses)), rng)
        made = network(likeness, attributes_of(truth, landmarks), torch.stack(codes))
        return learned.reconstruction(made, truth, learned.face_weights(landmarks))

    return network, learned.train(network, step, clips, steps, seed)


@torch.no_grad()
def generate(
    source: base.Footage, target: base.Footage, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return frames uint8 (F, H, W, 3) and mask bool (F, H, W) of `target`.

    It has the identity of `source`. `rng` draws the frames that show the source, and the feather.
    Raises InputError for clips that do not come from the benchmark.
    """
    base.require_benchmark_clip(source, target)
    network = learned.load_weights(NAME, Network)
    faces, source_faces = aligned.align(target), aligned.align(source)
    shots = rng.choice(np.flatnonzero(source.found), min(16, source.found.sum()), replace=False)
    chart = network.chart.numpy()
    code = network.code(texture.unwrap(source_faces, shots, chart).mean(0))
    face = network.likeness(code)
    sampled = [texture.sample(face, chart, points)[0] for points in faces.points]
    landmarks = learned.to_tensor(aligned.landmark_maps(faces.points))
    attributes = attributes_of(learned.to_tensor(faces.faces), landmarks)
    likeness = learned.to_tensor(np.stack(sampled))
    made = learned.run(network, likeness, attributes, code.expand(len(attributes), -1))
    images, softness = learned.to_images(made), rng.uniform(0.05, 0.1)
    return aligned.paste(target, images, faces.maps, faceswap.region, softness)


FAMILIES = [
    base.Family(
        "FaceShifter",
        "SynthFF",
        4,
        swaps_identity=True,
        generate=generate,
        train=train,
        color="#EBB24A",
    )
]
