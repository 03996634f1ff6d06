"""wav2lip: a lower face generated from sound, into a frame whose lower face is hidden.

A working miniature of Wav2Lip (Prajwal 2020). The network sees the frame without its lower face,
another frame of the same face as reference, and the log mel spectra of 0.2 s of sound. A sync
expert judges the result. It was trained first, to choose the right sound for five mouths among
others.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from deepfake_uncertainty.benchmark.generators import aligned, base, learned
from deepfake_uncertainty.benchmark.renderer import render, voice
from deepfake_uncertainty.errors import InputError

NAME = "wav2lip"
STEPS, EXPERT_STEPS = 1000, 1200
SYNC_WEIGHT = 0.05  # of the expert in the loss
CHOICES = 32  # sounds among which the expert chooses
RUN, RUNS = 5, 4  # frames that the expert judges together, and such runs per training batch
CODE = 48
LEVEL, SPREAD = -9.0, 5.0  # of log mel energies, to bring them near unit spread


class AudioEncoder(nn.Module):
    """Map the log mel spectra (N, 5, 20) around each frame to codes (N, 48)."""

    def __init__(self) -> None:
        super().__init__()
        first, last = nn.Linear(RUN * voice.N_MELS, 96), nn.Linear(96, CODE)
        self.layers = nn.Sequential(nn.Flatten(), first, nn.LeakyReLU(0.1), last)

    def forward(self, sound: torch.Tensor) -> torch.Tensor:
        return self.layers((sound - LEVEL) / SPREAD)


class Network(nn.Module):
    """Map pictures (N, 7, 64, 64), as from `inputs`, and sound (N, 5, 20) to faces (N, 3, 64, 64).

    The attribute `hear` has a name that the shipped weights use.
    """

    def __init__(self) -> None:
        super().__init__()
        self.hear = AudioEncoder()
        self.unet = learned.UNet(7, 3, code=CODE)

    def forward(self, maps: torch.Tensor, sound: torch.Tensor) -> torch.Tensor:
        return maps[:, 4:7] + self.unet(maps, self.hear(sound))


class Expert(nn.Module):
    """The sync expert: codes (N, 48) of length 1, of mouths and of sound.

    Mouths are (N, 15, 32, 64): five lower faces minus the person's mean.
    """

    def __init__(self) -> None:
        super().__init__()
        shapes = ((3 * RUN, 32), (32, 48), (48, 64), (64, 64))
        blocks = [learned.conv_block(i, o, 2) for i, o in shapes]
        self.layers = nn.Sequential(*blocks, nn.Flatten(), nn.Linear(64 * 8, CODE))
        self.audio = AudioEncoder()

    def encode_mouths(self, mouths: torch.Tensor) -> torch.Tensor:
        return functional.normalize(self.layers(mouths * 5), dim=1)

    def encode_sound(self, sound: torch.Tensor) -> torch.Tensor:
        return functional.normalize(self.audio(sound), dim=1)


def spectra(sound: np.ndarray, fps: float, count: int) -> np.ndarray:
    """Return the log mel spectra around each of `count` frames, float32 (count, 5, 20).

    They are those of the two frames before, of the frame, and of the two after.
    """
    mel = voice.log_mel(sound, fps, count)
    padded = np.pad(mel, ((RUN // 2, RUN // 2), (0, 0)), mode="edge")
    return np.stack([padded[k : k + count] for k in range(RUN)], 1)


def inputs(faces: torch.Tensor, lower: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Return (N, 7, 64, 64): the frame without its lower face, where that is, and the reference."""
    return torch.cat([faces * (1 - lower), lower, reference], 1)


def _hidden_parts(clip: aligned.Aligned) -> np.ndarray:
    """Return the hidden part of each frame, float32 (F, 64, 64, 1): the lower face, mouth open.

    Its outline moves with the nose only. The outline of the frame's own jaw would show the network
    how far the mouth is open.
    """
    drop = np.linalg.norm(clip.points[:, 13] - clip.points[:, 14], axis=-1)
    widest = clip.points[drop.argmax()]
    outlines = [widest - widest[1] + points[1] for points in clip.points]
    return np.stack([aligned.lower_face(points) for points in outlines])[..., None]


