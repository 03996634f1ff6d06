"""The last-layer Laplace approximation against laplace-torch, and the statistics of its draws."""

import copy

import numpy as np
import pytest
import torch
from support.small_networks import X, Y, trained_classifier
from torch import nn
from torch.nn import functional

from deepfake_uncertainty.detectors.base import Classifier
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty import laplace, last_layer, sample


@pytest.fixture(scope="module")
def fitted():
    return laplace(trained_classifier(), X, Y)


def log_likelihood(features, weights):
    return -functional.cross_entropy(features @ weights.T, Y, reduction="sum").item()


def features_and_ones(posterior):
    return torch.cat([posterior.network.features(X), torch.ones(60, 1)], 1).detach()


@pytest.mark.slow
def test_curvature_evidence_and_predictions_equal_those_of_laplace_torch(fitted):
    from laplace import Laplace

    # Theirs separates the layers of the features from the last one: here is the same network
    # without its dropout, which is off.
    network = nn.Sequential(
        copy.deepcopy(fitted.network.features), copy.deepcopy(fitted.network.head[-1])
    )
    reference = Laplace(
        network, "classification", subset_of_weights="last_layer", hessian_structure="full"
    )
    reference.fit(torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), 20))
    # Theirs has all weights first, then all biases.
    rows = [torch.cat([torch.arange(5) + 5 * c, torch.tensor([10 + c])]) for c in range(2)]
    order = torch.cat(rows)
    found = fitted.directions @ torch.diag(fitted.curvature) @ fitted.directions.T
    torch.testing.assert_close(found, reference.H[order][:, order], rtol=1e-3, atol=1e-4)
    likelihood = log_likelihood(features_and_ones(fitted), fitted.weights())
    squares = fitted.weights().square().sum().item()
    for precision in (0.1, 1.0, 30.0):
        ours = last_layer.log_evidence(likelihood, squares, fitted.curvature, precision)
        theirs = reference.log_marginal_likelihood(prior_precision=torch.tensor(precision)).item()
        assert ours == pytest.approx(theirs, rel=1e-4)
    reference.prior_precision = fitted.precision.clone()
    drawn = sample(fitted, X.split(25), 4000, 0).mean(0)
    expected = reference(X, pred_type="nn", link_approx="mc", n_samples=4000)
    np.testing.assert_allclose(drawn, expected, atol=0.02)


def test_laplace_precision_is_a_maximum(fitted):
    weights, curvature = fitted.weights().double(), fitted.curvature.double()
    likelihood = log_likelihood(features_and_ones(fitted).double(), weights)
    squares, best = weights.square().sum().item(), fitted.precision.item()
    lower, evidence, higher = (
        last_layer.log_evidence(likelihood, squares, curvature, best * k) for k in (0.9, 1, 1.1)
    )
    assert evidence > lower and evidence > higher


def test_a_sharp_prior_gives_the_deterministic_network(fitted):
    sharp = copy.deepcopy(fitted)
    sharp.precision.fill_(1e12)
    expected = np.repeat(sample([fitted.network], [X]), 3, 0)
    np.testing.assert_allclose(sample(sharp, [X], 3, 0), expected, atol=1e-4)


def test_laplace_draws_have_the_inverse_curvature_as_covariance(fitted):
    draw = fitted.drawer()
    found = [torch.cat([w, b[:, None]], 1) for w, b in (draw(0, t).values() for t in range(4000))]
    draws = torch.stack(found).flatten(1).detach()
    inverse = torch.diag(1 / (fitted.curvature + fitted.precision))
    expected = fitted.directions @ inverse @ fitted.directions.T
    largest = expected.diag().max()
    torch.testing.assert_close(torch.cov(draws.T), expected, rtol=0.3, atol=0.1 * largest.item())
    mean, atol = fitted.weights().flatten().detach(), 4 * largest.sqrt().item() / 60
    torch.testing.assert_close(draws.mean(0), mean, rtol=0, atol=atol)


def test_laplace_samples_depend_on_seed_and_sample_alone(fitted):
    whole = sample(fitted, X.split(60), 4, 5)
    np.testing.assert_allclose(whole, sample(fitted, X.split(7), 4, 5), atol=1e-6)
    np.testing.assert_allclose(whole[:2], sample(fitted, [X], 2, 5), atol=1e-6)
    assert not np.allclose(whole, sample(fitted, [X], 4, 6))


def test_a_layer_too_large_for_its_matrix_is_refused():
    with pytest.raises(InputError, match="up to 6000"):
        last_layer.LastLayer(Classifier(nn.Flatten(), 3000, 2, 0.1))


def test_a_network_without_a_linear_layer_and_a_wrong_name_are_refused():
    with pytest.raises(InputError, match="Sequential has no nn.Linear"):
        last_layer.LastLayer(nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten()))
    with pytest.raises(InputError, match="'head' is no nn.Linear: name one, such as 0"):
        last_layer.LastLayer(nn.Sequential(nn.Linear(2, 2)), "head")
