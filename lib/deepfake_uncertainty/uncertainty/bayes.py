"""Bayesian neural network: a mean-field Gaussian posterior over weights (Blundell et al. 2015).

Prior and posterior are both centred on the trained weights (MOPED, Krishnan et al. 2020). This
works on any module, since weights are drawn outside it and applied with
torch.func.functional_call.
"""

import copy
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from deepfake_uncertainty.detectors.base import Classifier
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty import prefix, sampling

NORMALISATION = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)


def _inverse_softplus(value: torch.Tensor) -> torch.Tensor:
    return value + torch.log(-torch.expm1(-value))


def last_stage(network: Classifier) -> tuple[str, str]:
    """Return the names of the last stage of a Classifier and of its head.

    Raises InputError when the network names no stages.
    """
    if not network.stages:
        raise InputError("this network names no stages: make all of it Bayesian")
    return network.stages[-1], "head"


def stochastic_names(
    network: nn.Module,
    fixed: Iterable[type[nn.Module]] = NORMALISATION,
    parts: Sequence[str] = ("",),
) -> list[str]:
    """Return the names of the parameters that get a posterior.

    These are all parameters within the submodules named in `parts` (default: the whole network),
    except those of layers of the types `fixed`. Raises InputError when none is left.
    """
    fixed_types: tuple[type[nn.Module], ...] = tuple(fixed)
    excluded = {
        f"{name}.{parameter}" if name else parameter
        for name, module in network.named_modules()
        if isinstance(module, fixed_types)
        for parameter, _ in module.named_parameters(recurse=False)
    }
    names = [
        name
        for name, _ in network.named_parameters()
        if name not in excluded and any(not part or name.startswith(f"{part}.") for part in parts)
    ]
    if not names:
        raise InputError(
            "no parameter is left to be stochastic: give a network with weights,"
            " or fewer `fixed` layer types"
        )
    return names


def _noise(shapes: Sequence[torch.Size], generator: torch.Generator | None) -> list[torch.Tensor]:
    """Return standard normal tensors of these shapes.

    Each has a seed of its own, drawn from `generator`, so the number of threads that share the
    work does not change the values.
    """
    streams = [
        torch.Generator().manual_seed(seed)
        for seed in torch.randint(2**62, (len(shapes),), generator=generator).tolist()
    ]
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return list(
            pool.map(lambda shape, stream: torch.randn(shape, generator=stream), shapes, streams)
        )


