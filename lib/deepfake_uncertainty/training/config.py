"""The configuration of a run: made once and passed on to everything that trains and samples.

Nothing has a recipe by default: `Run.recipe` chooses it by detector and profile.
"""

import dataclasses

from deepfake_uncertainty import devices
from deepfake_uncertainty.detectors.base import DetectorSpec, Recipe
from deepfake_uncertainty.errors import InputError

BINARY = "real", "fake"
PROFILES = "quick", "full", "paper"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What shapes a model besides its data and recipe.

    classes: ('real', 'fake'), or 'real' and the generators, for source detection.
    dropout: the dropout rate, in [0, 1).
    placement: of dropout: 'head', 'last_stage' or 'every_stage'.
    beta: the weight of the KL term of a Bayesian network, >= 0.
    prior_std: the standard deviation of the prior of each weight.
    delta: the initial standard deviation of the posterior, as a fraction of each weight (MOPED).
    bayesian: the part of the network that has a posterior: 'all', or 'last_stage' with the head.
    members: the number of networks of an ensemble, >= 2.
    epoch_fraction: the fraction of the recipe's epochs that are trained, in (0, 1].
    """

    classes: tuple[str, ...] = BINARY
    dropout: float = 0.2
    placement: str = "head"
    beta: float = 1.0
    prior_std: float = 0.1
    delta: float = 0.1
    bayesian: str = "all"
    members: int = 5
    epoch_fraction: float = 1.0


@dataclasses.dataclass(frozen=True)
class Run:
    """How networks are trained and sampled.

    profile: the name of the profile whose recipes are used.
    seed: of the training and of the samples, >= 0.
    T: the number of samples per input of a stochastic method, >= 1.
    device: where PyTorch computes, such as 'cpu' or 'cuda'; by default `devices.device_kind`.
    """

    profile: str
    seed: int
    T: int
    device: str = dataclasses.field(default_factory=devices.device_kind)

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise InputError(f"unknown profile '{self.profile}': use {', '.join(PROFILES)}")
        if self.T < 1:
            raise InputError(f"T is {self.T}: give at least one sample")

    def with_seed(self, seed: int) -> "Run":
        """Return the same run with another seed."""
        return dataclasses.replace(self, seed=seed)

    def with_samples(self, T: int) -> "Run":
        """Return the same run with another number of samples."""
        return dataclasses.replace(self, T=T)

    def recipe(self, spec: DetectorSpec, settings: Settings) -> Recipe:
        """Return the Recipe of a detector in this run.

        It is that of the profile, with `settings.epoch_fraction` of its epochs, at least one.
        Raises InputError for a fraction outside (0, 1].
        """
        recipe = spec.recipe if self.profile == "quick" else spec.full_recipe or spec.recipe
        fraction = settings.epoch_fraction
        if not 0 < fraction <= 1:
            raise InputError(f"epoch_fraction is {fraction}: give a share of the epochs in (0, 1]")
        if fraction == 1:
            return recipe
        fewer = {
            name: max(1, round(fraction * getattr(recipe, name)))
            for name in ("epochs", "variational_epochs")
        }
        return dataclasses.replace(recipe, **fewer)
