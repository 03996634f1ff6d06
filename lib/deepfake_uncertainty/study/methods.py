"""The uncertainty methods by name: how each gets its model from a detector, and how it samples it. A new one is one entry."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import train
from deepfake_uncertainty.uncertainty import bayes, dropout, laplace, sampling, temperature

BINARY = "real", "fake"
PARTS = "all", "last_stage"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What shapes a model besides its data: classes, dropout rate and place, KL weight, prior width, MOPED delta, recipe.

    `classes` is ('real', 'fake') or a tuple of generators, for source detection; `placement` of the dropout is 'head',
    'last_stage' or 'every_stage'; `bayesian` is what a Bayesian network draws, 'all' or 'last_stage' (with the head);
    `members` are the networks of an ensemble; `recipe` None is the detector's.
    """

    classes: tuple = BINARY
    dropout: float = 0.2
    placement: str = "head"
    beta: float = 1.0
    prior_std: float = 0.1
    delta: float = 0.1
    bayesian: str = "all"
    members: int = 5
    recipe: object = None


class Data(NamedTuple):
    """Training inputs x float32 (N, C, H, W) and labels y (N,); `calibration()` gives (x, y) of other people, or raises."""

    x: object
    y: object
    calibration: Callable


@dataclasses.dataclass(frozen=True)
class Method:
    """blank(spec, seed, settings) -> an untrained model; fit(spec, data, seed, settings) -> (the trained one, its cache keys);
    sample(model, batches, T, seed) -> probabilities (T, N, C); parts(model) -> the modules that the keys belong to; `splits`
    are those whose videos it learns from; `stochastic` methods have as many samples as they are asked for, the others as they
    have networks; `by_row` is True where a draw differs from row to row, False where one serves all."""

    blank: Callable
    fit: Callable
    sample: Callable
    parts: Callable = lambda model: [model]
    splits: tuple = ("train",)
    stochastic: bool = True
    by_row: bool = False


def _network(spec, seed, settings):
    train.seed_everything(seed)
    return dropout.place(spec.build(len(settings.classes), settings.dropout), settings.dropout, settings.placement)


def _fit_network(spec, data, seed, settings):
    network = _network(spec, seed, settings)
    key, _ = train.cached(network, data.x, data.y, settings.recipe, seed)
    return network, [key]


def _posterior(network, settings):
    """MOPED: prior and posterior are centred on the network's weights (Krishnan et al. 2020)."""
    if settings.bayesian not in PARTS:
        raise InputError(f"bayesian is '{settings.bayesian}': use {', '.join(PARTS)}")
    parts = ("",) if settings.bayesian == "all" else bayes.last_stage(network)
    return bayes.VariationalPosterior(network, settings.prior_std, settings.delta, parts=parts)


def _fit_posterior(spec, data, seed, settings):
    posterior = _posterior(_fit_network(spec, data, seed, settings)[0], settings)
    key, _ = train.cached(posterior, data.x, data.y, settings.recipe, seed, train.fit_bayes, beta=settings.beta)
    return posterior, [key]


def fit_temperature(scaled, x, y, recipe, seed):
    """Fit a TemperatureScaled, as `train.cached` wants it: the history holds the NLL before and after."""
    before, after = temperature.fit(scaled, x, y)
    return [{"nll_before": before, "nll": after}]


def _fit_scaled(spec, data, seed, settings):
    scaled = temperature.TemperatureScaled(_fit_network(spec, data, seed, settings)[0])
    key, _ = train.cached(scaled, *data.calibration(), settings.recipe, seed, fit_temperature)
    return scaled, [key]


def fit_laplace(posterior, x, y, recipe, seed):
    """Fit a LastLayer, as `train.cached` wants it: the history holds the precision of the prior."""
    return [{"prior_precision": laplace.fit(posterior, x, y)}]


def _fit_laplace(spec, data, seed, settings):
    posterior = laplace.LastLayer(_fit_network(spec, data, seed, settings)[0])
    key, _ = train.cached(posterior, data.x, data.y, settings.recipe, seed, fit_laplace)
    return posterior, [key]


def _members(seed, settings):
    """Return the seeds of an ensemble's networks, the first the detector's own; ensembles of other seeds share none."""
    if settings.members < 2:
        raise InputError(f"an ensemble of {settings.members}: give two networks or more")
    return [seed + 100 * k for k in range(settings.members)]


def _fit_ensemble(spec, data, seed, settings):
    found = [_fit_network(spec, data, member, settings) for member in _members(seed, settings)]
    return nn.ModuleList(network for network, _ in found), [key for _, (key,) in found]


def _sample_ensemble(members, batches, T, seed):
    """Return one sample a member, whatever T (Lakshminarayanan et al. 2017)."""
    batches = list(batches)
    return torch.cat([torch.from_numpy(sampling.deterministic(network, batches)) for network in members]).numpy()


def _sample_once(model, batches, T, seed):
    return sampling.deterministic(model, batches)


METHODS = {
    "deterministic": Method(_network, _fit_network, _sample_once, stochastic=False),
    # Conformal thresholds from the same val split see scores that were tuned on it, by one number.
    "temperature": Method(lambda *how: temperature.TemperatureScaled(_network(*how)), _fit_scaled, _sample_once,
                          splits=("train", "val"), stochastic=False),
    "mc_dropout": Method(_network, _fit_network, dropout.mc_dropout, by_row=True),
    "bnn": Method(lambda *how: _posterior(_network(*how), how[-1]), _fit_posterior, bayes.samples),
    "laplace": Method(lambda *how: laplace.LastLayer(_network(*how)), _fit_laplace, laplace.samples),
    "ensemble": Method(lambda spec, seed, how: nn.ModuleList(_network(spec, one, how) for one in _members(seed, how)),
                       _fit_ensemble, _sample_ensemble, list, stochastic=False),
}  # fmt: skip


def get(name):
    """Return the Method called `name`; raises InputError that lists the known names."""
    if name not in METHODS:
        raise InputError(f"unknown method '{name}': use {', '.join(METHODS)}")
    return METHODS[name]
