"""Many samples of any network, and what they say of its uncertainty.

    from deepfake_uncertainty.uncertainty import measures, sample
    probabilities = sample(network, images, T=50)    # float32 (T, N, C)
    measures(probabilities)["epistemic"]             # nats (N,)

`sample` takes a network with dropout, a `VariationalPosterior`, the Gaussian over the last layer
that `laplace` fits, or a list of networks.
"""

from deepfake_uncertainty.uncertainty.bayes import VariationalPosterior
from deepfake_uncertainty.uncertainty.last_layer import LastLayer, laplace
from deepfake_uncertainty.uncertainty.measures import measures
from deepfake_uncertainty.uncertainty.sampling import Prediction, draws, sample

__all__ = [
    "LastLayer",
    "Prediction",
    "VariationalPosterior",
    "draws",
    "laplace",
    "measures",
    "sample",
]
