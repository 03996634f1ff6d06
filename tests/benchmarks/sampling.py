"""Speed of sampling.

The floor of an entry does what cannot be left out: passes of the folded network, and draws. The
peers are torch-uncertainty, bayesian-torch and a loop of `functional_call`.
"""

import copy
from collections.abc import Callable, Iterator, Sequence

import torch
from bayesian_torch.models.dnn_to_bnn import dnn_to_bnn
from benchmarks.runner import Entry
from torch import nn
from torch.func import functional_call
from torch.nn import functional
from torch_uncertainty.methods import deep_ensembles, mc_dropout

from deepfake_uncertainty import pins
from deepfake_uncertainty.detectors import motion, registry
from deepfake_uncertainty.training import predict
from deepfake_uncertainty.uncertainty import (
    VariationalPosterior,
    bayes,
    dropout,
    engine,
    graphs,
    sample,
)

PRIOR = dict(
    prior_mu=0.0,
    prior_sigma=1.0,
    posterior_mu_init=0.0,
    posterior_rho_init=-4.0,
    moped_enable=True,
    moped_delta=0.1,
)
THREADS = 2


def repeated(network: nn.Module, batches: Sequence[torch.Tensor], T: int) -> torch.Tensor:
    """Return T passes of a network over the batches, as bayesian-torch's examples do."""
    with torch.no_grad():
        return torch.stack([torch.cat([network(x).softmax(-1) for x in batches]) for _ in range(T)])


def converted(network: nn.Module, kind: str, part: str | None = None) -> nn.Module:
    """Return a copy of `network` with bayesian-torch's layers of `kind`.

    They replace the layers of the named `part` and the head, or all layers.
    """
    network = copy.deepcopy(network)
    for module in [network] if part is None else [network.get_submodule(part), network.head]:
        # In place. The new layers return no KL term.
        dnn_to_bnn(module, PRIOR | {"type": kind})
    return network.eval()


def folded(network: nn.Module) -> nn.Module:
    """Return a network with its normalization folded into its convolutions."""
    graph = graphs._OneThread().graph_of(network)
    graphs.fold(graph, set(), set())
    return graph


def passes(network: nn.Module, batches: Sequence[torch.Tensor], T: int, before: Callable) -> None:
    """Make T passes over the batches, two of these at a time; `before()` comes before each."""
    device = torch.device("cpu")
    with torch.no_grad():
        for _ in range(T):
            before()
            engine.parallel_map(lambda x: network(x).softmax(-1), batches, device)


def nothing() -> None:
    """Do nothing before a pass."""


def head_floor(network: nn.Module, images: torch.Tensor, T: int) -> None:
    """Make one pass of the features and T of the head, with PyTorch's own dropout."""
    drop, last = network.head
    with torch.no_grad():
        hidden = network.features(images)
        [last(functional.dropout(hidden, drop.p, True)).softmax(-1) for _ in range(T)]


def after(network: nn.Module, name: str) -> nn.Module:
    """Return what follows the named part of a network's backbone, its head included, folded."""
    place = list(dict(network.features[1].named_children())).index(name)
    rest = list(network.features[1].children())[place + 1 :]
    return folded(nn.Sequential(*rest, network.head).eval())


def shape_after(network: nn.Module, images: torch.Tensor, name: str) -> torch.Tensor:
    """Return the output of the named part of a network's backbone for images."""
    seen: list[torch.Tensor] = []
    part = network.features[1].get_submodule(name)
    handle = part.register_forward_hook(lambda *found: seen.append(found[2]))
    with torch.no_grad():
        network(images)
    handle.remove()
    return seen[0]


def dropout_entry(
    name: str,
    network: nn.Module,
    images: torch.Tensor,
    T: int,
    floor: Callable[[], None],
    share: float,
) -> Entry:
    """Return the entry of MC dropout, T samples of `images`; `name` says where its layers are."""
    theirs = mc_dropout(copy.deepcopy(network), T, last_layer=False).eval()

    def peer():
        with torch.no_grad():
            theirs(images).softmax(-1)

    return Entry(
        f"MC dropout {name}, ResNet18 64 x 64, T={T}, {len(images)} images",
        lambda: sample(network, [images], T, 0),
        "torch-uncertainty",
        peer,
        threads=THREADS,
        floor=floor,
        share=share,
    )


