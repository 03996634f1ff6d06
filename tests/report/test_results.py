"""Results repeat to the byte, name no machine, and are found again by profile."""

import json
import os

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from deepfake_uncertainty import paths
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.report import results


def save(name="07_tiny", **more):
    figure, ax = plt.subplots(figsize=(1, 1))
    ax.plot([1, 2], [3, 4])
    frame = pd.DataFrame({"auroc": [np.float32(0.5), np.nan]}, index=["a", "b"])
    numbers = {"table": frame, "n": np.int64(3), "x": np.arange(2)}
    assert results.save(figure, name, numbers, "quick", 0, **more) is None
    plt.close(figure)
    return results.folder("quick") / f"{name}.json"


def test_results_repeat_to_the_byte_and_name_no_machine(house):
    written = []
    for _ in range(2):
        path = save()
        written.append(
            [path.with_suffix(suffix).read_bytes() for suffix in (".png", ".pdf", ".json")]
        )
    assert written[0] == written[1]
    assert b"CreationDate" not in written[0][1]
    loaded = results.load("07_tiny")
    assert loaded["numbers"]["table"] == [
        {"index": "a", "auroc": 0.5},
        {"index": "b", "auroc": None},
    ]
    assert loaded["numbers"]["n"] == 3 and loaded["numbers"]["x"] == [0, 1]
    text = json.dumps(loaded)
    assert str(paths.PROJECT) not in text and os.uname().nodename not in text


def test_results_of_two_profiles_do_not_hide_each_other(house):
    for profile, value in (("quick", 1), ("full", 2)):
        results.write_sidecar("07_tiny", {"table": [{"name": "a", "value": value}]}, profile, 0)
    assert results.load_table("07_tiny", "table", ["name"])["value"]["a"] == 1
    assert results.load_table("07_tiny", "table", ["name"], "full")["value"]["a"] == 2


def test_a_result_not_made_yet_is_a_clear_error(house):
    with pytest.raises(InputError, match=r"figures/07_none\.json"):
        results.load("07_none")


def test_the_answer_is_the_sentence_of_one_figure(house):
    assert results.answer("07_tiny") == (None, None)
    results.write_sidecar("07_numbers", {}, "quick", 0, answer="Not of a figure.")
    save("07_b")
    assert results.answer("07_tiny") == ("07_b", None)
    save("07_c", answer="It\n  holds.")
    assert results.answer("07_tiny") == ("07_c", "It holds.")
    save("07_d", answer="Another.")
    with pytest.raises(InputError, match="07_c, 07_d all carry an answer"):
        results.answer("07_tiny")


def test_given_data_are_said_without_their_path(house, monkeypatch):
    for name in results.ROOT_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert results.environment()["data"] == "SynthFF and SynthAV"
    monkeypatch.setenv(results.ROOT_VARIABLES[1], "/data/real")
    assert results.environment()["data"] == "given root"
    assert "/data/real" not in json.dumps(results.environment())


def test_values_become_plain_json():
    frame = pd.DataFrame({"v": [1.23456789]}, index=pd.MultiIndex.from_tuples([("a", "b")]))
    assert results.to_json(frame) == [{"level_0": "a", "level_1": "b", "v": 1.23457}]
    assert results.to_json({("a", 1): pd.Series({"x": np.inf})}) == {"a/1": {"x": None}}
    assert results.to_json((np.bool_(True), None, "x", 10**9 + 0.5)) == [True, None, "x", 1e9]
