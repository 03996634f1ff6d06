"""The truth that only scoring reads: coherence of pulses, and medians with intervals over identities."""

import json

import numpy as np
import pandas as pd
import pytest

from deepfake_uncertainty.benchmark import truth
from deepfake_uncertainty.errors import InputError

FPS, TIME = 25.0, np.arange(256) / 25.0


def test_coherence_of_a_signal_with_itself_scaled_and_with_noise():
    rng = np.random.default_rng(0)
    true = np.sin(2 * np.pi * 1.2 * TIME) + 0.1 * rng.normal(size=TIME.size)
    assert truth.coherence(true, true, FPS) == pytest.approx(1)
    assert truth.coherence(3 - 2 * true, true, FPS) == pytest.approx(1)  # neither scale, sign nor offset counts
    assert truth.coherence(rng.normal(size=TIME.size), true, FPS) < 0.6


def test_coherence_is_read_where_the_true_pulse_is_strongest():
    rng = np.random.default_rng(1)
    pulse, other = np.sin(2 * np.pi * 1.2 * TIME), np.sin(2 * np.pi * 3 * TIME)
    true = 3 * pulse + other + 0.01 * rng.normal(size=TIME.size)
    weak = other + 0.5 * rng.normal(size=TIME.size)
    assert truth.coherence(pulse + 0.01 * rng.normal(size=TIME.size), true, FPS) > 0.99
    assert truth.coherence(weak, true, FPS) < 0.6  # it shares the weaker beat only


def test_summary_is_the_median_and_its_interval_over_identities():
    found = pd.DataFrame({"generator": ["real", "real", "A", "A"], "identity": ["0", "1", "0", "1"],
                          "error_bpm": [2.0, 4.0, 1.0, 1.0]})  # fmt: skip
    rows = truth.summary(found, "generator", ["error_bpm"], n_boot=400).set_index("generator")
    # Two identities are drawn as 00, 01, 10 or 11: medians 2, 3, 3 and 4, so the interval is the whole range.
    assert rows.loc["real", ["value", "low", "high", "videos", "identities"]].tolist() == [3, 2, 4, 2, 2]
    assert rows.loc["A", ["value", "low", "high"]].tolist() == [1, 1, 1]
    assert rows["measure"].unique().tolist() == ["error_bpm"] and rows.index.tolist() == ["real", "A"]


def test_summary_draws_identities_whole():
    found = pd.DataFrame({"tone": 1, "identity": ["a"] * 3 + ["b"], "snr_db": [0.0, 0.0, 0.0, 8.0]})
    row = truth.summary(found, "tone", ["snr_db"], n_boot=400).iloc[0]
    # aa, ab and ba have median 0 and bb has 8; drawn as four single videos, 8 would come in 5 % of the cases, not 25 %.
    assert (row["value"], row["low"], row["high"], row["videos"], row["identities"]) == (0, 0, 8, 4, 2)


def test_summary_of_one_identity_has_an_interval_of_no_width():
    found = pd.DataFrame({"tone": 1, "identity": "a", "coherence": [0.2, 0.4, 0.9]})
    row = truth.summary(found, "tone", ["coherence"], n_boot=10).iloc[0]
    assert (row["value"], row["low"], row["high"], row["identities"]) == (0.4, 0.4, 0.4, 1)


def test_load_gives_arrays_and_parameters_and_refuses_real_footage(tmp_path):
    (tmp_path / "truth").mkdir()
    np.savez(tmp_path / "truth/003.npz", pulse=np.arange(3.0), heart_rate=61.0)
    (tmp_path / "truth/003.json").write_text(json.dumps({"tone": 4}))
    found = truth.load(tmp_path, "003")
    assert found["pulse"].tolist() == [0, 1, 2] and found["heart_rate"] == 61 and found["parameters"] == {"tone": 4}
    with pytest.raises(InputError, match="no truth of 004 .*only the embedded benchmark"):
        truth.load(tmp_path, "004")
