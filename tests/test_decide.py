"""Conformal decisions: by hand, on degenerate input, and the promised error rate."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import decide


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


@given(st.sampled_from([0.05, 0.1, 0.2, 0.3]), st.integers(20, 60), st.floats(0, 3), st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_error_rate_holds_in_each_class(alpha, count, gap, seed):
    """Over many calibrations the mean error of each class is at most alpha; the tolerance is 4 standard errors."""
    rng = np.random.default_rng(seed)
    y, found = np.repeat([0, 1], count), []
    new = np.repeat([0, 1], 200)
    for _ in range(150):
        p, q = (1 / (1 + np.exp(-(rng.normal(size=len(z)) + gap * z))) for z in (y, new))
        table = decide.summary(decide.decide(q, decide.calibrate(p, y, alpha)), new)
        found.append(table.loc[["real", "fake"], "error"])
    found = np.array(found)
    assert (found.mean(0) <= alpha + 4 * found.std(0) / np.sqrt(len(found)) + 1e-9).all()


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_errors_on_the_calibration_videos_stay_below_alpha(seed):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat([0, 1], 40))
    p = np.round(rng.random(80), 1)  # with ties
    error = decide.summary(decide.decide(p, decide.calibrate(p, y, 0.1)), y)["error"]
    assert (error[["real", "fake"]] <= 0.1).all()


def test_summary_by_hand():
    table = decide.summary(["real", "fake", "cannot tell", "real"], [0, 0, 1, 1])
    assert table.loc["all"].tolist() == [4, 0.75, 0.5, pytest.approx(2 / 3)]
    assert np.isnan(decide.summary(["cannot tell"], [1]).loc["fake", "error_decided"])
    assert np.isnan(decide.summary(["cannot tell"], [1]).loc["real", "error"])


@pytest.mark.parametrize("p, y, alpha", [
    ([0.1, np.nan], [0, 1], 0.1), ([0.1, 0.2], [0, 0], 0.1), ([0.1, 0.2], [0, 1], 0), ([0.1, 0.2], [0, 1], 1.5),
    ([0.1, 1.2], [0, 1], 0.1), ([0.1, 0.2], [0, 2], 0.1), ([], [], 0.1), ([0.1], [0, 1], 0.1),
])
def test_bad_input(p, y, alpha):
    with pytest.raises(InputError):
        decide.calibrate(p, y, alpha)
