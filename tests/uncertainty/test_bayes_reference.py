"""The variational posterior against bayesian-torch, torch.distributions and an exact posterior."""

import copy

import pytest
import torch
from support.small_networks import small_inputs, small_net
from torch import nn

from deepfake_uncertainty.uncertainty import bayes

SHIFT = 0.05
BAYESIAN_TORCH = {
    "prior_mu": 0.0,
    "prior_sigma": 0.3,
    "posterior_mu_init": 0.0,
    "posterior_rho_init": -3.0,
    "type": "Reparameterization",
    "moped_enable": True,
    "moped_delta": 0.1,
}


@pytest.fixture
def pair():
    """Our posterior, and the layers of bayesian-torch with the names of their weights."""
    from bayesian_torch.models.dnn_to_bnn import dnn_to_bnn

    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 3, 3, bias=False), nn.Flatten(), nn.Linear(48, 2, bias=False)
    )
    ours = bayes.VariationalPosterior(network, prior_std=0.3, delta=0.1)
    theirs = copy.deepcopy(network)
    dnn_to_bnn(theirs, BAYESIAN_TORCH)
    layers, kinds = [theirs[0], theirs[2]], ["kernel", "weight"]
    with torch.no_grad():
        for layer, kind, mean, rho in zip(layers, kinds, ours.mean, ours.rho, strict=True):
            rho += 0.2 * torch.randn(rho.shape, generator=torch.Generator().manual_seed(5))
            getattr(layer, f"mu_{kind}").copy_(mean + SHIFT)
            getattr(layer, f"rho_{kind}").copy_(rho)
            layer.prior_weight_mu.copy_(mean)  # its MOPED leaves the prior at zero
            mean += SHIFT
    return ours, layers, kinds


def test_kl_equals_that_of_bayesian_torch_without_its_averaging(pair):
    ours, layers, _ = pair
    # Theirs is the mean over the weights of a layer; the ELBO needs the sum over all of them.
    layers_and_means = zip(layers, ours.mean, strict=True)
    summed = sum(layer.kl_loss().item() * mean.numel() for layer, mean in layers_and_means)
    assert ours.kl().item() == pytest.approx(summed, rel=1e-4)


def test_draws_equal_those_of_bayesian_torch(pair):
    ours, layers, kinds = pair
    weights = ours.draw(3)
    parameters = zip(layers, kinds, ours.names, ours.mean, ours.std(), strict=True)
    with torch.no_grad():
        for layer, kind, name, mean, std in parameters:
            noise = (weights[name] - mean) / std
            their_std = torch.log1p(getattr(layer, f"rho_{kind}").exp())
            drawn = getattr(layer, f"mu_{kind}") + their_std * noise
            torch.testing.assert_close(drawn, weights[name], rtol=1e-4, atol=1e-6)


def test_kl_equals_torch_and_the_loss_equals_a_hand_computation():
    x, posterior = small_inputs(), bayes.VariationalPosterior(small_net(), prior_std=0.3, delta=0.2)
    posterior.eval()
    with torch.no_grad():
        for mean in posterior.mean:
            mean += SHIFT
    parts = [
        torch.distributions.kl_divergence(
            torch.distributions.Normal(mean, std),
            torch.distributions.Normal(getattr(posterior, f"prior_{i}"), 0.3),
        ).sum()
        for i, (mean, std) in enumerate(zip(posterior.mean, posterior.std(), strict=True))
    ]
    torch.testing.assert_close(posterior.kl(), torch.stack(parts).sum())
    y = torch.arange(10) % 2
    torch.manual_seed(4)
    loss = posterior.elbo_loss(x, y, n_train=50, beta=0.5)
    torch.manual_seed(4)
    logits = posterior(x)
    nll = -logits.log_softmax(-1)[torch.arange(10), y].mean()
    torch.testing.assert_close(loss, nll + 0.5 * torch.stack(parts).sum() / 50)


def trained_for_regression(posterior, x, y, steps=3000):
    optimiser = torch.optim.Adam(posterior.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    torch.manual_seed(0)
    for _ in range(steps):
        optimiser.zero_grad()
        posterior.elbo_loss(x, y, len(x)).backward()
        optimiser.step()
        schedule.step()
    return posterior


@pytest.mark.slow
def test_posterior_of_a_linear_regression_is_the_analytic_one():
    generator = torch.Generator().manual_seed(0)
    noise, prior_std = 0.5, 1.0
    x = torch.randn(40, 2, generator=generator)
    y = x @ torch.tensor([1.0, -0.5]) + noise * torch.randn(40, generator=generator)
    linear = nn.Linear(2, 1, bias=False)
    nn.init.zeros_(linear.weight)

    def nll(output, target):
        return ((output[:, 0] - target) ** 2).mean() / (2 * noise**2)

    posterior = bayes.VariationalPosterior(linear, prior_std, delta=0.1, min_std=0.1, nll=nll)
    trained_for_regression(posterior, x, y)
    precision = x.T @ x / noise**2 + torch.eye(2) / prior_std**2
    mean = torch.linalg.solve(precision, x.T @ y / noise**2)
    # The best mean-field Gaussian has the exact mean. Its variance is the inverse of the diagonal
    # of the precision.
    torch.testing.assert_close(posterior.mean[0][0].detach(), mean, atol=0.02, rtol=0)
    std = precision.diagonal().rsqrt()
    torch.testing.assert_close(posterior.std()[0][0].detach(), std, atol=0, rtol=0.1)
