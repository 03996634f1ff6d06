"""Deep ensemble (Lakshminarayanan et al. 2017): one sample per network, each of another seed."""

from torch import nn

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.training.methods import base
from deepfake_uncertainty.uncertainty import draws


def seeds(config: base.ModelConfig) -> list[int]:
    """Return the seeds of the networks; the first is that of the config.

    Ensembles of different seeds below 100 share no network. Raises InputError for fewer than two
    members.
    """
    members = config.settings.members
    if members < 2:
        raise InputError(f"an ensemble of {members}: give two networks or more")
    return [config.seed + 100 * k for k in range(members)]


def blank(config: base.ModelConfig) -> nn.Module:
    """Return the untrained networks."""
    return nn.ModuleList(base.build_network(config, seed) for seed in seeds(config))


def fit(config: base.ModelConfig, data: base.Data) -> tuple[nn.Module, list[str]]:
    """Return the trained networks and their cache keys."""
    found = [base.fit_network(config, data, seed) for seed in seeds(config)]
    return nn.ModuleList(network for network, _ in found), [key for _, (key,) in found]


def networks(members: nn.ModuleList) -> list[nn.Module]:
    """Return the networks, each of which has its own cache key."""
    return list(members)


METHODS = [
    base.Method(
        "ensemble",
        "deep ensemble",
        blank,
        fit,
        base.sample_many,
        draws,
        parts=networks,
        stochastic=False,
        order=5,
        color="#117733",
        linestyle="--",
    )
]
