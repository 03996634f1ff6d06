"""Posteriors against independent implementations: bayesian-torch, laplace-torch, the analytic one, and other optimisers."""

import copy

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torch import nn
from torch.nn import functional

from deepfake_uncertainty.detectors.base import Classifier
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty import bayes, laplace, sampling, temperature

X = torch.randn(60, 1, 6, 6, generator=torch.Generator().manual_seed(1))
Y = (X.mean((1, 2, 3)) + 0.3 * torch.randn(60, generator=torch.Generator().manual_seed(2)) > 0).long()


def classifier(steps=60):
    """A small network that has learnt the first thirty inputs, and of the others something."""
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(48, 5), nn.Tanh())
    network = Classifier(features, 5, 2, 0.2)
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(steps):
        optimiser.zero_grad()
        functional.cross_entropy(network(X[:30]), Y[:30]).backward()
        optimiser.step()
    return network.eval()


def test_kl_and_draws_equal_those_of_bayesian_torch_with_its_averaging_undone():
    from bayesian_torch.models.dnn_to_bnn import dnn_to_bnn

    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 3, bias=False), nn.Flatten(), nn.Linear(48, 2, bias=False))
    ours = bayes.VariationalPosterior(network, prior_std=0.3, delta=0.1)
    theirs = copy.deepcopy(network)
    dnn_to_bnn(theirs, {"prior_mu": 0.0, "prior_sigma": 0.3, "posterior_mu_init": 0.0, "posterior_rho_init": -3.0,
                        "type": "Reparameterization", "moped_enable": True, "moped_delta": 0.1})  # fmt: skip
    layers = [theirs[0], theirs[2]]
    kernels = ["kernel", "weight"]
    with torch.no_grad():
        for layer, kind, mean, rho in zip(layers, kernels, ours.mean, ours.rho, strict=True):
            rho += 0.2 * torch.randn(rho.shape, generator=torch.Generator().manual_seed(5))
            getattr(layer, f"mu_{kind}").copy_(mean + 0.05)
            getattr(layer, f"rho_{kind}").copy_(rho)
            layer.prior_weight_mu.copy_(mean)  # their MOPED leaves it at zero
            mean += 0.05
    # Theirs is the mean over the weights of a layer; the ELBO wants the sum over all of them.
    summed = sum(layer.kl_loss().item() * mean.numel() for layer, mean in zip(layers, ours.mean, strict=True))
    assert ours.kl().item() == pytest.approx(summed, rel=1e-4)
    weights = ours.draw(torch.Generator().manual_seed(3))
    with torch.no_grad():
        for layer, kind, name, mean, std in zip(layers, kernels, ours.names, ours.mean, ours.std(), strict=True):
            drawn = getattr(layer, f"mu_{kind}") + torch.log1p(getattr(layer, f"rho_{kind}").exp()) * (weights[name] - mean) / std
            torch.testing.assert_close(drawn, weights[name], rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def fitted():
    posterior = laplace.LastLayer(classifier())
    laplace.fit(posterior, X, Y)
    return posterior


def test_curvature_evidence_and_predictions_equal_those_of_laplace_torch(fitted):
    from laplace import Laplace

    # Theirs keeps the features' layer apart from the last one: the same network without its dropout, which is off.
    network = nn.Sequential(copy.deepcopy(fitted.network.features), copy.deepcopy(fitted.network.head[-1]))
    reference = Laplace(network, "classification", subset_of_weights="last_layer", hessian_structure="full")
    reference.fit(torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), 20))
    order = torch.cat([torch.cat([torch.arange(5) + 5 * c, torch.tensor([10 + c])]) for c in range(2)])  # weights, then biases
    found = fitted.directions @ torch.diag(fitted.curvature) @ fitted.directions.T
    torch.testing.assert_close(found, reference.H[order][:, order], rtol=1e-3, atol=1e-4)
    for precision in (0.1, 1.0, 30.0):
        hidden = torch.cat([fitted.network.features(X), torch.ones(60, 1)], 1).detach()
        loss = -functional.cross_entropy(hidden @ fitted.weights().T, Y, reduction="sum").item()
        own = laplace.log_evidence(loss, fitted.weights().square().sum().item(), fitted.curvature, precision)
        theirs = reference.log_marginal_likelihood(prior_precision=torch.tensor(precision)).item()
        assert own == pytest.approx(theirs, rel=1e-4)
    reference.prior_precision = fitted.precision.clone()
    drawn = laplace.samples(fitted, X.split(25), 4000, 0).mean(0)
    np.testing.assert_allclose(drawn, reference(X, pred_type="nn", link_approx="mc", n_samples=4000), atol=0.02)


