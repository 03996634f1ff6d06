"""Rows of the ledger of claims, and verdicts that depend on intervals only."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepfake_uncertainty import paths
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.report import claim_ledger, results


@pytest.fixture(autouse=True)
def figures(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "FIGURES", tmp_path / "figures")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.6, 0.7, "supported"),
        (0.3, 0.4, "contradicted"),
        (0.4, 0.6, "undecided"),
        (0.5, 0.6, "undecided"),
        (math.nan, math.nan, "undecided"),
    ],
)
def test_a_verdict_is_read_from_the_interval(low, high, expected):
    assert claim_ledger.verdict(low, high, 0.5) == expected


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1))
def test_the_negative_of_a_statistic_has_the_opposite_verdict(a, b, bound):
    opposite = {"supported": "contradicted", "contradicted": "supported", "undecided": "undecided"}
    low, high = sorted((a, b))
    found = claim_ledger.verdict(low, high, bound)
    assert claim_ledger.verdict(-high, -low, -bound) == opposite[found]


def row(claim="C1", interval=(0.2, 0.1, 0.3), **more):
    return claim_ledger.claim_row(claim, "difference", interval, data="SynthFF", n=10, **more)


def test_a_row_of_an_unknown_claim_or_a_turned_interval_is_refused():
    with pytest.raises(InputError, match="unknown claim 'C99'"):
        row("C99")
    with pytest.raises(InputError, match="ends before it begins"):
        row(interval=(0.2, 0.3, 0.1))


def test_a_row_has_the_columns_of_the_ledger_in_plain_numbers():
    values = np.array([0.2, 0.1, 0.3, 0.04], np.float32)  # what follows the interval is left out
    found = row(interval=values, bound=np.float32(0.5), detector="A")
    assert list(found) == claim_ledger.COLUMNS
    assert (
        found["claim"] == "C1" and found["statistic"] == "difference" and found["detector"] == "A"
    )
    numbers = [found[name] for name in ("value", "low", "high", "bound", "n")]
    assert numbers == pytest.approx([0.2, 0.1, 0.3, 0.5, 10])
    assert [type(value) for value in numbers] == [float] * 4 + [int]
    assert row()["bound"] == 0 and row()["detector"] == ""


def test_written_claims_are_a_sidecar_and_come_back_judged():
    rows = [row(), row("C2", (-0.2, -0.3, -0.1)), row("C7", (math.nan,) * 3), row(bound=0.25)]
    table = claim_ledger.write_claims("08", rows, "quick", 0)
    expected = ["supported", "contradicted", "undecided", "undecided"]
    assert table["verdict"].tolist() == expected
    assert list(table) == [*claim_ledger.COLUMNS, "verdict"]
    stored = results.load("08_claims")["numbers"]
    assert [entry["claim"] for entry in stored] == ["C1", "C2", "C7", "C1"]
    assert stored[2]["low"] is None  # JSON has no NaN
    read = claim_ledger.judged(pd.DataFrame(stored, columns=claim_ledger.COLUMNS))
    assert read["verdict"].tolist() == expected and read["low"].dtype == float


def test_a_notebook_may_write_no_claims():
    assert claim_ledger.write_claims("08", [], "quick", 0).empty
    assert results.load("08_claims")["numbers"] == []


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([(0.1, 0.2), (0.0001, 1)], "supported"),
        ([(-0.2, -0.1)], "contradicted"),
        ([(0.1, 0.2), (-0.1, 0.2)], "undecided"),
        ([(np.nan, np.nan)], "undecided"),
        ([], "undecided"),
    ],
)
def test_joint_verdicts(rows, said):
    table = pd.DataFrame(rows, columns=["low", "high"], dtype=float)
    assert claim_ledger.joint_verdict(table) == said
