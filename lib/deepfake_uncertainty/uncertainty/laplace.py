"""Last-layer Laplace approximation (Daxberger et al. 2021): a Gaussian over the last linear layer, its curvature at the
trained weights.

The curvature is the full generalised Gauss-Newton matrix of the cross-entropy over the training data; the precision of the
prior is that of the largest marginal likelihood (MacKay 1992).
"""

import copy
import math

import torch
from scipy.optimize import minimize_scalar
from torch import nn
from torch.nn import functional

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty import prefix, sampling

LARGEST = 6000  # weights of the layer: the matrix has their square
PRECISIONS = 1e-4, 1e6  # of the prior, where the best is looked for


class LastLayer(nn.Module):
    """Gaussian over weight and bias of the last linear layer of a Classifier; the network itself is copied, never changed.

    `directions` (P, P) holds the eigenvectors of the curvature, `curvature` (P,) its eigenvalues, P = C (D + 1) weights, class
    by class, each with its bias last. Raises InputError when P is above `LARGEST`.
    """

    def __init__(self, network):
        super().__init__()
        self.network = copy.deepcopy(network)
        self.classes, self.inputs = self.network.head[-1].weight.shape
        count = self.classes * (self.inputs + 1)
        if count > LARGEST:
            raise InputError(f"the last layer has {count} weights, Laplace takes up to {LARGEST}: use fewer classes or features")
        self.register_buffer("directions", torch.zeros(count, count))
        self.register_buffer("curvature", torch.zeros(count))
        self.register_buffer("precision", torch.ones(()))

    def weights(self):
        """Return the trained weights (C, D + 1), the bias last."""
        layer = self.network.head[-1]
        return torch.cat([layer.weight, layer.bias[:, None]], 1)

    def draw(self, generator):
        """Return one draw (C, D + 1) of the weights."""
        noise = torch.randn(self.curvature.shape, generator=generator).to(self.curvature)
        spread = self.directions @ (noise / (self.curvature + self.precision).sqrt())
        return self.weights() + spread.view(self.classes, -1)


def gauss_newton(features, weights):
    """Return the generalised Gauss-Newton matrix (P, P) of the summed cross-entropy of softmax(features @ weights.T).

    features (N, D + 1) with a last column of ones, weights (C, D + 1); P = C (D + 1). It does not depend on the labels.
    """
    p = (features @ weights.T).softmax(-1)
    blocks = [[features.T @ (features * (p[:, a] * (float(a == b) - p[:, b]))[:, None]) for b in range(len(weights))]
              for a in range(len(weights))]  # fmt: skip
    return torch.cat([torch.cat(row, 1) for row in blocks])


def log_evidence(log_likelihood, squares, curvature, precision):
    """Return the Laplace approximation of the log marginal likelihood in nats, for eigenvalues `curvature` (P,), weights whose
    squares sum to `squares`, and a prior N(0, 1 / precision)."""
    determinant = torch.log1p(curvature / precision).sum().item()
    return log_likelihood - 0.5 * precision * squares - 0.5 * determinant


def fit(posterior, x, y):
    """Set the curvature of a LastLayer from training data x float32 (N, C, H, W), y int (N,), and its prior's precision;
    return that precision."""
    with sampling.evaluation(posterior):
        device = posterior.curvature.device
        hidden = sampling.over(torch.as_tensor(x).split(64), posterior.network.features, device).double()
        features = torch.cat([hidden, torch.ones_like(hidden[:, :1])], 1)
        weights = posterior.weights().double()
        values, vectors = torch.linalg.eigh(gauss_newton(features, weights))
        values = values.clamp_min(0)
        likelihood = -functional.cross_entropy(features @ weights.T, torch.as_tensor(y).to(device), reduction="sum").item()
        squares = weights.square().sum().item()
        found = minimize_scalar(lambda log: -log_evidence(likelihood, squares, values, math.exp(log)),
                                bounds=[math.log(value) for value in PRECISIONS], method="bounded")  # fmt: skip
        posterior.precision.fill_(math.exp(found.x))
        posterior.curvature.copy_(values)
        posterior.directions.copy_(vectors)
    return posterior.precision.item()


def samples(posterior, batches, T, seed, progress=False, half=False):
    """Return probabilities float32 (T, N, C): draw t of the last layer, from (seed, t), serves all batches."""
    device = posterior.curvature.device
    first, batches = sampling.example(batches)
    with sampling.evaluation(posterior):
        parts = prefix.split(posterior.network, first.to(device), modules=["head.0"])

        def prepare(ts):
            drawn = torch.cat([posterior.draw(torch.Generator().manual_seed(seed * 1_000_003 + t)) for t in ts])

            def run(values):
                logits = functional.linear(values[0], drawn[:, :-1].to(values[0]), drawn[:, -1].to(values[0]))
                return logits.unflatten(1, (len(ts), -1)).transpose(0, 1).flatten(0, 1)

            return lambda block: [run(values) for values in block]

        return sampling.sampled(batches, T, parts.prefix, prepare, device, pack=True, progress=progress, half=half)
