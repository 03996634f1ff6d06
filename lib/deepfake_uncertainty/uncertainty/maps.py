"""Pixel maps: the gradient of an uncertainty measure to the pixels, smoothed, and what it is compared with.

Gradients go through fixed draws of a stochastic network, so that a map belongs to one set of samples and repeats.
"""

import copy
import math

import torch
from torch.nn import functional
from torch.nn.modules.dropout import _DropoutNd

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty.bayes import VariationalPosterior

MEASURES = "total", "aleatoric", "epistemic"
CAM_CELLS = 7  # Grad-CAM was made for maps of 7 x 7 and more: a deeper layer of a small network places nothing


def _seed(seed, t):
    return seed * 1_000_003 + t


def _weights(model, T, seed):
    drawn = [model.draw(torch.Generator().manual_seed(_seed(seed, t))) for t in range(T)]
    drawn = [{name: value.detach() for name, value in weights.items()} for weights in drawn]
    return [lambda x, weights=weights: model(x, weights) for weights in drawn]


def _last_layers(model, T, seed):
    drawn = [model.draw(torch.Generator().manual_seed(_seed(seed, t))).detach() for t in range(T)]
    return [lambda x, w=w: functional.linear(model.network.features(x), w[:, :-1], w[:, -1]) for w in drawn]


def _dropouts(model, T, seed):
    layers = [layer for layer in model.modules() if isinstance(layer, _DropoutNd) and layer.p > 0]
    if not layers:
        raise InputError("Monte Carlo dropout needs a dropout layer of a rate above 0: this network has none")

    def draw(x, t):
        for layer in layers:
            layer.train()
        try:
            with torch.random.fork_rng():
                torch.manual_seed(_seed(seed, t))
                return model(x)
        finally:
            for layer in layers:
                layer.eval()

    return [lambda x, t=t: draw(x, t) for t in range(T)]


# method: its T fixed draws, each a function of inputs x (N, C, H, W) to logits (N, classes)
DRAWS = {
    "deterministic": lambda model, T, seed: [model],
    "temperature": lambda model, T, seed: [model],
    "mc_dropout": _dropouts,
    "bnn": _weights,
    "laplace": _last_layers,
    "ensemble": lambda model, T, seed: list(model),
}


def draws(fitted, T, seed=None):
    """Return fixed draws [x -> logits (N, classes)] of a `predict.Fitted`, differentiable in x; one if deterministic.

    Draw t is that of (seed, t), by default the model's own seed. Raises InputError for a method without such draws.
    """
    if fitted.method not in DRAWS:
        raise InputError(f"method '{fitted.method}' has no differentiable draws: use {', '.join(DRAWS)}")
    if T < 1:
        raise InputError(f"T is {T}: give at least one sample")
    fitted.model.eval()
    return DRAWS[fitted.method](fitted.model, T, fitted.seed if seed is None else seed)


def measures(logits):
    """Return {total, aleatoric, epistemic} (N,) in nats, differentiable, of logits (T, N, C); as `uncertainty.measures`."""
    # In logarithms and doubles: a probability that is rounded to 0 or 1 would have no gradient.
    log_p = logits.double().log_softmax(-1)
    log_mean = log_p.logsumexp(0) - math.log(len(logits))
    total = -(log_mean.exp() * log_mean).sum(-1)
    aleatoric = -(log_p.exp() * log_p).sum(-1).mean(0)
    return {"total": total, "aleatoric": aleatoric, "epistemic": total - aleatoric}


def margin(logits):
    """Return log odds (N,) of fake against real of logits (..., N, C), the mean over draws; class 0 is real."""
    odds = logits[..., 1:].logsumexp(-1) - logits[..., 0]
    return odds.flatten(0, -2).mean(0) if odds.ndim > 1 else odds



def gradients(outputs, x):
    """Return {name: gradient (N, C, H, W)} to x of functions {name: (N,)} of x (N, C, H, W), from one forward pass.

    `outputs` maps x to that dictionary, row by row. Raises InputError where a gradient is not finite.
    """
    x = x.detach().requires_grad_(True)
    values = outputs(x)
    found = {}
    for place, (name, value) in enumerate(values.items()):
        kept = place + 1 < len(values)
        (found[name],) = torch.autograd.grad(value.sum(), x, retain_graph=kept)
        if not torch.isfinite(found[name]).all():
            raise InputError(f"the gradient of {name} is not finite: look at the inputs and the weights")
    return found


