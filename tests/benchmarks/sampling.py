"""Speed of sampling.

The peers are torch-uncertainty, bayesian-torch and, where samples share nothing, T deterministic
passes.
"""

import copy
from collections.abc import Iterator, Sequence

import torch
from bayesian_torch.models.dnn_to_bnn import dnn_to_bnn
from benchmarks.runner import Entry
from torch import nn
from torch_uncertainty.methods import deep_ensembles, mc_dropout

from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.training import methods, predict
from deepfake_uncertainty.uncertainty import bayes, dropout, sample

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


def dropout_entry(name: str, network: nn.Module, images: torch.Tensor, T: int, bar: float) -> Entry:
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
        bar,
        threads=THREADS,
    )


def bayesian(
    network: nn.Module,
    T: int,
    few: int,
    batches: Sequence[torch.Tensor],
    part: str | None = None,
) -> Iterator[Entry]:
    """Yield the entries of a Bayesian network.

    T of our samples are compared with `few` passes of bayesian-torch, scaled, because its passes
    all cost the same. Then `few` of our samples are compared with deterministic passes, the floor.
    """
    parts = ("",) if part is None else bayes.last_stage(network)
    posterior = bayes.VariationalPosterior(network, parts=parts)
    name = f"BNN {part or 'all'}, ResNet18, {sum(map(len, batches))} images by {len(batches[0])}"
    bars = {"Reparameterization": 2, "Flipout": 4} if part is None else {"Reparameterization": 4}
    for kind, bar in bars.items():
        theirs = converted(network, kind, part)
        yield Entry(
            f"{name}, T={T} (peer timed on {few}, scaled)",
            lambda: sample(posterior, batches, T, 0),
            f"bayesian-torch, {kind}",
            lambda theirs=theirs: repeated(theirs, batches, few),
            bar,
            peer_units=few / T,
            threads=THREADS,
        )
    yield Entry(
        f"{name}, T={few}, its floor",
        lambda: sample(posterior, batches, few, 0),
        f"{few} deterministic passes",
        lambda: repeated(network, batches, few),
        threads=THREADS,
    )


def ensemble(network: nn.Module, count: int, batches: Sequence[torch.Tensor]) -> Entry:
    """Return the entry of a deep ensemble of `count` networks."""
    members = [copy.deepcopy(network).eval() for _ in range(count)]
    theirs = deep_ensembles(members).eval()

    def peer():
        with torch.no_grad():
            return [theirs(x).softmax(-1) for x in batches]

    method, detector = methods.get("ensemble"), registry.get("resnet18")
    return Entry(
        f"ensemble of {count} ResNet18, {sum(map(len, batches))} images",
        lambda: method.sample(members, batches, count, 0, detector),
        "torch-uncertainty",
        peer,
        1,
        threads=THREADS,
    )


def entries(small: bool) -> Iterator[Entry]:
    """Yield MC dropout in the head and in every stage, Bayesian networks, and an ensemble."""
    T, n_images = (2, 8) if small else (50, 32)
    torch.manual_seed(0)
    network = registry.get("resnet18").build(2, 0.3).eval()
    images = torch.rand(n_images, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    everywhere = dropout.place_dropout(network, 0.1, "every_stage").eval()
    yield dropout_entry("in the head", network, images, T, 30)
    yield dropout_entry("in every stage", everywhere, images, T, 1.3)
    # Batches of the study's size: a layer of bayesian-torch draws anew for each of them.
    batches = torch.rand(8 if small else 512, 3, 64, 64).split(predict.BATCH)
    yield ensemble(network, 2 if small else 5, batches)
    yield from bayesian(network, 2 if small else 20, 2, batches)
    yield from bayesian(network, T, 2, batches, "features.1.layer4")
