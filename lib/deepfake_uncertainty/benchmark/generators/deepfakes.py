"""Deepfakes: a shared encoder, a decoder per identity, colour transfer, and a feathered paste.

A working miniature of the autoencoder family of FaceForensics++ (Rössler 2019). It is trained on
the aligned faces of one split's own clips (see `deepfakes_training`). It is simpler than the
original in two ways, so that a minute on one core is enough. First, four units of the code are
supervised: mouth, eyes, pitch and yaw, measured in frames and found landmarks. Second, a decoder
moves a still face of its identity, its likeness, by a flow field and adds shading. Both are linear
in the code, as in an active appearance model (Cootes 2001).
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import nn

from deepfake_uncertainty.benchmark.generators import aligned, base, faceswap
from deepfake_uncertainty.benchmark.generators.aligned import SIZE, alignments
from deepfake_uncertainty.errors import InputError

CODE = 16  # units of the code
FLOW_CELLS, SHADE_CELLS = 16, 8  # cells per side of the flow field and of the shading
SUPERVISED = 4  # the first units are trained to be mouth, eyes, pitch and yaw; the others are free


class Autoencoder(nn.Module):
    """Map faces (N, 3, 64, 64) in [0, 1] through the shared encoder and decoders of `identities`.

    In all methods `decoders` int (N,) are indices into `identities`, one per face.
    """

    range: torch.Tensor
    traits: torch.Tensor

    def __init__(self, identities: Iterable[int]) -> None:
        super().__init__()
        self.identities = list(identities)
        n = len(self.identities)
        down: list[nn.Module] = []
        for i, o in pairwise((1, 16, 32, 64, 96)):
            down += [nn.Conv2d(i, o, 3, 2, 1), nn.LeakyReLU(0.1)]
        dense = nn.Linear(96 * 16, 128), nn.LeakyReLU(0.1), nn.Linear(128, CODE)
        self.encoder = nn.Sequential(*down, nn.Flatten(), *dense)
        for layer in self.encoder:
            # PyTorch's default weights would shrink the faces to nothing along the way.
            if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
                nn.init.kaiming_normal_(layer.weight, 0.1)
                nn.init.zeros_(layer.bias)
        self.encoder.to(memory_format=torch.channels_last)
        self.flow = nn.Parameter(torch.randn(CODE, 2 * FLOW_CELLS**2) * 0.003)
        self.shade = nn.Parameter(torch.zeros(CODE, 3 * SHADE_CELLS**2))
        self.offset = nn.Parameter(torch.zeros(n, 2 * FLOW_CELLS**2))
        self.likeness = nn.Parameter(torch.zeros(n, 3 * SIZE**2))
        # The change of the likeness per supervised unit, such as its eyelids, and the range of
        # each unit in the identity's own clip.
        self.register_buffer("traits", torch.zeros(n, 1 + SUPERVISED, 3 * SIZE**2))
        self.register_buffer("range", torch.zeros(2, n, SUPERVISED))

    def encode(self, faces: torch.Tensor) -> torch.Tensor:
        """Return the codes (N, 16) of faces.

        The encoder sees standardised grey faces, so a code does not depend on the skin tone.
        """
        grey = faces.mean(1, keepdim=True)
        spread, mean = torch.std_mean(grey, (2, 3), keepdim=True)
        return self.encoder((grey - mean) / (spread + 1e-3))

    def flow_field(self, codes: torch.Tensor, decoders: torch.Tensor) -> torch.Tensor:
        """Return the flow (N, 2, 16, 16) from the likeness, in tenths of half a side."""
        return (codes @ self.flow + self.offset[decoders]).view(-1, 2, FLOW_CELLS, FLOW_CELLS)

    def terms(self, codes: torch.Tensor, decoders: torch.Tensor) -> torch.Tensor:
        """Return (N, 5): 1 and the supervised units, clipped to the range of the identity."""
        low, high = self.range[:, decoders]
        clipped = torch.minimum(torch.maximum(codes[:, :SUPERVISED], low), high)
        return torch.cat([torch.ones(len(codes), 1), clipped], 1)

    def decode(self, codes: torch.Tensor, decoders: torch.Tensor) -> torch.Tensor:
        """Return the faces (N, 3, 64, 64) of codes (N, 16).

        They are the likeness with its traits, moved and shaded.
        """
        traits = (self.terms(codes, decoders)[:, None] @ self.traits[decoders])[:, 0]
        return self.move(self.likeness[decoders] + traits, codes, decoders)

    def move(
        self, still: torch.Tensor, codes: torch.Tensor, decoders: torch.Tensor
    ) -> torch.Tensor:
        """Return still faces (N, 3 * 64 * 64) moved and shaded by codes: (N, 3, 64, 64)."""
        shades = enlarge((codes @ self.shade).view(-1, 3, SHADE_CELLS, SHADE_CELLS)) * 0.05
        field = enlarge(self.flow_field(codes, decoders)) * 0.1
        return read_at(still.view(-1, 3, SIZE, SIZE), field) + shades

    def forward(self, faces: torch.Tensor, decoders: torch.Tensor) -> torch.Tensor:
        return self.decode(self.encode(faces), decoders)


@lru_cache(maxsize=8)
def _stretch(size: int, mode: str) -> torch.Tensor:
    """Return the matrix (64, size) that interpolates `size` values to 64."""
    unit = torch.eye(size)[None, :, :, None]
    stretched = nn.functional.interpolate(unit, size=(SIZE, 1), mode=mode, align_corners=True)
    return stretched[0, :, :, 0].T.contiguous()


def enlarge(maps: torch.Tensor, mode: str = "bilinear") -> torch.Tensor:
    """Return maps (N, C, h, w) as (N, C, 64, 64).

    Two matrix products take a tenth of the time of `interpolate`.
    """
    return _stretch(maps.shape[-2], mode) @ maps @ _stretch(maps.shape[-1], mode).T


def read_at(faces: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
    """Return faces (N, 3, 64, 64) read at the identity plus `field` (N, 2, 64, 64).

    The field is in half sides.
    """
    axis = torch.linspace(-1, 1, SIZE)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1) + field.permute(0, 2, 3, 1)
    return nn.functional.grid_sample(faces, grid, padding_mode="border", align_corners=True)


def aligned_faces(clip: base.Footage, picked: Sequence[int] | np.ndarray) -> torch.Tensor:
    """Return the aligned faces uint8 (N, 3, 64, 64) of frames `picked` (N,).

    The skin is continued beyond the oval of the face. Otherwise a narrow face that is pasted into
    a broad one would bring its background along.
    """
    maps, crops = alignments(clip), []
    for t in picked:
        crop = cv2.warpAffine(clip.frames[t], maps[t], (SIZE, SIZE), flags=cv2.INTER_AREA)
        oval = base.apply(maps[t], clip.landmarks[t][base.OVAL])
        inside = base.polygon(base.enlarge(oval, 0.93), crop.shape) > 0
        near = distance_transform_edt(~inside, return_distances=False, return_indices=True)
        smooth = cv2.GaussianBlur(crop[tuple(near)], (0, 0), 2)
        crops.append(np.where(inside[..., None], crop, smooth))
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)


@torch.no_grad()
def decode(network: Autoencoder, clip: base.Footage, identity: int) -> np.ndarray:
    """Return the aligned frames of `clip` decoded as `identity`: faces uint8 (F, 64, 64, 3)."""
    inputs = aligned_faces(clip, range(len(clip.frames))).float() / 255
    decoders = torch.full((len(inputs),), network.identities.index(identity))
    batches = zip(inputs.split(32), decoders.split(32), strict=True)
    outputs = torch.cat([network(*batch) for batch in batches])
    return (outputs.permute(0, 2, 3, 1).clamp(0, 1) * 255).round().byte().numpy()


def generate(
    source: base.Footage,
    target: base.Footage,
    rng: np.random.Generator,
    network: Autoencoder,
) -> tuple[np.ndarray, np.ndarray]:
    """Return frames uint8 (F, H, W, 3) and mask bool (F, H, W) of `target` decoded as `source`.

    `rng` draws the width of the feather. Frames in which no face was found are unchanged. Raises
    InputError for clips that do not come from the benchmark, and for a source without a decoder.
    """
    base.require_benchmark_clip(source, target)
    if source.identity not in network.identities:
        known = ", ".join(f"{identity:03d}" for identity in network.identities)
        raise InputError(
            f"identity {source.identity:03d} has no Deepfakes decoder: use one of {known}"
        )
    decoded, maps = decode(network, target, source.identity), alignments(target)
    return aligned.paste(target, decoded, maps, faceswap.region, rng.uniform(0.06, 0.12))


FAMILIES = [
    base.Family("Deepfakes", "SynthFF", 0, swaps_identity=True, generate=generate, color="#721449")
]
