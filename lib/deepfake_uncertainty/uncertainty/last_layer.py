"""Last-layer Laplace approximation (Daxberger et al. 2021) of any network with a linear last layer.

The posterior is a Gaussian over the last linear layer, centred on the trained weights. Its
curvature is the full generalized Gauss-Newton matrix of the cross-entropy over the training data.
The precision of the prior maximizes the marginal likelihood (MacKay 1992).
"""

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from scipy.optimize import minimize_scalar
from torch import nn
from torch.nn import functional

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty import engine, inputs, noise
from deepfake_uncertainty.uncertainty.bayes import Drawer

LARGEST = 6000  # weights of the layer: the matrix holds their number squared
PRECISIONS = 1e-4, 1e6  # search bounds for the precision of the prior


class LastLayer(nn.Module):
    """Gaussian over weight and bias of the last linear layer of a network, which is copied.

    `layer` is its name (default: the last nn.Linear of the network). `directions` (P, P) holds the
    eigenvectors of the curvature and `curvature` (P,) its eigenvalues. P = C (D + 1) weights, class
    by class, the bias last in each; P = C D for a layer without a bias. Raises InputError when
    there is no such layer, and when P is above `LARGEST`.
    """

    directions: torch.Tensor
    curvature: torch.Tensor
    precision: torch.Tensor

    def __init__(self, network: nn.Module, layer: str | None = None) -> None:
        super().__init__()
        linear = {name: m for name, m in network.named_modules() if isinstance(m, nn.Linear)}
        if not linear:
            raise InputError(f"{type(network).__name__} has no nn.Linear: Laplace needs one")
        last = next(reversed(linear))
        layer = last if layer is None else layer
        if layer not in linear:
            raise InputError(f"the last layer '{layer}' is no nn.Linear: name one, such as {last}")
        self.network, self.name = copy.deepcopy(network), layer
        self.classes, count = linear[layer].out_features, self.weights().numel()
        if count > LARGEST:
            raise InputError(
                f"the last layer has {count} weights, Laplace takes up to {LARGEST}:"
                " use fewer classes or features"
            )
        has_bias = linear[layer].bias is not None
        self.names = [f"{layer}.{part}" for part in ("weight", "bias")[: 1 + has_bias]]
        self.register_buffer("directions", torch.zeros(count, count))
        self.register_buffer("curvature", torch.zeros(count))
        self.register_buffer("precision", torch.ones(()))

    def layer(self) -> nn.Linear:
        """Return the last layer."""
        layer = self.network.get_submodule(self.name)
        assert isinstance(layer, nn.Linear)
        return layer

    def weights(self) -> torch.Tensor:
        """Return the trained weights (C, D + 1), the bias last; (C, D) without a bias."""
        layer = self.layer()
        if layer.bias is None:
            return layer.weight
        return torch.cat([layer.weight, layer.bias[:, None]], 1)

    def drawer(self, scales: Mapping[str, torch.Tensor] | None = None) -> Drawer:
        """Return the function from (seed, t) to draw t of a run: {name: weight}.

        The noise depends on (seed, t) alone; nothing is scaled, since no layer is folded.
        """
        centre = self.weights()
        spread = self.directions * (self.curvature + self.precision).rsqrt()

        def draw(seed: int, t: int) -> dict[str, torch.Tensor]:
            unit = noise.normal(noise.key(seed, t, self.name), self.curvature.shape, spread.device)
            drawn = centre + (spread @ unit).view(self.classes, -1).to(centre)
            values = (drawn,) if len(self.names) == 1 else (drawn[:, :-1], drawn[:, -1])
            return dict(zip(self.names, values, strict=True))

        return draw

    def logits(self, x: torch.Tensor, weights: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the network's output for x with the given draw."""
        return engine.call(self.network, weights, x)


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


@contextmanager
def _inputs_of(layer: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Collect the inputs of a layer in a list, float64 (n, D)."""
    seen: list[torch.Tensor] = []

    def keep(_: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        seen.append(given[0].double())

    handle = layer.register_forward_pre_hook(keep)
    try:
        yield seen
    finally:
        handle.remove()


def _features(posterior: LastLayer, data: Any) -> torch.Tensor:
    """Return the inputs float64 (N, D) of the last layer, and a column of ones for its bias."""
    network, layer = posterior.network, posterior.layer()
    device, dtype = engine.device_of(network), engine.dtype_of(network)
    with engine.exclusive(), engine.evaluation(network), _inputs_of(layer) as seen:
        for batch in inputs.batches(data, 64, False, device, dtype):
            network(*batch.tensors)
    hidden = torch.cat(seen)
    if hidden.ndim != 2:
        raise InputError(
            f"the layer '{posterior.name}' gets {tuple(hidden.shape)}: Laplace needs one vector"
            " per input"
        )
    has_bias = len(posterior.names) == 2
    return torch.cat([hidden, torch.ones_like(hidden[:, :1])], 1) if has_bias else hidden


@torch.no_grad()
def fit(posterior: LastLayer, x: Any, y: Any) -> float:
    """Set the curvature and the prior precision of a LastLayer; return that precision.

    x (N, ...) or batches of it, and y int (N,), are the training data.
    """
    features = _features(posterior, x)
    weights = posterior.weights().double()
    values, vectors = torch.linalg.eigh(gauss_newton(features, weights))
    values = values.clamp_min(0)
    labels = torch.tensor(y.tolist() if hasattr(y, "tolist") else y, device=features.device)
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


def laplace(network: nn.Module, x: Any, y: Any, layer: str | None = None) -> LastLayer:
    """Return the posterior over the last linear layer of a trained network, fitted to its data.

    x (N, ...) or batches of it, and y int (N,), are the training data; `layer` is as in
    `LastLayer`. Raises InputError as that does.
    """
    posterior = LastLayer(network, layer)
    fit(posterior, x, y)
    return posterior
