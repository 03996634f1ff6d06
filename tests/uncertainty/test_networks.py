"""Networks of timm, torchvision, Hugging Face and PyTorch, sampled as by plain loops.

`comparison.py` writes the committed table; here it is held against fresh computations.
"""

import numpy as np
import pytest
import torch
from uncertainty import comparison, networks

from deepfake_uncertainty.report import results
from deepfake_uncertainty.uncertainty import inputs, sample

QUICK = [
    "lcnet_035", "repvgg_a0", "convnext_atto", "VisionTransformer", "ViTForImageClassification",
    "TransformerEncoder, sequence first", "LSTM, dropout between layers",
]  # fmt: skip
OTHERS = [name for name in networks.CASES if name not in QUICK]


@pytest.fixture(scope="module")
def table():
    return results.load(comparison.NAME)["numbers"]


def test_the_table_holds_what_is_claimed(table):
    assert list(table) == sorted(networks.CASES)
    methods = [[row[name] for name in comparison.METHODS] for row in table.values()]
    sampled = [one for row in methods for one in row if "refused" not in one]
    assert all(one["within"] <= 1e-5 and one["spread"] > 1e-5 for one in sampled)
    assert sum("refused" not in row["mc_dropout"] for row in table.values()) >= 45
    assert all("refused" not in row["bnn"] for row in table.values())
    refused = [one["refused"] for row in methods for one in row if "refused" in one]
    assert refused and all(reason and "\n" not in reason for reason in refused)


def is_as_in_the_table(name, table):
    fresh = comparison.table([name])[name]
    for method in comparison.METHODS:
        ours, committed = dict(fresh[method]), dict(table[name][method])
        if "refused" not in ours:
            assert ours.pop("within") <= 1e-5 and committed.pop("within") <= 1e-5
            assert ours.pop("spread") == pytest.approx(committed.pop("spread"), rel=0.1)
        assert ours == committed


@pytest.mark.parametrize("name", QUICK)
def test_a_network_is_sampled_as_by_a_loop(name, table):
    is_as_in_the_table(name, table)


@pytest.mark.long
@pytest.mark.parametrize("name", OTHERS)
def test_every_other_network_is_sampled_as_by_a_loop(name, table):
    is_as_in_the_table(name, table)


def test_a_trace_that_fails_prints_nothing(capfd):
    network, x = networks.built("dla34")  # in a trace, an argument is None that its code replaces
    capfd.readouterr()
    sample([network], x)
    assert capfd.readouterr().err == ""


# Networks without batch statistics: in training mode they differ from samples by dropout alone.
@pytest.mark.parametrize(
    "name",
    [
        "VisionTransformer", "ViTForImageClassification", "BertForSequenceClassification",
        "TransformerEncoder, sequence first", "MultiheadAttention", "LSTM, dropout between layers",
        pytest.param("convnext_atto", marks=pytest.mark.slow),
        pytest.param("beit_base_patch16_224", marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_samples_have_the_mean_and_spread_of_training(name):
    network, x = networks.built(name)
    count = 300
    ours = sample(network, x[:2], count, 0)[..., 1]
    torch.manual_seed(1)
    with torch.no_grad():
        network.train()
        passes = [network(x[:2]) for _ in range(count)]
    theirs = torch.stack([inputs.reader(one)(one).softmax(-1)[:, 1] for one in passes]).numpy()
    error = np.sqrt((ours.var(0) + theirs.var(0)) / count)
    assert (np.abs(ours.mean(0) - theirs.mean(0)) < 5 * error).all()
    squares = [(part - part.mean(0)) ** 2 for part in (ours, theirs)]
    error = np.sqrt(sum(part.var(0) for part in squares) / count)
    assert (np.abs(squares[0].mean(0) - squares[1].mean(0)) < 5 * error).all()
