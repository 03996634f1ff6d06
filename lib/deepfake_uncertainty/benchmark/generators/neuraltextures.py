"""NeuralTextures: the target's texture at the source's expression, rendered by a small network.

A working miniature of Thies 2019. The texture of the target holds, for each place of its face, the
mean and the spread over its frames. The first layers read learned features from it (the original
optimises these for each video). The texture is sampled at the target's own geometry with the
source's expression, and a U-Net renders the lower face from it. The loss has a reconstruction term
and an adversarial term from a patch discriminator.
"""

from typing import Any

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import nn
from torch.nn import functional

from deepfake_uncertainty.benchmark.generators import aligned, base, face2face, learned, texture

NAME = "NeuralTextures"
STEPS = 1000
ADVERSARIAL_WEIGHT = 0.01  # in the loss
SUBSETS = 8  # a clip's frames are split into this many textures
Texture = tuple[np.ndarray, np.ndarray]  # mean and spread, uint8 (64, 64, 3) each


class Network(nn.Module):
    """Map sampled textures (N, 6, 64, 64) and settings (N, 7, 64, 64) to faces (N, 3, 64, 64)."""

    chart: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("chart", torch.zeros(aligned.POINTS, 2))
        self.features = nn.Sequential(learned.conv_block(6, 16), nn.Conv2d(16, 12, 1))
        self.unet = learned.UNet(6 + 12 + 7, 3)

    def forward(self, sampled: torch.Tensor, setting: torch.Tensor) -> torch.Tensor:
        return sampled[:, :3] + self.unet(torch.cat([sampled, self.features(sampled), setting], 1))


class Discriminator(nn.Module):
    """Map faces and their landmark maps (N, 3, 64, 64) to logits (N, 1, 8, 8) of real patches."""

    def __init__(self) -> None:
        super().__init__()
        blocks = [learned.conv_block(i, o, 2) for i, o in ((6, 24), (24, 48), (48, 64))]
        self.layers = nn.Sequential(*blocks, nn.Conv2d(64, 1, 3, 1, 1))

    def forward(self, faces: torch.Tensor, landmarks: torch.Tensor) -> torch.Tensor:
        return self.layers(torch.cat([faces, landmarks], 1))


def texture_of(charted: np.ndarray) -> Texture:
    """Return the mean and the spread over frames (N, 64, 64, 3) on the chart.

    Both are continued beyond the face, so that nothing black is read at its border.
    """
    near = distance_transform_edt(~charted.any((0, 3)), return_distances=False, return_indices=True)
    stack = charted.astype(np.float32)[:, near[0], near[1]]
    spread = np.minimum(4 * stack.std(0), 255)
    return stack.mean(0).astype(np.uint8), spread.astype(np.uint8)


def sampled_at(
    parts: Texture, chart: np.ndarray, points: np.ndarray, ground: np.ndarray
) -> np.ndarray:
    """Return the texture at landmarks (468, 2), over `ground` uint8 (64, 64, 3).

    The result is uint8 (64, 64, 6).
    """
    (mean, covered), (spread, _) = (texture.sample(part, chart, points) for part in parts)
    return np.concatenate([np.where(covered[..., None], mean, ground), spread], -1)


def setting(faces: torch.Tensor, landmarks: torch.Tensor, lower: torch.Tensor) -> torch.Tensor:
    """Return (N, 7, 64, 64): the frame without its lower face, where that is, and the landmarks."""
    return torch.cat([faces * (1 - lower), lower, landmarks], 1)


def _adversarial_loss(
    network: nn.Module, truth: torch.Tensor, fake: torch.Tensor, landmarks: torch.Tensor
) -> torch.Tensor:
    """Return the hinge loss of the discriminator `network`."""
    real = functional.relu(1 - network(truth, landmarks)).mean()
    return real + functional.relu(1 + network(fake, landmarks)).mean()


