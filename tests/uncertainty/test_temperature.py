"""Temperature scaling against another optimizer and torch-uncertainty, and its limits."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from support.small_networks import X, Y, trained_classifier
from torch import nn
from torch.nn import functional

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty import sample, temperature


@pytest.mark.slow
def test_temperature_is_that_of_another_optimizer_and_of_torch_uncertainty():
    from torch_uncertainty.post_processing import TemperatureScaler

    scaled = temperature.TemperatureScaled(trained_classifier(steps=400))
    before, after = temperature.fit(scaled, X, Y.numpy())
    with torch.no_grad():
        logits = scaled.network(X)
    found = minimize_scalar(
        lambda t: functional.cross_entropy(logits / t, Y).item(),
        bounds=(0.05, 50),
        method="bounded",
    )
    assert scaled.temperature.item() == pytest.approx(found.x, rel=1e-3)
    assert after == pytest.approx(found.fun, abs=1e-6)
    assert after <= before
    # Theirs optimizes the temperature itself and may step below zero: it starts near the solution
    # and takes short steps.
    reference = TemperatureScaler(
        nn.Identity(), init_temperature=1.3 * found.x, lr=0.02, max_iter=500, device="cpu"
    )
    data = torch.utils.data.TensorDataset(logits, Y)
    reference.fit(torch.utils.data.DataLoader(data, 60), progress=False)
    assert scaled.temperature.item() == pytest.approx(float(reference.temperature[0]), rel=0.02)


def test_temperature_changes_no_decision_and_needs_data():
    scaled = temperature.TemperatureScaled(trained_classifier())
    temperature.fit(scaled, X, Y)
    networks = scaled.network, scaled
    plain, cooled = (sample([network], [X])[0] for network in networks)
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
