"""Bayesian neural network: a mean-field Gaussian posterior (Blundell et al. 2015)."""

from torch import nn

from deepfake_uncertainty.detectors.base import Classifier
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.training import models, train
from deepfake_uncertainty.training.config import Settings
from deepfake_uncertainty.training.methods import base
from deepfake_uncertainty.uncertainty import bayes, draws

PARTS = "all", "last_stage"


def posterior(network: Classifier, settings: Settings) -> bayes.VariationalPosterior:
    """Return the posterior of a network by MOPED (Krishnan et al. 2020).

    The means of prior and posterior are the weights of the network. Raises InputError when
    `settings.bayesian` is not one of PARTS.
    """
    if settings.bayesian not in PARTS:
        raise InputError(f"bayesian is '{settings.bayesian}': use {', '.join(PARTS)}")
    parts = ("",) if settings.bayesian == "all" else bayes.last_stage(network)
    return bayes.VariationalPosterior(network, settings.prior_std, settings.delta, parts=parts)


def blank(config: base.ModelConfig) -> nn.Module:
    """Return the posterior of an untrained network."""
    return posterior(base.build_network(config), config.settings).to(config.device)


def fit(config: base.ModelConfig, data: base.Data) -> tuple[nn.Module, list[str]]:
    """Return the posterior trained from the trained network, and its cache key."""
    network, _ = base.fit_network(config, data)
    model = posterior(network, config.settings).to(config.device)
    training = data.x, data.y, config.recipe, config.seed
    key, _ = models.train_or_load(model, *training, train.fit_bayes, beta=config.settings.beta)
    return model, [key]


METHODS = [
    base.Method(
        "bnn",
        "Bayesian network",
        blank,
        fit,
        base.sample_many,
        draws,
        order=3,
        color="#88CCEE",
        linestyle="-.",
    )
]