def test_laplace_precision_is_a_maximum_and_a_sharp_prior_gives_the_network_back(fitted):
    weights = fitted.weights().double()
    hidden = torch.cat([fitted.network.features(X), torch.ones(60, 1)], 1).double().detach()
    loss = -functional.cross_entropy(hidden @ weights.T, Y, reduction="sum").item()
    near = [laplace.log_evidence(loss, weights.square().sum().item(), fitted.curvature.double(), fitted.precision.item() * k)
            for k in (0.9, 1, 1.1)]  # fmt: skip
    assert near[1] > near[0] and near[1] > near[2]
    sharp = copy.deepcopy(fitted)
    sharp.precision.fill_(1e12)
    np.testing.assert_allclose(laplace.samples(sharp, [X], 3, 0), np.repeat(sampling.deterministic(fitted.network, [X]), 3, 0),
                               atol=1e-4)  # fmt: skip


def test_laplace_draws_have_the_inverse_curvature_as_covariance(fitted):
    draws = torch.stack([fitted.draw(torch.Generator().manual_seed(k)).flatten() for k in range(4000)]).detach()
    wanted = fitted.directions @ torch.diag(1 / (fitted.curvature + fitted.precision)) @ fitted.directions.T
    torch.testing.assert_close(torch.cov(draws.T), wanted, rtol=0.3, atol=0.1 * wanted.diag().max().item())
    widest = wanted.diag().max().sqrt().item()
    torch.testing.assert_close(draws.mean(0), fitted.weights().flatten().detach(), rtol=0, atol=4 * widest / 60)


def test_laplace_samples_depend_on_seed_and_sample_alone(fitted):
    one = laplace.samples(fitted, X.split(60), 4, 5)
    np.testing.assert_allclose(one, laplace.samples(fitted, X.split(7), 4, 5), atol=1e-6)
    np.testing.assert_allclose(one[:2], laplace.samples(fitted, [X], 2, 5), atol=1e-6)
    assert not np.allclose(one, laplace.samples(fitted, [X], 4, 6))


def test_a_layer_too_large_for_its_matrix_is_refused():
    with pytest.raises(InputError, match="up to 6000"):
        laplace.LastLayer(Classifier(nn.Flatten(), 3000, 2, 0.1))


def test_temperature_is_that_of_another_optimiser_and_of_torch_uncertainty():
    from torch_uncertainty.post_processing import TemperatureScaler

    scaled = temperature.TemperatureScaled(classifier(steps=400))
    before, after = temperature.fit(scaled, X, Y.numpy())
    with torch.no_grad():
        logits = scaled.network(X)
    found = minimize_scalar(lambda t: functional.cross_entropy(logits / t, Y).item(), bounds=(0.05, 50), method="bounded")
    assert scaled.temperature.item() == pytest.approx(found.x, rel=1e-3) and after == pytest.approx(found.fun, abs=1e-6)
    assert after <= before
    # Theirs descends in the temperature itself and may step below zero: it begins near, and takes short steps.
    reference = TemperatureScaler(nn.Identity(), init_temperature=1.3 * found.x, lr=0.02, max_iter=500, device="cpu")
    reference.fit(torch.utils.data.DataLoader(torch.utils.data.TensorDataset(logits, Y), 60), progress=False)
    assert scaled.temperature.item() == pytest.approx(float(reference.temperature[0]), rel=0.02)


def test_temperature_changes_no_decision_and_needs_data():
    scaled = temperature.TemperatureScaled(classifier())
    temperature.fit(scaled, X, Y)
    plain, cooled = (sampling.deterministic(network, [X])[0] for network in (scaled.network, scaled))
    assert (plain.argmax(-1) == cooled.argmax(-1)).all() and not np.allclose(plain, cooled)
    with pytest.raises(InputError, match="needs the videos of a calibration split"):
        temperature.fit(scaled, X[:0], Y[:0])


def test_temperature_of_a_network_that_is_always_right_stays_bounded():
    class Right(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, x):
            return functional.one_hot(Y[: len(x)], 2).float() * self.scale

    scaled = temperature.TemperatureScaled(Right())
    temperature.fit(scaled, X[:40], Y[:40])
    assert temperature.BOUNDS[0] <= scaled.temperature.item() < 0.1
