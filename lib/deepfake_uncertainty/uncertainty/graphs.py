"""A network as a graph of calls: traced, tried, divided at what is random, and folded.

Folding puts batch normalization into the convolution before it. That saves passes over the values,
which pays in a suffix, since that runs T times.
"""

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from deepfake_uncertainty.uncertainty.inputs import Tensors

Nodes = set[fx.Node]
IsRandom = Callable[[fx.GraphModule, fx.Node], bool]  # of a node that has just run
GEOMETRY = (
    "in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups",
    "padding_mode",
)  # fmt: skip
HOOKS = "_forward_hooks", "_forward_pre_hooks", "_backward_hooks"


def has_hooks(module: nn.Module) -> bool:
    """Return True when something of the user's runs before or after the module."""
    return any(getattr(module, name) for name in HOOKS)


# A tracer replaces how all modules are called, so there is one at a time.
_tracing = threading.Lock()


class _OneThread(fx.Tracer):
    """A tracer of the calls of its own thread; other threads call their modules as ever."""

    def __init__(self) -> None:
        super().__init__()
        self.thread = threading.get_ident()

    def call_module(self, module: nn.Module, forward: Callable, args: Any, kwargs: Any) -> Any:
        if threading.get_ident() != self.thread:
            return forward(*args, **kwargs)
        return super().call_module(module, forward, args, kwargs)

    def getattr(self, name: str, value: Any, proxies: dict[str, Any]) -> Any:
        if threading.get_ident() != self.thread:
            return value
        return super().getattr(name, value, proxies)

    def graph_of(self, module: nn.Module) -> fx.GraphModule:
        """Return the graph of a module; raises whatever the trace of its code raises."""
        with _tracing:
            return fx.GraphModule(module, self.trace(module))


class _Tracer(_OneThread):
    """A tracer that enters the modules with something random inside, and no others."""

    def __init__(self, entered: set[str], closed: set[str]) -> None:
        super().__init__()
        self.entered, self.closed, self.path = entered, closed, [""]

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        inside = any(part == name or part.startswith(f"{name}.") for part in self.entered)
        opaque = name in self.closed or has_hooks(module)
        return opaque or not inside or not list(module.children())

    def call_module(self, module: nn.Module, forward: Callable, args: Any, kwargs: Any) -> Any:
        if threading.get_ident() != self.thread:
            return forward(*args, **kwargs)
        self.path.append(self.path_of_module(module))
        found = super().call_module(module, forward, args, kwargs)
        self.path.pop()
        return found


def traced(network: nn.Module, entered: set[str]) -> fx.GraphModule:
    """Return the graph of a network; a module that cannot be traced is one node of it."""
    closed: set[str] = set()
    while True:
        tracer = _Tracer(entered, closed)
        try:
            return tracer.graph_of(network)
        except Exception:
            # The outermost module that adapts the network to its inputs is no node.
            if tracer.path[-1] in ("", "network") or tracer.path[-1] in closed:
                raise
            closed.add(tracer.path[-1])


class Trial(fx.Interpreter):
    """Runs a graph once and notes the nodes that are random, by what `is_random` says of each."""

    def __init__(
        self,
        graph: fx.GraphModule,
        is_random: IsRandom,
        context: AbstractContextManager,
        values: Tensors,
    ) -> None:
        super().__init__(graph)
        self.graph_module, self.is_random = graph, is_random
        self.random: Nodes = set()
        with context:
            self.run(*values)

    def run_node(self, node: fx.Node) -> Any:
        value = super().run_node(node)
        if self.is_random(self.graph_module, node) and node.op != "output":
            self.random.add(node)
        return value


