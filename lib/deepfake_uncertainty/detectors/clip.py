"""A detector of clips: what it sees in each frame, and how that changes from frame to frame."""

import numpy as np
import timm
import torch
from timm.models.resnet import BasicBlock
from torch import nn

from deepfake_uncertainty.datasets import tracks
from deepfake_uncertainty.detectors.base import Classifier, evenly_spaced
from deepfake_uncertainty.detectors.blind import Normalise, resized
from deepfake_uncertainty.errors import InputError

FRAMES = 8
STAGES = 32, 64, 128, 256


class Clip(nn.Module):
    """Features (N, D) of clips (N, 3 F, H, W): a residual network on each frame, a transformer over the frames, their mean."""

    def __init__(self, frames=FRAMES, stages=STAGES, layers=2, heads=4):
        super().__init__()
        self.frames, width = frames, stages[-1]
        self.normalise = Normalise()
        stem = {"stem_type": "deep", "stem_width": stages[0] // 2}
        self.frame = timm.models.ResNet(BasicBlock, (1,) * len(stages), channels=stages, num_classes=0, **stem)
        self.place = nn.Parameter(torch.empty(1, frames, width))
        nn.init.trunc_normal_(self.place, std=0.02)
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.time = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)
        # It begins as the mean over the frames, which is learnt sooner; what changes between them is added to that.
        for block in self.time.layers:
            for last in (block.self_attn.out_proj, block.linear2):
                nn.init.zeros_(last.weight)

    def forward(self, x):
        seen = self.frame(self.normalise(x.unflatten(1, (self.frames, 3)).flatten(0, 1)))
        return self.time(seen.unflatten(0, (-1, self.frames)) + self.place).mean(1)


def clip_transformer(n_classes, dropout):
    """Return the network as a `Classifier` of clips float32 (N, 3 * 8, 64, 64) in [0, 1], the frames stacked in channels."""
    stages = [f"features.frame.layer{k}" for k in range(1, len(STAGES) + 1)] + ["features.time"]
    return Classifier(Clip(), STAGES[-1], n_classes, dropout, stages)


def clips(track, n, frames=FRAMES, stride=1):
    """Return (clips float32 (m, 3 * frames, 64, 64) RGB in [0, 1], first frames int64 (m,)), m = min(n, clips side by side).

    A clip is `frames` frames, one every `stride`; clips do not overlap and cover the whole track. Raises InputError for a
    track shorter than a clip or of variable frame rate.
    """
    tracks.check_even(track)
    span = (frames - 1) * stride + 1
    if len(track.crops) < span:
        raise InputError(f"clip of {len(track.crops)} frames is shorter than the {span} of an input: give a longer one")
    starts = np.arange(0, len(track.crops) - span + 1, span, dtype=np.int64)
    starts = starts[evenly_spaced(len(starts), n)]
    return np.stack([resized(track.crops[s : s + span : stride]).reshape(-1, 64, 64) for s in starts]), starts
