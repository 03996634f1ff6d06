"""What the trained generators share: layers, losses, training clips, and weights in the package.

The training people come from another world than those of the benchmark (see `render.person`). The
generators see them as they see all clips: as rendered frames and the landmarks found in them. The
command `python -m deepfake_uncertainty retrain NAME` trains a generator again.
"""

import functools
import json
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from deepfake_uncertainty import files
from deepfake_uncertainty.benchmark.generators import aligned, base
from deepfake_uncertainty.benchmark.renderer import render
from deepfake_uncertainty.datasets import faces
from deepfake_uncertainty.errors import InputError

WEIGHTS = Path(__file__).parent / "weights"
PEOPLE, FRAMES = 160, 40  # training clips, and frames per clip
BATCH = 16
Network = TypeVar("Network", bound=nn.Module)
Step = Callable[[np.random.Generator], torch.Tensor]


def conv_block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Return a 3 x 3 convolution with a leaky rectifier."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.LeakyReLU(0.1))


def upsample(maps: torch.Tensor) -> torch.Tensor:
    """Return maps (N, C, H, W) at twice the size."""
    return functional.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False)


class UNet(nn.Module):
    """A U-Net from (N, inputs, 64, 64) to (N, outputs, 64, 64), with skips at every scale.

    A code (N, D) enters at the narrowest scale, where D = `code` is not 0.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        widths: Sequence[int] = (16, 32, 48, 64),
        code: int = 0,
    ) -> None:
        super().__init__()
        steps = list(zip((inputs, *widths), widths))  # noqa: B905
        down = [conv_block(i, o, 1 if k == 0 else 2) for k, (i, o) in enumerate(steps)]
        self.down = nn.ModuleList(down)
        self.middle = conv_block(widths[-1], widths[-1])
        self.enter = nn.Linear(code, widths[-1]) if code else None
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(conv_block(i + o, o) for i, o in pairs)
        self.out = nn.Conv2d(widths[0], outputs, 3, 1, 1)

    def forward(self, maps: torch.Tensor, code: torch.Tensor | None = None) -> torch.Tensor:
        kept = []
        for layer in self.down:
            maps = layer(maps)
            kept.append(maps)
        if self.enter is not None:
            maps = maps + self.enter(code)[:, :, None, None]
        maps = self.middle(maps)
        for layer, skip in zip(self.up, kept[-2::-1], strict=True):
            maps = layer(torch.cat([upsample(maps), skip], 1))
        return self.out(maps)


def to_tensor(images: np.ndarray) -> torch.Tensor:
    """Return uint8 (N, H, W, C) as float32 (N, C, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255


def to_images(maps: torch.Tensor) -> np.ndarray:
    """Return maps (N, 3, H, W) in [0, 1] as uint8 (N, H, W, 3)."""
    return (maps.detach().permute(0, 2, 3, 1).clamp(0, 1) * 255).round().byte().numpy()


def coarse(maps: torch.Tensor, cells: int = 8) -> torch.Tensor:
    """Return maps (N, C, 64, 64) at a resolution of cells x cells, enlarged to their old size.

    They then show light, pose and skin tone, but no facial features.
    """
    small = functional.adaptive_avg_pool2d(maps, cells)
    return functional.interpolate(small, size=maps.shape[-2:], mode="bilinear", align_corners=False)


def reconstruction(guess: torch.Tensor, truth: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the L1 error of colours and of their spatial differences, which keep edges sharp.

    `weights` is (N, 1, H, W).
    """
    error = (guess - truth) * weights
    return error.abs().mean() + sum(error.diff(dim=d).abs().mean() for d in (2, 3))


def face_weights(landmarks: torch.Tensor) -> torch.Tensor:
    """Return loss weights (N, 1, 64, 64) from `aligned.landmark_maps` (N, 3, 64, 64).

    They are about 1 in the face, five times that at eyes, lips and brows, and 0.1 outside.
    """
    features = functional.max_pool2d(landmarks[:, 1:].amax(1, keepdim=True), 5, 1, 2)
    return landmarks[:, :1] + 4 * features + 0.1


def draw_batch(rng: np.random.Generator, clips: Sequence) -> tuple[list[int], list[int]]:
    """Return the clip numbers and the frame numbers of a random batch, BATCH each."""
    people = [int(k) for k in rng.integers(len(clips), size=BATCH)]
    return people, [int(t) for t in rng.integers(FRAMES, size=BATCH)]


def gather(
    stacks: Sequence[np.ndarray], people: Iterable[int], frames: Iterable[int]
) -> torch.Tensor:
    """Return the pictures of a batch, (N, C, 64, 64), from one stack (F, 64, 64, C) per person.

    uint8 becomes [0, 1].
    """
    return to_tensor(np.stack([stacks[k][t] for k, t in zip(people, frames, strict=True)]))


def relight(faces: torch.Tensor, like: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Return faces (N, 3, 64, 64) scaled to the mean colours of `like` inside `where`.

    `where` is (N, 1, 64, 64) in [0, 1].
    """
    area = where.sum((2, 3), keepdim=True) + 1e-3
    here, wanted = ((part * where).sum((2, 3), keepdim=True) / area for part in (faces, like))
    return faces * (wanted / here.clamp(min=0.02)).clamp(0.2, 5)


def recolour(faces: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Return faces (N, 3, 64, 64) in another random light: a power that differs among colours."""
    shared = rng.normal(0, 0.25, (len(faces), 1, 1, 1))
    power = np.exp(shared + rng.normal(0, 0.08, (len(faces), 3, 1, 1)))
    return faces.clamp(1e-3, 1) ** torch.from_numpy(power).float()


@functools.cache
def training_clips(count: int = PEOPLE, frames: int = FRAMES) -> list[aligned.Aligned]:
    """Return the aligned faces of the people that the generators are trained on, one clip each."""
    mesh, clips = faces.FaceMesh(), []
    for number in range(count):
        clip = render.render_clip(number, render.LEARNING_WORLD, n_frames=frames)
        landmarks, found, _ = mesh.track(clip.frames)
        sound = clip.truth["sound"]
        footage = base.footage(number, clip.frames, landmarks, found, Path(), sound)
        clips.append(aligned.align(footage))
    return clips


@functools.cache
def training_landmarks() -> list[np.ndarray]:
    """Return `aligned.landmark_maps` of the `training_clips`, a list of uint8 (F, 64, 64, 3)."""
    return [aligned.landmark_maps(clip.points) for clip in training_clips()]


def descend(
    network: nn.Module, step: Step, steps: int, seed: int, rate: float = 2e-3
) -> tuple[float, float]:
    """Minimise `step(generator) -> loss` over `network` by AdamW with one cycle of `rate`.

    Return the seconds that it took, and the mean loss of the last tenth of the steps.
    """
    generator = np.random.default_rng(seed)
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, rate, betas=(0.9, 0.99), weight_decay=1e-4)
    cycle = torch.optim.lr_scheduler.OneCycleLR
    schedule = cycle(optimiser, rate, total_steps=steps, pct_start=0.1)
    start, losses = time.monotonic(), []
    for k in range(steps):
        loss = step(generator)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
        if k % 200 == 0:
            seconds = time.monotonic() - start
            print(f"step {k}: loss {np.mean(losses[-200:]):.5f}, {seconds:.0f} s", flush=True)
    return time.monotonic() - start, float(np.mean(losses[-max(steps // 10, 1) :]))


def train(
    network: nn.Module, step: Step, clips: Sequence[aligned.Aligned], steps: int, seed: int
) -> dict[str, Any]:
    """Train `network` as `descend` does and return its card: the data, the settings, the losses."""
    before = float(np.mean([step(np.random.default_rng(k)).item() for k in range(4)]))
    seconds, loss = descend(network, step, steps, seed)
    frames = sum(len(clip.faces) for clip in clips)
    data = dict(identities=len(clips), frames=frames, world=render.LEARNING_WORLD)
    settings = dict(steps=steps, batch=BATCH, seed=seed, seconds=round(seconds))
    return data | settings | dict(loss=round(loss, 5), loss_before=round(before, 5))


def save_weights(name: str, network: nn.Module, card: dict[str, Any]) -> None:
    """Write the weights of a trained network and its card into the package."""
    tensors = {key: value.contiguous() for key, value in network.state_dict().items()}
    with files.atomic_path(WEIGHTS / f"{name}.safetensors") as temporary:
        save_file(tensors, temporary)
    files.write_json(WEIGHTS / f"{name}.json", card)


def read_card(name: str) -> dict[str, Any]:
    """Return the card of a network in the package: identities, frames, steps, loss, and others."""
    return json.loads((WEIGHTS / f"{name}.json").read_text())


def load_weights(name: str, make: Callable[[], Network]) -> Network:
    """Return the network make() with its weights from the package, ready to run.

    It is loaded once per process. Raises InputError when the weights are missing or do not fit.
    """
    return _load_weights(name, make)


@functools.cache
def _load_weights(name: str, make: Callable[[], nn.Module]) -> Any:
    path, network = WEIGHTS / f"{name}.safetensors", make()
    try:
        network.load_state_dict(load_file(path))
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise InputError(
            f"{path} is missing or does not fit the code: "
            f"check the clone, or run: python -m deepfake_uncertainty retrain {name}"
        ) from error
    return network.eval().to(memory_format=torch.channels_last)


@torch.no_grad()
def run(network: nn.Module, *inputs: torch.Tensor, batch: int = 16) -> torch.Tensor:
    """Return `network` of the tensors `inputs` (N, ...), in batches that fit the CPU's cache."""
    batches = zip(*(x.split(batch) for x in inputs), strict=True)
    return torch.cat([network(*part) for part in batches])
