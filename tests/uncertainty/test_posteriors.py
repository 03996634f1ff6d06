"""Which weights have a posterior, in which precision, and posteriors of unusual networks."""

import copy

import numpy as np
import pytest
import timm
import torch
from support.small_networks import naive_weights
from torch import nn

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty import VariationalPosterior, laplace, sample

X = torch.randn(7, 6, generator=torch.Generator().manual_seed(0))


def test_frozen_weights_and_normalization_are_not_drawn_and_unknown_parts_are_refused():
    network = nn.Sequential(
        nn.Conv1d(1, 4, 3), nn.InstanceNorm1d(4, affine=True), nn.Flatten(), nn.RMSNorm(16),
        timm.layers.LayerNorm(16), nn.Linear(16, 2),
    )  # fmt: skip
    network[0].requires_grad_(False)
    posterior = VariationalPosterior(network)
    assert posterior.names == ["5.weight", "5.bias"]
    assert not any(value.requires_grad for value in posterior.network[0].parameters())
    with pytest.raises(InputError, match="no part neck in the network"):
        VariationalPosterior(network, parts=["neck"])


def test_a_network_in_half_precision_keeps_its_widths():
    network = nn.Linear(6, 2).eval().bfloat16()
    wide = VariationalPosterior(network, delta=0.1)
    weight = network.weight.float()
    expected = (0.1 * weight.abs()).clamp_min(1e-4)
    torch.testing.assert_close(wide.std()[0], expected, rtol=1e-4, atol=1e-7)
    assert wide.kl().dtype == torch.float32
    assert wide.draw(0)["weight"].dtype == torch.bfloat16
    assert sample(wide, X.bfloat16(), 3, 0).shape == (3, 7, 2)


def test_a_last_layer_without_a_bias_has_a_posterior():
    network = nn.Sequential(nn.Linear(6, 3), nn.Tanh(), nn.Linear(3, 2, bias=False))
    posterior = laplace(network, X, torch.arange(7) % 2)
    assert posterior.names == ["2.weight"] and posterior.curvature.shape == (6,)
    np.testing.assert_allclose(
        sample(posterior, X.split(3), 4, 1), naive_weights(posterior, X, 4, 1), atol=1e-5
    )


class Twice(nn.Module):
    """It holds one layer under two names, as CoaT does."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(6, 6), nn.Linear(6, 2)
        self.second = self.first

    def forward(self, x):
        return self.head(torch.tanh(self.second(torch.tanh(self.first(x)))))


def test_a_layer_with_two_names_is_drawn_anew_for_every_sample_and_restored():
    torch.manual_seed(0)
    posterior = VariationalPosterior(Twice(), delta=0.5)
    before = {name: value.clone() for name, value in posterior.network.named_parameters()}
    found = sample(posterior, X.split(3), 4, 1)
    after = dict(posterior.network.named_parameters())
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    for t in range(4):
        network = copy.deepcopy(posterior.network)
        network.load_state_dict(posterior.draw(1, t), strict=False)
        expected = network(X).softmax(-1).detach()
        np.testing.assert_allclose(found[t], expected, atol=1e-5)
        with torch.no_grad():
            again = posterior.logits(X, posterior.draw(1, t)).softmax(-1)
        np.testing.assert_allclose(again, expected, atol=1e-5)
