"""What robustness measures: success, abstention and noticing by hand, and what must be refused."""

import numpy as np
import pandas as pd
import pytest

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import decide, robustness
from deepfake_uncertainty.study.predict import Samples

RULE = decide.Rule(0.1, 0.4, 0.6, 20, 20)  # 0.4 < p < 0.6 fits neither class


def samples(p_fake, T=1):
    p = np.asarray(p_fake, dtype=np.float64)
    rows = [{"dataset": "d", "generator": "A" if k % 2 else "real", "video": str(k), "identity": str(k // 2), "split": "test",
             "start": 0, "label": k % 2} for k in range(len(p))]  # fmt: skip
    return Samples(np.stack([np.stack([1 - p, p], 1)] * T).astype(np.float32), pd.DataFrame(rows))


CLEAN = samples([0.1, 0.9, 0.1, 0.9, 0.1, 0.2])  # the last fake is missed


def first(found):
    return {name: value[0] for name, value in found.items()}


def test_by_hand():
    # One real is called fake, one fake is left undecided (and still right), one fake becomes certain of real.
    found = first(robustness.values(samples([0.8, 0.55, 0.1, 0.01, 0.1, 0.2]), CLEAN, RULE, 0, 50))
    assert found["accuracy"] == pytest.approx(3 / 6) and found["success"] == pytest.approx(2 / 5)
    assert found["abstained"] == pytest.approx(1 / 6) and found["fooled"] == pytest.approx(3 / 6)


def test_nothing_done_is_not_noticed():
    found = robustness.values(CLEAN, CLEAN, RULE, 0, 50)
    assert found["success"][0] == 0 and np.nanmax(found["success"]) == 0
    for score in ("softmax", "total", "aleatoric", "epistemic"):
        assert np.allclose(found[f"{score}_noticed"], 0.5)


def test_what_makes_all_uncertain_is_noticed_and_what_makes_all_certain_is_inverted():
    clean = samples([0.2, 0.8] * 4)
    unsure = first(robustness.values(samples([0.45, 0.55] * 4), clean, RULE, 0, 20))
    sure = first(robustness.values(samples([0.99, 0.01] * 4), clean, RULE, 0, 20))
    assert unsure["total_noticed"] == 1 and unsure["abstained"] == 1 and unsure["success"] == 0
    assert sure["total_noticed"] == 0 and sure["abstained"] == 0 and sure["fooled"] == 1 and sure["success"] == 1


def test_a_detector_that_was_never_right_has_no_success_rate():
    wrong = samples([0.9, 0.1] * 3)
    assert np.isnan(robustness.values(wrong, wrong, RULE, 0, 20)["success"]).all()


def test_other_videos_are_refused():
    with pytest.raises(InputError, match="not of the same videos"):
        robustness.values(samples([0.1, 0.9]), CLEAN, RULE, 0, 20)


def test_table_has_an_interval_around_every_value():
    found = robustness.values(samples([0.8, 0.55, 0.1, 0.01, 0.1, 0.2]), CLEAN, RULE, 0, 200)
    table = robustness.table({("d", 1): found, ("d", 2): found}, ["detector", "strength"])
    assert table.index.names == ["detector", "strength", "metric"] and list(table.columns) == ["value", "low", "high"]
    row = table.loc[("d", 1, "accuracy")]
    assert row.low <= row.value <= row.high and row.low < row.high


def test_one_video_of_one_class():
    one = Samples(CLEAN.probabilities[:, :1], CLEAN.index[:1])
    found = first(robustness.values(one, one, RULE, 0, 20))
    assert found["accuracy"] == 1 and np.isnan(found["auroc"]) and found["total_noticed"] == 0.5


def test_readers_of_a_clip():
    assert "fakecatcher128" not in robustness.readers(64) and {"resnet18", "fakecatcher"} <= set(robustness.readers(64))
