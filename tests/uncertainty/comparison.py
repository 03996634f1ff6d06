"""The engine on the networks of `networks.py`, against loops over whole passes.

`PYTHONPATH=tests python -m uncertainty.comparison` writes the table of the engine's page.
"""

import copy
import sys
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from support.small_networks import naive_dropout
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry
from uncertainty import networks

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.report import results
from deepfake_uncertainty.uncertainty import (
    LastLayer,
    VariationalPosterior,
    inputs,
    prefix,
    sample,
)

NAME = "networks"
PAGE = Path(prefix.__file__).parent / "README.md"
BEGIN, END = "<!-- networks -->", "<!-- end of networks -->"
T, SEED, BATCH = 3, 7, 3
METHODS = "mc_dropout", "bnn", "last_layer", "ensemble"
BOUNDS = 1e-6, 1e-5, 1e-4  # of the largest difference between two probabilities


class Logits(nn.Module):
    """A network that returns its logits and nothing else."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = self.network(x)
        return inputs.reader(found)(found)


def last_layer(network: nn.Module) -> LastLayer:
    """Return a Gaussian over the last layer with random directions: a fit is tested elsewhere."""
    posterior = LastLayer(network)
    generator = torch.Generator().manual_seed(2)
    shape = posterior.directions.shape
    posterior.directions.copy_(torch.randn(shape, generator=generator) / shape[0])
    return posterior


def model_of(method: str, name: str) -> tuple[object, torch.Tensor]:
    """Return what `sample` takes for a method on a network of the list, and four inputs."""
    network, x = networks.built(name)
    if method == "bnn":
        return VariationalPosterior(network), x
    if method == "last_layer":
        return last_layer(network), x
    return [network, networks.built(name, 1)[0]] if method == "ensemble" else network, x


@torch.no_grad()
def naive(method: str, model: object, x: torch.Tensor) -> np.ndarray:
    """Return the samples of a loop in which every pass is one of the whole network on all rows."""
    if method == "mc_dropout":
        return naive_dropout(Logits(model), x, T, SEED)
    if method == "ensemble":
        return torch.stack([Logits(one)(x).softmax(-1) for one in model]).numpy()
    draw, found = model.drawer(), []
    for t in range(T):
        network = copy.deepcopy(model.network)
        named = dict(network.named_parameters())
        for name, value in draw(SEED, t).items():
            named[name].copy_(value)
        found.append(Logits(network)(x).softmax(-1))
    return torch.stack(found).numpy()


class Operations(TorchDispatchMode):
    """It counts multiplications and additions; PyTorch's own counter enters all modules."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, operator: object, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        """Run an operator and add its count."""
        found = operator(*args, **(kwargs or {}))
        count = flop_registry.get(operator.overloadpacket)
        self.total += count(*args, **(kwargs or {}), out_val=found) if count else 0
        return found


@torch.no_grad()
def operations(function: object, x: torch.Tensor) -> int:
    """Return the multiplications and additions of a call."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operator that has no count
    with Operations() as counter, warnings.catch_warnings(action="ignore"):
        with torch.backends.mkldnn.flags(enabled=False):
            function(x.clone())
    torch.backends.mha.set_fastpath_enabled(fused)
    return counter.total


def compared(method: str, name: str) -> dict:
    """Return how `sample` and the naive loop compare for a method on a network of the list.

    within: the bound that holds the largest difference of two probabilities. spread: the mean
    standard deviation of a probability over the samples. shared: the share of a pass that is
    computed once. packed: several samples formed one batch. refused: why it cannot be sampled.
    """
    splits, split = [], prefix.split
    batch = networks.ROWS if networks.CASES[name].mixes else BATCH

    def kept(*arguments: object) -> prefix.Split:
        splits.append(split(*arguments))
        return splits[-1]

    try:
        model, x = model_of(method, name)
        with mock.patch.object(prefix, "split", kept):
            found = sample(model, x, T, SEED, batch=batch)
    except InputError as error:
        return {"refused": str(error)}
    difference = np.abs(found - naive(method, model, x)).max()
    row = {
        "within": next((bound for bound in BOUNDS if difference <= bound), float(difference)),
        "spread": float(f"{found.std(0).mean():.1e}"),
    }
    if splits:
        network = model if method == "mc_dropout" else model.network
        share = operations(splits[0].prefix, x) / max(1, operations(network, x))
        row |= {"shared": round(share, 2), "packed": splits[0].packs}
    return row


def table(names: list[str] | None = None) -> dict[str, dict]:
    """Return {network: its library and, per method, `compared`} of the list."""
    rows = {}
    for name in names or networks.CASES:
        rows[name] = {"library": networks.CASES[name].library}
        rows[name] |= {method: compared(method, name) for method in METHODS}
    return rows


def cell(found: dict) -> str:
    """Return how a method did on a network, as text."""
    return "refused" if "refused" in found else f"{found['within']:.0e}"


def markdown(rows: dict[str, dict]) -> str:
    """Return the table as Markdown, and the reasons below it."""
    lines = [
        "| network | library | MC dropout | shared | Bayesian | last layer | ensemble |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    reasons: dict[str, None] = {}
    for name, row in sorted(rows.items(), key=lambda item: (item[1]["library"], item[0])):
        bounds = [cell(row[method]) for method in METHODS]
        share = row["mc_dropout"].get("shared")
        bounds.insert(1, "" if share is None else f"{share:.0%}")
        lines.append(f"| {' | '.join([name, row['library'], *bounds])} |")
        reasons |= {row[one]["refused"]: None for one in METHODS if "refused" in row[one]}
    return "\n".join([*lines, "", "Refused:", "", *(f"- {reason}" for reason in reasons)])


def page_with(rows: dict[str, dict]) -> str:
    """Return the page of the engine with the table in its place."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{markdown(rows)}\n{END}{after}"


def main() -> int:
    """Write the table as a sidecar and into the page; return 0."""
    warnings.simplefilter("ignore")  # of the libraries, about how they trace themselves
    results.write_sidecar(NAME, table(), "quick", SEED)
    PAGE.write_text(page_with(results.load(NAME)["numbers"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
