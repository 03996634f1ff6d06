"""One video before several detectors."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from skimage import data
from support import small_world
from support.reports import familiarity, report

from deepfake_uncertainty import paths
from deepfake_uncertainty.datasets import tracks, video
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.evaluation import decide
from deepfake_uncertainty.study.your_video import analysis, explain, panel
from deepfake_uncertainty.training import profiles
from deepfake_uncertainty.training.config import Run


def rows(labels, people):
    return pd.DataFrame(
        {
            "dataset": "d",
            "generator": "g",
            "video": range(len(labels)),
            "identity": people,
            "label": labels,
        }
    )


def test_the_example_is_a_test_fake_whatever_the_order_of_the_index():
    index = pd.DataFrame(
        {
            "dataset": "d",
            "generator": ["real", "A", "A", "A", "B"],
            "video": list("abcde"),
            "split": ["test", "train", "test", "test", "test"],
        }
    )
    chosen = panel.example_video(index)
    assert (chosen.generator, chosen.video) in {("A", "c"), ("A", "d"), ("B", "e")}
    assert panel.example_video(index[::-1]).video == chosen.video
    with pytest.raises(InputError, match="no fake in its test split"):
        panel.example_video(index[:2])


def test_outcomes_by_hand():
    said = np.array([decide.REAL, decide.FAKE, decide.CANNOT_TELL, decide.FAKE, decide.REAL])
    unlike = np.array([False, False, True, False, False])
    found = panel._outcomes(said, unlike, rows([0, 0, 0, 1, 1], list("aabbc")), 0, 50)
    assert found["value"].to_dict() == pytest.approx(
        {"error": 0.4, "error, real": 1 / 3, "error, fake": 0.5, "decided": 0.8, "unlike": 0.2}
    )
    assert found["n"].tolist() == [5, 3, 2, 5, 5]
    assert (found["low"] <= found["value"]).all() and (found["value"] <= found["high"]).all()


def test_a_share_of_all_or_of_one_person_is_sure():
    index = rows([0, 1], ["a", "a"])
    assert panel._share([True, True], index, 0, 20) == (1.0, 1.0, 1.0)
    assert panel._share([True, False], index, 0, 20) == (0.5, 0.5, 0.5)


@pytest.fixture
def asked(monkeypatch):
    """Let `analyze` answer with a report, but for a detector that needs more."""

    def analyze(path, detector, *_):
        if detector == "fakecatcher":
            raise InputError(f"{path}: too short")
        return report(detector=detector)

    monkeypatch.setattr(analysis, "analyze", analyze)


def test_detectors_that_cannot_read_the_video_are_listed_and_all_of_them_are_an_error(asked):
    found, unable = panel.analyze_with_each(
        "a.mp4", ["resnet18", "fakecatcher"], "bnn", "quick", 0.1
    )
    assert list(found) == ["resnet18"] and unable == {"fakecatcher": "a.mp4: too short"}
    with pytest.raises(InputError, match="a.mp4: too short"):
        panel.analyze_with_each("a.mp4", ["fakecatcher"], "bnn", "quick", 0.1)
    with pytest.raises(InputError, match="name at least one"):
        panel.analyze_with_each("a.mp4", [], "bnn", "quick", 0.1)
    with pytest.raises(InputError, match="unknown detector 'none'"):
        panel.analyze_with_each("a.mp4", ["none"], "bnn", "quick", 0.1)


def test_the_table_has_spread_percentiles_and_the_guard():
    table = panel.report_table(
        {"resnet18": report(), "fakecatcher": report(familiarity=familiarity(300.0))}
    )
    assert table.loc["ResNet18"].tolist() == [
        "cannot tell",
        "0.55 [0.50, 0.60]",
        *["0.500; 75"] * 3,
        "yes (p = 0.95)",
    ]
    assert table.loc["FakeCatcher", "like what it knows?"] == "NO (p = 0.02)"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"detector": "fakecatcher", "x": np.zeros((1, 8, 8))},
        {"familiarity": familiarity(300.0)},
    ],
    ids=["picture", "map", "unlike"],
)
def test_what_is_drawn(changes):
    one = report(**changes)
    figure, axes = plt.subplots(1, 4)
    title = panel.draw_timeline(axes[0], one).get_title()
    assert title.endswith("unlike what it knows") == (not one.familiarity.familiar)
    panel.draw_evidence(axes[1:], one)
    assert [bar.get_width() for bar in axes[3].patches] == [0.4]
    assert explain.WHOLE not in [label.get_text() for label in axes[3].get_yticklabels()]
    plt.close(figure)


def test_the_strip_shows_faces_with_their_times(tmp_path, monkeypatch):
    video.encode(tmp_path / "a.mp4", np.full((8, 32, 32, 3), 100, np.uint8), 8.0)
    monkeypatch.setattr(tracks, "load", small_world.load_track)
    figure, ax = plt.subplots()
    panel.draw_face_strip(ax, tmp_path / "a.mp4", 4)
    assert ax.images[0].get_array().shape == (32, 128, 3)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.1", "0.4", "0.6", "0.9"]
    plt.close(figure)


def test_a_photograph_becomes_a_clip_with_one_face_that_moves(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    panel.write_swaying_photo(tmp_path / "a.mp4", data.astronaut()[:400, 50:451], 12)
    track = tracks.load(tmp_path / "a.mp4")
    assert len(track.times) == 12 and track.n_faces == 1
    assert np.ptp(track.landmarks[:, 33, 0]) > 1


def test_the_record_counts_what_analyze_would_say(tmp_path, monkeypatch):
    """On the tiny data set, whose fakes are brighter, no test video is wrong or unlike."""
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(tracks, "load", small_world.load_track)
    monkeypatch.setitem(registry.DETECTORS.specs(), "small", small_world.SPEC)
    monkeypatch.setenv(profiles.DATA_ROOT_VARIABLE, str(small_world.write_root(tmp_path / "root")))
    index, _ = profiles.videos("quick")
    run = Run("quick", 0, 1)
    record = panel.test_error_rates(index, ["small"], "deterministic", run, 0.34, 20).loc["small"]
    # A P(fake) beyond all of validation may fit neither class, or both: it is then not decided.
    wrong = record["value"].drop("decided").to_dict()
    assert wrong == {"error": 0, "error, real": 0, "error, fake": 0, "unlike": 0}
    assert record["value"]["decided"] >= 0.5
    assert record["n"].tolist() == [4, 2, 2, 4, 4]