class VariationalPosterior(nn.Module):
    """Posterior N(mean, std^2) over the weights of `network`; prior N(trained weight, prior_std^2).

    The posterior starts at the trained weight with std = max(delta * |weight|, min_std). `nll` maps
    (output, target) to the mean negative log-likelihood in nats. Layers of the types `fixed`, and
    all parameters outside `parts` (names of submodules), keep point weights. The caller's network
    is copied, never changed. Raises InputError unless prior_std, delta and min_std are positive,
    and when no parameter is stochastic.
    """

    def __init__(
        self,
        network: nn.Module,
        prior_std: float = 0.1,
        delta: float = 0.1,
        nll: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = functional.cross_entropy,
        min_std: float = 1e-4,
        fixed: Iterable[type[nn.Module]] = NORMALISATION,
        parts: Sequence[str] = ("",),
    ) -> None:
        super().__init__()
        if not all(0 < value < math.inf for value in (prior_std, delta, min_std)):
            raise InputError(
                f"prior_std={prior_std}, delta={delta}, min_std={min_std}: all must be positive"
            )
        # A copy: training changes running statistics, and the deterministic network must not.
        network = copy.deepcopy(network)
        self.network, self.prior_std, self.nll = network, prior_std, nll
        self.names = stochastic_names(network, fixed, parts)
        weights = dict(network.named_parameters())
        # Lists, found by position: the names have dots, which a ParameterDict does not accept.
        self.mean = nn.ParameterList([weights[name].detach().clone() for name in self.names])
        start = [(delta * w.abs()).clamp_min(min_std) for w in self.mean]
        self.rho = nn.ParameterList([_inverse_softplus(std.detach()) for std in start])
        for position, name in enumerate(self.names):
            self.register_buffer(f"prior_{position}", weights[name].detach().clone())
            weights[name].requires_grad_(False)

    def std(self) -> list[torch.Tensor]:
        """Return the posterior standard deviations, in the order of `names`."""
        return [functional.softplus(rho) for rho in self.rho]

    def kl(self) -> torch.Tensor:
        """Return KL(posterior || prior) in nats, a scalar summed over all weights."""
        terms = []
        for position, (mean, std) in enumerate(zip(self.mean, self.std(), strict=True)):
            shift = mean - getattr(self, f"prior_{position}")
            ratio = (std / self.prior_std) ** 2
            terms.append(0.5 * (ratio + (shift / self.prior_std) ** 2 - 1 - ratio.log()).sum())
        return torch.stack(terms).sum()

    def draw(
        self,
        generator: torch.Generator | None = None,
        mean: Sequence[torch.Tensor] | None = None,
        std: Sequence[torch.Tensor] | None = None,
    ) -> dict[str, torch.Tensor]:
        """Return one draw {name: weight}, reparameterized: gradients reach mean and rho.

        `mean` and `std`, in the order of `names`, replace those of the posterior.
        """
        noises = _noise([value.shape for value in self.mean], generator)
        centres, spreads = mean or self.mean, std or self.std()
        weights = {}
        for name, centre, spread, noise in zip(self.names, centres, spreads, noises, strict=True):
            # The product keeps the memory layout of the mean: convolutions are slower on weights
            # that are no longer channels-last.
            weights[name] = torch.addcmul(centre, spread, noise.to(centre))
        return weights

    def forward(
        self, x: torch.Tensor, weights: dict[str, torch.Tensor] | None = None
    ) -> torch.Tensor:
        """Return the network's output for x with the given draw, or with a new one."""
        return functional_call(self.network, self.draw() if weights is None else weights, (x,))

    def elbo_loss(
        self, x: torch.Tensor, y: torch.Tensor, n_train: int, beta: float = 1.0
    ) -> torch.Tensor:
        """Return the negative ELBO per training example in nats: mean NLL + beta * KL / n_train.

        Raises InputError when n_train is below 1 or beta is negative.
        """
        if not (n_train >= 1 and beta >= 0):
            raise InputError(
                f"n_train={n_train}, beta={beta}: give the number of training examples"
                " and a weight of at least 0"
            )
        return self.nll(self(x), y) + beta * self.kl() / n_train


class _Block(nn.Module):
    """A network that runs all batches of a block, so that one draw of weights is applied once."""

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        super().__init__()
        self.network, self.device = network, device

    def forward(self, block: list[sampling.Tensors]) -> list[torch.Tensor]:
        return sampling.parallel_map(lambda values: self.network(*values), block, self.device)


def samples(
    posterior: VariationalPosterior,
    batches: Iterable[torch.Tensor],
    T: int,
    seed: int,
    progress: bool = False,
    half: bool = False,
) -> np.ndarray:
    """Return probabilities float32 (T, N, C); draw t serves all batches.

    Draw t depends on (seed, t) only. What comes before the first stochastic weight is computed
    once. Raises InputError without inputs and when T < 1.
    """
    device = posterior.mean[0].device
    first, batches = sampling.first_batch(batches)
    with sampling.evaluation(posterior):
        parts = prefix.split(posterior.network, first.to(device), parameters=posterior.names)
        # Scaled once, not at every draw: a draw times s is mean * s + std * s * noise.
        scales = [parts.scales.get(name, 1) for name in posterior.names]
        mean = [value * scale for value, scale in zip(posterior.mean, scales, strict=True)]
        std = [value * scale for value, scale in zip(posterior.std(), scales, strict=True)]
        network = _Block(parts.suffix, device)

        def prepare(ts: range) -> Callable[[list[sampling.Tensors]], list[torch.Tensor]]:
            drawn = posterior.draw(sampling.draw_generator(seed, ts[0]), mean, std)
            weights = {f"network.{name}": weight for name, weight in drawn.items()}
            return lambda block: functional_call(network, weights, (block,))

        return sampling.sampled(
            batches, T, parts.prefix, prepare, device, progress=progress, half=half
        )


def draws(posterior: VariationalPosterior, T: int, seed: int) -> list[sampling.Draw]:
    """Return T fixed functions of inputs x (N, C, H, W) to logits (N, classes).

    They are differentiable in x. Draw t depends on (seed, t) only.
    """
    drawn = [posterior.draw(sampling.draw_generator(seed, t)) for t in range(T)]
    fixed = [{name: value.detach() for name, value in weights.items()} for weights in drawn]
    return [functools.partial(posterior, weights=weights) for weights in fixed]
