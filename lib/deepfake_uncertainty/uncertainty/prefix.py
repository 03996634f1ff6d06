"""What all samples of a stochastic network share: found from the network itself, computed once.

The network is traced as a graph of calls. Whatever depends on something random is the suffix, the
rest is the prefix. A submodule without anything random in it is one node, so its inside need not be
traceable. A split is used only where it gave the same as the network in a trial.
"""

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import fx, nn

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty import graphs, masks
from deepfake_uncertainty.uncertainty.inputs import Tensors, checked_logits

log = logging.getLogger(__name__)

TRIALS = 12  # samples of the whole network at most, until two of them differ
# How far two passes may differ, as a share of the largest logit. Folding changes some last digits.
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}


class Source(Protocol):
    """What is random in a network: dropout or weights.

    modules: names of the modules with something random in their own code or parameters.
    parameters: names of the parameters that are drawn.
    """

    modules: set[str]
    parameters: set[str]

    def packs(self) -> bool:
        """Return True when several samples may form one batch."""

    def random_nodes(self, graph: fx.GraphModule, few: Tensors) -> set[fx.Node]:
        """Return the nodes of a graph that are random themselves; `few` are two inputs."""

    def learn(self, module: nn.Module, values: Tensors) -> None:
        """Learn which random numbers a module takes for two inputs."""

    def run(self, part: "Split", ts: range, values: Tensors, rows: torch.Tensor) -> torch.Tensor:
        """Return the logits (len(ts) * n, C) of the samples `ts` of a suffix, sample by sample."""


class Split(NamedTuple):
    """A network as suffix(*prefix(x)): `prefix` returns a tuple of tensors (n, ...).

    `shared` is False where nothing can be shared: then the prefix returns its inputs and the suffix
    is the network. `packs` is True where several samples may form one batch. `known` are the
    prefix's values for the first batch. `scales` {name: tensor} are factors of drawn weights.
    """

    prefix: Callable[..., Tensors]
    suffix: nn.Module
    shared: bool
    packs: bool
    known: Tensors | None
    scales: dict[str, torch.Tensor]


class _Careful(nn.Module):
    """A network that changes its inputs in place, on copies of them."""

    def __init__(self, network: Callable[..., Any]) -> None:
        super().__init__()
        self.network = network

    def forward(self, *values: torch.Tensor) -> Any:
        return self.network(*(value.clone() for value in values))


def _as_given(*values: torch.Tensor) -> Tensors:
    return values


def few_of(values: Tensors, count: int) -> Tensors:
    """Return the first `count` inputs; a single one is repeated."""
    if len(values[0]) < count:
        values = tuple(torch.cat([value] * count) for value in values)
    return tuple(value[:count].clone() for value in values)


def split(network: nn.Module, first: Tensors, source: Source) -> Split:
    """Return the Split of `network` at what is random, tried on some inputs `first` (n, ...).

    Raises InputError when the network gives two results for the same inputs and random numbers.
    """
    few, whole = few_of(first, 2), _whole(network)
    copies = few_of(first, 2)
    checked_logits(source.run(whole, range(1), copies, _rows(few)), 2)
    parts = _divided(network, first, few, source)
    if not all(map(torch.equal, copies, few)):
        # It changes its inputs in place: each pass gets copies, and the caller's stay as they are.
        whole = _whole(_Careful(network))
        parts = parts._replace(prefix=_Careful(parts.prefix)) if parts else None
    verified = _verified(parts, whole, first, source) if parts else None
    if verified:
        return verified
    source.learn(whole.suffix, few)
    references = _references(whole, few, source)
    for candidate in (whole, _whole(_Careful(network))):
        if _agrees(candidate, few, references, source):
            return _packing(candidate, few, source)
    raise InputError(
        f"{_name(network)} gives two results for the same inputs, weights and masks:"
        " it keeps a state, which cannot be sampled"
    )


def _verified(parts: Split, whole: Split, first: Tensors, source: Source) -> Split | None:
    """Return a Split that gives what the network gives, None where it does not or cannot be run."""
    try:
        values = _few_values(parts, first)
        source.learn(parts.suffix, values)
        references = _references(whole, few_of(first, 2), source)
        for candidate in (parts, parts._replace(suffix=_Careful(parts.suffix))):
            if _agrees(candidate, values, references, source):
                return _packing(candidate, values, source)
        reason = "its parts do not add up"
    except Exception as error:  # a graph can be wrong in any way, such as about optional arguments
        reason = str(error).partition("\n")[0]
    log.info("%s is sampled without a shared prefix: %s", _name(whole.suffix), reason)
    return None


def _references(whole: Split, few: Tensors, source: Source) -> list[torch.Tensor]:
    """Return the first samples of the whole network: two, and more until two of them differ.

    Where all samples are alike, what is lost of the random numbers could not be seen.
    """
    found: list[torch.Tensor] = []
    while len(found) < 2 or (len(found) < TRIALS and is_close(found[-1], found[0])):
        copies = tuple(value.clone() for value in few)
        t = len(found)
        found.append(source.run(whole, range(t, t + 1), copies, _rows(few)))
    checked_logits(found[0], 2)
    return found


