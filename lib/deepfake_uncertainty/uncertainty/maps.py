"""Pixel maps: the smoothed gradient of an uncertainty measure with respect to the pixels.

Grad-CAM and shuffled parameters are here for comparison. Gradients pass through fixed draws of a
stochastic network, so a map belongs to one set of samples and is repeatable.
"""

import copy
import math
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty.bayes import VariationalPosterior
from deepfake_uncertainty.uncertainty.sampling import Draw

MEASURES = "total", "aleatoric", "epistemic"
# Grad-CAM was made for maps of 7 x 7 and more: smaller ones of a small network hardly localize.
CAM_CELLS = 7

Outputs = Callable[[torch.Tensor], dict[str, torch.Tensor]]  # x (N, C, H, W) to {name: (N,)}


def measures(logits: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return {total, aleatoric, epistemic} (N,) in nats of logits (T, N, C), differentiable.

    The values are those of `uncertainty.measures`.
    """
    # In logarithms and float64: a probability rounded to 0 or 1 would have no gradient.
    log_p = logits.double().log_softmax(-1)
    log_mean = log_p.logsumexp(0) - math.log(len(logits))
    total = -(log_mean.exp() * log_mean).sum(-1)
    aleatoric = -(log_p.exp() * log_p).sum(-1).mean(0)
    return {"total": total, "aleatoric": aleatoric, "epistemic": total - aleatoric}


def fake_log_odds(logits: torch.Tensor) -> torch.Tensor:
    """Return the log odds (N,) of fake against real of logits (..., N, C), averaged over draws.

    Class 0 is real.
    """
    odds = logits[..., 1:].logsumexp(-1) - logits[..., 0]
    return odds.flatten(0, -2).mean(0) if odds.ndim > 1 else odds


def gradients(outputs: Outputs, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return {name: gradient (N, C, H, W)} with respect to x, from one forward pass.

    `outputs` maps x (N, C, H, W) to {name: values (N,)}, row by row. Raises InputError where a
    gradient is not finite.
    """
    x = x.detach().requires_grad_(True)
    values = outputs(x)
    slopes = {}
    for place, (name, value) in enumerate(values.items()):
        is_last = place + 1 == len(values)
        (slopes[name],) = torch.autograd.grad(value.sum(), x, retain_graph=not is_last)
        if not torch.isfinite(slopes[name]).all():
            raise InputError(
                f"the gradient of {name} is not finite: look at the inputs and the weights"
            )
    return slopes


def smooth_grad(
    outputs: Outputs, x: torch.Tensor, copies: int = 8, spread: float = 0.1, seed: int = 0
) -> dict[str, torch.Tensor]:
    """Return {name: gradient (N, C, H, W)}, the mean over noisy copies of x (Smilkov et al. 2017).

    The noise is Gaussian, with a standard deviation of `spread` times the range of each input.
    copies = 1 with spread = 0 is the plain gradient. Raises InputError for copies below 1 or a
    negative spread, and as `gradients` does.
    """
    if copies < 1 or spread < 0:
        raise InputError(
            f"copies={copies}, spread={spread}: give at least one copy and a spread of at least 0"
        )
    generator = torch.Generator().manual_seed(seed)
    width = spread * (x.amax((1, 2, 3), keepdim=True) - x.amin((1, 2, 3), keepdim=True))
    total: dict[str, torch.Tensor] = {}
    for _ in range(copies):
        noise = torch.randn(x.shape, generator=generator).to(x)
        for name, value in gradients(outputs, x + width * noise).items():
            total[name] = total.get(name, 0) + value / copies
    return total


def uncertainty(
    functions: Sequence[Draw], chosen: Sequence[str] = ("total", "epistemic")
) -> Outputs:
    """Return the function x -> {measure: (N,)} of draws [x -> logits], for `smooth_grad`.

    Raises InputError for an unknown measure.
    """
    if unknown := sorted(set(chosen) - set(MEASURES)):
        raise InputError(f"unknown measures {', '.join(unknown)}: use {', '.join(MEASURES)}")

    def outputs(x: torch.Tensor) -> dict[str, torch.Tensor]:
        values = measures(torch.stack([draw(x).float() for draw in functions]))
        return {name: values[name] for name in chosen}

    return outputs


def fake_margin(functions: Sequence[Draw]) -> Outputs:
    """Return the function x -> {'margin': (N,)}, the log odds of fake (Simonyan et al. 2014)."""
    return lambda x: {"margin": fake_log_odds(torch.stack([draw(x).float() for draw in functions]))}


def magnitude(gradient: torch.Tensor) -> torch.Tensor:
    """Return maps (N, H, W) >= 0: the norm of the gradient (N, C, H, W) over its channels."""
    return gradient.norm(dim=1)


def grad_cam(functions: Sequence[Draw], network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Return Grad-CAM maps (N, H, W) >= 0 of the log odds of fake (Selvaraju et al. 2017).

    The maps are the mean over draws, which must run `network`. The layer is the deepest module of
    `network` whose output is (N, K, h, w) with h and w of at least 7. Raises InputError when there
    is none.
    """
    x = x.detach()
    total = x.new_zeros(())
    for draw in functions:
        logits, layer = _logits_and_layer(network, draw, x)
        (slope,) = torch.autograd.grad(fake_log_odds(logits).sum(), layer)
        cam = (slope.mean((2, 3), keepdim=True) * layer).sum(1, keepdim=True).clamp_min(0)
        resized = functional.interpolate(cam, x.shape[2:], mode="bilinear", align_corners=False)
        total = total + resized[:, 0].detach()
    return total / len(functions)


def _logits_and_layer(
    network: nn.Module, draw: Draw, x: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the logits of a draw and the output of the deepest layer with large enough maps."""
    outputs: list[torch.Tensor] = []

    def watch(_, inputs, output) -> None:
        is_map = torch.is_tensor(output) and output.ndim == 4
        if is_map and min(output.shape[2:]) >= CAM_CELLS and output.requires_grad:
            outputs.append(output)

    handles = [module.register_forward_hook(watch) for module in network.modules()]
    try:
        logits = draw(x.requires_grad_(True)).float()
    finally:
        for handle in handles:
            handle.remove()
    if not outputs:
        raise InputError(
            f"no layer gives maps of {CAM_CELLS} x {CAM_CELLS} or more:"
            " Grad-CAM needs a convolutional network"
        )
    return logits, outputs[-1]


def _parameter_groups(model: nn.Module) -> list[tuple[torch.Tensor, ...]]:
    """Return the weights, first layer first; tensors that describe one parameter are one group."""
    if not isinstance(model, VariationalPosterior):
        return [(value,) for value in model.parameters()]
    place = {name: k for k, name in enumerate(model.names)}
    return [
        (model.mean[place[name]], model.rho[place[name]]) if name in place else (value,)
        for name, value in model.network.named_parameters()
    ]


@torch.no_grad()
def shuffle_parameters(model: nn.Module, share: float, seed: int = 0) -> nn.Module:
    """Return a copy of `model` in which the last `share` in [0, 1] of its parameters is shuffled.

    The entries of each tensor are permuted, so that their distribution stays but what was learned
    is lost; parameters near the output come first (cascading randomization, Adebayo et al. 2018).
    Raises InputError for a share outside [0, 1].
    """
    if not 0 <= share <= 1:
        raise InputError(f"share is {share}: give a fraction in [0, 1]")
    model, generator = copy.deepcopy(model), torch.Generator().manual_seed(seed)
    groups = _parameter_groups(model)
    for group in groups[len(groups) - math.ceil(share * len(groups)) :]:
        order = torch.randperm(group[0].numel(), generator=generator)
        for tensor in group:
            tensor.copy_(tensor.flatten()[order.to(tensor.device)].view_as(tensor))
    return model
