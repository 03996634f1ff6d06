"""The variational posterior: memory layout, isolation from the trained network, scale of the KL."""

import copy

import numpy as np
import pytest
import timm
import torch
from support.small_networks import small_net
from torch import nn

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty import sample
from deepfake_uncertainty.uncertainty.bayes import VariationalPosterior, stochastic_names


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    # timm's BatchNormAct2d and Conv2dSame are subclasses, where replacement by class name fails.
    network = timm.create_model("tf_efficientnet_lite0", num_classes=2)
    return network.to(memory_format=torch.channels_last).eval()


@pytest.fixture(scope="module")
def x():
    return torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def small(width=3):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, width, 3),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(36 * width, 2),
    )


SMALL_X = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(2))
SMALL_Y = torch.arange(8) % 2


def trained(posterior, steps=5):
    optimiser = torch.optim.Adam(posterior.parameters(), lr=0.01)
    for _ in range(steps):
        optimiser.zero_grad()
        posterior.train().elbo_loss(SMALL_X, SMALL_Y, 8).backward()
        optimiser.step()
    return posterior.eval()


@pytest.mark.slow
def test_timm_network_same_seed_same_bytes_and_any_batch(network, x):
    posterior = VariationalPosterior(network, delta=0.05)
    found = sample(posterior, x.split(6), 2, 3)
    assert found.dtype == np.float32 and found.shape == (2, 6, 2)
    assert found.tobytes() == sample(posterior, x.split(6), 2, 3).tobytes()
    np.testing.assert_allclose(found, sample(posterior, x.split(4), 2, 3), atol=1e-5)


def test_narrow_posterior_is_the_trained_network(network, x):
    posterior = VariationalPosterior(network, delta=1e-6, min_std=1e-9)
    found = sample(posterior, [x], 1, 0)
    np.testing.assert_allclose(found, sample([network], [x]), atol=1e-4)


def test_draws_keep_channels_last(network):
    weights = VariationalPosterior(network).draw(0)
    images = [value for value in weights.values() if value.ndim == 4]
    assert len(images) > 40
    assert all(value.is_contiguous(memory_format=torch.channels_last) for value in images)


def test_normalization_is_fixed_by_default(network):
    names = stochastic_names(network)
    assert not any(".bn" in name or name.startswith("bn") for name in names)
    everything = {name for name, _ in network.named_parameters()}
    assert set(stochastic_names(network, fixed=())) == everything
    posterior = VariationalPosterior(small(), fixed=(nn.modules.batchnorm._BatchNorm, nn.Conv2d))
    assert posterior.names == ["4.weight", "4.bias"]
    with pytest.raises(InputError, match="stochastic"):
        VariationalPosterior(nn.Sequential(nn.BatchNorm1d(3)))


def test_training_leaves_the_trained_network_as_it_was():
    network = small()
    before = copy.deepcopy(network.state_dict())
    posterior = trained(VariationalPosterior(network))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(weight.requires_grad for weight in network.parameters())
    assert not torch.equal(posterior.network[1].running_mean, network[1].running_mean)


def test_gradients_reach_mean_and_rho_and_not_the_stale_weights():
    posterior = VariationalPosterior(small())
    posterior.elbo_loss(SMALL_X, SMALL_Y, 8).backward()
    gradients = [value.grad for value in [*posterior.mean, *posterior.rho]]
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)
    assert posterior.network[0].weight.grad is None and posterior.network[4].weight.grad is None


def test_kl_is_summed_over_weights_not_averaged_over_layers():
    first, second = nn.Linear(3, 2, bias=False), nn.Linear(7, 5, bias=False)
    for layer in (first, second):
        nn.init.constant_(layer.weight, 0.5)
    networks = first, second, nn.Sequential(first, second)
    kl = [VariationalPosterior(net, prior_std=0.1, delta=0.1).kl().item() for net in networks]
    # The means agree, so each weight adds log(0.1 / 0.05) + 0.05^2 / (2 * 0.1^2) - 1/2 =
    # 0.3181472 nats.
    np.testing.assert_allclose(kl, [6 * 0.3181472, 35 * 0.3181472, 41 * 0.3181472], rtol=1e-4)


def test_loss_is_linear_in_beta_over_n():
    posterior = VariationalPosterior(small()).eval()

    def loss(n, beta):
        torch.manual_seed(5)
        return posterior.elbo_loss(SMALL_X, SMALL_Y, n, beta).item()

    kl, nll = posterior.kl().item(), loss(1, 0)
    assert loss(100, 1) == pytest.approx(nll + kl / 100, rel=1e-5)
    assert loss(400, 0.5) == pytest.approx(nll + kl / 800, rel=1e-5)
    for n, beta in ((0, 1), (8, -1), (8, float("nan"))):
        with pytest.raises(InputError):
            posterior.elbo_loss(SMALL_X, SMALL_Y, n, beta)


def test_prior_and_posterior_are_centred_on_the_trained_weights():
    net = small_net()
    trained_weight = net.head[1].weight.detach().clone()
    posterior = VariationalPosterior(net, prior_std=0.3, delta=0.2)
    place = posterior.names.index("head.1.weight")
    torch.testing.assert_close(posterior.mean[place].data, trained_weight)
    torch.testing.assert_close(getattr(posterior, f"prior_{place}"), trained_weight)
    std = (0.2 * trained_weight.abs()).clamp_min(1e-4)
    torch.testing.assert_close(posterior.std()[place], std, rtol=1e-3, atol=1e-6)
    assert not any(name.startswith("body.1.") for name in posterior.names)


@pytest.mark.parametrize("bad", [{"prior_std": 0}, {"delta": -1}, {"min_std": 0}])
def test_a_width_that_is_not_positive_is_refused(bad):
    with pytest.raises(InputError, match="positive"):
        VariationalPosterior(small_net(), **bad)
