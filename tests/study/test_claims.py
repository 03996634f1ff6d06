"""The ledger of claims: rows from sidecars alone, their distances and their figure."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepfake_uncertainty import paths
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.report import claim_ledger
from deepfake_uncertainty.study import claims


@pytest.fixture(autouse=True)
def figures(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "FIGURES", tmp_path / "figures")


def row(claim="C1", interval=(0.2, 0.1, 0.3), **more):
    return claim_ledger.claim_row(claim, "difference", interval, data="SynthFF", n=10, **more)


def test_the_ledger_reads_what_notebooks_wrote_and_nothing_else():
    with pytest.raises(InputError, match="run the notebooks"):
        claims.ledger("quick")
    claim_ledger.write_claims("08", [row("C7", (math.nan,) * 3)], "quick", 0)
    claim_ledger.write_claims("02", [row(), row(interval=(-0.2, -0.3, -0.1))], "quick", 0)
    claim_ledger.write_claims("02", [row()], "full", 0)
    table = claims.ledger("quick")
    assert table["verdict"].tolist() == ["supported", "contradicted", "undecided"]
    assert table["notebook"].tolist() == ["02", "02", "08"] and len(claims.ledger("full")) == 1
    found = claims.claim_summary(table)
    assert found["overall"]["C1"] == "mixed"
    assert found["overall"]["C7"] == "undecided"
    assert found["overall"]["C2"] == "not tested"
    assert list(found.index) == list(claim_ledger.CLAIMS)
    assert found.loc["C1", ["supported", "contradicted"]].tolist() == [1, 1]


def test_published_figures_belong_to_claims():
    table = claims.published()
    assert set(table["claim"]) <= set(claim_ledger.CLAIMS)
    assert table["percent"].between(0, 100).all()


def test_distance_is_counted_in_the_arm_that_points_to_the_bound():
    rows = [
        row("C1", (0.4, 0.2, 1.0)),
        row("C1", (-0.4, -0.5, 0.4)),
        row("C1", (0.0, -1, 1)),
        row("C1", (0.3, 0.3, 0.3)),
        row("C1", (0.1, np.nan, np.nan)),
        row("C1", (0.0, np.nan, np.nan)),
    ]
    table = claim_ledger.write_claims("02", rows, "quick", 0)
    np.testing.assert_allclose(claims.distance_in_arms(table), [2, -0.5, 0, np.inf, np.nan, np.nan])


@given(st.tuples(*3 * [st.integers(-20, 20)]), st.integers(-20, 20))
def test_distance_agrees_with_the_verdict(numbers, bound):
    low, value, high = sorted(numbers)
    one = pd.DataFrame(
        {"value": [value], "low": [low], "high": [high], "bound": [bound]}, dtype=float
    )
    (found,), said = claims.distance_in_arms(one), claim_ledger.verdict(low, high, bound)
    assert said == ("supported" if found > 1 else "contradicted" if found < -1 else "undecided")


def test_the_figure_has_one_line_per_claim_and_one_dot_per_statistic():
    claim_ledger.write_claims(
        "02", [row(), row("C2"), row("C2", (-0.2, -0.3, -0.1), detector="ResNet18")], "quick", 0
    )
    (ax,) = claims.ledger_figure(claims.ledger("quick")).axes
    assert [len(dots.get_offsets()) for dots in ax.collections] == [1, 2]
    assert [text.get_text()[:6] for text in ax.get_yticklabels()] == ["C1 (1)", "C2 (2)"]
