"""wav2lip: the mouth painted from what is heard, into a frame whose lower face is hidden.

A working miniature of Wav2Lip (Prajwal 2020): the network sees the frame without its lower face, another frame of the same
face for its looks, and the log mel columns of 0.2 s of sound; an expert that was first taught to tell whether five mouths
and their sound belong together judges what it paints.
"""

import functools

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from deepfake_uncertainty.benchmark import voice
from deepfake_uncertainty.benchmark.generators import aligned, base, learned
from deepfake_uncertainty.errors import InputError

NAME, FILE = "wav2lip", "wav2lip"
STEPS, EXPERT_STEPS, SYNC = 1000, 800, 0.02
RUN = 5  # frames that the expert judges together, and mel columns about a frame
CODE = 48
LEVEL, SPREAD = -9.0, 5.0  # of log mel energies, to bring them near unit spread


class Hearing(nn.Module):
    """Codes (N, 48) of sound (N, 5, 20), the log mel columns about a frame."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(RUN * voice.N_MELS, 96), nn.LeakyReLU(0.1), nn.Linear(96, CODE))

    def forward(self, sound):
        return self.layers((sound - LEVEL) / SPREAD)


class Network(nn.Module):
    """Faces (N, 3, 64, 64) from maps (N, 7, 64, 64) and sound (N, 5, 20)."""

    def __init__(self):
        super().__init__()
        self.hear = Hearing()
        self.unet = learned.UNet(7, 3, code=CODE)

    def forward(self, maps, sound):
        return maps[:, 4:7] + self.unet(maps, self.hear(sound))


class Expert(nn.Module):
    """Cosines (N,) of five lower faces (N, 15, 32, 64) and their sound (N, 5, 20): do they belong together?"""

    def __init__(self):
        super().__init__()
        blocks = [learned.block(i, o, 2) for i, o in ((3 * RUN, 32), (32, 48), (48, 64), (64, 64))]
        self.see = nn.Sequential(*blocks, nn.Flatten(), nn.Linear(64 * 8, CODE))
        self.hear = Hearing()

    def forward(self, mouths, sound):
        return functional.cosine_similarity(self.see(mouths), self.hear(sound))


def columns(sound, fps, count):
    """Return float32 (count, 5, 20): the log mel columns of the two frames before, of each frame, and of the two after."""
    mel = voice.log_mel(sound, fps, count)
    padded = np.pad(mel, ((RUN // 2, RUN // 2), (0, 0)), mode="edge")
    return np.stack([padded[k : k + count] for k in range(RUN)], 1)


def inputs(faces, lower, reference):
    """Return (N, 7, 64, 64): the frame without its lower face, where that is, and the reference frame."""
    return torch.cat([faces * (1 - lower), lower, reference], 1)


def _lowers(clip):
    """Return where the lower face is and may come to be, float32 (F, 64, 64, 1): a jaw can drop below the one that is seen."""
    drop = np.linalg.norm(clip.points[:, 13] - clip.points[:, 14], axis=-1)
    still = clip.points[np.argsort(drop)[len(drop) * 9 // 10]]
    widest = np.stack([still - still[1] + points[1] for points in clip.points])
    return np.stack([np.maximum(aligned.lower(a), aligned.lower(b)) for a, b in zip(clip.points, widest, strict=True)])[..., None]


def _windows(rng, clips, count):
    """Return (person, first frame) of `count` runs of five frames."""
    return rng.integers(len(clips), size=count), rng.integers(learned.FRAMES - RUN + 1, size=count)


def _belong(expert, mouths, heard, wanted):
    """Return the cross-entropy of the expert's cosines, brought to [0, 1], against `wanted` (N,)."""
    return functional.binary_cross_entropy((expert(mouths, heard) * 0.5 + 0.5).clamp(1e-4, 1 - 1e-4), wanted)


def teach_expert(seed, steps, stacks, heard):
    """Return the expert, taught on runs of five faces `stacks` with their own sound or that of another moment or person."""
    torch.manual_seed(seed)
    expert = Expert()

    def step(rng):
        (who, t), (whose, other) = _windows(rng, stacks, 32), _windows(rng, stacks, 32)
        whose = np.where(rng.random(32) < 0.5, who, whose)
        own = rng.random(32) < 0.5
        sound = [heard[a][b] for a, b in zip(np.where(own, who, whose), np.where(own, t, other) + RUN // 2, strict=True)]
        faces = learned.tensor(np.stack([stacks[k][s : s + RUN] for k, s in zip(who, t, strict=True)]).reshape(-1, 64, 64, 3))
        mouths = faces[:, :, 32:].reshape(32, 3 * RUN, 32, 64)
        return _belong(expert, mouths, torch.from_numpy(np.stack(sound)), torch.from_numpy(own).float())

    _, loss = learned.descend(expert, step, steps, seed)
    return expert.eval().requires_grad_(False), loss


def teach(seed=0, steps=STEPS):
    """Train the expert, then the network, on the people of the learning world; return (network, card)."""
    clips, count = learned.people(), 4
    stacks, lowers = [clip.faces for clip in clips], [_lowers(clip) for clip in clips]
    heard = [columns(clip.sound, 25.0, len(clip.faces)) for clip in clips]
    expert, known = teach_expert(seed, EXPERT_STEPS, stacks, heard)
    torch.manual_seed(seed)
    network = Network()

    def step(rng):
        who, first = _windows(rng, clips, count)
        who, t = np.repeat(who, RUN), (first[:, None] + np.arange(RUN)).ravel()
        truth, lower = learned.look_up(stacks, who, t), 255 * learned.look_up(lowers, who, t)
        reference = learned.look_up(stacks, who, rng.integers(learned.FRAMES, size=len(t)))
        sound = torch.from_numpy(np.stack([heard[k][s] for k, s in zip(who, t, strict=True)]))
        made = network(inputs(truth, lower, reference), sound)
        guides = learned.look_up(learned.guides(), who, t)
        mouths = (truth * (1 - lower) + made * lower)[:, :, 32:].reshape(count, 3 * RUN, 32, 64)
        sync = _belong(expert, mouths, sound[RUN // 2 :: RUN], torch.ones(count))
        return learned.reconstruction(made, truth, learned.attention(guides) * lower) + SYNC * sync

    card = learned.train(network, step, clips, steps, seed)
    return network, card | {"expert_steps": EXPERT_STEPS, "expert_loss": round(known, 5)}


@functools.cache
def _network():
    return learned.load(FILE, Network())


@torch.no_grad()
def generate(source, target, rng):
    """Return frames uint8 (F, H, W, 3) and mask bool (F, H, W) of `target` speaking what is heard in `source`.

    `rng` draws the reference frame and the feather. Raises InputError outside the benchmark or without a sound.
    """
    base.admit(source, target)
    if source.sound is None:
        raise InputError(f"clip {source.identity:03d} has no sound to speak to: wav2lip needs a data set with sound")
    own, count = aligned.align(target), len(target.frames)
    usable = np.flatnonzero(target.found)
    reference = learned.tensor(own.faces[[rng.choice(usable)]]).expand(count, -1, -1, -1)
    lower = torch.from_numpy(_lowers(own)).permute(0, 3, 1, 2)
    maps = inputs(learned.tensor(own.faces), lower, reference)
    made = learned.run(_network(), maps, torch.from_numpy(columns(source.sound, 25.0, count)))
    return aligned.paste(target, learned.image(made), own.maps, None, rng.uniform(0.04, 0.08), lower[:, 0].numpy())
