"""Numbers of two sidecars: equal, within their intervals, outside, missing; verdicts that turn."""

import json

import pytest

from deepfake_uncertainty import paths
from deepfake_uncertainty.report import comparison
from deepfake_uncertainty.report.comparison import Entry, judge


def compared(old, new):
    """Return (counts above zero, lines of the verdicts that differ)."""
    outcome = comparison.compare({"numbers": old}, {"numbers": new})
    return {kind: n for kind, n in outcome.counts.items() if n}, outcome.turned


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (Entry(0.5, 0.4, 0.6), Entry(0.5, 0.4, 0.6), "equal"),
        (Entry(0.5, 0.4, 0.6), Entry(0.5, 0.4, 0.61), "within"),
        (Entry(0.5, 0.4, 0.6), Entry(0.6, 0.5, 0.7), "within"),
        (Entry(0.5, 0.4, 0.6), Entry(0.601, 0.5, 0.7), "outside"),
        (Entry(0.5, 0.5, 0.5), Entry(0.5001, 0.5, 0.5), "outside"),
        # Without an interval: three significant digits, at most half a unit of the third apart.
        (Entry(0.5, None, 0.6), Entry(0.55, 0.4, 0.6), "outside"),
        (Entry(0.5, None, None), Entry(0.5004, 0.4, 0.6), "within"),
        (Entry(0.123456), Entry(0.12395), "within"),
        (Entry(0.123456), Entry(0.12396), "outside"),
        (Entry(0.12349), Entry(0.12351), "within"),  # not printed alike, but next to each other
        (Entry(-4567.0), Entry(-4572.0), "within"),
        (Entry(0.0), Entry(1e-9), "outside"),
        (Entry(10), Entry(9), "outside"),
        (Entry(None), Entry(0.3), "outside"),
        (Entry(0.3, 0.2, 0.4), Entry(None, None, None), "outside"),
        (Entry("nose"), Entry("mouth"), "outside"),
        (Entry("nose"), Entry("nose"), "equal"),
        (Entry(0.3), None, "missing"),
    ],
)
def test_a_number_is_judged(old, new, said):
    assert judge(old, new) == said


def row(value, low, high, **names):
    return {"value": value, "low": low, "high": high, **names}


def test_an_estimate_with_its_interval_is_one_number():
    old = [row(0.5, 0.4, 0.6, metric="auroc", n=60, spread=None)]
    assert compared(old, old) == ({"equal": 2}, [])  # the estimate and n
    new = [row(0.45, 0.3, 0.5, metric="auroc", n=60, spread=None)]
    assert compared(old, new) == ({"equal": 1, "within": 1}, [])


def test_rows_are_found_in_any_order():
    old = [
        row(0.1 * k, 0, 1, metric=name, severity=k) for name in ("auroc", "ece") for k in (0, 1, 2)
    ]
    assert compared(old, old[::-1]) == ({"equal": 6}, [])
    one = [{"share": 0.25, "what": "chance"}, {"share": 0.5, "what": "overlap"}]
    other = [{"share": 0.75, "what": "overlap"}, {"share": 0.25, "what": "chance"}]
    assert compared(one, other) == ({"equal": 1, "outside": 1}, [])  # here texts tell rows apart


RECORD = sorted(paths.FIGURES.rglob("[0-9]*.json"))


@pytest.mark.parametrize("path", RECORD, ids=lambda path: path.stem)
def test_every_row_of_the_record_has_names_of_its_own(path):
    places = [place for place, _ in comparison.entries(json.loads(path.read_text())["numbers"])]
    repeated = [
        place
        for place in places
        if any(isinstance(part, tuple) and place[k + 1] for k, part in enumerate(place))
    ]
    assert places and not repeated and len(set(places)) == len(places)


def test_rows_of_one_name_are_paired_in_their_order():
    rows = [{"total": 0.1}, {"total": 0.2}]
    assert compared(rows, rows) == ({"equal": 2}, [])
    assert compared(rows, rows[::-1]) == ({"outside": 2}, [])


def test_what_is_on_one_side_only_is_missing_or_new():
    old = [row(0.5, 0.4, 0.6, metric="auroc"), row(0.5, 0.4, 0.6, metric="ece")]
    assert compared(old, old[:1]) == ({"equal": 1, "missing": 1}, [])
    assert compared(old[:1], old) == ({"equal": 1, "new": 1}, [])
    outcome = comparison.compare({"numbers": {"a": 1, "b": [1.0, 2.0]}}, None)
    assert outcome.counts["missing"] == 3


def test_a_number_of_no_estimate_is_not_counted_until_there_is_one():
    old = {"accuracy": row(None, None, None)}
    assert compared(old, old) == ({}, [])
    assert compared(old, {"accuracy": row(0.5, 0.4, 0.6)}) == ({"outside": 1}, [])


def test_ranges_of_known_videos_are_no_intervals():
    old = {"size": row(20.0, 10.0, 40.0, deviation=0.5)}
    new = {"size": row(30.0, 10.0, 40.0, deviation=0.5)}
    assert compared(old, new) == ({"equal": 3, "outside": 1}, [])


def test_a_spread_of_samples_is_the_interval_of_p_fake():
    old, new = {"p_fake": 0.7, "spread": [0.5, 0.9]}, {"p_fake": 0.6, "spread": [0.4, 0.8]}
    assert compared(old, new) == ({"within": 1}, [])
    seeds = {"value": 0.7, "spread": 0.01}  # of several trainings: a number like others
    assert compared(seeds, seeds | {"spread": 0.02}) == ({"equal": 1, "outside": 1}, [])


def claim(low, high, **more):
    names = {"claim": "C2", "statistic": "ECE", "data": "SynthFF", "detector": "", "bound": 0.0}
    return names | row(0.1, low, high) | more


def test_a_verdict_turns_with_its_interval():
    line = "C2, ECE, SynthFF: undecided (committed: supported)"
    counts, turned = compared([claim(0.05, 0.2)], [claim(-0.05, 0.2)])
    assert counts == {"equal": 1, "within": 1} and turned == [line]
    assert compared([claim(0.05, 0.2)], [claim(0.01, 0.2)])[1] == []
    assert compared([claim(0.05, 0.2)], [claim(None, None)])[1] == [line]


@pytest.mark.parametrize("key", comparison.VERDICTS)
def test_what_a_sidecar_decides_is_a_verdict(key):
    old, new = [{"name": "x", key: "supported"}], [{"name": "x", key: "undecided"}]
    assert compared(old, old) == ({}, [])
    assert compared(old, new) == ({}, ["x: undecided (committed: supported)"])
    assert compared(old, []) == ({}, ["x: missing (committed: supported)"])


def test_a_written_verdict_goes_before_its_interval():
    old = [claim(0.05, 0.2, verdict="supported")]
    assert compared(old, [claim(0.05, 0.2, verdict="contradicted")])[1] == [
        "C2, ECE, SynthFF: contradicted (committed: supported)"
    ]
