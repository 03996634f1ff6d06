"""Tables of detectors crossed with methods, against numbers found by hand."""

import numpy as np
import pandas as pd
import pytest

from deepfake_uncertainty.evaluation import metric_tables, significance
from deepfake_uncertainty.report import formatting
from deepfake_uncertainty.study import method_comparison
from deepfake_uncertainty.training.predict import Samples


@pytest.fixture
def samples():
    """Four videos of two windows: real 0 and 1, fake 2 and 3; only video 1 (0.6) is wrong."""
    rows = [
        {
            "dataset": "set",
            "generator": "real" if v < 2 else "A",
            "video": str(v),
            "identity": str(v),
            "split": "val" if v in (0, 2) else "test",
            "start": w,
            "label": int(v >= 2),
        }
        for v in range(4)
        for w in range(2)
    ]
    index = pd.DataFrame(rows)
    p = np.repeat([0.1, 0.6, 0.7, 0.9], 2)
    return Samples(np.stack([1 - p, p], 1)[None].astype(np.float32), index)


def test_of_split_keeps_rows_and_probabilities_together(samples):
    found = samples.of_split("test")
    assert found.index["video"].tolist() == ["1", "1", "3", "3"]
    assert found.index.index.tolist() == [0, 1, 2, 3]
    assert found.probabilities[0, :, 1] == pytest.approx([0.6, 0.6, 0.9, 0.9])
    assert samples.of_split("other").probabilities.shape == (1, 0, 2)


def test_tables_stack_the_metric_table_of_each(samples):
    table = significance.seed_tables({("d", "m"): samples, ("d", "other"): samples}, 0, 20)
    values = ["value", "low", "high"]
    assert table.index.names == ["detector", "method", "metric"]
    assert list(table.columns) == [*values, "spread", "seeds"]
    assert table.loc[("d", "m", "accuracy"), "value"] == pytest.approx(3 / 4)
    assert table.loc[("d", "m", "auroc"), "value"] == 1  # 0.1 and 0.6 lie below 0.7 and 0.9
    brier = 2 * (0.01 + 0.36 + 0.09 + 0.01) / 4
    assert table.loc[("d", "m", "brier"), "value"] == pytest.approx(brier, rel=1e-5)
    pd.testing.assert_frame_equal(
        table.loc["d", "m"][values], metric_tables.metric_table(*samples, 0, 20), check_names=False
    )
    pd.testing.assert_frame_equal(table.loc["d", "m"], table.loc["d", "other"])


def test_tables_by_generator(samples):
    table = significance.seed_tables_by_generator({("d", "m"): samples}, 0, 20)
    assert table.index.names == ["detector", "method", "generator", "metric"]
    assert table.loc[("d", "m", "real", "accuracy"), "value"] == 0.5
    assert table.loc[("d", "m", "A", "accuracy"), "value"] == 1


def test_intervals_as_text_keep_the_chosen_metrics_in_order():
    levels = ["detector", "method", "metric"]
    index = pd.MultiIndex.from_tuples(
        [("d", "m", name) for name in ("nll", "accuracy", "auroc")], names=levels
    )
    table = pd.DataFrame(
        {"value": [0.5, 0.754, np.nan], "low": [0.4, 0.7, np.nan], "high": [0.61, 0.8, np.nan]},
        index,
    )
    found = formatting.format_intervals(table, ["auroc", "accuracy"])
    assert list(found.columns) == ["auroc", "accuracy"]
    assert found.loc[("d", "m")].tolist() == ["nan [nan, nan]", "0.75 [0.70, 0.80]"]


def test_several_trainings_are_pooled(samples):
    # Every video gets another's score.
    other = Samples(samples.probabilities[:, ::-1].copy(), samples.index)
    both = {0: samples, 1: other}
    table = significance.seed_tables({("d", "m"): both}, 0, 50).loc["d", "m"]
    alone = [metric_tables.metric_table(*one, 0, 50)["value"] for one in both.values()]
    np.testing.assert_allclose(table["value"], np.mean(alone, 0))
    assert (table["seeds"] == 2).all()
    assert table.loc["auroc", "spread"] == pytest.approx(2**-0.5)  # 1 and 0
    assert len(method_comparison.window_scores(both)) == 16
    assert len(method_comparison.risk_curve(both, "total").risk) == 8


def test_windows_by_hand(samples):
    found = method_comparison.window_scores(samples)
    assert len(found) == 8 and found["generator"].tolist() == ["real"] * 4 + ["A"] * 4
    assert found["right"].tolist() == [True, True, False, False] + [True] * 4
    assert found["confidence"][::2].tolist() == pytest.approx([0.9, 0.6, 0.7, 0.9])
    assert found["softmax"][2] == pytest.approx(0.4)
    assert np.allclose(found["epistemic"], 0, atol=1e-6)
    assert found["total"][0] == pytest.approx(-0.1 * np.log(0.1) - 0.9 * np.log(0.9), abs=1e-6)


def test_risk_curve_by_hand(samples):
    curve = method_comparison.risk_curve(samples, "softmax")
    # Kept in order of 1 - max p: two videos of 0.1 (a tie), then 0.3, then the wrong one of 0.4.
    assert curve.coverage[-3:] == pytest.approx([0.5, 0.75, 1])
    assert curve.risk[-3:] == pytest.approx([0, 0, 0.25])


def test_risk_curve_of_one_video(samples):
    one = Samples(samples.probabilities[:, 2:4], samples.index[2:4].reset_index(drop=True))
    curve = method_comparison.risk_curve(one, "total")
    assert curve.coverage[-1] == 1 and curve.risk[-1] == 1
