"""Bayesian neural network: a mean-field Gaussian posterior over a network's named parameters (Blundell et al. 2015).

Prior and posterior are both centred on the trained weights (MOPED, Krishnan et al. 2020). Works on any module, since weights
are drawn outside it and applied with torch.func.functional_call.
"""

import copy
import math
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty import prefix, sampling

NORMALISATION = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)


def _inverse_softplus(value):
    return value + torch.log(-torch.expm1(-value))


def last_stage(network):
    """Return the names of the parts of a Classifier from its last stage on: that stage and the head."""
    if not network.stages:
        raise InputError("this network names no stages: make all of it Bayesian")
    return network.stages[-1], "head"


def stochastic_names(network, fixed=NORMALISATION, parts=("",)):
    """Return the names of the parameters that get a posterior: all within the named `parts` (default: the whole network)
    but those of layers of the types `fixed`.

    Raises InputError when none is left.
    """
    left_out = {
        f"{name}.{own}" if name else own
        for name, module in network.named_modules()
        if isinstance(module, tuple(fixed))
        for own, _ in module.named_parameters(recurse=False)
    }
    named = [name for name, _ in network.named_parameters() if name not in left_out]
    names = [name for name in named if any(not part or name.startswith(f"{part}.") for part in parts)]
    if not names:
        raise InputError("no parameter is left to be stochastic: give a network with weights, or fewer `fixed` layer types")
    return names


def _noise(shapes, generator):
    """Return standard normal tensors of these shapes, each from a seed that `generator` gives: threads share the work, and their
    number changes nothing."""
    streams = [torch.Generator().manual_seed(seed) for seed in torch.randint(2**62, (len(shapes),), generator=generator).tolist()]
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return list(pool.map(lambda shape, stream: torch.randn(shape, generator=stream), shapes, streams))


class VariationalPosterior(nn.Module):
    """Posterior N(mean, std^2) over the weights of `network`; prior N(trained weight, prior_std^2).

    The posterior starts at the trained weight with std = max(delta * |weight|, min_std). `nll` maps (output, target) to the
    mean negative log-likelihood in nats. Layers of the types `fixed`, and all outside `parts` (names of submodules), keep
    point weights. The caller's network is copied, never changed. Raises InputError unless prior_std, delta and min_std are
    positive, or when no parameter is stochastic.
    """

    def __init__(
        self, network, prior_std=0.1, delta=0.1, nll=functional.cross_entropy, min_std=1e-4, fixed=NORMALISATION,
        parts=("",),
    ):  # fmt: skip
        super().__init__()
        if not all(0 < value < math.inf for value in (prior_std, delta, min_std)):
            raise InputError(f"prior_std={prior_std}, delta={delta}, min_std={min_std}: all three must be positive")
        # A copy: training moves running statistics, and the deterministic network must stay as it was.
        network = copy.deepcopy(network)
        self.network, self.prior_std, self.nll = network, prior_std, nll
        self.names = stochastic_names(network, fixed, parts)
        weights = dict(network.named_parameters())
        # Parameter names have dots, which ParameterDict refuses: kept in order, found by position.
        self.mean = nn.ParameterList([weights[name].detach().clone() for name in self.names])
        start = [(delta * w.abs()).clamp_min(min_std) for w in self.mean]
        self.rho = nn.ParameterList([_inverse_softplus(std.detach()) for std in start])
        for position, name in enumerate(self.names):
            self.register_buffer(f"prior_{position}", weights[name].detach().clone())
            weights[name].requires_grad_(False)

    def std(self):
        """Return the posterior standard deviations, in the order of `names`."""
        return [functional.softplus(rho) for rho in self.rho]

    def kl(self):
        """Return KL(posterior || prior) in nats, a scalar summed over all weights."""
        terms = []
        for position, (mean, std) in enumerate(zip(self.mean, self.std(), strict=True)):
            shift = mean - getattr(self, f"prior_{position}")
            ratio = (std / self.prior_std) ** 2
            terms.append(0.5 * (ratio + (shift / self.prior_std) ** 2 - 1 - ratio.log()).sum())
        return torch.stack(terms).sum()

    def draw(self, generator=None, mean=None, std=None):
        """Return one draw {name: weight}, reparameterised, so that gradients reach mean and rho.

        `mean` and `std`, in the order of `names`, take the place of the posterior's own.
        """
        weights, drawn = {}, _noise([value.shape for value in self.mean], generator)
        for name, centre, spread, noise in zip(self.names, mean or self.mean, std or self.std(), drawn, strict=True):
            # The product keeps the layout of the mean: weights that lose channels-last make a convolution slower.
            weights[name] = torch.addcmul(centre, spread, noise.to(centre))
        return weights

    def forward(self, x, weights=None):
        """Return the network's output for x with the given draw, or with a fresh one."""
        return functional_call(self.network, self.draw() if weights is None else weights, (x,))

    def elbo_loss(self, x, y, n_train, beta=1.0):
        """Return the negative ELBO per training example in nats: mean NLL of a batch + beta * KL / n_train.

        Raises InputError when n_train is below 1 or beta is negative.
        """
        if not (n_train >= 1 and beta >= 0):
            raise InputError(f"n_train={n_train}, beta={beta}: give the number of training examples and a weight of at least 0")
        return self.nll(self(x), y) + beta * self.kl() / n_train


class _Block(nn.Module):
    """A network over all batches of a block at once: a draw of weights is put in place for all of them, not for each."""

    def __init__(self, network, device):
        super().__init__()
        self.network, self.device = network, device

    def forward(self, block):
        return sampling.side_by_side(lambda values: self.network(*values), block, self.device)


def samples(posterior, batches, T, seed, progress=False, half=False):
    """Return probabilities float32 (T, N, C): draw t, from (seed, t), serves all batches.

    What stands before the first stochastic weight is computed once.
    """
    device = posterior.mean[0].device
    first, batches = sampling.example(batches)
    with sampling.evaluation(posterior):
        parts = prefix.split(posterior.network, first.to(device), parameters=posterior.names)
        # Scaled once, not at every draw: a draw times s is mean * s + std * s * noise.
        scales = [parts.scales.get(name, 1) for name in posterior.names]
        mean = [value * scale for value, scale in zip(posterior.mean, scales, strict=True)]
        std = [value * scale for value, scale in zip(posterior.std(), scales, strict=True)]
        whole = _Block(parts.suffix, device)

        def prepare(ts):
            weights = posterior.draw(torch.Generator().manual_seed(seed * 1_000_003 + ts[0]), mean, std)
            weights = {f"network.{name}": weight for name, weight in weights.items()}
            return lambda block: functional_call(whole, weights, (block,))

        return sampling.sampled(batches, T, parts.prefix, prepare, device, progress=progress, half=half)
