"""The interface of an uncertainty method: how its model is trained, and how it is sampled."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from deepfake_uncertainty import devices
from deepfake_uncertainty.detectors.base import Classifier, DetectorSpec, Recipe
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.seeding import seed_everything
from deepfake_uncertainty.training import models
from deepfake_uncertainty.training.config import Settings
from deepfake_uncertainty.uncertainty import dropout, engine, sample

Batches = Iterable[torch.Tensor]  # of inputs (n, C, H, W)
Keys = Sequence | np.ndarray | None  # a label (N,) per input


class ModelConfig(NamedTuple):
    """What a method needs to make a model, besides data."""

    detector: DetectorSpec
    recipe: Recipe
    seed: int
    settings: Settings
    device: str = "cpu"


class Data(NamedTuple):
    """Training inputs x float32 (N, C, H, W) and their labels y (N,).

    `calibration()` returns x and y of other people, or raises InputError when there are none.
    """

    x: np.ndarray
    y: np.ndarray
    calibration: Callable[[], tuple[np.ndarray, np.ndarray]]


def _itself(model: nn.Module) -> list[nn.Module]:
    return [model]


def _no_draws(model: nn.Module, T: int, seed: int) -> list[Callable]:
    raise InputError("this method has no differentiable draws: give its Method a `draws` function")


@dataclasses.dataclass(frozen=True)
class Method:
    """An uncertainty method.

    name: on the command line and in tables; label: in figures.
    blank(config): returns an untrained model of a `ModelConfig`.
    fit(config, data): returns (the model trained on `Data`, the cache keys of its parts).
    sample(model, batches, T, seed, detector, keys): returns probabilities float32 (T, N, classes)
    of an iterable of batches (n, C, H, W) with N inputs in all. `keys` are labels (N,), or None;
    inputs of one label, such as the frames of a video, are to share what is drawn.
    draws(model, T, seed): returns T fixed, differentiable functions of inputs to logits, for
    attacks and pixel maps.
    parts(model): returns the modules that the cache keys belong to, in the order of the keys.
    splits: the splits whose videos the method learns from.
    stochastic: True when it gives T samples; False when it gives one sample per network.
    order: its position among the methods.
    color, linestyle: in figures (None: chosen from the name).
    """

    name: str
    label: str
    blank: Callable[[ModelConfig], nn.Module]
    fit: Callable[[ModelConfig, Data], tuple[nn.Module, list[str]]]
    sample: Callable[..., np.ndarray]
    draws: Callable[..., list[Callable]] = _no_draws
    parts: Callable[..., list[nn.Module]] = _itself
    splits: tuple[str, ...] = ("train",)
    stochastic: bool = True
    order: int = 99
    color: str | None = None
    linestyle: str = "-"


def build_network(config: ModelConfig, seed: int | None = None) -> Classifier:
    """Return the untrained network of a config, by default from the seed of the config."""
    seed_everything(config.seed if seed is None else seed)
    settings = config.settings
    network = config.detector.build(len(settings.classes), settings.dropout)
    placed = dropout.place_dropout(network, settings.dropout, settings.placement)
    return placed.to(config.device)


def fit_network(
    config: ModelConfig, data: Data, seed: int | None = None
) -> tuple[Classifier, list[str]]:
    """Return the trained network of a config and its cache key, by default from its seed."""
    seed = config.seed if seed is None else seed
    network = build_network(config, seed)
    key, _ = models.train_or_load(network, data.x, data.y, config.recipe, seed)
    return network, [key]


def sample_once(
    model: nn.Module,
    batches: Batches,
    T: int,
    seed: int,
    detector: DetectorSpec,
    keys: Keys = None,
) -> np.ndarray:
    """Return the one sample (1, N, classes) of a deterministic network, whatever T and seed."""
    return sample([model], batches, dtype=_precision(model))


def sample_many(
    model: nn.Module,
    batches: Batches,
    T: int,
    seed: int,
    detector: DetectorSpec,
    keys: Keys = None,
) -> np.ndarray:
    """Return probabilities float32 (T, N, classes) of a stochastic model."""
    return sample(model, batches, T, seed, keys=keys, dtype=_precision(model))


def _precision(model: nn.Module) -> torch.dtype | None:
    """Return bfloat16 on a card and in a fast run, None (float32) for results of record."""
    return torch.bfloat16 if devices.halves(engine.device_of(model)) else None


def draw_once(model: nn.Module, T: int, seed: int) -> list[Callable[[torch.Tensor], torch.Tensor]]:
    """Return the one draw of a deterministic network: the network itself."""
    return [model]