def _changes_in_place(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Return True for a call that writes its result into its first argument."""
    name = getattr(node.target, "__name__", str(node.target))
    if node.op == "call_module":
        return bool(getattr(graph.get_submodule(str(node.target)), "inplace", False))
    written = name.endswith("_") and not name.endswith("__")
    operator = getattr(node.target, "__module__", "") == "_operator" and name.startswith("i")
    return written or operator or bool(node.kwargs.get("inplace")) or "out" in node.kwargs


def dependents(graph: fx.GraphModule, sources: Nodes) -> Nodes:
    """Return the nodes of a graph that are among `sources` or depend on them.

    What a random call writes into is random, and so is all that reads it.
    """
    found = set(sources)
    while True:
        size = len(found)
        for node in graph.graph.nodes:
            depends = any(argument in found for argument in node.all_input_nodes)
            if node.op in ("output", "placeholder") or not (node in found or depends):
                continue
            found.add(node)
            if _changes_in_place(graph, node):
                # Of a view, what it is a view of is written too.
                written = [value for value in node.all_input_nodes if value.op != "placeholder"]
                found |= set(written[:1])
        if len(found) == size:
            return found


def has_rows(value: Any, count: int) -> bool:
    """Return True for a tensor with one row for each of `count` inputs."""
    return isinstance(value, torch.Tensor) and value.ndim > 0 and len(value) == count


def repeated(graph: fx.GraphModule, random: Nodes, rows: Nodes) -> Nodes:
    """Return the nodes without one row per input that the suffix needs: it computes them again."""
    found: Nodes = set()
    for node in reversed(graph.graph.nodes):
        if node.op == "output" or node in rows or node in random:
            continue
        if any(user in random | found for user in node.users):
            found.add(node)
    return found


def divide(
    graph: fx.GraphModule, random: Nodes, again: Nodes
) -> tuple[fx.GraphModule, fx.GraphModule, list[fx.Node]]:
    """Return the prefix, the suffix, and the nodes whose values the prefix hands to the suffix.

    Nodes of `random` are in the suffix, nodes of `again` in both.
    """
    nodes, first, second = list(graph.graph.nodes), fx.Graph(), fx.Graph()
    early = [node for node in nodes if node not in random and node.op != "output"]
    late = random | again

    def leaves_prefix(node: fx.Node) -> bool:
        return any(user in late or user.op == "output" for user in node.users)

    needed = [node for node in early if node not in again and leaves_prefix(node)]
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


def fold(graph: fx.GraphModule, stochastic: set[str], tied: set[int]) -> dict[str, torch.Tensor]:
    """Fold normalization in all traceable parts of `graph`; return factors of stochastic weights.

    `stochastic` are names of parameters, `tied` the ids of parameters that have several names: they
    are left alone. A drawn weight of the factors {name: tensor} is to be multiplied by its factor.
    A graph has its own tree of modules, so the network that it came from stays as it was.
    """
    drawn = {id(value) for name, value in graph.named_parameters() if name in stochastic}
    for name in {node.target for node in graph.graph.nodes if node.op == "call_module"}:
        part = graph.get_submodule(name)
        is_fixed = not drawn & {id(value) for value in part.parameters()}
        if is_fixed and list(part.children()) and not any(map(has_hooks, part.modules())):
            try:
                traced = _OneThread().graph_of(part)
            except Exception:  # a part that cannot be traced stays: folding only saves time
                continue
            count = len(traced.graph.nodes)
            _fold_one(traced, set(), tied)
            # A trace has lost the branches of its code, so it is used only where it saves work.
            if len(traced.graph.nodes) < count:
                graph.set_submodule(name, traced)
    return _fold_one(graph, stochastic, tied)


def _fused(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Module:
    """Return a convolution that also normalizes; it is made without random weights of its own."""
    assert norm.running_mean is not None and norm.running_var is not None  # `_can_fold`
    geometry: dict[str, Any] = {name: getattr(convolution, name) for name in GEOMETRY}
    fused = nn.Conv2d(**geometry, device="meta")
    fused.weight, fused.bias = fuse_conv_bn_weights(
        convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps,
        norm.weight, norm.bias,
    )  # fmt: skip
    return fused.eval()


def _can_fold(convolution: nn.Module, norm: nn.Module, tied: set[int]) -> bool:
    # Exact types: a subclass may do more, such as timm's normalization with an activation.
    if type(convolution) is not nn.Conv2d or type(norm) is not nn.BatchNorm2d:
        return False
    weights = [*convolution.parameters(), *norm.parameters()]
    is_plain = not has_hooks(convolution) and not has_hooks(norm)
    has_statistics = norm.running_mean is not None and norm.running_var is not None
    # In training mode it normalizes by the batch, whatever it has learnt.
    return is_plain and has_statistics and not norm.training and not tied & set(map(id, weights))


def _fold_one(
    graph: fx.GraphModule, stochastic: set[str], tied: set[int]
) -> dict[str, torch.Tensor]:
    """Fold normalization in one graph; return the factors of its stochastic weights."""
    targets = Counter(node.target for node in graph.graph.nodes if node.op == "call_module")
    scales: dict[str, torch.Tensor] = {}
    for node in list(graph.graph.nodes):
        before = node.all_input_nodes[0] if node.all_input_nodes else None
        if before is None or not node.op == before.op == "call_module" or len(before.users) != 1:
            continue
        convolution, norm = graph.get_submodule(before.target), graph.get_submodule(node.target)
        called_once = targets[before.target] == targets[node.target] == 1
        must_be_fixed = {f"{before.target}.bias", f"{node.target}.weight", f"{node.target}.bias"}
        if not called_once or stochastic & must_be_fixed or not _can_fold(convolution, norm, tied):
            continue
        assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        if f"{before.target}.weight" in stochastic:
            assert norm.running_var is not None
            weight = 1 if norm.weight is None else norm.weight
            scale = (norm.running_var + norm.eps).rsqrt() * weight
            scales[f"{before.target}.weight"] = scale.view(-1, 1, 1, 1)
        graph.set_submodule(before.target, _fused(convolution, norm))
        node.replace_all_uses_with(before)
        graph.graph.erase_node(node)
    _finish(graph)
    return scales


def _finish(graph: fx.GraphModule) -> None:
    """Make the code of a changed graph anew."""
    graph.delete_all_unused_submodules()
    graph.recompile()
    # The call of a graph prints the trace of an error, also of one that is caught.
    type(graph).__call__ = nn.Module.__call__  # type: ignore[method-assign]