def train(seed: int = 0, steps: int = STEPS) -> tuple[Network, dict[str, Any]]:
    """Train the network against its discriminator on `learned.training_clips`.

    Return the network and its card.
    """
    clips = learned.training_clips()
    torch.manual_seed(seed)
    network, discriminator = Network(), Discriminator()
    network.chart.copy_(torch.from_numpy(texture.chart_of(clips)))
    chart = network.chart.numpy()
    textures = [_textures(clip, chart) for clip in clips]
    stacks = [clip.faces for clip in clips]
    lowers = [np.stack([aligned.lower_face(p) for p in clip.points])[..., None] for clip in clips]
    optimiser = torch.optim.Adam(discriminator.parameters(), 5e-4, betas=(0.5, 0.99))

    def step(rng: np.random.Generator) -> torch.Tensor:
        people, frames = learned.draw_batch(rng, clips)
        sampled = []
        for k, t in zip(people, frames, strict=True):
            # The texture is of other frames than the one that is rendered.
            parts = textures[k][(t + 1 + int(rng.integers(SUBSETS - 1))) % SUBSETS]
            sampled.append(sampled_at(parts, chart, clips[k].points[t], clips[k].faces[t]))
        truth = learned.gather(stacks, people, frames)
        landmarks = learned.gather(learned.training_landmarks(), people, frames)
        lower = learned.gather(lowers, people, frames) * 255
        made = network(learned.to_tensor(np.stack(sampled)), setting(truth, landmarks, lower))
        full = truth * (1 - lower) + made * lower
        loss = _adversarial_loss(discriminator, truth, full.detach(), landmarks)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        weights = learned.face_weights(landmarks) * lower
        error = learned.reconstruction(made, truth, weights)
        return error - ADVERSARIAL_WEIGHT * discriminator(full, landmarks).mean()

    return network, learned.train(network, step, clips, steps, seed)


def _textures(clip: aligned.Aligned, chart: np.ndarray) -> list[Texture]:
    """Return the textures of `SUBSETS` disjoint sets of frames."""
    subsets = [range(k, len(clip.faces), SUBSETS) for k in range(SUBSETS)]
    return [texture_of(texture.unwrap(clip, subset, chart)) for subset in subsets]


@torch.no_grad()
def generate(
    source: base.Footage, target: base.Footage, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return frames uint8 (F, H, W, 3) and mask bool (F, H, W) of `target`.

    Its mouth moves as that of `source`. `rng` draws the width of the feather. Raises InputError
    for clips that do not come from the benchmark.
    """
    base.require_benchmark_clip(source, target)
    network, clip = learned.load_weights(NAME, Network), aligned.align(target)
    moved = face2face.transfer(source, target)
    mapped = [base.apply(matrix, points) for matrix, points in zip(clip.maps, moved, strict=True)]
    goal = np.stack(mapped).astype(np.float32)
    chart, usable = network.chart.numpy(), np.flatnonzero(target.found)
    parts = texture_of(texture.unwrap(clip, usable[:: max(len(usable) // 16, 1)], chart))
    places = zip(goal, clip.faces, strict=True)
    sampled = learned.to_tensor(np.stack([sampled_at(parts, chart, *place) for place in places]))
    landmarks = learned.to_tensor(aligned.landmark_maps(goal))
    both = [
        np.maximum(aligned.lower_face(before), aligned.lower_face(after))
        for before, after in zip(clip.points, goal, strict=True)
    ]
    lower = torch.from_numpy(np.stack(both))[:, None]
    frames = learned.to_tensor(clip.faces)
    made = learned.run(network, sampled, setting(frames, landmarks, lower))
    images, softness = learned.to_images(made), rng.uniform(0.04, 0.08)
    return aligned.paste(target, images, clip.maps, None, softness, lower[:, 0].numpy())


FAMILIES = [
    base.Family(
        "NeuralTextures",
        "SynthFF",
        3,
        swaps_identity=False,
        generate=generate,
        train=train,
        color="#40BAA0",
    )
]
