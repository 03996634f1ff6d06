"""Measures, Monte Carlo dropout and the variational posterior against hand computation and independent implementations."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy
from torch import nn

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty import bayes, dropout, sampling
from deepfake_uncertainty.uncertainty.measures import measures


class Net(nn.Module):
    """A classifier of the detectors' shape: features, then a head with dropout."""

    def __init__(self, rate=0.5, extra=0.0):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(extra), nn.Flatten())
        self.head = nn.Sequential(nn.Dropout(rate), nn.Linear(4 * 36, 2))

    def features(self, x):
        return self.body(x)

    def forward(self, x):
        return self.head(self.features(x))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture
def x():
    return torch.randn(10, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def test_two_certain_networks_that_disagree_are_all_epistemic():
    found = measures([[[1.0, 0.0]], [[0.0, 1.0]]])
    assert found["total"] == pytest.approx(np.log(2)) and found["aleatoric"] == pytest.approx(0)
    assert found["epistemic"] == pytest.approx(np.log(2))


@given(st.integers(1, 6), st.integers(1, 5), st.integers(2, 4), st.integers(0, 1000))
def test_measures_agree_with_scipy_and_stay_in_range(T, N, C, seed):
    samples = np.random.default_rng(seed).dirichlet(np.full(C, 0.3), size=(T, N))
    found = measures(samples)
    np.testing.assert_allclose(found["total"], entropy(samples.mean(0), axis=-1), atol=1e-12)
    np.testing.assert_allclose(found["aleatoric"], entropy(samples, axis=-1).mean(0), atol=1e-12)
    assert (found["epistemic"] >= 0).all() and (found["total"] <= np.log(C) + 1e-12).all()


NO_PROBABILITIES = [np.ones((2, 3)), np.ones((0, 1, 2)), np.full((1, 2, 2), np.nan), [[[0.9, 0.3]]], [[[1.5, -0.5]]]]


@pytest.mark.parametrize("bad", NO_PROBABILITIES)
def test_what_is_no_probability_is_refused(bad):
    with pytest.raises(InputError):
        measures(bad)


def test_deterministic_is_the_softmax_and_restores_the_mode(net, x):
    net.train()
    found = sampling.deterministic(net, x.split(3))
    assert net.training and net.body[1].training
    np.testing.assert_allclose(found[0], net.eval()(x).softmax(-1).detach(), atol=1e-6)


def test_shared_prefix_equals_whole_passes_with_the_same_masks(net, x):
    found = dropout.mc_dropout(net, x.split(4), T=3, seed=7)
    for t in range(3):
        keep = torch.rand((10, 144), generator=dropout._generator(7, t)) >= 0.5
        with torch.no_grad():
            whole = net.head[1](net.features(x) * keep * 2).softmax(-1)
        np.testing.assert_allclose(found[t], whole, atol=1e-6)


def test_dropout_samples_have_the_mean_of_torch_dropout(net, x):
    found = dropout.mc_dropout(net, [x], T=3000, seed=0).mean(0)
    torch.manual_seed(3)
    with torch.no_grad():
        features = net.features(x)
        naive = torch.stack([net.head.train()(features).softmax(-1) for _ in range(3000)]).mean(0)
    np.testing.assert_allclose(found, naive, atol=0.03)


def test_dropout_nowhere_is_refused(x):
    with pytest.raises(InputError, match="dropout"):
        dropout.mc_dropout(Net(rate=0.0), [x], 2, 0)


@pytest.mark.parametrize("method", ["dropout", "bnn"])
def test_samples_depend_on_the_seed_and_not_on_the_batches(net, x, method):
    sample = dropout.mc_dropout if method == "dropout" else bayes.samples
    model = net if method == "dropout" else bayes.VariationalPosterior(net)
    one, other = sample(model, x.split(10), 4, 5), sample(model, x.split(3), 4, 5)
    np.testing.assert_allclose(one, other, atol=1e-6)
    np.testing.assert_array_equal(one, sample(model, x.split(10), 4, 5))
    np.testing.assert_array_equal(one[:2], sample(model, x.split(10), 2, 5))
    assert not np.allclose(one, sample(model, x.split(10), 4, 6))


def test_prior_and_posterior_are_centred_on_the_trained_weights(net):
    trained = net.head[1].weight.detach().clone()
    posterior = bayes.VariationalPosterior(net, prior_std=0.3, delta=0.2)
    place = posterior.names.index("head.1.weight")
    torch.testing.assert_close(posterior.mean[place].data, trained)
    torch.testing.assert_close(getattr(posterior, f"prior_{place}"), trained)
    torch.testing.assert_close(posterior.std()[place], (0.2 * trained.abs()).clamp_min(1e-4), rtol=1e-3, atol=1e-6)
    assert not any(name.startswith("body.1.") for name in posterior.names)


def test_kl_equals_torch_and_the_loss_equals_a_hand_computation(net, x):
    posterior = bayes.VariationalPosterior(net, prior_std=0.3, delta=0.2).eval()
    with torch.no_grad():
        for mean in posterior.mean:
            mean += 0.05
    parts = [
        torch.distributions.kl_divergence(
            torch.distributions.Normal(mean, std), torch.distributions.Normal(getattr(posterior, f"prior_{i}"), 0.3)
        ).sum()
        for i, (mean, std) in enumerate(zip(posterior.mean, posterior.std(), strict=True))
    ]
    torch.testing.assert_close(posterior.kl(), torch.stack(parts).sum())
    y = torch.arange(10) % 2
    torch.manual_seed(4)
    loss = posterior.elbo_loss(x, y, n_train=50, beta=0.5)
    torch.manual_seed(4)
    logits = posterior(x, posterior.draw())
    hand = -logits.log_softmax(-1)[torch.arange(10), y].mean() + 0.5 * torch.stack(parts).sum() / 50
    torch.testing.assert_close(loss, hand)


def test_posterior_of_a_linear_regression_is_the_analytic_one():
    generator = torch.Generator().manual_seed(0)
    n, noise, prior_std = 40, 0.5, 1.0
    x = torch.randn(n, 2, generator=generator)
    y = x @ torch.tensor([1.0, -0.5]) + noise * torch.randn(n, generator=generator)
    linear = nn.Linear(2, 1, bias=False)
    nn.init.zeros_(linear.weight)
    posterior = bayes.VariationalPosterior(
        linear, prior_std, delta=0.1, min_std=0.1, nll=lambda out, target: ((out[:, 0] - target) ** 2).mean() / (2 * noise**2)
    )
    optimiser = torch.optim.Adam(posterior.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 3000)
    torch.manual_seed(0)
    for _ in range(3000):
        optimiser.zero_grad()
        posterior.elbo_loss(x, y, n).backward()
        optimiser.step()
        schedule.step()
    precision = x.T @ x / noise**2 + torch.eye(2) / prior_std**2
    mean = torch.linalg.solve(precision, x.T @ y / noise**2)
    # The best mean-field Gaussian has the exact mean, and the inverse diagonal of the precision as its variance.
    torch.testing.assert_close(posterior.mean[0][0].detach(), mean, atol=0.02, rtol=0)
    torch.testing.assert_close(posterior.std()[0][0].detach(), precision.diagonal().rsqrt(), atol=0, rtol=0.1)


@pytest.mark.parametrize("bad", [{"prior_std": 0}, {"delta": -1}, {"min_std": 0}])
def test_a_width_that_is_not_positive_is_refused(net, bad):
    with pytest.raises(InputError, match="positive"):
        bayes.VariationalPosterior(net, **bad)
