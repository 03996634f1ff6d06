"""What the trained generators share: layers, losses, the people they learn from, and the weights that ship with them.

They learn from people of another world than the benchmark's (its own seed), seen as everybody sees them: rendered frames
and the landmarks found in them. `python -m deepfake_uncertainty.benchmark.generators NAME` trains one again.
"""

import functools
import json
import time
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from deepfake_uncertainty import files
from deepfake_uncertainty.benchmark import plan, render
from deepfake_uncertainty.benchmark.generators import aligned, base
from deepfake_uncertainty.datasets import faces
from deepfake_uncertainty.errors import InputError

WEIGHTS = Path(__file__).parent / "weights"
PEOPLE, FRAMES = 160, 40
BATCH = 16


def block(inputs, outputs, stride=1):
    """Return a 3 x 3 convolution with a leaky rectifier."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.LeakyReLU(0.1))


def double(maps):
    """Return maps (N, C, H, W) at twice the size."""
    return functional.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False)


class UNet(nn.Module):
    """Maps (N, I, 64, 64) to (N, O, 64, 64), with skips at every scale; `code` (N, D) enters at the narrowest."""

    def __init__(self, inputs, outputs, widths=(16, 32, 48, 64), code=0):
        super().__init__()
        steps = list(zip((inputs, *widths), widths))  # noqa: B905
        self.down = nn.ModuleList(block(i, o, 1 if k == 0 else 2) for k, (i, o) in enumerate(steps))
        self.middle = block(widths[-1], widths[-1])
        self.enter = nn.Linear(code, widths[-1]) if code else None
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(block(i + o, o) for i, o in pairs)
        self.out = nn.Conv2d(widths[0], outputs, 3, 1, 1)

    def forward(self, maps, code=None):
        kept = []
        for layer in self.down:
            maps = layer(maps)
            kept.append(maps)
        maps = self.middle(maps if self.enter is None else maps + self.enter(code)[:, :, None, None])
        for layer, skip in zip(self.up, kept[-2::-1], strict=True):
            maps = layer(torch.cat([double(maps), skip], 1))
        return self.out(maps)


def tensor(images):
    """Return uint8 (N, H, W, C) as float32 (N, C, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255


def image(maps):
    """Return maps (N, 3, H, W) in [0, 1] as uint8 (N, H, W, 3)."""
    return (maps.detach().permute(0, 2, 3, 1).clamp(0, 1) * 255).round().byte().numpy()


def coarse(maps, cells=8):
    """Return maps (N, C, 64, 64) as they look at cells x cells: light, pose and skin, but nobody's features."""
    small = functional.adaptive_avg_pool2d(maps, cells)
    return functional.interpolate(small, size=maps.shape[-2:], mode="bilinear", align_corners=False)


def reconstruction(guess, truth, weights):
    """Return the L1 error of colours and of their differences under `weights` (N, 1, H, W): the latter keep edges."""
    error = (guess - truth) * weights
    return error.abs().mean() + sum(error.diff(dim=d).abs().mean() for d in (2, 3))


def attention(guides):
    """Return weights (N, 1, 64, 64) from guides (N, 3, 64, 64): the face counts, its eyes, lips and brows five times."""
    return guides[:, :1] + 4 * functional.max_pool2d(guides[:, 1:].amax(1, keepdim=True), 5, 1, 2) + 0.1


def draw(rng, clips):
    """Return (person, frame) of a batch, drawn from `clips`, two lists of BATCH numbers."""
    return [int(k) for k in rng.integers(len(clips), size=BATCH)], [int(t) for t in rng.integers(FRAMES, size=BATCH)]


def look_up(stacks, who, t):
    """Return what `stacks` (uint8 (F, 64, 64, C) a person) hold of frames `t` of the persons `who`, (N, C, 64, 64)."""
    return tensor(np.stack([stacks[k][frame] for k, frame in zip(who, t, strict=True)]))


def relight(faces, like, where):
    """Return faces (N, 3, 64, 64) with each colour's mean inside `where` (N, 1, 64, 64) brought to that of `like`."""
    area = where.sum((2, 3), keepdim=True) + 1e-3
    here, wanted = ((part * where).sum((2, 3), keepdim=True) / area for part in (faces, like))
    return faces * (wanted / here.clamp(min=0.02)).clamp(0.2, 5)


def recolour(faces, rng):
    """Return faces (N, 3, 64, 64) under another light: a power of the lightness that differs a little between colours."""
    power = np.exp(rng.normal(0, 0.25, (len(faces), 1, 1, 1)) + rng.normal(0, 0.08, (len(faces), 3, 1, 1)))
    return faces.clamp(1e-3, 1) ** torch.from_numpy(power).float()


@functools.cache
def people(count=PEOPLE, frames=FRAMES):
    """Return the aligned faces of the people that the generators learn from, one clip a person."""
    mesh, clips = faces.FaceMesh(), []
    for number in range(count):
        clip = render.render_clip(number, plan.LEARNING_WORLD, n_frames=frames)
        landmarks, found, _ = mesh.track(clip.frames)
        clips.append(aligned.align(base.footage(number, clip.frames, landmarks, found, Path(), clip.truth["sound"])))
    return clips


@functools.cache
def guides():
    """Return the landmarks of `people` drawn, a list of uint8 (F, 64, 64, 3)."""
    return [aligned.guides(clip.points) for clip in people()]


def descend(network, step, steps, seed, rate=2e-3):
    """Minimise `step(generator) -> loss` over `network` by AdamW, one cycle of `rate`; return seconds and last mean loss."""
    generator = np.random.default_rng(seed)
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, rate, betas=(0.9, 0.99), weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.1)
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
            print(f"step {k}: loss {np.mean(losses[-200:]):.5f}, {time.monotonic() - start:.0f} s", flush=True)
    return time.monotonic() - start, float(np.mean(losses[-max(steps // 10, 1) :]))


def train(network, step, clips, steps, seed):
    """Descend from `network` by `step(generator) -> loss`; return the card: what it learnt from, how long, its losses."""
    before = float(np.mean([step(np.random.default_rng(k)).item() for k in range(4)]))
    seconds, loss = descend(network, step, steps, seed)
    frames = sum(len(clip.faces) for clip in clips)
    return dict(identities=len(clips), frames=frames, world=plan.LEARNING_WORLD, steps=steps, batch=BATCH, seed=seed,
                seconds=round(seconds), loss=round(loss, 5), loss_before=round(before, 5))  # fmt: skip


def ship(name, network, card):
    """Write the weights of a trained network and its card."""
    with files.whole(WEIGHTS / f"{name}.safetensors") as temporary:
        save_file({key: value.contiguous() for key, value in network.state_dict().items()}, temporary)
    files.write_json(WEIGHTS / f"{name}.json", card)


def card(name):
    """Return the card of a shipped network: identities, frames, steps, seconds, loss, seed."""
    return json.loads((WEIGHTS / f"{name}.json").read_text())


@functools.cache
def shipped(name, make):
    """Return the network make() with its shipped weights, ready to run; InputError when they are missing or do not fit."""
    path, network = WEIGHTS / f"{name}.safetensors", make()
    try:
        network.load_state_dict(load_file(path))
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        command = f"python -m deepfake_uncertainty.benchmark.generators {name}"
        raise InputError(f"{path} is missing or does not fit the code: check the clone, or run {command}") from error
    return network.eval().to(memory_format=torch.channels_last)


@torch.no_grad()
def run(network, *inputs, batch=16):
    """Return `network` of the tensors `inputs` (N, ...), a batch that fits the processor's cache at a time."""
    return torch.cat([network(*part) for part in zip(*(x.split(batch) for x in inputs), strict=True)])
