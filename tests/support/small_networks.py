"""Small untrained and trained networks with their inputs, for tests of the uncertainty methods."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from deepfake_uncertainty.detectors.base import Classifier
from deepfake_uncertainty.uncertainty import dropout, engine, masks, sample


class SmallNet(nn.Module):
    """A network of two classes in the form of the detectors: features, then a dropout head."""

    def __init__(self, rate=0.5):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.0), nn.Flatten()
        )
        self.head = nn.Sequential(nn.Dropout(rate), nn.Linear(4 * 36, 2))

    def features(self, x):
        return self.body(x)

    def forward(self, x):
        return self.head(self.features(x))


def small_net():
    """Return an untrained SmallNet in evaluation mode, always the same."""
    torch.manual_seed(0)
    return SmallNet().eval()


def small_inputs():
    """Return ten inputs of a SmallNet, always the same."""
    return torch.randn(10, 1, 8, 8, generator=torch.Generator().manual_seed(1))


# Sixty inputs and labels of `trained_classifier`: the label is the sign of a noisy mean.
X = torch.randn(60, 1, 6, 6, generator=torch.Generator().manual_seed(1))
NOISE = 0.3 * torch.randn(60, generator=torch.Generator().manual_seed(2))
Y = (X.mean((1, 2, 3)) + NOISE > 0).long()


def trained_classifier(steps=60):
    """Return a Classifier trained on the first 30 of the inputs X; it is partly right on others."""
    torch.manual_seed(0)
    features = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(48, 5), nn.Tanh()
    )
    network = Classifier(features, 5, 2, 0.2)
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(steps):
        optimiser.zero_grad()
        functional.cross_entropy(network(X[:30]), Y[:30]).backward()
        optimiser.step()
    return network.eval()


def naive_dropout(network, x, T, seed, first=0):
    """Return the passes `first` to T of the whole network, with the masks of `sample`."""
    source, found, few = dropout.Dropout(network, seed), [], x[:2].clone()
    with engine.evaluation(network):
        source.discover(network, (few.clone(),))
    with torch.no_grad(), source.modes(network):
        source.learn(network, (few,))
        for t in range(first, T):
            with masks.Masks(seed, range(t, t + 1), torch.arange(len(x)), source.places):
                found.append(network(x).softmax(-1))
    return torch.stack(found).numpy()


def naive_weights(posterior, x, T, seed):
    """Return T passes of the whole network, all rows at once, with the weights of `sample`."""
    draw = posterior.drawer()
    with engine.evaluation(posterior):
        found = [posterior.logits(x, draw(seed, t)).softmax(-1) for t in range(T)]
    return torch.stack(found).numpy()


# Seven inputs of six numbers, for the networks that tests write themselves.
X_SIX = torch.randn(7, 6, generator=torch.Generator().manual_seed(0))


def seeded(kind, *arguments):
    """Return kind(*arguments) in evaluation mode, always the same."""
    torch.manual_seed(0)
    return kind(*arguments).eval()


def agrees_with_dropout(network, x=X_SIX):
    """Check that samples are those of a plain loop and differ; return them."""
    found = sample(network, x.split(3), 4, 1)
    np.testing.assert_allclose(found, naive_dropout(network, x, 4, 1), atol=1e-5)
    assert found.std(0).max() > 1e-3
    return found
