"""The runner of the benchmarks, with synthetic entries, and the peers' results against ours."""

import json
import sys
import time

import numpy as np
import pytest
from benchmarks import gpu, motion, pulse, runner


def busy(seconds):
    def work():
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass

    return work


def test_rows_say_who_is_faster_and_whether_the_bar_holds(tmp_path, capsys):
    entries = [
        runner.Entry("quick", busy(0.001), "slow peer", busy(0.01), 3, units=2),
        runner.Entry("missed", busy(0.01), "quick peer", busy(0.001), 3),
        runner.Entry("alone", busy(0.002), bar=1.0),
        runner.Entry("no bar", busy(0.002)),
        runner.Entry("peer not installed", busy(0.002), "absent", None, 2),
        runner.Entry(
            "near its floor", busy(0.01), "peer", busy(0.01), floor=busy(0.005), share=0.2
        ),
        runner.Entry("far from it", busy(0.01), floor=busy(0.005), share=0.95),
    ]
    rows = runner.run(entries, tmp_path / "rows.json")
    assert rows == json.loads((tmp_path / "rows.json").read_text())
    keys = "name", "ours_s", "peer", "peer_s", "ratio", "bar", "floor_s", "share", "wanted_share"
    assert tuple(rows[0]) == (*keys, "holds")
    assert [row["holds"] for row in rows] == [True, False, True, None, None, True, False]
    assert [row["share"] for row in rows[-2:]] == pytest.approx([0.5, 0.5], rel=0.3)
    assert rows[0]["ratio"] == pytest.approx(20, rel=0.5)
    assert rows[0]["ours_s"] == pytest.approx(0.0005, rel=0.5)
    assert [row["peer"] for row in rows[2:5]] == [None] * 3 and rows[4]["ratio"] is None
    said = capsys.readouterr().out
    assert "FAILS" in said and said.count("\n") == 7


def test_the_plain_reading_of_ppg_maps_gives_our_maps():
    crops, landmarks = pulse.clip(64)
    assert np.allclose(pulse.ours(crops, landmarks), pulse.peer(crops, landmarks), atol=1e-3)


def test_a_loop_over_pyrtools_gives_our_phases():
    # Frames change little: where the amplitude is almost 0, rounding errors decide on which side of
    # pi a step falls.
    changes = np.random.default_rng(0).normal(0, 0.02, (6, 32, 32))
    frames = np.cumsum(changes, axis=0) + np.random.default_rng(1).random((32, 32))
    for mine, theirs in zip(motion.ours(frames), motion.peer(frames), strict=True):
        assert np.mean(np.abs(mine - theirs) < 1e-3) > 0.999


@pytest.mark.slow
def test_the_benchmark_of_a_card_runs_at_toy_size(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["gpu", "--out", str(tmp_path / "gpu.json"), "--small"])
    assert gpu.main() == 0
    parts = json.loads((tmp_path / "gpu.json").read_text())["parts"]
    assert not [name for name, part in parts.items() if "error" in part]
    rates = parts["training, ResNet18, 32 px, batches of 4"]["inputs_per_s"]
    assert len(rates) == 5 and min(rates.values()) > 0
