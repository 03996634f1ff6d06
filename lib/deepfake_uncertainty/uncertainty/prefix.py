"""What all samples of a stochastic network share, found from the network itself, to be computed once.

The network is traced as a graph of calls. Whatever depends on a stochastic dropout layer or a stochastic parameter is the
suffix, the rest is the prefix. A submodule without anything stochastic in it is one node, so what is inside need not be
traceable.
"""

import logging
from collections import Counter
from typing import NamedTuple

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

log = logging.getLogger(__name__)


class Split(NamedTuple):
    """A network as suffix(*prefix(x)): `prefix` gives a tuple of tensors (N, ...), `suffix` takes them.

    `shared` is False where the network could not be traced: then the prefix hands x on and the suffix is the network.
    `scales` {name: tensor} are factors of stochastic weights of the suffix: the batch normalisation folded into them.
    """

    prefix: nn.Module
    suffix: nn.Module
    shared: bool
    scales: dict


class _HandOn(nn.Module):
    def forward(self, x):
        return (x,)


class _Tracer(fx.Tracer):
    """Traces into the modules that hold something stochastic, and takes all others whole."""

    def __init__(self, stochastic):
        super().__init__()
        self.stochastic = stochastic

    def is_leaf_module(self, module, name):
        inside = any(found == name or found.startswith(f"{name}.") for found in self.stochastic)
        return not inside or (not list(module.children()))


def split(network, x, modules=(), parameters=()):
    """Return the Split of `network` (in evaluation mode) at what depends on the named `modules` and `parameters`.

    `x` (N, ...) are inputs to try it on: what has no row for each of them (a shape, a constant) stays in the suffix. What the
    prefix gives for them it need not compute again.
    """
    try:
        graph = fx.GraphModule(network, _Tracer({*modules, *parameters}).trace(network))
        late = _late(graph, set(modules), set(parameters))
        rows = _tried(graph, late, x)
        graph_before, suffix, needed = _divide(graph, late, _without_rows(graph, late, rows))
        prefix = _Prefix(graph_before, x, tuple(rows[node] for node in needed))
    except Exception as error:  # tracing fails in as many ways as there are networks; those are run whole, correctly
        reason = str(error).partition("\n")[0]
        log.info("%s is sampled without a shared prefix, since it cannot be traced: %s", type(network).__name__, reason)
        return Split(_HandOn(), network, False, {})
    # The suffix runs T times, the prefix once: only there is folding worth its while.
    return Split(prefix, suffix, True, _folded(suffix, set(parameters)))


def _late(graph, modules, parameters):
    """Return the nodes that depend on a stochastic module or parameter."""
    owners, late = modules | {name.rpartition(".")[0] for name in parameters}, set()
    for node in graph.graph.nodes:
        own = node.op == "call_module" and node.target in owners or node.op == "get_attr" and node.target in parameters
        if node.op != "output" and (own or any(argument in late for argument in node.all_input_nodes)):
            late.add(node)
    return late


class _Trial(fx.Interpreter):
    """Runs what stands before `late` in a graph and keeps the values that are tensors with a row for each input."""

    def __init__(self, graph, late, x):
        super().__init__(graph)
        self.late, self.count, self.rows = late, len(x), {}
        self.run(x)

    def run_node(self, node):
        if node in self.late:
            return None
        value = super().run_node(node)
        if isinstance(value, torch.Tensor) and value.ndim and len(value) == self.count and node.op != "get_attr":
            self.rows[node] = value
        return value


def _tried(graph, late, x):
    """Return {node: value} of the nodes before `late` that have a row for each input, for the inputs x."""
    found = _Trial(graph, late, x).rows
    handed = {node for user in late for node in user.all_input_nodes} - late
    if any(node not in found or node.op not in ("placeholder", "call_module") for node in handed):
        # A layer's rows are those of its inputs. What a function gives may only look so: it is asked for another number too.
        also = _Trial(graph, late, x[:1] if len(x) > 1 else x.expand(2, *x.shape[1:])).rows
        found = {node: value for node, value in found.items() if node in also}
    return found


