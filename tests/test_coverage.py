"""Coverage of the decision rule: theory holds on exchangeable videos, fails under a shift, and by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import betabinom, hypergeom

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import coverage

SPLITS = 150


def videos(people=60, generators=("real", "A"), seed=0, gap=1.5, ties=False, dataset="D"):
    rows = [(dataset, g, f"{i}", f"{i}", int(g != "real")) for i in range(people) for g in generators]
    found = pd.DataFrame(rows, columns=["dataset", "generator", "video", "identity", "label"])
    p = expit(np.random.default_rng(seed).normal(size=len(found)) + gap * (found["label"] - 0.5))
    return found.assign(p_fake=p.round(1) if ties else p)


@pytest.mark.parametrize("calibration, count, alpha", [(9, 1, 0.1), (19, 7, 0.25), (5, 3, 0.4)])
def test_theory_is_the_law_of_ranks(calibration, count, alpha):
    """Of all orders of n + m scores, the k-th of the n has j of the m at or below it: counted by a hypergeometric draw."""
    place = int(np.ceil(round((calibration + 1) * (1 - alpha), 9)))
    each = []
    for below in range(count + 1):
        # The threshold is at place k + j of all; before it are k - 1 calibration scores and j new ones.
        before = hypergeom(calibration + count, calibration, place - 1 + below).pmf(place - 1)
        each.append(before * (calibration - place + 1) / (calibration + count - place + 1 - below))
    assert sum(each) == pytest.approx(1)
    mean, low, high = coverage.theory(calibration, count, alpha)
    assert mean == pytest.approx(np.dot(each, np.arange(count + 1)) / count)
    cumulative = np.cumsum(each)
    assert low == np.searchsorted(cumulative, 0.025) / count and high == np.searchsorted(cumulative, 0.975) / count


def test_theory_with_too_few_videos_covers_everything():
    assert coverage.theory(8, 20, 0.1) == (1, 1, 1) and coverage.theory(9, 20, 0.1)[0] == 0.9


@pytest.mark.parametrize("seed", range(3))
def test_exchangeable_videos_are_covered_as_theory_says(seed):
    """One video a class and identity: the law is exact, whatever the scores. Tolerances are 4 standard errors."""
    table = coverage.repeated(videos(seed=seed), [0.05, 0.1, 0.2, 0.4], seed, SPLITS)
    for (alpha, _, _), row in table.iterrows():
        place = round(row.expected * (row.calibration + 1))
        law = betabinom(int(row.n), place, int(row.calibration) + 1 - place)
        assert row.coverage == pytest.approx(row.expected, abs=4 * law.std() / row.n / np.sqrt(SPLITS))
        assert row.within > 0.95 - 4 * np.sqrt(0.95 * 0.05 / SPLITS)
        assert row.expected >= 1 - alpha and row.error <= 1 - row.coverage + 1e-12
        assert row.low <= row.coverage <= row.high


def test_ties_only_raise_coverage():
    table = coverage.repeated(videos(ties=True), [0.1, 0.3], 0, SPLITS)
    assert (table["coverage"] > table["expected"]).all() and (table["low"] >= table["theory_low"] - 1e-9).all()


def test_a_generator_never_seen_breaks_the_promise():
    known = videos()
    unseen = known[known["label"] == 1].assign(generator="B", p_fake=lambda rows: rows["p_fake"] * 0.4)
    table = coverage.repeated(known, [0.1, 0.2], 0, SPLITS, shifted=unseen)
    for alpha in (0.1, 0.2):
        row = table.loc[(alpha, "shifted", "B")]
        assert row.high < row.theory_low and row.within == 0 and row.error > alpha
        pd.testing.assert_series_equal(row, table.loc[(alpha, "shifted", "fake")], check_names=False)
        assert table.loc[(alpha, "calibrated", "fake"), "within"] > 0.85
    assert "real" not in table.xs("shifted", level="part").index.get_level_values("group")
    # What is shifted changes nothing for what calibrates.
    alone = coverage.repeated(known, [0.1, 0.2], 0, SPLITS)
    pd.testing.assert_frame_equal(table.xs("calibrated", level="part"), alone.xs("calibrated", level="part"))


def test_a_shifted_video_is_not_tested_where_its_identity_calibrates():
    known = videos(20)
    table = coverage.repeated(known, [0.2], 0, 20, shifted=known[known["label"] == 1].assign(generator="B"))
    assert table.loc[(0.2, "shifted", "B"), "n"] == 10
    other = coverage.repeated(known, [0.2], 0, 20, shifted=videos(20, ("B",), dataset="E"))
    assert other.loc[(0.2, "shifted", "B"), "n"] == 20


def test_the_promise_is_for_the_class_not_for_each_generator():
    found = videos(80, ("real", "A", "B"))
    found.loc[found["generator"] == "B", "p_fake"] *= 0.5
    row = coverage.repeated(found, [0.2], 0, SPLITS).loc[(0.2, "calibrated")]["coverage"]
    assert row["B"] < 0.7 < 0.78 < row["fake"] < 0.83 < 0.9 < row["A"]


def test_too_few_videos_cannot_tell():
    table = coverage.repeated(videos(10), [0.1], 0, 20)  # five calibrate; nine would be needed
    assert (table["cannot_tell"] == 1).all() and (table["coverage"] == 1).all() and (table["within"] == 1).all()


def test_the_same_seed_gives_the_same_table():
    pd.testing.assert_frame_equal(*(coverage.repeated(videos(20), [0.2], 3, 10) for _ in range(2)))


def test_bad_input():
    for arguments in ((videos(1), [0.1], 0), (videos(), [0.1], 0, 10, 0.0), (videos(), [0.1], 0, 10, 1.0), (videos(), [2], 0),
                      (videos(), [0.1], 0, 0), (videos(generators=("real",)), [0.1], 0)):  # fmt: skip
        with pytest.raises(InputError):
            coverage.repeated(*arguments)


def test_decisions_are_calibrated_on_others():
    calibration, test = videos(20), videos(15, dataset="E")
    table = coverage.decisions(calibration, test, [0.1, 0.3], 0, 50)
    assert table.index.names == ["alpha", "group", "metric"]
    assert table.loc[(0.1, "all", "decided"), "value"] != table.loc[(0.3, "all", "decided"), "value"]
    assert (table["n"].xs("all", level="group") == 30).all()
    with pytest.raises(InputError, match="20 identities"):
        coverage.decisions(calibration, calibration, [0.1], 0, 10)
