"""Last-layer Laplace approximation (Daxberger et al. 2021).

The posterior is a Gaussian over the last linear layer, centred on the trained weights. Its
curvature is the full generalized Gauss-Newton matrix of the cross-entropy over the training data.
The precision of the prior maximizes the marginal likelihood (MacKay 1992).
"""

import copy
import functools
import math
from collections.abc import Callable, Iterable
from typing import cast

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import nn
from torch.nn import functional

from deepfake_uncertainty.detectors.base import Classifier
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty import prefix, sampling

LARGEST = 6000  # weights of the layer: the matrix holds their number squared
PRECISIONS = 1e-4, 1e6  # search bounds for the precision of the prior


class LastLayer(nn.Module):
    """Gaussian over weight and bias of the last linear layer of a Classifier, which is copied.

    `directions` (P, P) holds the eigenvectors of the curvature and `curvature` (P,) its
    eigenvalues, with P = C (D + 1) weights, class by class, the bias last in each. Raises
    InputError when P is above `LARGEST`.
    """

    directions: torch.Tensor
    curvature: torch.Tensor
    precision: torch.Tensor

    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        self.classes, self.inputs = self._layer().weight.shape
        count = self.classes * (self.inputs + 1)
        if count > LARGEST:
            raise InputError(
                f"the last layer has {count} weights, Laplace takes up to {LARGEST}:"
                " use fewer classes or features"
            )
        self.register_buffer("directions", torch.zeros(count, count))
        self.register_buffer("curvature", torch.zeros(count))
        self.register_buffer("precision", torch.ones(()))

    def _layer(self) -> nn.Linear:
        return cast(nn.Linear, self.network.head[-1])  # a Classifier ends with a linear layer

    def weights(self) -> torch.Tensor:
        """Return the trained weights (C, D + 1), the bias last."""
        layer = self._layer()
        return torch.cat([layer.weight, layer.bias[:, None]], 1)

    def draw(self, generator: torch.Generator) -> torch.Tensor:
        """Return one draw (C, D + 1) of the weights."""
        noise = torch.randn(self.curvature.shape, generator=generator).to(self.curvature)
        spread = self.directions @ (noise / (self.curvature + self.precision).sqrt())
        return self.weights() + spread.view(self.classes, -1)


def gauss_newton(features: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the generalized Gauss-Newton matrix (P, P) of the summed cross-entropy.

    The model is softmax(features @ weights.T), with features (N, D + 1) whose last column is ones
    and weights (C, D + 1); P = C (D + 1). The matrix does not depend on the labels.
    """
    p = (features @ weights.T).softmax(-1)
    classes = range(len(weights))

    def block(a: int, b: int) -> torch.Tensor:
        return features.T @ (features * (p[:, a] * (float(a == b) - p[:, b]))[:, None])

    return torch.cat([torch.cat([block(a, b) for b in classes], 1) for a in classes])


def log_evidence(
    log_likelihood: float, squares: float, curvature: torch.Tensor, precision: float
) -> float:
    """Return the Laplace approximation of the log marginal likelihood, in nats.

    `curvature` (P,) are eigenvalues, `squares` is the sum of the squared weights, and the prior is
    N(0, 1 / precision).
    """
    determinant = torch.log1p(curvature / precision).sum().item()
    return log_likelihood - 0.5 * precision * squares - 0.5 * determinant


def fit(posterior: LastLayer, x: np.ndarray | torch.Tensor, y: np.ndarray | torch.Tensor) -> float:
    """Set the curvature and the prior precision of a LastLayer; return that precision.

    x float32 (N, C, H, W) and y int (N,) are the training data.
    """
    with sampling.evaluation(posterior):
        device = posterior.curvature.device
        batches = torch.as_tensor(x).split(64)
        hidden = sampling.map_batches(batches, posterior.network.features, device).double()
        features = torch.cat([hidden, torch.ones_like(hidden[:, :1])], 1)
        weights = posterior.weights().double()
        values, vectors = torch.linalg.eigh(gauss_newton(features, weights))
        values = values.clamp_min(0)
        labels = torch.as_tensor(y).to(device)
        loss = functional.cross_entropy(features @ weights.T, labels, reduction="sum")
        likelihood, squares = -loss.item(), weights.square().sum().item()
        best = minimize_scalar(
            lambda log: -log_evidence(likelihood, squares, values, math.exp(log)),
            bounds=[math.log(value) for value in PRECISIONS],
            method="bounded",
        )
        posterior.precision.fill_(math.exp(best.x))
        posterior.curvature.copy_(values)
        posterior.directions.copy_(vectors)
    return posterior.precision.item()


def samples(
    posterior: LastLayer,
    batches: Iterable[torch.Tensor],
    T: int,
    seed: int,
    progress: bool = False,
    half: bool = False,
) -> np.ndarray:
    """Return probabilities float32 (T, N, C); draw t of the last layer serves all batches.

    Draw t depends on (seed, t) only. Raises InputError without inputs and when T < 1.
    """
    device = posterior.curvature.device
    first, batches = sampling.first_batch(batches)

    def prepare(ts: range) -> Callable[[list[sampling.Tensors]], list[torch.Tensor]]:
        drawn = torch.cat([posterior.draw(sampling.draw_generator(seed, t)) for t in ts])

        def run(values: sampling.Tensors) -> torch.Tensor:
            weight, bias = drawn[:, :-1].to(values[0]), drawn[:, -1].to(values[0])
            logits = functional.linear(values[0], weight, bias)
            return logits.unflatten(1, (len(ts), -1)).transpose(0, 1).flatten(0, 1)

        return lambda block: [run(values) for values in block]

    with sampling.evaluation(posterior):
        parts = prefix.split(posterior.network, first.to(device), modules=["head.0"])
        return sampling.sampled(
            batches, T, parts.prefix, prepare, device, pack=True, progress=progress, half=half
        )


def draws(posterior: LastLayer, T: int, seed: int) -> list[sampling.Draw]:
    """Return T fixed functions of inputs x (N, C, H, W) to logits (N, classes).

    They are differentiable in x. Draw t depends on (seed, t) only.
    """

    def logits(x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return functional.linear(posterior.network.features(x), weights[:, :-1], weights[:, -1])

    drawn = [posterior.draw(sampling.draw_generator(seed, t)).detach() for t in range(T)]
    return [functools.partial(logits, weights=weights) for weights in drawn]