def _without_rows(graph, late, rows):
    """Return the nodes before `late` that the suffix needs but that have no row for each input: it computes them again."""
    more = set()
    for node in reversed(graph.graph.nodes):
        if node.op != "output" and node not in rows and node not in late and any(user in late | more for user in node.users):
            more.add(node)
    return more


class _Prefix(nn.Module):
    """A prefix that gives for the inputs of its trial what it gave then."""

    def __init__(self, graph, x, values):
        super().__init__()
        self.graph, self.x, self.values = graph, x, values

    def forward(self, x):
        return self.values if x is self.x and not torch.is_autocast_enabled(x.device.type) else self.graph(x)


def _divide(graph, late, both):
    """Return prefix, suffix and what the one hands to the other: nodes of `late` are in the suffix, of `both` in each."""
    nodes, first, second, place = list(graph.graph.nodes), fx.Graph(), fx.Graph(), {}
    early, after = [node for node in nodes if node not in late and node.op != "output"], late | both
    needed = [node for node in early if node not in both and any(user in after or user.op == "output" for user in node.users)]
    for node in early:
        place[node] = first.node_copy(node, place.__getitem__)
    first.output(tuple(place[node] for node in needed))
    place = {node: second.placeholder(f"shared_{number}") for number, node in enumerate(needed)}
    for node in nodes:
        if node in after:
            place[node] = second.node_copy(node, place.__getitem__)
        elif node.op == "output":
            second.output(fx.map_arg(node.args[0], place.__getitem__))
    return fx.GraphModule(graph, first), fx.GraphModule(graph, second), needed


def _folded(graph, stochastic):
    """Fold batch normalisation into the convolution before it, in all parts of `graph` that can be traced; return `scales`.

    A graph has its own tree of modules, so the network that it came from stays as it was.
    """
    for name in {node.target for node in graph.graph.nodes if node.op == "call_module"}:
        part = graph.get_submodule(name)
        if list(part.children()):
            try:
                traced = fx.symbolic_trace(part)
            except Exception:  # what cannot be traced stays as it is: folding is for speed alone
                continue
            _fold(traced, ())
            graph.set_submodule(name, traced)
    return _fold(graph, stochastic)


def _fused(convolution, norm):
    """Return a convolution that also normalises; it is made without weights of its own, which would be drawn for nothing."""
    weights = fuse_conv_bn_weights(convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps,
                                   norm.weight, norm.bias)  # fmt: skip
    found = nn.Conv2d(convolution.in_channels, convolution.out_channels, convolution.kernel_size, convolution.stride,
                      convolution.padding, convolution.dilation, convolution.groups,
                      padding_mode=convolution.padding_mode, device="meta")  # fmt: skip
    found.weight, found.bias = weights
    return found.eval()


def _fold(graph, stochastic):
    targets, scales = Counter(node.target for node in graph.graph.nodes if node.op == "call_module"), {}
    for node in list(graph.graph.nodes):
        before = node.all_input_nodes[0] if node.all_input_nodes else None
        if not (node.op == "call_module" and before is not None and before.op == "call_module" and len(before.users) == 1):
            continue
        convolution, norm = graph.get_submodule(before.target), graph.get_submodule(node.target)
        # Exact types: subclasses may do more than their name says, such as timm's normalisation with an activation.
        alone = targets[before.target] == targets[node.target] == 1 and f"{before.target}.bias" not in stochastic
        fixed = not stochastic & {f"{node.target}.weight", f"{node.target}.bias"} if stochastic else True
        if alone and fixed and type(convolution) is nn.Conv2d and type(norm) is nn.BatchNorm2d:
            if f"{before.target}.weight" in stochastic:
                scale = (norm.running_var + norm.eps).rsqrt() * (1 if norm.weight is None else norm.weight)
                scales[f"{before.target}.weight"] = scale.view(-1, 1, 1, 1)
            graph.set_submodule(before.target, _fused(convolution, norm))
            node.replace_all_uses_with(before)
            graph.graph.erase_node(node)
    graph.delete_all_unused_submodules()
    graph.recompile()
    return scales
