"""Drawn faces with landmarks, as footage for the generators, without rendering or tracking."""

from pathlib import Path

import numpy as np

from deepfake_uncertainty.benchmark.generators import aligned, base

SKINS = (200, 160, 140), (120, 80, 60)
FRAMES, MISSED = 24, 3  # frames per clip, and the frame in which no face was found


def mesh(
    rng: np.random.Generator, frames: int = 12, opening: float | np.ndarray = 0.0
) -> np.ndarray:
    """Return landmarks float32 (F, 468, 2) of a face in 64 x 64 px that sways a little.

    The points are random, but the named ones are where a face has them. `opening` is that of the
    mouth in px: one number, or one per frame.
    """
    points = rng.uniform(16, 48, (468, 2))
    angle = np.linspace(0, 2 * np.pi, len(base.OVAL), endpoint=False) - np.pi / 2
    points[base.OVAL] = 32 + np.stack([20 * np.cos(angle), 26 * np.sin(angle)], 1)
    angle = np.linspace(0, 2 * np.pi, len(base.LIPS), endpoint=False) + np.pi
    points[base.LIPS] = [32, 45] + np.stack([7 * np.cos(angle), 3 * np.sin(angle)], 1)
    for eye, x in zip(aligned.EYES, (24, 40), strict=True):
        points[eye] = [x, 26] + np.array([[-4, 0], [-2, -2], [2, -2], [4, 0], [2, 2], [-2, 2]])
    points[base.BROWS] = np.stack([np.linspace(18, 46, 10), np.full(10, 20.0)], 1)
    points[13], points[14] = [32, 44.5], [32, 45.5]
    moving = points + np.sin(np.arange(frames) / 3)[:, None, None]
    moving[:, 14, 1] += opening
    return moving.astype(np.float32)


def draw(landmarks: np.ndarray, skin: tuple[int, int, int]) -> np.ndarray:
    """Return frames uint8 (F, 64, 64, 3) of a face of colour `skin`.

    Its eyes are dark, and so is its open mouth.
    """
    frames = np.full((len(landmarks), 64, 64, 3), 90.0)
    for frame, points in zip(frames, landmarks, strict=True):
        eyes = [(points[eye], 40) for eye in aligned.EYES]
        mouth = points[[61, 13, 291, 14]], 10
        for part, colour in [(points[base.OVAL], skin), *eyes, mouth]:
            frame[base.polygon(part, frame.shape) > 0] = colour
    return np.uint8(frames)


def pair(folder: Path) -> list[base.Footage]:
    """Return the footage of two identities, 0 and 1, with their truth files in `folder`."""
    clips = []
    for identity, skin in enumerate(SKINS):
        rng = np.random.default_rng(identity)
        truth = folder / "truth" / f"{identity:03d}.json"
        truth.parent.mkdir(exist_ok=True)
        truth.write_text("{}")
        times = np.arange(FRAMES)
        landmarks = mesh(rng, FRAMES, opening=4 + 4 * np.sin(times / (3 - identity)))
        sound = rng.uniform(-0.1, 0.1, FRAMES * 640).astype(np.float32)
        frames, found = draw(landmarks, skin), times != MISSED
        clips.append(base.footage(identity, frames, landmarks, found, truth, sound))
    return clips
