"""Bayesian neural network: a mean-field Gaussian posterior over weights (Blundell et al. 2015).

Prior and posterior are both centred on the trained weights (MOPED, Krishnan et al. 2020). This
works on any module, since weights are drawn outside it and applied with `engine.call`.
"""

import copy
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

import torch
from torch import fx, nn
from torch.nn import functional

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty import engine, masks, noise, prefix
from deepfake_uncertainty.uncertainty.dropout import Staged
from deepfake_uncertainty.uncertainty.inputs import Tensors

NORMALISATION = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
# Normalization of other libraries, such as RmsNorm, LayerNorm2d, BatchNormAct2d, LlamaRMSNorm.
NORMALISATION_NAME = re.compile(r"Norm(Act)?(\dd)?$")


def _inverse_softplus(value: torch.Tensor) -> torch.Tensor:
    return value + torch.log(-torch.expm1(-value))


def last_stage(network: Staged) -> tuple[str, str]:
    """Return the names of the last stage of a detector's network and of its head.

    Raises InputError when the network names no stages.
    """
    if not network.stages:
        raise InputError("this network names no stages: make all of it Bayesian")
    return network.stages[-1], "head"


def _is_fixed(module: nn.Module, fixed: tuple[type[nn.Module], ...]) -> bool:
    by_name = fixed == NORMALISATION and NORMALISATION_NAME.search(type(module).__name__)
    return isinstance(module, fixed) or bool(by_name)


def stochastic_names(
    network: nn.Module,
    fixed: Iterable[type[nn.Module]] = NORMALISATION,
    parts: Sequence[str] = ("",),
) -> list[str]:
    """Return the names of the parameters that get a posterior.

    These are all trainable parameters within the submodules named in `parts` (default: the whole
    network), except those of layers of the types `fixed` (default: of every normalization). A
    parameter with several names counts where one of them does, and has its first name. Raises
    InputError for an unknown part, and when no parameter is left.
    """
    types: tuple[type[nn.Module], ...] = tuple(fixed)
    known = {name for name, _ in network.named_modules(remove_duplicate=False)}
    if unknown := sorted(set(parts) - known):
        raise InputError(f"no part {', '.join(unknown)} in the network: use names of its modules")
    excluded = {
        id(value)
        for module in network.modules()
        if _is_fixed(module, types)
        for value in module.parameters(recurse=False)
    }
    wanted = {
        id(value)
        for name, value in network.named_parameters(remove_duplicate=False)
        if any(not part or name.startswith(f"{part}.") for part in parts)
    }
    names = [
        name
        for name, value in network.named_parameters()
        if value.requires_grad and id(value) in wanted and id(value) not in excluded
    ]
    if not names:
        raise InputError(
            "no parameter is left to be stochastic: give a network with trainable weights,"
            " or fewer `fixed` layer types"
        )
    return names


Drawer = Callable[[int, int], dict[str, torch.Tensor]]