def _draw_runs(
    rng: np.random.Generator, clips: Sequence, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the clip numbers and the first frames of `count` runs of five frames."""
    people = rng.integers(len(clips), size=count)
    return people, rng.integers(learned.FRAMES - RUN + 1, size=count)


def mouths(faces: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
    """Return (N, 15, 32, 64): the lower halves of runs of five faces minus the person's mean.

    `faces` is (5 N, 3, 64, 64), `means` (N, 3, 64, 64).
    """
    moving = faces.view(-1, RUN, *faces.shape[1:]) - means[:, None]
    return moving[..., aligned.SIZE // 2 :, :].flatten(1, 2)


def train_expert(
    seed: int,
    steps: int,
    stacks: Sequence[np.ndarray],
    means: torch.Tensor,
    sounds: Sequence[np.ndarray],
) -> tuple[Expert, float]:
    """Return the expert, trained to choose the sound of five faces among 32, and its accuracy.

    The accuracy is that of the last tenth of the steps. One entry per clip: `stacks` holds faces
    (F, 64, 64, 3), `means` mean faces (3, 64, 64), `sounds` the result of `spectra`.
    """
    torch.manual_seed(seed)
    expert, hits = Expert(), []

    def step(rng: np.random.Generator) -> torch.Tensor:
        people, first = _draw_runs(rng, stacks, CHOICES)
        runs = np.stack([stacks[k][t : t + RUN] for k, t in zip(people, first, strict=True)])
        faces = learned.to_tensor(runs.reshape(-1, *runs.shape[2:]))
        seen = expert.encode_mouths(mouths(faces, means[people]))
        middle = [sounds[k][t + RUN // 2] for k, t in zip(people, first, strict=True)]
        heard = expert.encode_sound(torch.from_numpy(np.stack(middle)))
        match, truth = seen @ heard.T / 0.1, torch.arange(CHOICES)
        hits.append((match.argmax(1) == truth).float().mean().item())
        return functional.cross_entropy(match, truth) + functional.cross_entropy(match.T, truth)

    learned.descend(expert, step, steps, seed)
    return expert.eval().requires_grad_(False), float(np.mean(hits[-steps // 10 :]))


def train(seed: int = 0, steps: int = STEPS) -> tuple[Network, dict[str, Any]]:
    """Train the expert and then the network on `learned.training_clips`.

    Return the network and its card.
    """
    clips = learned.training_clips()
    stacks, lowers = [clip.faces for clip in clips], [_hidden_parts(clip) for clip in clips]
    sounds = [spectra(c.sound, render.FPS, len(c.faces)) for c in clips if c.sound is not None]
    means = torch.stack([learned.to_tensor(stack).mean(0) for stack in stacks])
    start = time.monotonic()
    expert, accuracy = train_expert(seed, EXPERT_STEPS, stacks, means, sounds)
    expert_seconds = time.monotonic() - start
    torch.manual_seed(seed)
    network = Network()
    network.hear.load_state_dict(expert.audio.state_dict())

    def step(rng: np.random.Generator) -> torch.Tensor:
        chosen, first = _draw_runs(rng, clips, RUNS)
        people, frames = np.repeat(chosen, RUN), (first[:, None] + np.arange(RUN)).ravel()
        truth = learned.gather(stacks, people, frames)
        lower = 255 * learned.gather(lowers, people, frames)
        others = rng.integers(learned.FRAMES, size=len(frames))
        reference = learned.gather(stacks, people, others)
        heard = [sounds[k][t] for k, t in zip(people, frames, strict=True)]
        sound = torch.from_numpy(np.stack(heard))
        made = network(inputs(truth, lower, reference), sound)
        landmarks = learned.gather(learned.training_landmarks(), people, frames)
        full = truth * (1 - lower) + made * lower
        seen = expert.encode_mouths(mouths(full, means[people[::RUN]]))
        sync = 1 - (seen * expert.encode_sound(sound[RUN // 2 :: RUN])).sum(1).mean()
        weights = learned.face_weights(landmarks) * lower
        return learned.reconstruction(made, truth, weights) + SYNC_WEIGHT * sync

    card = learned.train(network, step, clips, steps, seed)
    card["seconds"] += round(expert_seconds)
    choice = dict(expert_right=round(accuracy, 3), expert_choices=CHOICES)
    return network, card | dict(expert_steps=EXPERT_STEPS) | choice


def hidden(clip: aligned.Aligned, reference: np.ndarray) -> torch.Tensor:
    """Return `inputs` of every frame of a clip with one reference face of the same person.

    The reference is uint8 (64, 64, 3).
    """
    lower = torch.from_numpy(_hidden_parts(clip)).permute(0, 3, 1, 2)
    references = learned.to_tensor(reference[None]).expand(len(lower), -1, -1, -1)
    return inputs(learned.to_tensor(clip.faces), lower, references)


@torch.no_grad()
def generate(
    source: base.Footage, target: base.Footage, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return frames uint8 (F, H, W, 3) and mask bool (F, H, W) of `target`.

    It speaks the sound of `source`. `rng` draws the reference frame and the feather. Raises
    InputError for clips that do not come from the benchmark, and for a source without sound.
    """
    base.require_benchmark_clip(source, target)
    if source.sound is None:
        name = f"clip {source.identity:03d}"
        raise InputError(f"{name} has no sound to speak: wav2lip needs a data set with sound")
    clip = aligned.align(target)
    sound = torch.from_numpy(spectra(source.sound, render.FPS, len(target.frames)))
    maps = hidden(clip, clip.faces[rng.choice(np.flatnonzero(target.found))])
    made = learned.run(learned.load_weights(NAME, Network), maps, sound)
    images, softness = learned.to_images(made), rng.uniform(0.04, 0.08)
    return aligned.paste(target, images, clip.maps, None, softness, maps[:, 3].numpy())


# A hybrid runs two generators in sequence, as in FakeAVCeleb.
FAMILIES = [
    base.Family(
        "wav2lip",
        "SynthAV",
        2,
        swaps_identity=False,
        generate=generate,
        train=train,
        color="#215922",
    ),
    base.Family("faceswap-wav2lip", "SynthAV", 3, swaps_identity=True, color="#FDC1C9"),
    base.Family("fsgan-wav2lip", "SynthAV", 4, swaps_identity=True, color="#A685CA"),
]
