"""Networks of other libraries that the engine is tried on: convolutions, attention, sequences.

Each has random weights, two classes and inputs that are small enough for a test, and drops at
random whatever it offers to drop.
"""

from collections.abc import Callable
from typing import NamedTuple

import timm
import torch
import torchvision
import transformers
from torch import nn
from torchvision.models import swin_transformer as swin
from torchvision.models.video import resnet

from deepfake_uncertainty.uncertainty.inputs import reader

ROWS, CLASSES = 4, 2


class Case(NamedTuple):
    """A network of a library, and the shape of one input of it.

    tokens: the size of the vocabulary where the inputs are text. mixes: a mask depends on the whole
    batch, as in DropBlock, which keeps the mean of a map over the batch.
    """

    library: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    tokens: int = 0
    mixes: bool = False


CASES: dict[str, Case] = {}
MIXING = {"seresnet18"}


def case(library: str, shape: tuple[int, ...], name: str = "", tokens: int = 0):
    """Return a decorator that lists a function as a network under its name."""

    def listed(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        CASES[name or build.__name__] = Case(library, build, shape, tokens, name in MIXING)
        return build

    return listed


def of_timm(name: str, side: int, **options: object) -> None:
    """List a network of timm that takes pictures of `side` pixels."""
    case("timm", (3, side, side), name)(lambda: timm.create_model(name, num_classes=2, **options))


def of_torchvision(name: str, side: int, **options: object) -> None:
    """List a network of torchvision that takes pictures of `side` pixels."""
    build = getattr(torchvision.models, name)
    case("torchvision", (3, side, side), name)(lambda: build(num_classes=2, **options))


# ----- timm: dropout before the head and stochastic depth, where a network has them

BOTH = {"drop_rate": 0.2, "drop_path_rate": 0.2}

of_timm("convnext_atto", 32, **BOTH)
of_timm("densenetblur121d", 32, drop_rate=0.2)
of_timm("dla34", 32, drop_rate=0.2)
of_timm("dpn48b", 32, drop_rate=0.2)
of_timm("edgenext_xx_small", 64, **BOTH)
of_timm("ese_vovnet19b_dw", 32, **BOTH)
of_timm("fastvit_t8", 64, **BOTH)
of_timm("ghostnet_050", 32, drop_rate=0.2)
of_timm("hardcorenas_a", 32, **BOTH)
of_timm("hrnet_w18_small", 64, drop_rate=0.2)
of_timm("inception_next_tiny", 32, **BOTH, depths=(1, 1, 2, 1))
of_timm("lcnet_035", 32, drop_rate=0.2)
of_timm("mobilenetv3_small_050", 32, **BOTH)
of_timm("poolformer_s12", 32, **BOTH, proj_drop_rate=0.1)
of_timm("regnetx_002", 32, **BOTH)
of_timm("repvgg_a0", 32, drop_rate=0.2)
of_timm("res2net50_14w_8s", 32, **BOTH)
of_timm("resnest14d", 32, drop_rate=0.2)
of_timm("rexnet_100", 32, **BOTH)
of_timm("seresnet18", 32, **BOTH, drop_block_rate=0.1)
of_timm("skresnet18", 32, **BOTH)
of_timm("tinynet_e", 32, **BOTH)
of_timm("convmixer_768_32", 28)

# ----- timm: attention, with dropout of its weights and projections

ALL = BOTH | {"attn_drop_rate": 0.1, "proj_drop_rate": 0.1}

of_timm("beit_base_patch16_224", 32, **ALL, img_size=32, depth=2, embed_dim=96, num_heads=3)
of_timm("cait_xxs24_224", 32, **ALL, img_size=32, depth=3)
of_timm("coat_lite_tiny", 64, **BOTH, img_size=64)
of_timm("convit_tiny", 32, **ALL, img_size=32, depth=4, local_up_to_layer=2)
of_timm("crossvit_tiny_240", 240, **BOTH, depth=((1, 1, 0),))
of_timm("davit_tiny", 64, **BOTH, depths=(1, 1, 1, 1))
of_timm("deit_tiny_distilled_patch16_224", 32, **ALL, img_size=32, depth=3)
of_timm("eva02_tiny_patch14_224", 28, **ALL, img_size=28, depth=3)
of_timm("levit_128s", 64, **BOTH, img_size=64)
of_timm("gmixer_12_224", 64, **BOTH, proj_drop_rate=0.1, img_size=64)
of_timm("mobilevit_xxs", 64, **BOTH)
of_timm("pvt_v2_b0", 64, **ALL)
of_timm("swin_tiny_patch4_window7_224", 56, **ALL, img_size=56, depths=(2, 1, 1, 1))
of_timm("twins_svt_small", 64, **ALL, depths=(1, 1, 2, 1))
of_timm("volo_d1_224", 64, **BOTH, img_size=64)
of_timm("xcit_nano_12_p16_224", 32, **ALL, depth=3)

# ----- torchvision: its own dropout layers; the sizes are the smallest that it takes

of_torchvision("densenet121", 32, drop_rate=0.2)
of_torchvision("efficientnet_b0", 32)
of_torchvision("googlenet", 64, init_weights=False)
of_torchvision("inception_v3", 96, init_weights=False)
of_torchvision("mnasnet0_5", 32)
of_torchvision("regnet_y_400mf", 32)
of_torchvision("shufflenet_v2_x0_5", 32)
of_torchvision("squeezenet1_1", 32)


@case("torchvision", (3, 64, 64), "MaxVit")
def max_vit() -> nn.Module:
    return torchvision.models.MaxVit(
        (64, 64), 16, 2, [16, 32], [1, 1], 16, 0.2, attention_dropout=0.1, num_classes=2
    )


@case("torchvision", (3, 32, 32), "VisionTransformer")
def vision_transformer() -> nn.Module:
    return torchvision.models.VisionTransformer(
        32, 8, 3, 4, 64, 128, dropout=0.1, attention_dropout=0.1, num_classes=2
    )


@case("torchvision", (3, 32, 32), "SwinTransformer, version 2")
def shifted_windows() -> nn.Module:
    return torchvision.models.SwinTransformer(
        [4, 4], 24, [1, 1, 2], [3, 6, 12], [4, 4], dropout=0.1, attention_dropout=0.1,
        stochastic_depth_prob=0.2, num_classes=2, block=swin.SwinTransformerBlockV2,
        downsample_layer=swin.PatchMergingV2,
    )  # fmt: skip


@case("torchvision", (3, 4, 32, 32), "VideoResNet")
def clips() -> nn.Module:
    parts = [resnet.Conv3DSimple] * 4
    network = resnet.VideoResNet(resnet.BasicBlock, parts, [1, 1, 1, 1], resnet.BasicStem, 2)
    network.fc = nn.Sequential(nn.Dropout(0.3), network.fc)
    return network


# ----- Hugging Face: random weights of a configuration, nothing is downloaded

RATES = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
SMALL = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_labels": 2}


def of_hugging_face(name: str, shape: tuple[int, ...], tokens: int = 0, **options: object) -> None:
    """List a classifier of transformers: `name`ForImageClassification, or of sequences."""
    kind = "SequenceClassification" if tokens else "ImageClassification"

    def build() -> nn.Module:
        config = getattr(transformers, f"{name}Config")(**options)
        return getattr(transformers, f"{name}For{kind}")(config)

    case("transformers", shape, f"{name}For{kind}", tokens)(build)


of_hugging_face("ViT", (3, 32, 32), image_size=32, patch_size=8, **RATES, **SMALL)
of_hugging_face("Bert", (12,), 100, vocab_size=100, intermediate_size=96, **RATES, **SMALL)
of_hugging_face(
    "DistilBert", (12,), 100, vocab_size=100, dim=48, n_layers=2, n_heads=4, hidden_dim=96
)
of_hugging_face(
    "ConvNextV2", (3, 64, 64), depths=[1, 1, 2, 1], hidden_sizes=[16, 32, 48, 64],
    drop_path_rate=0.2, num_labels=2,
)  # fmt: skip


# ----- PyTorch: sequences


class Encoder(nn.Module):
    """A transformer that takes (N, L, D) and puts the sequence first, as PyTorch's default is."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.1)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(x.transpose(0, 1)).mean(0))


class Attention(nn.Module):
    """PyTorch's attention alone, with dropout of its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, dropout=0.3, batch_first=True)
        self.head = nn.Linear(16, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.attention(x, x, x)[0].mean(1))


class Recurrent(nn.Module):
    """A recurrent network of two layers, with dropout between them and before the head."""

    def __init__(self, kind: type[nn.RNNBase], between: float) -> None:
        super().__init__()
        self.recurrent = kind(16, 24, 2, dropout=between, batch_first=True)
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(24, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.recurrent(x)[0][:, -1])


case("torch", (6, 16), "TransformerEncoder, sequence first")(Encoder)
case("torch", (6, 16), "MultiheadAttention")(Attention)
case("torch", (6, 16), "GRU")(lambda: Recurrent(nn.GRU, 0))
case("torch", (6, 16), "LSTM, dropout between layers")(lambda: Recurrent(nn.LSTM, 0.2))


@torch.no_grad()
def livened(network: nn.Module, x: torch.Tensor) -> nn.Module:
    """Return the network with random numbers in place of constants, and logits of a few units.

    Many libraries start the last scale of a block near zero: then its dropout changes nothing.
    """
    for name, value in [*network.named_parameters(), *network.named_buffers()]:
        if not value.is_floating_point() or value.numel() < 2 or value.min() != value.max():
            continue
        is_scale = name.endswith(("weight", "var")) or 0 < value.min() < 1e-3
        value.uniform_(0.5, 1.5) if is_scale else value.normal_(0, 0.1)
    found = network(x)
    scale = reader(found)(found).abs().max()
    for value in network.parameters():
        if len(value) == CLASSES:  # of the head
            value.div_(scale)
    return network


def built(name: str, seed: int = 0) -> tuple[nn.Module, torch.Tensor]:
    """Return a network of the list in evaluation mode, and four inputs; always the same."""
    found = CASES[name]
    generator = torch.Generator().manual_seed(1)
    if found.tokens:
        x = torch.randint(found.tokens, (ROWS, *found.shape), generator=generator)
    else:
        x = torch.randn(ROWS, *found.shape, generator=generator)
    torch.manual_seed(seed)
    return livened(found.build().eval(), x), x
