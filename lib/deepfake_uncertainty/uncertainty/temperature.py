"""Temperature scaling (Guo et al. 2017): one number that corrects the confidence of a network.

The number is fitted on videos of people that the network was not trained on.
"""

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import nn
from torch.nn import functional

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty import engine

# Search bounds: a network that is always right on its calibration data has no best temperature.
BOUNDS = 1e-2, 1e2


class TemperatureScaled(nn.Module):
    """A trained network whose logits are divided by `temperature` > 0; 1 leaves them unchanged."""

    temperature: torch.Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scaled logits (N, classes) of inputs x (N, C, H, W)."""
        return self.network(x) / self.temperature


def fit(
    scaled: TemperatureScaled, x: np.ndarray | torch.Tensor, y: np.ndarray | torch.Tensor
) -> tuple[float, float]:
    """Set the temperature that minimizes the NLL on x float32 (N, C, H, W) and y int (N,).

    Returns the NLL before and after, in nats. Raises InputError without data.
    """
    if not len(x) or len(x) != len(y):
        raise InputError(
            f"{len(x)} inputs and {len(y)} labels: a temperature needs the videos of a"
            " calibration split"
        )
    with engine.evaluation(scaled.network):
        device = engine.device_of(scaled.network)
        logits = engine.map_batches(x, scaled.network, device).double().cpu()
    labels = torch.as_tensor(np.asarray(y), dtype=torch.long)

    def nll(log_temperature: float) -> float:
        return functional.cross_entropy(logits / np.exp(log_temperature), labels).item()

    best = minimize_scalar(nll, bounds=np.log(BOUNDS), method="bounded", options={"xatol": 1e-6})
    scaled.temperature.fill_(float(np.exp(best.x)))
    return nll(0.0), best.fun
