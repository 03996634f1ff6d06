"""Speed of MC dropout and of the Bayesian network, against torch-uncertainty and bayesian-torch."""

import copy

import torch
from benchmarks.runner import Entry
from torch import nn
from torch_uncertainty.methods.mc_dropout import mc_dropout

from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.uncertainty import bayes, dropout

try:
    from bayesian_torch.models.dnn_to_bnn import dnn_to_bnn
except ImportError:
    dnn_to_bnn = None

PRIOR = dict(prior_mu=0.0, prior_sigma=1.0, posterior_mu_init=0.0, posterior_rho_init=-4.0, moped_enable=True, moped_delta=0.1)


def repeated(network, batches, T):
    """Run T passes of a stochastic network over the batches, as bayesian-torch's examples do."""
    with torch.no_grad():
        return torch.stack([torch.cat([network(x).softmax(-1) for x in batches]) for _ in range(T)])


def converted(network, kind):
    """Return a copy of `network` with bayesian-torch's layers of `kind`, or None where that is not installed."""
    if dnn_to_bnn is None:
        return None
    network = copy.deepcopy(network)
    dnn_to_bnn(network, PRIOR | {"type": kind})  # In place; its layers leave the KL term out of what they return.
    return network.eval()


def staged(network, rate=0.1):
    """Return a copy of a ResNet classifier with dropout behind every stage."""
    network = copy.deepcopy(network)
    for k in range(1, 5):
        stage = f"layer{k}"
        setattr(network.features[1], stage, nn.Sequential(getattr(network.features[1], stage), nn.Dropout(rate)))
    return network


def dropout_entry(name, network, sample, images, T, bar):
    """Return the entry of one way of MC dropout, T samples of `images`."""
    theirs = mc_dropout(copy.deepcopy(network), T, last_layer=False).eval()

    def peer():
        with torch.no_grad():
            theirs(images).softmax(-1)

    return Entry(f"MC dropout {name}, ResNet18 64 x 64, T={T}, {len(images)} images",
                 lambda: sample(network, [images], T, 0), "torch-uncertainty", peer, bar)  # fmt: skip


def entries(small):
    """Yield MC dropout in the head and in every stage, and the Bayesian network against both kinds of layers."""
    T, n_images = (2, 8) if small else (50, 32)
    torch.manual_seed(0)
    network = registry.get("resnet18").build(2, 0.3).eval()
    images = torch.rand(n_images, 3, 64, 64)
    yield dropout_entry("in the head", network, dropout.mc_dropout, images, T, 30)
    yield dropout_entry("in every stage", staged(network), dropout.mc_dropout_whole, images, T, 1.3)
    T, batches = (2, [images]) if small else (20, torch.rand(512, 3, 64, 64).split(128))
    posterior = bayes.VariationalPosterior(network)
    for kind, bar in (("Reparameterization", 2), ("Flipout", 4)):
        theirs = converted(network, kind)
        peer = None if theirs is None else lambda theirs=theirs: repeated(theirs, batches, T)
        yield Entry(f"BNN ResNet18, T={T}, {sum(map(len, batches))} images", lambda: bayes.samples(posterior, batches, T, 0),
                    f"bayesian-torch, {kind}", peer, bar)  # fmt: skip
