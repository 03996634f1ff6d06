"""Numbers as text, for tables and sentences: values with their intervals."""

from collections.abc import Iterable
from typing import Any

import pandas as pd


def interval_text(row: Any) -> str:
    """Return a row with value, low and high as 'value [low, high]', with two decimals each."""
    return f"{row.value:.2f} [{row.low:.2f}, {row.high:.2f}]"


def format_intervals(table: pd.DataFrame, chosen: Iterable[str]) -> pd.DataFrame:
    """Return the metrics `chosen` of a table with the index level 'metric', one column per metric.

    Each cell is the text 'value [low, high]'.
    """
    return table.apply(interval_text, axis=1).unstack("metric", sort=False)[list(chosen)]
