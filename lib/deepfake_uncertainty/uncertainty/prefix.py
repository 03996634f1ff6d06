"""What all samples of a stochastic network share: found from the network itself, computed once.

The network is traced as a graph of calls. Whatever depends on a stochastic dropout layer or a
stochastic parameter is the suffix, the rest is the prefix. A submodule without anything stochastic
in it is one node, so its inside need not be traceable.
"""

import logging
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

log = logging.getLogger(__name__)

Nodes = set[fx.Node]
GEOMETRY = (
    "in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups",
    "padding_mode",
)  # fmt: skip


class Split(NamedTuple):
    """A network as suffix(*prefix(x)): `prefix` returns a tuple of tensors (N, ...).

    `shared` is False where the network could not be traced: then the prefix returns x and the
    suffix is the whole network. `scales` {name: tensor} are factors of stochastic weights of the
    suffix, from the batch normalization that was folded into them.
    """

    prefix: nn.Module
    suffix: nn.Module
    shared: bool
    scales: dict[str, torch.Tensor]


class _AsTuple(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        return (x,)


class _Tracer(fx.Tracer):
    """A tracer that enters the modules with something stochastic inside, and no others."""

    def __init__(self, stochastic: set[str]) -> None:
        super().__init__()
        self.stochastic = stochastic

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        inside = any(part == name or part.startswith(f"{name}.") for part in self.stochastic)
        return not inside or not list(module.children())


def split(
    network: nn.Module,
    x: torch.Tensor,
    modules: Iterable[str] = (),
    parameters: Iterable[str] = (),
) -> Split:
    """Return the Split of `network` at what depends on the named `modules` and `parameters`.

    The network must be in evaluation mode. `x` (N, ...) are inputs for a trial run: values without
    one row per input (a shape, a constant) stay in the suffix. The prefix keeps its outputs for
    these inputs and does not compute them again.
    """
    try:
        graph = fx.GraphModule(network, _Tracer({*modules, *parameters}).trace(network))
        stochastic = _stochastic_nodes(graph, set(modules), set(parameters))
        rows = _values_by_row(graph, stochastic, x)
        repeated = _nodes_to_repeat(graph, stochastic, rows)
        before, suffix, needed = _divide(graph, stochastic, repeated)
        prefix = _Prefix(before, x, tuple(rows[node] for node in needed))
    except Exception as error:  # tracing can fail in any way; then the whole network runs each time
        reason = str(error).partition("\n")[0]
        name = type(network).__name__
        log.info("%s is sampled without a shared prefix: it cannot be traced: %s", name, reason)
        return Split(_AsTuple(), network, False, {})
    # The suffix runs T times, the prefix once: only in the suffix does folding save time.
    return Split(prefix, suffix, True, _fold_all(suffix, set(parameters)))


def _stochastic_nodes(graph: fx.GraphModule, modules: set[str], parameters: set[str]) -> Nodes:
    """Return the nodes that depend on a stochastic module or parameter."""
    owners = modules | {name.rpartition(".")[0] for name in parameters}
    nodes: Nodes = set()
    for node in graph.graph.nodes:
        is_source = (
            node.op == "call_module"
            and node.target in owners
            or node.op == "get_attr"
            and node.target in parameters
        )
        depends = any(argument in nodes for argument in node.all_input_nodes)
        if node.op != "output" and (is_source or depends):
            nodes.add(node)
    return nodes


class _Trial(fx.Interpreter):
    """Runs the nodes before `stochastic` in a graph; keeps the tensors with one row per input."""

    def __init__(self, graph: fx.GraphModule, stochastic: Nodes, x: torch.Tensor) -> None:
        super().__init__(graph)
        self.stochastic, self.count = stochastic, len(x)
        self.rows: dict[fx.Node, torch.Tensor] = {}
        self.run(x)

    def run_node(self, node: fx.Node) -> Any:
        if node in self.stochastic:
            return None
        value = super().run_node(node)
        is_rows = isinstance(value, torch.Tensor) and value.ndim and len(value) == self.count
        if is_rows and node.op != "get_attr":
            self.rows[node] = value
        return value


def _values_by_row(
    graph: fx.GraphModule, stochastic: Nodes, x: torch.Tensor
) -> dict[fx.Node, torch.Tensor]:
    """Return {node: value} of the nodes before `stochastic` whose value has one row per input."""
    rows = _Trial(graph, stochastic, x).rows
    handed = {node for user in stochastic for node in user.all_input_nodes} - stochastic
    if any(node not in rows or node.op not in ("placeholder", "call_module") for node in handed):
        # A layer has one row per input. The output of a function may have N rows by chance, so it
        # is tried with another number of inputs too.
        other_count = x[:1] if len(x) > 1 else x.expand(2, *x.shape[1:])
        confirmed = _Trial(graph, stochastic, other_count).rows
        rows = {node: value for node, value in rows.items() if node in confirmed}
    return rows


def _nodes_to_repeat(
    graph: fx.GraphModule, stochastic: Nodes, rows: dict[fx.Node, torch.Tensor]
) -> Nodes:
    """Return the nodes without one row per input that the suffix needs: it computes them again."""
    repeated: Nodes = set()
    for node in reversed(graph.graph.nodes):
        if node.op == "output" or node in rows or node in stochastic:
            continue
        if any(user in stochastic | repeated for user in node.users):
            repeated.add(node)
    return repeated


class _Prefix(nn.Module):
    """A prefix that returns the known values for the inputs of its trial run."""

    def __init__(
        self, graph: fx.GraphModule, x: torch.Tensor, values: tuple[torch.Tensor, ...]
    ) -> None:
        super().__init__()
        self.graph, self.x, self.values = graph, x, values

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        # In half precision the values have other digits.
        known = x is self.x and not torch.is_autocast_enabled(x.device.type)
        return self.values if known else self.graph(x)


def _divide(
    graph: fx.GraphModule, stochastic: Nodes, repeated: Nodes
) -> tuple[fx.GraphModule, fx.GraphModule, list[fx.Node]]:
    """Return the prefix, the suffix, and the nodes whose values the prefix hands to the suffix.

    Nodes of `stochastic` are in the suffix, nodes of `repeated` in both.
    """
    nodes, first, second = list(graph.graph.nodes), fx.Graph(), fx.Graph()
    early = [node for node in nodes if node not in stochastic and node.op != "output"]
    late = stochastic | repeated

    def leaves_prefix(node: fx.Node) -> bool:
        return any(user in late or user.op == "output" for user in node.users)

    needed = [node for node in early if node not in repeated and leaves_prefix(node)]
    copies: dict[fx.Node, fx.Node] = {}
    for node in early:
        copies[node] = first.node_copy(node, copies.__getitem__)
    first.output(tuple(copies[node] for node in needed))
    copies = {node: second.placeholder(f"shared_{number}") for number, node in enumerate(needed)}
    for node in nodes:
        if node in late:
            copies[node] = second.node_copy(node, copies.__getitem__)
        elif node.op == "output":
            second.output(fx.map_arg(node.args[0], copies.__getitem__))
    return fx.GraphModule(graph, first), fx.GraphModule(graph, second), needed


def _fold_all(graph: fx.GraphModule, stochastic: set[str]) -> dict[str, torch.Tensor]:
    """Fold batch normalization into the convolution before it, in all traceable parts of `graph`.

    Returns `scales` as in `Split`. A graph has its own tree of modules, so the network that it came
    from stays as it was.
    """
    for name in {node.target for node in graph.graph.nodes if node.op == "call_module"}:
        part = graph.get_submodule(name)
        if list(part.children()):
            try:
                traced = fx.symbolic_trace(part)
            except Exception:  # a part that cannot be traced stays: folding only saves time
                continue
            _fold(traced, set())
            graph.set_submodule(name, traced)
    return _fold(graph, stochastic)


def _fused(
    convolution: nn.Conv2d, norm: nn.BatchNorm2d, mean: torch.Tensor, variance: torch.Tensor
) -> nn.Module:
    """Return a convolution that also normalizes; it is made without random weights of its own."""
    geometry: dict[str, Any] = {name: getattr(convolution, name) for name in GEOMETRY}
    fused = nn.Conv2d(**geometry, device="meta")
    fused.weight, fused.bias = fuse_conv_bn_weights(
        convolution.weight, convolution.bias, mean, variance, norm.eps, norm.weight, norm.bias
    )
    return fused.eval()


def _fold(graph: fx.GraphModule, stochastic: set[str]) -> dict[str, torch.Tensor]:
    """Fold batch normalization in one graph; return the factors of its stochastic weights."""
    targets = Counter(node.target for node in graph.graph.nodes if node.op == "call_module")
    scales: dict[str, torch.Tensor] = {}
    for node in list(graph.graph.nodes):
        before = node.all_input_nodes[0] if node.all_input_nodes else None
        if before is None or not node.op == before.op == "call_module" or len(before.users) != 1:
            continue
        convolution, norm = graph.get_submodule(before.target), graph.get_submodule(node.target)
        # Exact types: a subclass may do more, such as timm's normalization with an activation.
        if type(convolution) is not nn.Conv2d or type(norm) is not nn.BatchNorm2d:
            continue
        mean, variance = norm.running_mean, norm.running_var
        called_once = targets[before.target] == targets[node.target] == 1
        must_be_fixed = {f"{before.target}.bias", f"{node.target}.weight", f"{node.target}.bias"}
        if not called_once or stochastic & must_be_fixed or mean is None or variance is None:
            continue
        if f"{before.target}.weight" in stochastic:
            weight = 1 if norm.weight is None else norm.weight
            scale = (variance + norm.eps).rsqrt() * weight
            scales[f"{before.target}.weight"] = scale.view(-1, 1, 1, 1)
        graph.set_submodule(before.target, _fused(convolution, norm, mean, variance))
        node.replace_all_uses_with(before)
        graph.graph.erase_node(node)
    graph.delete_all_unused_submodules()
    graph.recompile()
    return scales
