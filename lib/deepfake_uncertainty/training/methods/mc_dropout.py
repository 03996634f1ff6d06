"""Monte Carlo dropout (Gal and Ghahramani 2016): T masks of the dropout of the training."""

import numpy as np
from torch import nn

from deepfake_uncertainty.detectors.base import DetectorSpec
from deepfake_uncertainty.training.methods import base
from deepfake_uncertainty.uncertainty import dropout


def sample(
    model: nn.Module, batches: base.Batches, T: int, seed: int, detector: DetectorSpec
) -> np.ndarray:
    """Return probabilities float32 (T, N, classes), one mask per sample and row."""
    return dropout.mc_dropout(model, batches, T, seed)


METHODS = [
    base.Method(
        "mc_dropout",
        "MC dropout",
        base.build_network,
        base.fit_network,
        sample,
        dropout.draws,
        by_row=True,
        order=2,
        color="#CC6677",
        linestyle="--",
    )
]
