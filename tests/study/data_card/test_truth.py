"""The ground truth for scoring: the coherence of pulses, and the error of a guess."""

import json

import numpy as np
import pandas as pd
import pytest

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study.data_card import truth

FPS, TIME = 25.0, np.arange(256) / 25.0


def test_coherence_of_a_signal_with_itself_scaled_and_with_noise():
    rng = np.random.default_rng(0)
    true = np.sin(2 * np.pi * 1.2 * TIME) + 0.1 * rng.normal(size=TIME.size)
    assert truth.coherence(true, true, FPS) == pytest.approx(1)
    # Neither scale, sign nor offset counts.
    assert truth.coherence(3 - 2 * true, true, FPS) == pytest.approx(1)
    assert truth.coherence(rng.normal(size=TIME.size), true, FPS) < 0.6


def test_coherence_is_read_where_the_true_pulse_is_strongest():
    rng = np.random.default_rng(1)
    pulse, other = np.sin(2 * np.pi * 1.2 * TIME), np.sin(2 * np.pi * 3 * TIME)
    true = 3 * pulse + other + 0.01 * rng.normal(size=TIME.size)
    weak = other + 0.5 * rng.normal(size=TIME.size)
    assert truth.coherence(pulse + 0.01 * rng.normal(size=TIME.size), true, FPS) > 0.99
    assert truth.coherence(weak, true, FPS) < 0.6  # it shares the weaker beat only


def test_chance_is_the_error_of_the_rates_found_for_others():
    found = pd.DataFrame(
        {
            "identity": ["a", "b", "c", "c"],
            "true_bpm": [60.0, 70, 80, 80],
            "found_bpm": [61.0, 75, 90, 50],
        }
    )
    # a gets 75, 90 or 50: errors 15, 30, 10; b 61, 90, 50: 9, 20, 20; c 61 or 75: 19, 5, twice.
    assert truth.chance(found).tolist() == [15, 20, 12, 12]
    assert truth.chance(found[:1]).isna().all()  # there is nobody else


def test_load_gives_arrays_and_parameters_and_refuses_real_footage(tmp_path):
    (tmp_path / "truth").mkdir()
    np.savez(tmp_path / "truth/003.npz", pulse=np.arange(3.0), heart_rate=61.0)
    (tmp_path / "truth/003.json").write_text(json.dumps({"tone": 4}))
    found = truth.load(tmp_path, "003")
    assert found["pulse"].tolist() == [0, 1, 2]
    assert found["heart_rate"] == 61
    assert found["parameters"] == {"tone": 4}
    with pytest.raises(InputError, match="no truth of 004 .*only the embedded benchmark"):
        truth.load(tmp_path, "004")
