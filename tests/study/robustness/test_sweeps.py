"""The measures of robustness: values by hand, and what is refused."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from support.attack_targets import SPEC, fitted, index, network, some_clips
from torch import nn

from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.evaluation import decide
from deepfake_uncertainty.study.robustness import attacks, clips, figures, sweeps
from deepfake_uncertainty.training.predict import Samples

RULE = decide.Rule(0.1, 0.4, 0.6, 20, 20)  # 0.4 < p < 0.6 fits neither class


def samples(p_fake, T=1):
    p = np.asarray(p_fake, dtype=np.float64)
    return Samples(np.stack([np.stack([1 - p, p], 1)] * T).astype(np.float32), index(len(p)))


CLEAN = samples([0.1, 0.9, 0.1, 0.9, 0.1, 0.2])  # the last fake is missed


def first(found):
    return {name: value[0] for name, value in found.items()}


def test_by_hand():
    # One real is called fake, one fake is left undecided (and still right), and one fake is called
    # real with certainty.
    changed = samples([0.8, 0.55, 0.1, 0.01, 0.1, 0.2])
    found = first(sweeps.attack_values(changed, CLEAN, RULE, 0, 50))
    assert found["accuracy"] == pytest.approx(3 / 6)
    assert found["attack_success_rate"] == pytest.approx(2 / 5)
    assert found["abstention_rate"] == pytest.approx(1 / 6)
    assert found["wrong_decision_rate"] == pytest.approx(3 / 6)


def test_nothing_done_is_not_noticed():
    found = sweeps.attack_values(CLEAN, CLEAN, RULE, 0, 50)
    assert found["attack_success_rate"][0] == 0 and np.nanmax(found["attack_success_rate"]) == 0
    for score in ("softmax", "total", "aleatoric", "epistemic"):
        assert np.allclose(found[f"{score}_attack_auroc"], 0.5)


def test_what_makes_all_uncertain_is_noticed_and_what_makes_all_certain_is_inverted():
    clean = samples([0.2, 0.8] * 4)
    unsure = first(sweeps.attack_values(samples([0.45, 0.55] * 4), clean, RULE, 0, 20))
    sure = first(sweeps.attack_values(samples([0.99, 0.01] * 4), clean, RULE, 0, 20))
    assert unsure["total_attack_auroc"] == 1
    assert unsure["abstention_rate"] == 1
    assert unsure["attack_success_rate"] == 0
    assert sure["total_attack_auroc"] == 0
    assert sure["abstention_rate"] == 0
    assert sure["wrong_decision_rate"] == 1
    assert sure["attack_success_rate"] == 1


def test_a_detector_that_was_never_right_has_no_success_rate():
    wrong = samples([0.9, 0.1] * 3)
    assert np.isnan(sweeps.attack_values(wrong, wrong, RULE, 0, 20)["attack_success_rate"]).all()


def test_other_videos_are_refused():
    with pytest.raises(InputError, match="not of the same videos"):
        sweeps.attack_values(samples([0.1, 0.9]), CLEAN, RULE, 0, 20)


def test_table_has_an_interval_around_every_value():
    found = sweeps.attack_values(samples([0.8, 0.2, 0.1, 0.9, 0.1, 0.9]), CLEAN, RULE, 0, 200)
    table = sweeps.interval_table({("d", 1): found, ("d", 2): found}, ["detector", "strength"])
    assert table.index.names == ["detector", "strength", "metric"]
    assert list(table.columns) == ["value", "low", "high"]
    row = table.loc[("d", 1, "accuracy")]
    assert row.low <= row.value <= row.high and row.low < row.high


def test_one_video_of_one_class():
    one = Samples(CLEAN.probabilities[:, :1], CLEAN.index[:1])
    found = first(sweeps.attack_values(one, one, RULE, 0, 20))
    assert found["accuracy"] == 1
    assert np.isnan(found["auroc"])
    assert found["total_attack_auroc"] == 0.5


def test_readers_of_a_clip():
    assert "fakecatcher128" not in sweeps.detectors_for_length(64)
    assert {"resnet18", "fakecatcher"} <= set(sweeps.detectors_for_length(64))


class Double(nn.Module):
    def forward(self, x):
        return x.double()


def precise():
    """The small network in float64: rounding in other batches is lost in float32 probabilities."""
    model = network().double()
    model.features = nn.Sequential(Double(), *model.features)
    return model


@pytest.fixture
def small_targets(monkeypatch):
    """Two Targets of a tiny detector on clips of 2 frames: one deterministic, one with dropout."""
    monkeypatch.setitem(registry.DETECTORS.specs(), "small", SPEC)
    chosen, found = some_clips(12, 2), []
    for method in ("deterministic", "mc_dropout"):
        model = fitted(precise(), method)
        clean = clips.sample_clips(model, chosen, 4)
        p_fake = clean.probabilities.mean(0)[:, 1]
        rule = decide.calibrate(p_fake, chosen.index["label"], 0.4)
        found.append(sweeps.Target("small", model, chosen, rule, clean))
    return found


def test_from_targets_to_tables_and_figures(small_targets):
    counts = {one.key: 12 for one in small_targets}
    swept, rounded = sweeps.attack_sweep(
        small_targets, attacks.standard_attacks(3, 2), [0, 0.4, 8], 0, 4, 20
    )
    # The attack leaves two inputs per clip, the detector reads one: at 0 the video's mean differs.
    assert set(swept.index.get_level_values("strength")) == {0, 0.4, 8}
    assert swept.index.equals(rounded.index)
    zero = rounded.xs(0, level="strength")["value"].unstack("metric")
    assert (zero["attack_success_rate"] == 0).all() and (zero["total_attack_auroc"] == 0.5).all()
    small = rounded.xs(0.4, level="strength")["value"].unstack("metric")
    assert (small["attack_success_rate"] == 0).all()
    worst = sweeps.strongest_attack(swept)
    for method, attack in (("deterministic", "PGD"), ("mc_dropout", "EOT-PGD")):
        expected = swept.xs((method, attack), level=("method", "attack"))
        assert worst.xs(method, level="method").equals(expected) and len(expected)
    sound = sweeps.attack_checks(swept, small_targets, attacks.standard_attacks(3, 2), 0, 4)
    assert set(sound.drop(columns="unbounded").stack()) <= {"yes", "no"}
    assert (sound["unbounded"] <= 0.5).all()
    for figure in (figures.accuracy_figure(swept, counts), figures.detection_figure(worst, counts)):
        figure.draw_without_rendering()
        plt.close(figure)


def test_from_clips_to_transfer_and_corruptions(small_targets):
    counts = {one.key: 12 for one in small_targets}
    moved = sweeps.transfer_table(
        small_targets[:1], small_targets, attacks.standard_attacks(3, 2)["FGSM"], 8, 0, 4, 20
    )
    assert moved.index.get_level_values("source").unique().tolist() == ["small", "noise"]
    harmed = sweeps.corruption_table(small_targets, ["blur", "noise"], [0, 5], 0, 4, 20)
    assert (harmed.xs((0, "attack_success_rate"), level=("severity", "metric"))["value"] == 0).all()
    for figure in (figures.transfer_figure(moved), figures.severity_figure(harmed, counts)):
        figure.draw_without_rendering()
        plt.close(figure)
