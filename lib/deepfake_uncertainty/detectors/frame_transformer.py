"""Frame transformer: a detector that reads short clips, frame by frame and over time."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import timm
import torch
from timm.models.resnet import BasicBlock
from torch import nn

from deepfake_uncertainty.datasets import tracks
from deepfake_uncertainty.datasets.tracks import Track
from deepfake_uncertainty.detectors import images
from deepfake_uncertainty.detectors.base import Classifier, DetectorSpec, window_starts

FRAMES = 8
STAGES = 32, 64, 128, 256


class FrameTransformer(nn.Module):
    """Features (N, D) of clips (N, 3 F, H, W).

    A residual network reads each frame, a transformer the sequence of the frames; the features are
    the mean over the frames. frames: F; stages: the channels of the stages of the residual network;
    layers, heads: of the transformer.
    """

    def __init__(
        self,
        frames: int = FRAMES,
        stages: tuple[int, ...] = STAGES,
        layers: int = 2,
        heads: int = 4,
    ) -> None:
        super().__init__()
        self.frames, width = frames, stages[-1]
        self.normalise = images.Normalise()
        self.frame = timm.models.ResNet(
            BasicBlock,  # type: ignore[arg-type]  # timm's hint is that of an instance
            (1,) * len(stages),
            channels=stages,
            num_classes=0,
            stem_type="deep",
            stem_width=stages[0] // 2,
        )
        self.place = nn.Parameter(torch.empty(1, frames, width))
        nn.init.trunc_normal_(self.place, std=0.02)
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.time = nn.TransformerEncoder(
            layer, layers, nn.LayerNorm(width), enable_nested_tensor=False
        )
        # The transformer starts as the identity: the mean over the frames is learnt sooner.
        for block in self.time.layers:
            for last in (block.self_attn.out_proj, block.linear2):
                nn.init.zeros_(last.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features (N, D) of clips x (N, 3 F, H, W)."""
        frames = x.unflatten(1, (self.frames, 3)).flatten(0, 1)
        features = self.frame(self.normalise(frames)).unflatten(0, (-1, self.frames))
        return self.time(features + self.place).mean(1)


def build(n_classes: int, dropout: float) -> Classifier:
    """Return the network as a `Classifier` of clips float32 (N, 3 * FRAMES, 64, 64) in [0, 1].

    The frames of a clip are stacked in the channels.
    """
    stages = [f"features.frame.layer{k}" for k in range(1, len(STAGES) + 1)] + ["features.time"]
    return Classifier(FrameTransformer(), STAGES[-1], n_classes, dropout, stages)


def clips(
    track: Track, n: int, frames: int = FRAMES, stride: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Return clips float32 (m, 3 * frames, 64, 64) RGB in [0, 1] and their first frames int64 (m,).

    A clip has `frames` frames, `stride` frames apart. Clips do not overlap, and m is n or the
    number of clips in the whole track if that is smaller. Raises InputError for a track shorter
    than a clip or of variable frame rate.
    """
    tracks.check_constant_rate(track)
    span = (frames - 1) * stride + 1
    starts = window_starts(len(track.crops), span, span, n)
    found = [images.resized(track.crops[s : s + span : stride]) for s in starts]
    return np.stack([clip.reshape(-1, images.SIZE, images.SIZE) for clip in found]), starts


def pixels_to_clip(track: Track) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a differentiable function (F, 3, S, S) -> (1, 3 F, 64, 64) of crops to one clip.

    It makes the same clip as `clips`.
    """
    frames = images.pixels_to_frames(track)
    return lambda crops: frames(crops).reshape(1, -1, images.SIZE, images.SIZE)


# In profile quick the epochs are too few to learn the task.
RECIPE = replace(images.RECIPE, epochs=3, batch=8, variational_epochs=2)
DETECTORS = [
    DetectorSpec(
        "frame_transformer",
        "Frame transformer",
        build,
        clips,
        window=FRAMES,
        pixels_to_inputs=pixels_to_clip,
        recipe=RECIPE,
        full_recipe=replace(RECIPE, epochs=10),
        year=2021,
        color="#000579",
    )
]
