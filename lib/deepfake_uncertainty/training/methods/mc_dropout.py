"""Monte Carlo dropout (Gal and Ghahramani 2016): T masks of the dropout of the training."""

from deepfake_uncertainty.training.methods import base
from deepfake_uncertainty.uncertainty import draws

METHODS = [
    base.Method(
        "mc_dropout",
        "MC dropout",
        base.build_network,
        base.fit_network,
        base.sample_many,
        draws,
        order=2,
        color="#CC6677",
        linestyle="--",
    )
]
