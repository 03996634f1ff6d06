"""Samples and draws on a card: made there, and as on the processor."""

import numpy as np
import pytest
import torch
from support.devices import CARDS
from support.small_networks import X, Y, trained_classifier
from torch import nn

from deepfake_uncertainty.uncertainty import (
    VariationalPosterior,
    draws,
    dropout,
    laplace,
    sample,
)


def networks():
    network = trained_classifier()
    network.stages = ("features.0", "features.2")
    yield "dropout in the head", network
    yield "dropout in every stage", dropout.place_dropout(network, 0.3, "every_stage")
    yield "functional dropout", nn.Sequential(nn.Flatten(), Dropped(), nn.Linear(36, 2))
    yield "weights", VariationalPosterior(network)
    yield "last layer", laplace(network, X, Y)
    yield "ensemble", [network, trained_classifier(5)]


class Dropped(nn.Module):
    def forward(self, x):
        return nn.functional.dropout(x, 0.4, self.training)


@pytest.mark.parametrize("where", CARDS)
@pytest.mark.parametrize("name", [name for name, _ in networks()])
def test_samples_and_draws_on_a_card_are_those_of_the_processor(name, where):
    card, tolerance = where
    model = dict(networks())[name]
    expected = sample(model, X.split(25), 4, 7)
    with card():
        found = sample(model, X.split(17), 4, 7, device="cuda")
        np.testing.assert_allclose(found, expected, atol=max(tolerance, 1e-5))
        functions = draws(model, 4, 7)
        with torch.no_grad():
            drawn = [function(X.to("cuda")).softmax(-1).cpu() for function in functions]
        np.testing.assert_allclose(torch.stack(drawn), expected, atol=max(tolerance, 1e-5))