@runtime_checkable
class WeightPosterior(Protocol):
    """A posterior over some weights of `network`, the parameters `names`."""

    network: nn.Module
    names: list[str]

    def drawer(self, scales: Mapping[str, torch.Tensor] | None = None) -> Drawer:
        """Return the function from (seed, t) to draw t of a run: {name: weight}.

        The weights named in `scales` are multiplied by the factors there.
        """

    def logits(self, x: torch.Tensor, weights: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the network's output for x with the given weights."""


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
        # In full precision: the widths are small fractions of the weights.
        self.mean = nn.ParameterList([weights[n].detach().float().clone() for n in self.names])
        self.types = {name: weights[name].dtype for name in self.names}
        start = [(delta * w.abs()).clamp_min(min_std) for w in self.mean]
        self.rho = nn.ParameterList([_inverse_softplus(std.detach()) for std in start])
        for position, name in enumerate(self.names):
            self.register_buffer(f"prior_{position}", weights[name].detach().float().clone())
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

    def drawer(self, scales: Mapping[str, torch.Tensor] | None = None) -> Drawer:
        """Return the function from (seed, t) to draw t of a run: {name: weight}.

        The weights named in `scales` are multiplied by the factors there. Draws are
        reparameterized: gradients reach mean and rho. Their noise depends on (seed, t, name) alone.
        """
        factors = [(scales or {}).get(name, 1) for name in self.names]
        means = [mean * factor for mean, factor in zip(self.mean, factors, strict=True)]
        widths = [std * factor for std, factor in zip(self.std(), factors, strict=True)]

        def draw(seed: int, t: int) -> dict[str, torch.Tensor]:
            weights = {}
            for name, mean, width in zip(self.names, means, widths, strict=True):
                unit = noise.normal(noise.key(seed, t, name), mean.shape, mean.device)
                # The product keeps the memory layout of the mean: convolutions are slower on
                # weights that are no longer channels-last.
                weights[name] = torch.addcmul(mean, width, unit).to(self.types[name])
            return weights

        return draw

    def draw(self, seed: int, t: int = 0) -> dict[str, torch.Tensor]:
        """Return draw t {name: weight} of a run with `seed`."""
        return self.drawer()(seed, t)

    def logits(self, x: torch.Tensor, weights: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the network's output for x with the given draw."""
        return engine.call(self.network, weights, x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the network's output for x with a new draw, seeded by PyTorch's own generator."""
        return self.logits(x, self.draw(int(torch.randint(2**62, ()))))

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

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, block: Sequence[engine.Rows]) -> list[torch.Tensor]:
        device = block[0][0][0].device
        return engine.parallel_map(lambda pair: self.network(*pair[0]), block, device)


class Weights:
    """A posterior over weights as a source of randomness, under a seed (`prefix.Source`)."""

    widest = 0.0
    by_input = True

    def __init__(self, posterior: WeightPosterior, seed: int) -> None:
        self.posterior, self.seed = posterior, seed
        named = dict(posterior.network.named_parameters(remove_duplicate=False))
        # A tied weight is drawn once, whatever name the network calls it by.
        self.ids = {id(named[name]): name for name in posterior.names}
        drawn = [name for name, value in named.items() if id(value) in self.ids]
        self.parameters = {f"network.{name}" for name in drawn}
        self.modules = {name.rpartition(".")[0] for name in self.parameters}
        self.drawers: dict[nn.Module, tuple[Drawer, dict[str, str]]] = {}
        self.last: tuple[nn.Module | None, int, dict[str, torch.Tensor]] = None, -1, {}

    def discover(self, adapted: nn.Module, few: Tensors) -> None:
        """Find nothing more: the names of the weights are known."""

    def modes(self, adapted: nn.Module) -> AbstractContextManager[None]:
        """Return a context in which the network is in evaluation mode."""
        return masks.modes(adapted, lambda *_: False)

    def random_nodes(self, graph: fx.GraphModule, few: Tensors) -> set[fx.Node]:
        """Return the nodes that read a drawn weight."""
        return {node for node in graph.graph.nodes if self._is_random(graph, node)}

    def _is_random(self, graph: fx.GraphModule, node: fx.Node) -> bool:
        if node.op == "get_attr":
            return str(node.target) in self.parameters
        if node.op != "call_module":
            return False
        module = graph.get_submodule(str(node.target))
        return any(id(value) in self.ids for value in module.parameters())

    def packs(self) -> bool:
        """Return False: draws of weights are run one by one."""
        return False

    def learn(self, module: nn.Module, values: Tensors) -> None:
        """Learn nothing: the draws are the same for all inputs."""

    def run(
        self, part: prefix.Split, ts: range, values: Tensors, rows: torch.Tensor
    ) -> torch.Tensor:
        """Return the logits (n, C) of the sample that `ts` holds; raises InputError for several."""
        if len(ts) > 1:
            raise InputError("draws of weights are run one by one")
        return self.run_block(part, ts, [(values, rows)])[0]

    def run_block(
        self, part: prefix.Split, ts: range, block: Sequence[engine.Rows]
    ) -> list[torch.Tensor]:
        """Return the logits (n, C) of every batch of a block for the sample that `ts` holds."""
        if self.last[:2] != (part.suffix, ts[0]):
            self.last = part.suffix, ts[0], self._drawn(part, ts[0])
        return engine.call(_Block(part.suffix), self.last[2], block)

    def _drawn(self, part: prefix.Split, t: int) -> dict[str, torch.Tensor]:
        """Return sample t of the weights of a suffix within a `_Block`."""
        if part.suffix not in self.drawers:
            scales = {name.removeprefix("network."): value for name, value in part.scales.items()}
            named = part.suffix.named_parameters(remove_duplicate=False)
            targets = {name: self.ids[id(value)] for name, value in named if id(value) in self.ids}
            # A folded convolution has a new weight under the old name.
            targets |= {name: name.removeprefix("network.") for name in part.scales}
            self.drawers[part.suffix] = self.posterior.drawer(scales), targets
        draw, targets = self.drawers[part.suffix]
        drawn = draw(self.seed, t)
        return {f"network.{target}": drawn[name] for target, name in targets.items()}
