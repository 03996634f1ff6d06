"""Whatever drops at random in training is drawn in samples, with the statistics of training."""

import numpy as np
import pytest
import timm
import torch
from support.small_networks import X_SIX, agrees_with_dropout, seeded
from torch import nn
from torch.nn import functional

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty import sample

X = X_SIX


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(6, 5), nn.Linear(5, 2)

    def forward(self, x):
        h = functional.dropout(self.body(x), 0.4, self.training)
        return self.head(h)


class Attention(nn.Module):
    def __init__(self, batch_first=True):
        super().__init__()
        self.attend = nn.MultiheadAttention(2, 1, 0.4, batch_first=batch_first)
        self.first, self.head = batch_first, nn.Linear(6, 2)

    def forward(self, x):
        tokens = x.view(len(x), 3, 2)
        tokens = tokens if self.first else tokens.transpose(0, 1)
        found, _ = self.attend(tokens, tokens, tokens, need_weights=False)
        found = found if self.first else found.transpose(0, 1)
        return self.head(found.reshape(len(x), 6))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(2, 1, 8, 0.4, batch_first=True)
        self.encode, self.head = nn.TransformerEncoder(layer, 2), nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.encode(x.view(len(x), 3, 2)).flatten(1))


class Paths(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.path, self.head = (
            nn.Linear(6, 6),
            timm.layers.DropPath(0.5),
            nn.Linear(6, 2),
        )

    def forward(self, x):
        return self.head(x + self.path(self.body(x)))


class SeveralKinds(Attention):
    """Dropout in a layer beside dropout in the attention: neither may be lost."""

    def __init__(self):
        super().__init__()
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(6, 2))


KINDS = Functional, Attention, Encoder, Paths, SeveralKinds


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_dropout_is_drawn(kind):
    agrees_with_dropout(seeded(kind))


def test_attention_with_the_sequence_first():
    agrees_with_dropout(seeded(Attention, False))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_dropout_has_the_statistics_of_training(kind):
    network, count = seeded(kind), 4000
    ours = sample(network, X[:2], count, 0)[..., 1]
    torch.manual_seed(1)
    with torch.no_grad():
        passes = [network.train()(X[:2]).softmax(-1)[:, 1] for _ in range(count)]
    theirs = torch.stack(passes).numpy()
    for statistic, width in ((np.mean, 1.0), (np.std, 2.0)):
        error = width * np.maximum(ours.std(0), theirs.std(0)) * np.sqrt(2 / count)
        assert (np.abs(statistic(ours, 0) - statistic(theirs, 0)) < 5 * error).all()


def test_other_random_numbers_are_refused_by_their_module():
    network = nn.Sequential(nn.Linear(6, 4), nn.RReLU(), nn.Dropout(0.2), nn.Linear(4, 2))
    with pytest.raises(InputError, match="module 'network.1'.*only dropout is sampled"):
        sample(network, X, 2, 0)
