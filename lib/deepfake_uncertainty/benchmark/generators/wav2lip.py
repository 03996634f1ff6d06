"""wav2lip: the mouth painted from what is heard, into a frame whose lower face is hidden.

A working miniature of Wav2Lip (Prajwal 2020): the network sees the frame without its lower face, another frame of the same
face for its looks, and the log mel columns of 0.2 s of sound; an expert that was first taught to choose the sound of five
mouths among others judges what it paints.
"""

import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from deepfake_uncertainty.benchmark import plan, voice
from deepfake_uncertainty.benchmark.generators import aligned, base, learned
from deepfake_uncertainty.errors import InputError

NAME = "wav2lip"
STEPS, EXPERT_STEPS, SYNC, CHOICES = 1000, 1200, 0.05, 32
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
    """Codes of length 1 (N, 48) of five lower faces as they differ from the person's own mean (N, 15, 32, 64), and of sound."""

    def __init__(self):
        super().__init__()
        blocks = [learned.block(i, o, 2) for i, o in ((3 * RUN, 32), (32, 48), (48, 64), (64, 64))]
        self.layers = nn.Sequential(*blocks, nn.Flatten(), nn.Linear(64 * 8, CODE))
        self.hearing = Hearing()

    def see(self, mouths):
        return functional.normalize(self.layers(mouths * 5), dim=1)

    def hear(self, sound):
        return functional.normalize(self.hearing(sound), dim=1)


def columns(sound, fps, count):
    """Return float32 (count, 5, 20): the log mel columns of the two frames before, of each frame, and of the two after."""
    mel = voice.log_mel(sound, fps, count)
    padded = np.pad(mel, ((RUN // 2, RUN // 2), (0, 0)), mode="edge")
    return np.stack([padded[k : k + count] for k in range(RUN)], 1)


def inputs(faces, lower, reference):
    """Return (N, 7, 64, 64): the frame without its lower face, where that is, and the reference frame."""
    return torch.cat([faces * (1 - lower), lower, reference], 1)


def _lowers(clip):
    """Return the part of each frame that is hidden, float32 (F, 64, 64, 1): the lower face with its mouth at its widest.

    Its outline moves with the nose alone: that of the frame's own jaw would tell the network how far the mouth is open.
    """
    drop = np.linalg.norm(clip.points[:, 13] - clip.points[:, 14], axis=-1)
    widest = clip.points[drop.argmax()]
    return np.stack([aligned.lower(widest - widest[1] + points[1]) for points in clip.points])[..., None]


def _windows(rng, clips, count):
    """Return (person, first frame) of `count` runs of five frames."""
    return rng.integers(len(clips), size=count), rng.integers(learned.FRAMES - RUN + 1, size=count)


def mouths(faces, still):
    """Return (N, 15, 32, 64), lower halves of runs of five faces (5 N, 3, 64, 64) less the persons' means (N, 3, 64, 64)."""
    moving = faces.view(-1, RUN, *faces.shape[1:]) - still[:, None]
    return moving[..., aligned.SIZE // 2 :, :].flatten(1, 2)


def teach_expert(seed, steps, stacks, still, heard):
    """Return the expert, taught to choose the sound of five faces among 32, and how often it chooses right at the end."""
    torch.manual_seed(seed)
    expert, right = Expert(), []

    def step(rng):
        who, first = _windows(rng, stacks, CHOICES)
        runs = np.stack([stacks[k][t : t + RUN] for k, t in zip(who, first, strict=True)])
        seen = expert.see(mouths(learned.tensor(runs.reshape(-1, *runs.shape[2:])), still[who]))
        sound = torch.from_numpy(np.stack([heard[k][t + RUN // 2] for k, t in zip(who, first, strict=True)]))
        match, own = seen @ expert.hear(sound).T / 0.1, torch.arange(CHOICES)
        right.append((match.argmax(1) == own).float().mean().item())
        return functional.cross_entropy(match, own) + functional.cross_entropy(match.T, own)

    learned.descend(expert, step, steps, seed)
    return expert.eval().requires_grad_(False), float(np.mean(right[-steps // 10 :]))


def teach(seed=0, steps=STEPS):
    """Train the expert, then the network, on the people of the learning world; return (network, card)."""
    clips, count = learned.people(), 4
    stacks, lowers = [clip.faces for clip in clips], [_lowers(clip) for clip in clips]
    heard = [columns(clip.sound, plan.FPS, len(clip.faces)) for clip in clips]
    still = torch.stack([learned.tensor(stack).mean(0) for stack in stacks])
    start = time.monotonic()
    expert, right = teach_expert(seed, EXPERT_STEPS, stacks, still, heard)
    taught = time.monotonic() - start
    torch.manual_seed(seed)
    network = Network()
    network.hear.load_state_dict(expert.hearing.state_dict())

    def step(rng):
        who, first = _windows(rng, clips, count)
        who, t = np.repeat(who, RUN), (first[:, None] + np.arange(RUN)).ravel()
        truth, lower = learned.look_up(stacks, who, t), 255 * learned.look_up(lowers, who, t)
        reference = learned.look_up(stacks, who, rng.integers(learned.FRAMES, size=len(t)))
        sound = torch.from_numpy(np.stack([heard[k][s] for k, s in zip(who, t, strict=True)]))
        made = network(inputs(truth, lower, reference), sound)
        guides = learned.look_up(learned.guides(), who, t)
        seen = expert.see(mouths(truth * (1 - lower) + made * lower, still[who[::RUN]]))
        sync = 1 - (seen * expert.hear(sound[RUN // 2 :: RUN])).sum(1).mean()
        return learned.reconstruction(made, truth, learned.attention(guides) * lower) + SYNC * sync

    card = learned.train(network, step, clips, steps, seed)
    card["seconds"] += round(taught)
    return network, card | {"expert_steps": EXPERT_STEPS, "expert_right": round(right, 3), "expert_choices": CHOICES}


def hidden(clip, reference):
    """Return `inputs` of every frame of an `Aligned` clip with one reference face uint8 (64, 64, 3) of the same person."""
    lower = torch.from_numpy(_lowers(clip)).permute(0, 3, 1, 2)
    looks = learned.tensor(reference[None]).expand(len(lower), -1, -1, -1)
    return inputs(learned.tensor(clip.faces), lower, looks)


@torch.no_grad()
def generate(source, target, rng):
    """Return frames uint8 (F, H, W, 3) and mask bool (F, H, W) of `target` speaking what is heard in `source`.

    `rng` draws the reference frame and the feather. Raises InputError outside the benchmark or without a sound.
    """
    base.admit(source, target)
    if source.sound is None:
        raise InputError(f"clip {source.identity:03d} has no sound to speak to: wav2lip needs a data set with sound")
    own, count = aligned.align(target), len(target.frames)
    maps = hidden(own, own.faces[rng.choice(np.flatnonzero(target.found))])
    made = learned.run(learned.shipped(NAME, Network), maps, torch.from_numpy(columns(source.sound, plan.FPS, count)))
    return aligned.paste(target, learned.image(made), own.maps, None, rng.uniform(0.04, 0.08), maps[:, 3].numpy())