def bayesian(
    network: nn.Module,
    T: int,
    few: int,
    batches: Sequence[torch.Tensor],
    share: float,
    part: str | None = None,
) -> Iterator[Entry]:
    """Yield the entries of a Bayesian network, T samples each, against bayesian-torch.

    `few` passes of bayesian-torch are timed and scaled, because its passes all cost the same. The
    floor is T draws and T folded passes of what is Bayesian, after one pass of what is not.
    """
    posterior = VariationalPosterior(
        network, parts=("",) if part is None else bayes.last_stage(network)
    )
    name = f"BNN {part or 'all'}, ResNet18, {sum(map(len, batches))} images by {len(batches[0])}"
    with torch.no_grad():
        draw = posterior.drawer()
    before = part and list(dict(network.features[1].named_children()))
    late = folded(network) if not before else after(network, before[before.index("layer4") - 1])
    shared = [shape_after(network, x, "layer3") for x in batches] if before else batches

    def floor() -> None:
        if before:
            passes(network, batches, 1, nothing)
        passes(late, shared, T, lambda: draw(0, 0))

    for kind in ("Reparameterization", "Flipout") if part is None else ("Reparameterization",):
        theirs = converted(network, kind, part)
        yield Entry(
            f"{name}, T={T} (peer timed on {few}, scaled)",
            lambda: sample(posterior, batches, T, 0),
            f"bayesian-torch, {kind}",
            lambda theirs=theirs: repeated(theirs, batches, few),
            peer_units=few / T,
            threads=THREADS,
            floor=floor,
            share=share,
        )


def ensemble(network: nn.Module, count: int, batches: Sequence[torch.Tensor]) -> Entry:
    """Return the entry of a deep ensemble of `count` networks."""
    members = [copy.deepcopy(network).eval() for _ in range(count)]
    theirs, plain = deep_ensembles(members).eval(), folded(network)

    def peer():
        with torch.no_grad():
            return [theirs(x).softmax(-1) for x in batches]

    return Entry(
        f"ensemble of {count} ResNet18, {sum(map(len, batches))} images",
        lambda: sample(members, batches),
        "torch-uncertainty",
        peer,
        threads=THREADS,
        floor=lambda: passes(plain, batches, count, nothing),
        share=0.95,
    )


def small_network(name: str, shape: tuple[int, ...], T: int) -> Entry:
    """Return the entry of a small Bayesian network, against a loop of `functional_call`."""
    posterior = VariationalPosterior(registry.get(name).build(2, 0.3)).eval()
    x = torch.rand(shape)

    def peer():
        with torch.no_grad():
            draw = posterior.drawer()
            return [functional_call(posterior.network, draw(0, t), (x,)) for t in range(T)]

    return Entry(
        f"BNN {name}, T={T}, {shape[0]} inputs",
        lambda: sample(posterior, x, T, 0),
        "a loop of functional_call",
        peer,
        threads=THREADS,
    )


def half_precision(posterior: VariationalPosterior, batches: Sequence, T: int) -> Entry:
    """Return the entry of a Bayesian network in bfloat16, against the same in float32."""
    return Entry(
        f"BNN all in bfloat16, T={T}, {sum(map(len, batches))} images",
        lambda: sample(posterior, batches, T, 0, dtype=torch.bfloat16),
        "our float32",
        lambda: sample(posterior, batches, T, 0),
        1.4,
        threads=THREADS,
    )


def entries(small: bool) -> Iterator[Entry]:
    """Yield MC dropout in the head and in every stage, Bayesian networks, and an ensemble."""
    T, n_images = (2, 8) if small else (50, 32)
    torch.manual_seed(0)
    network = registry.get("resnet18").build(2, 0.3).eval()
    images = torch.rand(n_images, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    everywhere = dropout.place_dropout(network, 0.1, "every_stage").eval()
    late, values = after(network, "layer1"), shape_after(network, images, "layer1")
    yield dropout_entry(
        "in the head", network, images, T, lambda: head_floor(network, images, T), 0.8
    )
    stages_floor = lambda: passes(late, [values], T, nothing)  # noqa: E731
    yield dropout_entry("in every stage", everywhere, images, T, stages_floor, 0.95)
    # Batches of the study's size: a layer of bayesian-torch draws anew for each of them.
    batches = torch.rand(8 if small else 512, 3, 64, 64).split(predict.BATCH)
    yield ensemble(network, 2 if small else 5, batches)
    yield from bayesian(network, 2 if small else 20, 2, batches, 0.97)
    yield from bayesian(network, T, 2, batches, 0.95, "features.1.layer4")
    if pins.is_fast() and torch.cpu.get_capabilities().get("avx512_bf16"):
        yield half_precision(VariationalPosterior(network), batches, 2 if small else 20)
    count = 4 if small else 256
    yield small_network("fakecatcher", (count, 1, 64, 64), 2 if small else 200)
    cells = (count, motion.PHASE_CHANNELS, motion.CELLS, motion.CELLS)
    yield small_network("motion_phase", cells, 2 if small else 200)