def smoothed(outputs, x, copies=8, spread=0.1, seed=0):
    """Return {name: gradient (N, C, H, W)} as `gradients`, the mean over `copies` of x with noise (SmoothGrad, Smilkov 2017).

    The noise is Gaussian, its standard deviation `spread` of each input's range; copies = 1 with spread 0 is the plain
    gradient. Raises InputError for copies below 1 or a negative spread.
    """
    if copies < 1 or spread < 0:
        raise InputError(f"copies={copies}, spread={spread}: give at least one copy and a spread of at least 0")
    generator = torch.Generator().manual_seed(seed)
    width = spread * (x.amax((1, 2, 3), keepdim=True) - x.amin((1, 2, 3), keepdim=True))
    total = {}
    for _ in range(copies):
        noise = torch.randn(x.shape, generator=generator).to(x)
        for name, value in gradients(outputs, x + width * noise).items():
            total[name] = total.get(name, 0) + value / copies
    return total


def uncertainty(functions, chosen=("total", "epistemic")):
    """Return the function x -> {measure: (N,)} of draws [x -> logits] for `smoothed`; InputError for an unknown measure."""
    if unknown := sorted(set(chosen) - set(MEASURES)):
        raise InputError(f"unknown measures {', '.join(unknown)}: use {', '.join(MEASURES)}")

    def outputs(x):
        found = measures(torch.stack([draw(x).float() for draw in functions]))
        return {name: found[name] for name in chosen}

    return outputs


def fake_margin(functions):
    """Return the function x -> {'margin': (N,)}, the log odds of fake, for `gradients` (Simonyan et al. 2014)."""
    return lambda x: {"margin": margin(torch.stack([draw(x).float() for draw in functions]))}


def magnitude(gradient):
    """Return maps (N, H, W) >= 0: the length of the gradient (N, C, H, W) over its channels."""
    return gradient.norm(dim=1)


def grad_cam(functions, network, x):
    """Return Grad-CAM maps (N, H, W) >= 0 of the log odds of fake, the mean over draws (Selvaraju et al. 2017).

    The layer is the deepest module of `network` whose output is (N, K, h, w) with h and w of at least 7; the draws must run
    `network`. Raises InputError when there is none.
    """
    x, total = x.detach(), 0
    for draw in functions:
        value, layer = _watched(network, draw, x)
        (slope,) = torch.autograd.grad(margin(value).sum(), layer)
        cam = (slope.mean((2, 3), keepdim=True) * layer).sum(1, keepdim=True).clamp_min(0)
        total = total + functional.interpolate(cam, x.shape[2:], mode="bilinear", align_corners=False)[:, 0].detach()
    return total / len(functions)


def _watched(network, draw, x):
    """Return the logits of a draw and the output of the deepest layer that still has places."""
    seen = []

    def watch(_, inputs, output):
        if torch.is_tensor(output) and output.ndim == 4 and min(output.shape[2:]) >= CAM_CELLS and output.requires_grad:
            seen.append(output)

    handles = [module.register_forward_hook(watch) for module in network.modules()]
    try:
        logits = draw(x.requires_grad_(True)).float()
    finally:
        for handle in handles:
            handle.remove()
    if not seen:
        raise InputError(f"no layer gives maps of {CAM_CELLS} x {CAM_CELLS} or more: Grad-CAM needs a convolutional network")
    return logits, seen[-1]


def _layers(model):
    """Return the groups of weights, first layer first: tensors that stand for one parameter are one group."""
    if not isinstance(model, VariationalPosterior):
        return [(value,) for value in model.parameters()]
    place = {name: k for k, name in enumerate(model.names)}
    return [(model.mean[place[name]], model.rho[place[name]]) if name in place else (value,)
            for name, value in model.network.named_parameters()]  # fmt: skip


@torch.no_grad()
def randomised(model, share, seed=0):
    """Return a copy of `model` in which the last `share` in [0, 1] of its parameters is shuffled, the output's first.

    The entries of each tensor change places, so that their distribution stays; what was learnt is gone (the cascading
    randomisation of Adebayo et al. 2018). Raises InputError for a share outside [0, 1].
    """
    if not 0 <= share <= 1:
        raise InputError(f"share is {share}: give a fraction in [0, 1]")
    model, generator = copy.deepcopy(model), torch.Generator().manual_seed(seed)
    layers = _layers(model)
    for group in layers[len(layers) - math.ceil(share * len(layers)) :]:
        order = torch.randperm(group[0].numel(), generator=generator)
        for tensor in group:
            tensor.copy_(tensor.flatten()[order.to(tensor.device)].view_as(tensor))
    return model
