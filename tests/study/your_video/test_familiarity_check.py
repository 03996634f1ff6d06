"""The guard against footage unlike what was calibrated on."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors
from support import small_world

from deepfake_uncertainty.datasets import video
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study.your_video import familiarity_check, properties


def known(values, people=None, name="size"):
    return pd.DataFrame({name: values}, index=range(len(values)) if people is None else people)


def test_deviations_leave_the_own_person_out():
    values = np.array([[0.0], [2.0], [4.0], [10.0]])
    found = familiarity_check.deviations(values, ["a", "a", "b", "c"])
    # Without a: 4 and 10, mean 7, std 3; without b: 0, 2, 10, mean 4; without c: 0, 2, 4, mean 2.
    std_b, std_c = np.std([0, 2, 10]), np.std([0, 2, 4])
    assert found[:, 0] == pytest.approx([-7 / 3, -5 / 3, (4 - 4) / std_b, (10 - 2) / std_c])


def test_what_hardly_varies_has_a_least_spread():
    found = familiarity_check.deviations([[1.0], [1.0], [1.1]], [0, 1, 2])[2, 0]
    assert found == pytest.approx(0.1 / familiarity_check.MIN_SPREAD)


def test_p_values_count_people_not_videos():
    far, people = np.array([1.0, 3.0, 3.0, 0.0]), ["a", "a", "b", "c"]
    # 2 is reached by half of a and all of b: (1 + 0.5 + 1) / 4; ties count as reached.
    found = familiarity_check.p_values(far, people, [2.0, 3.0, 9.0, 0.0])
    assert found.tolist() == [0.625, 0.625, 0.25, 1.0]


def test_an_outlier_is_reported_with_its_reason_and_an_ordinary_video_is_not():
    values = known(np.linspace(30, 50, 40)).assign(brightness=0.5)
    far = familiarity_check.compare_properties(values, {"size": 90.0, "brightness": 0.5})
    assert not far.familiar
    assert far.p_value == pytest.approx(1 / 41)
    assert far.reasons() == ["larger face"]
    dark = familiarity_check.compare_properties(values, {"size": 39.0, "brightness": 0.1})
    assert dark.reasons() == ["darker"]
    near = familiarity_check.compare_properties(values, {"size": 40.0, "brightness": 0.5})
    assert near.familiar and near.reasons() == [] and near.text().startswith("like the footage")
    row = near.checks.loc["size", ["value", "low", "high"]]
    assert row.tolist() == pytest.approx([40, 30.5, 49.5])


def test_features_can_be_too_far_but_not_too_near():
    values = known(np.linspace(0.4, 0.6, 40), name=properties.FEATURES)
    assert familiarity_check.compare_properties(values, {properties.FEATURES: 0.1}).familiar
    far = familiarity_check.compare_properties(values, {properties.FEATURES: 2.0})
    assert far.reasons() == ["features unlike any trained on"]


def test_too_few_people_cannot_tell_and_say_so():
    found = familiarity_check.compare_properties(
        known([1.0, 2.0, 1.5, 1.6], ["a", "a", "b", "b"]), {"size": 1e5}
    )
    assert found.p_value == pytest.approx(1 / 3) and found.familiar
    text = "no guard against unfamiliar footage: it needs the videos of 19 people, here are 2"
    assert found.text() == text


@pytest.mark.parametrize(
    ("values", "value", "alpha"),
    [
        ([], 1.0, 0.1),
        ([1.0, 2.0], 0.0, 0.1),
        ([1.0, np.nan], 1.0, 0.1),
        ([1.0, 2.0], np.nan, 0.1),
        ([1.0, 2.0], 1.0, 1.0),
    ],
)
def test_bad_values_are_refused(values, value, alpha):
    with pytest.raises(InputError, match="give one or more, of positive values, and alpha in"):
        familiarity_check.compare_properties(known(values), {"size": value}, alpha)


def test_one_person_to_compare_with_is_the_least():
    assert familiarity_check.compare_properties(known([1.0]), {"size": 1.0}).p_value == 1.0
    with pytest.raises(InputError, match="two or more"):
        familiarity_check.deviations([[1.0]], ["a"])


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 100))
def test_units_and_order_do_not_matter(seed, unit):
    rng = np.random.default_rng(seed)
    values, order = np.exp(rng.normal(size=12)), rng.permutation(12)
    first = familiarity_check.compare_properties(known(values, range(12)), {"size": 1.5}).p_value
    again = familiarity_check.compare_properties(
        known(unit * values[order], order), {"size": unit * 1.5}
    ).p_value
    assert 1 / 13 <= first <= 1 and first == pytest.approx(again)


def test_false_alarms_are_near_alpha_when_videos_of_a_person_are_alike():
    rng, alarms = np.random.default_rng(0), []
    for _ in range(300):
        person = rng.normal(size=(31, 1, 3))
        rows = np.exp(person + 0.3 * rng.normal(size=(31, 6, 3)))
        values = pd.DataFrame(
            rows[:30].reshape(-1, 3),
            columns=["size", "motion", "contrast"],
            index=np.repeat(range(30), 6),
        )
        new = dict(zip(values, rows[30, 0], strict=True))
        alarms.append(not familiarity_check.compare_properties(values, new, 0.1).familiar)
    assert 0.05 < np.mean(alarms) < 0.15  # 300 trials at 0.1: standard error 0.017


def test_distance_is_that_to_the_fifth_neighbour():
    rng = np.random.default_rng(0)
    bank, vectors = rng.normal(size=(2, 20, 7)).astype(np.float32)
    other = NearestNeighbors(n_neighbors=5).fit(bank).kneighbors(vectors)[0][:, 4].mean()
    assert properties.knn_distance(bank, vectors) == pytest.approx(other, rel=1e-4)
    assert properties.knn_distance(bank[:1], bank[:1]) == pytest.approx(0, abs=1e-3)


def track_of(tmp_path, frames, fps=8.0):
    video.encode(tmp_path / "a.mp4", frames, fps)
    return small_world.load_track(tmp_path / "a.mp4")


def test_properties_of_a_grey_still_clip(tmp_path):
    track = track_of(tmp_path, np.full((8, 32, 32, 3), 102, np.uint8))
    found = properties.video_properties(track, small_world.SPEC)
    assert found["brightness"] == pytest.approx(0.4, abs=0.01)
    assert found["redness"] == pytest.approx(1, abs=0.01)
    assert found["contrast"] == found["sharpness"] == found["motion"] == properties.TINY
    assert "rate" not in found  # frames are read one by one
    timed = properties.video_properties(track, replace(small_world.SPEC, window=4))
    assert timed["rate"] == 8.0
    assert set(timed) | {properties.FEATURES} == set(properties.WORDS) == set(properties.UNITS)


def test_properties_of_moving_landmarks_and_of_a_sharp_picture(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (8, 32, 32, 3)).astype(np.uint8)
    track = track_of(tmp_path, noise)
    eyes = np.linalg.norm(track.landmarks[0, 33] - track.landmarks[0, 263])
    shift = np.arange(8, dtype=np.float32)[:, None, None] * [3, 4]  # 5 px per frame, 8 frames/s
    landmarks = track.landmarks + shift
    found = properties.video_properties(
        replace(track, landmarks=landmarks.astype(np.float32)), small_world.SPEC
    )
    assert found["size"] == pytest.approx(eyes, rel=1e-5)
    assert found["motion"] == pytest.approx(40 / eyes, rel=1e-5)
    assert found["sharpness"] > 0.3 > found["contrast"] > 0.05
