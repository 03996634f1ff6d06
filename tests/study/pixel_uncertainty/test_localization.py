"""Maps against masks, controls, patterns by generator: each on maps whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study.pixel_uncertainty import localization, patterns

SIZE = 32
NAMES = "real", "A", "B"


def rows(people=6):
    return pd.DataFrame(
        [
            {
                "dataset": "D",
                "generator": name,
                "video": f"{k}{name}",
                "identity": f"{k}",
                "masked": True,
            }
            for k in range(people)
            for name in NAMES
        ]
    )


def data(people=6):
    own = rows(people)
    painted = np.zeros((len(own), SIZE, SIZE), bool)
    painted[own["generator"].eq("A"), :16, :16] = True
    painted[own["generator"].eq("B"), 16:, 16:] = True
    x = np.random.default_rng(0).random((len(own), 3, SIZE, SIZE), np.float32)
    return localization.Frames(x, painted, own)


def test_a_perfect_a_random_and_an_opposite_map():
    own = data()
    found = {
        "mask": own.painted.astype(float),
        "centre": np.ones(own.painted.shape),
        "opposite": 1.0 - own.painted,
    }
    scored = localization.localization_scores(found, own)
    assert len(scored) == 3 * 12
    assert set(scored["generator"]) == {"A", "B"}  # real videos have nothing to find
    table = localization.localization_table(scored, 0, 50)["value"]
    for name, auroc, hit in (("mask", 1, 1), ("centre", 0.5, 0.25), ("opposite", 0, 0)):
        assert table[name, "all", "auroc"] == pytest.approx(auroc)
        assert table[name, "A", "hit"] == pytest.approx(hit)
    assert table["mask", "all", "gain"] == pytest.approx(0.5)
    assert table["mask", "B", "area"] == pytest.approx(0.25)


def test_frames_without_a_mask_or_painted_wholly_are_left_out():
    own = data(2)
    own.painted[1], own.rows.loc[2, "masked"] = True, False
    assert len(localization.localization_scores({"centre": np.ones(own.painted.shape)}, own)) == 2


def test_similarity_of_a_map_with_itself_its_opposite_and_a_constant():
    one = np.random.default_rng(0).random((1, SIZE, SIZE))
    rank, structure = localization.map_similarity(one, one)
    assert rank == pytest.approx(1) and structure == pytest.approx(1)
    assert localization.map_similarity(one, -one)[0] == pytest.approx(-1)
    assert np.isnan(localization.map_similarity(one, np.ones_like(one))[0]).all()


def test_relative_maps_have_no_common_pattern():
    own = rows(3)
    grid = np.where(np.arange(SIZE) % 8 == 0, 10.0, 1.0)[None, None] * np.ones((len(own), SIZE, 1))
    assert np.allclose(localization.relative_maps(grid, own), 1)
    assert not localization.relative_maps(0 * grid, own).any()
    with pytest.raises(InputError, match="need the real videos"):
        localization.relative_maps(grid[1:2], own[1:2])


def test_subset_keeps_the_first_people():
    few = localization.first_identities(data(), 2)
    assert few.rows["identity"].unique().tolist() == ["0", "1"]
    assert len(few.x) == len(few.painted) == len(few.rows) == 6


def test_generators_with_patterns_are_identified_and_noise_is_not():
    own, rng = data(), np.random.default_rng(1)
    noise = rng.random(own.painted.shape) + 0.5
    table = patterns.generator_accuracy_table(
        {"planted": noise + 3 * own.painted, "noise": noise}, own.rows, 0, 100, 99
    )
    assert table.loc["planted", "value"] == 1 and table.loc["planted", "p"] == pytest.approx(0.01)
    assert table.loc["noise", "low"] < 1 / 3 + 0.15 and table.loc["noise", "p"] > 0.05
    assert table.loc["noise", "chance"] == pytest.approx(1 / 3, abs=0.1)
    assert (table["classes"] == 3).all()


def test_the_strength_of_a_map_does_not_count():
    own, rng = data(), np.random.default_rng(1)
    strong = rng.random(own.painted.shape) * (
        1 + 100 * own.rows["generator"].eq("A").to_numpy()[:, None, None]
    )
    assert patterns.generator_accuracy(strong, own.rows, 0, 50, 99)["p"] > 0.05
    means = patterns.mean_maps(strong, own.rows)
    assert list(means) == list(NAMES)
    assert all(value.mean() == pytest.approx(1) for value in means.values())
    assert not patterns.mean_maps(0 * strong, own.rows)["A"].any()


def test_one_generator_or_person_is_too_few():
    own = data(1)
    with pytest.raises(InputError, match="of 1 persons"):
        patterns.generator_accuracy(np.ones(own.painted.shape), own.rows, 0)


def test_detectors_of_windows_have_no_pixel_map():
    with pytest.raises(InputError, match="reads 64 frames at once"):
        localization.test_frames(pd.DataFrame(), "fakecatcher", 1)
