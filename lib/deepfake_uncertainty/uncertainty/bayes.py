"""Bayesian neural network: a mean-field Gaussian posterior over a network's named parameters (Blundell et al. 2015).

Prior and posterior are both centred on the trained weights (MOPED, Krishnan et al. 2020). Works on any module, since weights
are drawn outside it and applied with torch.func.functional_call.
"""

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty.sampling import evaluation, over


def _inverse_softplus(value):
    return value + torch.log(-torch.expm1(-value))


def stochastic_names(network):
    """Return the names of the parameters that get a posterior: all but the affine ones of normalisation layers."""
    fixed = {
        f"{name}.{own}" if name else own
        for name, module in network.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm | nn.LayerNorm | nn.GroupNorm)
        for own, _ in module.named_parameters(recurse=False)
    }
    return [name for name, _ in network.named_parameters() if name not in fixed]


class VariationalPosterior(nn.Module):
    """Posterior N(mean, std^2) over the weights of `network`; prior N(trained weight, prior_std^2).

    The posterior starts at the trained weight with std = max(delta * |weight|, min_std). `nll` maps (output, target) to the mean
    negative log-likelihood in nats. Raises InputError unless prior_std, delta and min_std are positive.
    """

    def __init__(self, network, prior_std=0.1, delta=0.1, nll=functional.cross_entropy, min_std=1e-4):
        super().__init__()
        if not (prior_std > 0 and delta > 0 and min_std > 0):
            raise InputError(f"prior_std={prior_std}, delta={delta}, min_std={min_std}: all three must be positive")
        self.network, self.prior_std, self.nll = network, prior_std, nll
        self.names = stochastic_names(network)
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

    def draw(self, generator=None):
        """Return one draw {name: weight}, reparameterised, so that gradients reach mean and rho."""
        weights = {}
        for name, mean, std in zip(self.names, self.mean, self.std(), strict=True):
            noise = torch.randn(mean.shape, generator=generator).to(mean)
            # The product keeps the layout of the mean: weights that lose channels-last make a convolution slower.
            weights[name] = torch.addcmul(mean, std, noise)
        return weights

    def forward(self, x, weights=None):
        """Return the network's output for x with the given draw, or with a fresh one."""
        return functional_call(self.network, self.draw() if weights is None else weights, (x,))

    def elbo_loss(self, x, y, n_train, beta=1.0):
        """Return the negative ELBO per training example in nats: mean NLL of a batch + beta * KL / n_train."""
        return self.nll(self(x), y) + beta * self.kl() / n_train


def samples(posterior, batches, T, seed):
    """Return probabilities float32 (T, N, C): draw t, from (seed, t), serves all batches."""
    batches = list(batches)
    device = posterior.mean[0].device
    found = []
    with evaluation(posterior):
        for t in range(T):
            weights = posterior.draw(torch.Generator().manual_seed(seed * 1_000_003 + t))
            found.append(over(batches, lambda x, drawn=weights: posterior(x, drawn), device).softmax(-1))
    return torch.stack(found).float().cpu().numpy()
