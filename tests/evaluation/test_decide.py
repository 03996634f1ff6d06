"""Conformal decisions: by hand, on degenerate input, and the promised error rate."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.evaluation import decide


def test_by_hand():
    p = np.r_[np.arange(1, 10) / 20, 0.5 + np.arange(1, 10) / 20]
    rule = decide.calibrate(p, np.repeat([0, 1], 9), 0.2)
    # ceil(10 * 0.8) = 8th smallest of the reals, 8th largest of the fakes
    assert rule.reals_below == pytest.approx(0.4) and rule.fakes_above == pytest.approx(0.6)
    assert decide.decide([0.1, 0.5, 0.9], rule).tolist() == ["real", "cannot tell", "fake"]


def test_overlap_is_cannot_tell():
    p, y = np.tile([0.3, 0.5, 0.7], 20), np.repeat([0, 1], 30)
    rule = decide.calibrate(p, y, 0.1)
    assert set(decide.decide(p, rule)) == {"cannot tell"}


def test_too_few_videos_decide_nothing_against_their_class():
    rule = decide.calibrate([0.1, 0.9, 0.95], [0, 1, 1], 0.05)
    assert rule.reals_below == np.inf and rule.fakes_above == -np.inf
    assert decide.decide([0.0, 1.0], rule).tolist() == ["cannot tell"] * 2


@given(
    st.sampled_from([0.05, 0.1, 0.2, 0.3]),
    st.integers(20, 60),
    st.floats(0, 3),
    st.integers(0, 10**6),
)
@settings(max_examples=15, deadline=None)
def test_error_rate_holds_in_each_class(alpha, count, gap, seed):
    """Over many calibrations the mean error of each class is at most alpha.

    The tolerance is 4 standard errors.
    """
    rng = np.random.default_rng(seed)
    y, found = np.repeat([0, 1], count), []
    new = np.repeat([0, 1], 200)
    for _ in range(150):
        p, q = (1 / (1 + np.exp(-(rng.normal(size=len(z)) + gap * z))) for z in (y, new))
        error = decide.outcomes(q, new, decide.calibrate(p, y, alpha)).error
        found.append([error[new == 0].mean(), error[new == 1].mean()])
    found = np.array(found)
    assert (found.mean(0) <= alpha + 4 * found.std(0) / np.sqrt(len(found)) + 1e-9).all()


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_errors_on_the_calibration_videos_stay_below_alpha(seed):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat([0, 1], 40))
    p = np.round(rng.random(80), 1)  # with ties
    found = decide.outcomes(p, y, decide.calibrate(p, y, 0.1))
    for own in (y == 0, y == 1):
        assert found.error[own].mean() <= 0.1 and found.covered[own].mean() >= 0.9


RULE = decide.Rule(0.1, 0.6, 0.4, 9, 9)
STRICT = decide.Rule(0.1, 0.4, 0.6, 9, 9)  # leaves a gap in which no class fits


def test_outcomes_by_hand():
    found = decide.outcomes([0.1, 0.5, 0.9, 0.1, 0.5, 0.9], [0, 0, 0, 1, 1, 1], RULE)
    assert found.covered.tolist() == [True, True, False, False, True, True]
    assert found.decided.tolist() == [True, False, True] * 2
    assert found.error.tolist() == [False, False, True, True, False, False]
    # In the gap: not covered, yet no error.
    found = decide.outcomes([0.1, 0.5, 0.9], [0, 0, 0], STRICT)
    assert found.covered.tolist() == [True, False, False]
    assert found.error.tolist() == [False, False, True]


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=20),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_outcomes_are_those_of_the_decisions(items, low, high):
    p, y = np.array(items).T
    rule = decide.Rule(0.1, low, high, 9, 9)
    found, named = decide.outcomes(p, y, rule), decide.decide(p, rule)
    assert (found.decided == (named != "cannot tell")).all()
    assert (found.error == (named == np.where(y == 1, "real", "fake"))).all()
    assert not (found.error & found.covered).any()


def videos(p_fake, labels, generator="A"):
    names = [f"{k}" for k in range(len(labels))]
    family = np.where(np.array(labels) == 1, generator, "real")
    key = {"dataset": "D", "generator": family, "video": names, "identity": names}
    return pd.DataFrame(key | {"label": labels, "p_fake": p_fake})


def test_summary_by_hand():
    table = decide.summary(videos([0.1, 0.9, 0.5, 0.1], [0, 0, 1, 1]), RULE, 0, 200)
    assert table["value"].loc["all"].tolist() == [0.5, 0.75, 0.5, pytest.approx(2 / 3)]
    for group in ("fake", "A"):
        assert table["value"].loc[group].tolist() == [0.5, 0.5, 0.5, 1]
    assert table["n"].tolist() == [4] * 4 + [2] * 12
    # Two videos: the share is 0, 1/2 or 1.
    assert table.loc[("real", "error"), ["low", "high"]].tolist() == [0, 1]
    none = decide.summary(videos([0.5], [1]), RULE, 0, 20)
    assert np.isnan(none.loc[("fake", "error_decided"), "value"])
    assert "real" not in none.index.get_level_values("group")


def test_scored_is_the_mean_probability_of_fake_by_video():
    rows = videos([0, 0], [0, 1]).drop(columns="p_fake")
    index = pd.concat([rows, rows], ignore_index=True)
    p = np.array([[0.1, 0.6, 0.3, 0.8], [0.1, 0.6, 0.5, 0.8]])
    found = decide.score_videos(np.stack([1 - p, p], 2), index)
    assert found["p_fake"].tolist() == pytest.approx([0.25, 0.7])
    assert found["label"].tolist() == [0, 1]
    with pytest.raises(InputError, match="3 classes"):
        decide.score_videos(np.full((1, 4, 3), 1 / 3), index)


@pytest.mark.parametrize(
    "p, y, alpha",
    [
        ([0.1, np.nan], [0, 1], 0.1),
        ([0.1, 0.2], [0, 0], 0.1),
        ([0.1, 0.2], [0, 1], 0),
        ([0.1, 0.2], [0, 1], 1.5),
        ([0.1, 1.2], [0, 1], 0.1),
        ([0.1, 0.2], [0, 2], 0.1),
        ([], [], 0.1),
        ([0.1], [0, 1], 0.1),
    ],
)
def test_bad_input(p, y, alpha):
    with pytest.raises(InputError):
        decide.calibrate(p, y, alpha)
