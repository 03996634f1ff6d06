"""Numbers as text."""

import numpy as np
import pandas as pd

from deepfake_uncertainty.report import formatting

COLUMNS = ["value", "low", "high"]


def test_an_interval_has_two_decimals():
    row = pd.Series([0.12345, 0.1, 0.199], COLUMNS)
    assert formatting.interval_text(row) == "0.12 [0.10, 0.20]"
    assert formatting.interval_text(pd.Series([0.5, np.nan, np.nan], COLUMNS)) == "0.50 [nan, nan]"


def test_a_stacked_table_becomes_one_column_per_chosen_metric():
    index = pd.MultiIndex.from_product(
        [["b", "a"], ["nll", "auroc", "ece"]], names=["detector", "metric"]
    )
    table = pd.DataFrame({"value": np.arange(6) / 10, "low": 0.0, "high": 1.0}, index)
    found = formatting.format_intervals(table, ("auroc", "nll"))
    assert list(found) == ["auroc", "nll"] and list(found.index) == ["b", "a"]  # in their order
    assert found.loc["a", "auroc"] == "0.40 [0.00, 1.00]"
    assert found.loc["b", "nll"] == "0.00 [0.00, 1.00]"
