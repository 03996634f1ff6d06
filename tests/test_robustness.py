"""What robustness measures: success, abstention and noticing by hand, and what must be refused."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from small_world import RECIPE, inputs
from test_attacks import fitted, network, some_clips
from torch import nn

from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.detectors.base import DetectorSpec
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import attacks, clips, decide, robustness, robustness_figures
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
    found = robustness.values(samples([0.8, 0.2, 0.1, 0.9, 0.1, 0.9]), CLEAN, RULE, 0, 200)
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


class Double(nn.Module):
    def forward(self, x):
        return x.double()


def precise():
    """The small network in float64: how a processor rounds a picture in another batch is lost in the float32 probabilities."""
    model = network().double()
    model.features = nn.Sequential(Double(), *model.features)
    return model


@pytest.fixture
def small_targets(monkeypatch):
    """Two Targets of a tiny detector on clips of 2 frames: one network as it is, one with dropout."""
    monkeypatch.setitem(registry.DETECTORS, "small", DetectorSpec("small", "Small", network, inputs, 1, RECIPE))
    monkeypatch.setitem(clips.FRONTS, inputs, lambda track: lambda crops: crops)
    chosen, found = some_clips(12, 2), []
    for method in ("deterministic", "mc_dropout"):
        model = fitted(precise(), method)
        decided = clips.sample(model, chosen, "small", 4).probabilities.mean(0)
        rule = decide.calibrate(decided[:, 1], chosen.index["label"], 0.4)
        found.append(robustness.Target("small", model, chosen, rule, clips.sample(model, chosen, "small", 4)))
    return found


def test_from_targets_to_tables_and_figures(small_targets):
    counts = {("small", one.model.method): 12 for one in small_targets}
    swept, rounded = robustness.sweep(small_targets, attacks.common(3, 2), [0, 0.4, 8], 0, 4, 20)
    # Two inputs a clip as the attack left them, one as the detector reads it: at 0 the video is another mean.
    assert set(swept.index.get_level_values("strength")) == {0, 0.4, 8} and swept.index.equals(rounded.index)
    zero = rounded.xs(0, level="strength")["value"].unstack("metric")
    assert (zero["success"] == 0).all() and (zero["total_noticed"] == 0.5).all()
    small = rounded.xs(0.4, level="strength")["value"].unstack("metric")
    assert (small["success"] == 0).all()
    worst = robustness.strongest(swept)
    for method, attack in (("deterministic", "PGD"), ("mc_dropout", "EOT-PGD")):
        expected = swept.xs((method, attack), level=("method", "attack"))
        assert worst.xs(method, level="method").equals(expected) and len(expected)
    sound = robustness.sanity(swept, small_targets, attacks.common(3, 2), 0, 4)
    assert set(sound.drop(columns="unbounded").stack()) <= {"yes", "no"} and (sound["unbounded"] <= 0.5).all()
    for figure in (robustness_figures.accuracy(swept, counts), robustness_figures.noticed(worst, counts)):
        figure.draw_without_rendering()
        plt.close(figure)


def test_from_clips_to_transfer_and_corruptions(small_targets):
    counts = {("small", one.model.method): 12 for one in small_targets}
    moved = robustness.transfer(small_targets[:1], small_targets, attacks.common(3, 2)["FGSM"], 8, 0, 4, 20)
    assert moved.index.get_level_values("source").unique().tolist() == ["small", "noise"]
    harmed = robustness.corrupt(small_targets, ["blur", "noise"], [0, 5], 0, 4, 20)
    assert (harmed.xs((0, "success"), level=("severity", "metric"))["value"] == 0).all()
    for figure in (robustness_figures.transfer(moved), robustness_figures.severities(harmed, counts)):
        figure.draw_without_rendering()
        plt.close(figure)
