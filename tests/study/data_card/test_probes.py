"""Probes: each feature by hand, and a table that finds a planted shortcut and nothing in noise."""

import numpy as np
import pandas as pd
import pytest
from support import small_world

from deepfake_uncertainty.datasets import tracks
from deepfake_uncertainty.datasets.layouts import faceforensics
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study.data_card import probes


def test_noise_level_is_that_of_white_noise_and_ignores_ramps():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:128, :128]
    assert probes.noise_level(3 * x - 2 * y + 5) == pytest.approx(0, abs=1e-9)
    assert probes.noise_level(x + rng.normal(0, 4, x.shape)) == pytest.approx(4, rel=0.05)


def face(nose=(0.0, 0.5), turn=0.0):
    """One face turned by `turn` rad, its eyes 10 px apart, its nose at `nose` in eye distances."""
    points = np.zeros((468, 2))
    points[probes.LEFT], points[probes.RIGHT] = (-5, 0), (5, 0)
    points[probes.NOSE] = 10 * np.array(nose)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return points @ rotation.T + 40


@pytest.mark.parametrize("turn", [0.0, 0.7, -2.0])
def test_pose_is_the_place_of_the_nose_whatever_the_roll(turn):
    yaw, pitch = probes.pose(np.stack([face((0.2, 0.6), turn), face((-0.1, 0.4), turn)]))
    np.testing.assert_allclose(yaw, [0.2, -0.1], atol=1e-9)
    np.testing.assert_allclose(pitch, [0.6, 0.4], atol=1e-9)


def test_jitter_is_zero_in_even_motion_and_known_in_a_zigzag():
    still = face()
    even = np.stack([still + [2.0 * t, 1.0 * t] for t in range(6)])
    assert probes.jitter(even) == pytest.approx(0, abs=1e-9) and probes.jitter(even[:2]) == 0
    # Second differences of 2 px, eyes 10 px apart.
    zigzag = np.stack([still + [t % 2, 0] for t in range(6)])
    assert probes.jitter(zigzag) == pytest.approx(0.2)


def planted(effect):
    """Features of 40 identities: noise, but `red` is `effect` higher in the fakes of A."""
    rng, rows = np.random.default_rng(1), []
    for person in range(40):
        for generator in ("real", "A", "B"):
            row = {name: rng.normal() for columns in probes.PROBES.values() for name in columns}
            row["red"] += effect * (generator == "A")
            key = {"dataset": "D", "generator": generator, "video": f"{person}"}
            split = "train" if person < 20 else "test"
            rows.append(row | key | {"identity": f"{person}", "split": split})
    return pd.DataFrame(rows)


def test_a_planted_shortcut_is_found_where_it_is():
    table = probes.probe_auroc(planted(5.0), 0, 200)
    assert table.loc[("mean colour", "A"), "low"] > 0.9
    assert table.loc[("all of them", "A"), "low"] > 0.7
    assert table.loc[("mean colour", "B"), "low"] < 0.6
    assert table.loc[("contrast", "A"), "low"] < 0.6
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()


def test_noise_alone_tells_nothing():
    table = probes.probe_auroc(planted(0.0), 0, 200)
    assert (table["low"] < 0.6).all() and len(table) == 3 * (len(probes.PROBES) + 1)


def test_one_class_is_refused():
    found = planted(0.0)
    with pytest.raises(InputError, match="test split has only one class"):
        probes.probe_auroc(
            found[(found["split"] == "train") | (found["generator"] == "real")], 0, 10
        )


def test_features_of_videos_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(tracks, "load", small_world.load_track)
    index, _ = faceforensics.index(small_world.write_root(tmp_path / "root"))
    found = probes.probe_features(index)
    assert len(found) == 16
    assert found["seconds"].tolist() == [1.0] * 16
    assert found["jitter"].abs().max() == 0
    levels = found.groupby(found["generator"].eq("real"))[["red", "green", "blue"]].mean()
    assert (levels.loc[True] - 60).abs().max() < 6 and (levels.loc[False] - 190).abs().max() < 6
    assert (found["bits"] > 8).all() and found["noise"].between(1, 30).all()
