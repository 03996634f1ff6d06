"""Temperature scaling (Guo et al. 2017): one number, fitted on other people, that corrects how sure a network is."""

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import nn
from torch.nn import functional

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty import sampling

BOUNDS = 1e-2, 1e2  # where it is looked for: a network that is always right on its calibration data has no best one


class TemperatureScaled(nn.Module):
    """A trained network whose logits are divided by `temperature`, above 0; 1 leaves them as they are."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, x):
        return self.network(x) / self.temperature


def fit(scaled, x, y):
    """Set the temperature of a TemperatureScaled to that of least NLL on x float32 (N, C, H, W), y int (N,); return the NLL
    before and after in nats.

    Raises InputError without data.
    """
    if not len(x) or len(x) != len(y):
        raise InputError(f"{len(x)} inputs and {len(y)} labels: a temperature needs the videos of a calibration split")
    with sampling.evaluation(scaled.network):
        device = sampling.device_of(scaled.network)
        logits = sampling.over(torch.as_tensor(x).split(64), scaled.network, device).double().cpu()
    labels = torch.as_tensor(np.asarray(y), dtype=torch.long)

    def nll(log_temperature):
        return functional.cross_entropy(logits / np.exp(log_temperature), labels).item()

    found = minimize_scalar(nll, bounds=np.log(BOUNDS), method="bounded", options={"xatol": 1e-6})
    scaled.temperature.fill_(float(np.exp(found.x)))
    return nll(0.0), found.fun
