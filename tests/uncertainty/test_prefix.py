"""The shared prefix is found from the network itself and is exact, on the study's architectures."""

from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
from support.small_networks import naive_dropout
from torch import fx, nn
from torch.utils import _pytree as pytree

from deepfake_uncertainty.detectors import frame_transformer, motion, registry
from deepfake_uncertainty.uncertainty import bayes, dropout, graphs, prefix, sample
from deepfake_uncertainty.uncertainty import inputs as inputs_module

LEAF = pytree.tree_structure(0)


def split_at(network, x, names):
    """Return the split of a network at the weights `names`."""
    posterior = SimpleNamespace(network=network, names=names, drawer=lambda scales: known_weights)
    weights = dict(network.named_parameters())

    def known_weights(seed, t):
        return {name: weights[name].detach() for name in names}

    adapted = inputs_module.adapted(network, inputs_module.Batch((x,), LEAF))
    return prefix.split(adapted, (x,), bayes.Weights(posterior, 0))


def split_at_dropout(network, x):
    """Return the split of a network at its dropout."""
    source = dropout.Dropout(network, 0)
    adapted = inputs_module.adapted(network, inputs_module.Batch((x,), LEAF))
    source.discover(adapted, (x[:2],))
    with source.modes(adapted):
        return prefix.split(adapted, (x,), source)


def own_names(graph):
    """Return the names of a graph's parameters in the network that it came from."""
    return {name.removeprefix("network.") for name, _ in graph.named_parameters()}


def built(name):
    torch.manual_seed(0)
    if name in registry.DETECTORS:
        network = registry.get(name).build(2, 0.3).eval()
        return network, (1 if name.startswith("fakecatcher") else 3)
    options = {"img_size": 64, "patch_size": 8} if name.startswith("vit") else {}
    return timm.create_model(name, num_classes=2, **options).eval(), 3


def inputs(channels, rows=5):
    return torch.rand(rows, channels, 64, 64, generator=torch.Generator().manual_seed(1))


LAST = {
    "resnet18": ["features.1.layer4", "head"],
    "fakecatcher": ["features.8", "head"],
    "vit_tiny_patch16_224": ["blocks.11", "head"],
    "mobilenetv3_small_100": ["conv_head", "classifier"],
    "tf_efficientnet_lite0": ["conv_head", "classifier"],
    "legacy_xception": ["conv4", "last_linear"],
    "efficientnet_b4": ["conv_head", "classifier"],
}


@pytest.mark.parametrize("name", LAST)
def test_prefix_and_suffix_together_are_the_network(name):
    network, channels = built(name)
    x = inputs(channels)
    last = tuple(f"{part}." for part in LAST[name])
    names = [parameter for parameter, _ in network.named_parameters() if parameter.startswith(last)]
    with torch.no_grad():
        parts = split_at(network, x, names)
        values = parts.prefix(x.clone())
        torch.testing.assert_close(parts.suffix(*values), network(x), rtol=1e-4, atol=1e-5)
    assert parts.shared and all(len(value) == len(x) for value in values)
    # What is stochastic is in the suffix, and little else.
    kept = own_names(parts.suffix)
    assert set(names) <= kept and len(kept) < 0.6 * len(list(network.named_parameters()))
    assert not set(names) & own_names(parts.prefix)


CHANNELS = {
    "frame_transformer": 3 * frame_transformer.FRAMES,
    "fakecatcher": 1,
    "fakecatcher128": 1,
    "motion_phase": motion.PHASE_CHANNELS,
    "motion_deep": motion.DEEP_CHANNELS,
}


# In these, some normalizations come before their convolution (pre-activation blocks).
UNFOLDED = "xception", "motion_phase", "motion_deep", "fakecatcher", "fakecatcher128"


@pytest.mark.parametrize("name", list(registry.DETECTORS))
def test_folded_is_the_network_and_leaves_it_as_it_was(name):
    torch.manual_seed(0)
    network = registry.get(name).build(2, 0.3).eval()
    side = motion.CELLS if name.startswith("motion") else 64
    x = inputs(CHANNELS.get(name, 3))[..., :side, :side]
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    folded = fx.symbolic_trace(network)
    graphs._fold_one(folded, set(), set())
    with torch.no_grad():
        torch.testing.assert_close(folded(x), network(x), rtol=1e-3, atol=1e-5)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    kept = [name for name, module in folded.named_modules() if type(module) is nn.BatchNorm2d]
    assert not kept or name in UNFOLDED, kept


@pytest.mark.parametrize("name", ["resnet18", "fakecatcher"])
@pytest.mark.parametrize("where", dropout.PLACES)
def test_dropout_samples_equal_naive_ones(name, where):
    network, channels = built(name)
    network, x = dropout.place_dropout(network, 0.3, where).eval(), inputs(channels)
    found = sample(network, x.split(2), 3, 4)
    np.testing.assert_allclose(found, naive_dropout(network, x, 3, 4), atol=1e-5)


@pytest.mark.parametrize("name", [pytest.param("resnet18", marks=pytest.mark.slow), "fakecatcher"])
@pytest.mark.parametrize("part", ["all", "last_stage"])
def test_bayesian_samples_equal_naive_ones(name, part):
    network, channels = built(name)
    parts = ("",) if part == "all" else bayes.last_stage(network)
    posterior = bayes.VariationalPosterior(network, parts=parts).eval()
    x = inputs(channels)
    found = sample(posterior, x.split(2), 3, 4)
    with torch.no_grad():
        for t in range(3):
            logits = posterior.logits(x, posterior.draw(4, t))
            np.testing.assert_allclose(found[t], logits.softmax(-1), atol=1e-5)


def test_a_vision_transformer_is_sampled_with_dropout_behind_its_last_block():
    network, channels = built("vit_tiny_patch16_224")
    network.stages = ("blocks.11",)
    network, x = dropout.place_dropout(network, 0.3, "last_stage").eval(), inputs(channels)
    with torch.no_grad():
        parts = split_at_dropout(network, x)
        values = parts.prefix(x.clone())
    assert parts.shared and [tuple(value.shape) for value in values] == [(5, 65, 192)]
    assert sample(network, x.split(2), 2, 0).std(0).max() > 0


def test_constants_and_shapes_are_computed_again_and_not_kept():
    class Shaped(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale, self.late = nn.Parameter(torch.ones(3)), nn.Linear(3, 2)

        def forward(self, x):
            return self.late(x.view(x.shape[0], -1)[:, :3] * self.scale)

    network, x = Shaped(), torch.randn(4, 3)
    parts = split_at(network, x, ["late.weight"])
    values = parts.prefix(x.clone())
    assert parts.shared and [tuple(value.shape) for value in values] == [(4, 3)]
    torch.testing.assert_close(parts.suffix(*values), network(x))


def test_what_only_looks_like_one_row_per_input_is_computed_again():
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.late = nn.Linear(3, 2)

        def forward(self, x):
            # The second term has two values, whatever the number of inputs.
            return self.late(x) + torch.ones_like(x[0, :2])

    network, x = Fixed(), torch.randn(4, 3)
    parts = split_at(network, x[:2], ["late.weight"])
    with torch.no_grad():
        values = parts.prefix(x)
        assert parts.shared and [tuple(value.shape) for value in values] == [(4, 3)]
        torch.testing.assert_close(parts.suffix(*values), network(x))


def test_what_the_first_batch_gave_is_not_computed_again():
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).eval()
    x = torch.randn(5, 3)
    with torch.no_grad():
        parts = split_at(network, x, ["2.weight"])
        (known,) = parts.known
        torch.testing.assert_close(known, network[:2](x))