def folded(network: nn.Module, few: Tensors) -> nn.Module:
    """Return a network with its normalization folded, tried on two inputs.

    It is the network itself where that cannot be done. Raises InputError for outputs that are no
    logits, for a network that draws random numbers, and for one that keeps a state.
    """
    copies = few_of(few, 2)
    with masks.Refused():
        expected = network(*copies)
    checked_logits(expected, len(few[0]))
    if not all(map(torch.equal, copies, few)):
        network = _Careful(network)  # it changes its inputs in place
    if not is_close(network(*few_of(few, 2)), expected):
        raise InputError(f"{_name(network)} gives two results for the same inputs: it has a state")
    if len(few) != 1 or isinstance(network, _Careful):
        return network
    try:
        graph = graphs.traced(network, {"network"})
        graphs.fold(graph, set(), _tied(network))
        same = is_close(graph(*few_of(few, 2)), expected)
    except Exception:  # tracing can fail in any way, and folding only saves time
        return network
    return graph if same else network


def _cut(
    graph: fx.GraphModule, random: graphs.Nodes, first: Tensors
) -> tuple[fx.GraphModule, fx.GraphModule, list[fx.Node]]:
    """Return prefix, suffix and the nodes handed on, whose values have one row per input.

    A layer has one row per input. What a function of the inputs gives may be a shape, so it is
    tried on two numbers of inputs; the suffix computes it again where it has no rows.
    """
    given = {node for node in graph.graph.nodes if node.op == "placeholder"}
    rows = graphs.dependents(graph, given)
    while True:
        parts = graphs.divide(graph, random, graphs.repeated(graph, random, rows))
        needed = parts[2]
        if all(node.op in ("placeholder", "call_module") for node in needed):
            return parts
        wrong: graphs.Nodes = set()
        for count in (1, 2):
            values = parts[0](*few_of(first, count))
            pairs = zip(needed, values, strict=True)
            wrong |= {node for node, value in pairs if not graphs.has_rows(value, count)}
        if not wrong:
            return parts
        rows -= wrong


def _tied(network: nn.Module) -> set[int]:
    """Return the ids of the parameters that have several names."""
    counts = Counter(id(value) for _, value in network.named_parameters(remove_duplicate=False))
    return {key for key, count in counts.items() if count > 1}


def _few_values(parts: Split, first: Tensors) -> Tensors:
    """Return the prefix's values for the first two inputs."""
    if parts.known is None or len(first[0]) < 2:
        return parts.prefix(*few_of(first, 2))
    return few_of(parts.known, 2)


def _name(network: nn.Module) -> str:
    return type(getattr(network, "network", network)).__name__


def _whole(network: nn.Module) -> Split:
    return Split(_as_given, network, False, False, None, {})


def _rows(values: Tensors) -> torch.Tensor:
    return torch.arange(len(values[0]))


def _agrees(parts: Split, values: Tensors, references: list[torch.Tensor], source: Source) -> bool:
    """Return True when a suffix gives the references, and the first of them again."""
    own, rows = tuple(value.clone() for value in values), _rows(values)
    for t in (*range(len(references)), 0):
        if not is_close(source.run(parts, range(t, t + 1), own, rows), references[t]):
            return False
    return True


def is_close(found: torch.Tensor, reference: torch.Tensor) -> bool:
    """Return True when two sets of logits are the same but for rounding."""
    if found.shape != reference.shape:
        return False
    size = reference.abs()
    # Per input, so that one with large logits hides no other.
    bound = TOLERANCE.get(found.dtype, 0) * size.amax(-1, keepdim=True).clamp_min(size.max() / 100)
    return bool(((found - reference).abs() <= bound).all())


def _packing(parts: Split, values: Tensors, source: Source) -> Split:
    """Return the Split with `packs` set: two samples in one batch give what each gives alone."""
    if not source.packs():
        return parts
    rows = _rows(values)
    alone = torch.cat([source.run(parts, range(t, t + 1), values, rows) for t in range(2)])
    try:
        packed = source.run(parts, range(2), values, rows)
    except (InputError, RuntimeError):
        return parts  # a mask or a constant of the network has one size only
    return parts._replace(packs=is_close(packed, alone))


def _divided(network: nn.Module, first: Tensors, few: Tensors, source: Source) -> Split | None:
    """Return a Split that is not verified, None where nothing can be shared."""
    if len(first) != 1:
        return None  # a traced network takes one tensor
    try:
        graph = graphs.traced(network, source.modules)
        random = graphs.dependents(graph, source.random_nodes(graph, few))
        before, suffix, needed = _cut(graph, random, first)
        known = before(*(value.clone() for value in first))
        if not all(graphs.has_rows(value, len(first[0])) for value in known):
            return None
        if not needed:
            return None
        scales = graphs.fold(suffix, source.parameters, _tied(network))
        return Split(before, suffix, True, False, known, scales)
    except InputError:
        raise
    except Exception as error:  # tracing can fail in any way; then the whole network runs each time
        reason = str(error).partition("\n")[0]
        log.info(
            "%s is sampled without a shared prefix: it cannot be traced: %s", _name(network), reason
        )
        return None
