"""The trained network itself: one sample, no epistemic uncertainty."""

from deepfake_uncertainty.training.methods import base

METHODS = [
    base.Method(
        "deterministic",
        "deterministic",
        base.build_network,
        base.fit_network,
        base.sample_once,
        base.draw_once,
        stochastic=False,
        order=0,
        color="#333333",
    )
]
