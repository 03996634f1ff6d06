"""`analyze`: what a user types, what is answered, and the exit code."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from support.command_line import DETERMINISTIC, call, fake, refused

from deepfake_uncertainty.datasets import video
from deepfake_uncertainty.seeding import threads
from deepfake_uncertainty.study.your_video import familiarity_check
from deepfake_uncertainty.training import models, predict, train


@pytest.mark.parametrize("method", ["deterministic", "mc_dropout", "bnn"])
def test_analyze_answers_with_a_table_a_figure_and_json(world, capsys, method):
    code, out, _ = call(
        capsys, "analyze", fake(world), *DETERMINISTIC, "--method", method, "--json", "report.json"
    )
    assert code == 0 and out.startswith("006_007.mp4: FAKE, P(fake) ")
    assert "no evidence about footage unlike it" in out and "epistemic (nats)" in out
    assert Path("006_007-analysis.png").stat().st_size > 10_000
    report = json.loads(
        Path("report.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name} in JSON")
    )
    assert report["decision"] == "fake" and len(report["windows"]) == 4 and report["p_fake"] > 0.5
    assert report["trained_on"] == "4 identities of FaceForensics++ (real, A)"


def test_analyze_twice_reads_nothing_of_the_training_set(world, capsys, monkeypatch):
    call(capsys, "analyze", fake(world), *DETERMINISTIC)
    monkeypatch.setattr(predict, "load_inputs", lambda *_: pytest.fail("inputs were read again"))
    monkeypatch.setattr(train, "fit", lambda *_: pytest.fail("trained again"))
    assert call(capsys, "analyze", fake(world), *DETERMINISTIC)[0] == 0


def test_analyze_reads_each_model_once_on_the_threads_of_its_recipe(world, capsys, monkeypatch):
    options = *DETERMINISTIC, "--method", "bnn"
    call(capsys, "analyze", fake(world), *options)
    seen, load = [], models.load

    def watched(key, module):
        seen.append((type(module).__name__, torch.get_num_threads()))
        return load(key, module)

    monkeypatch.setattr(models, "load", watched)
    with threads(2):  # the recipe has one
        assert call(capsys, "analyze", fake(world), *options)[0] == 0
    assert seen == [("VariationalPosterior", 1), ("Classifier", 1)]


def test_analyze_says_which_face_and_whether_the_trial_is_fair(world, capsys):
    two = world.parent / "two.mp4"
    two.write_bytes(fake(world).read_bytes())
    assert (
        "2 faces in the first frame with a face: the largest"
        in call(capsys, "analyze", two, *DETERMINISTIC)[1]
    )
    seen = world / "original_sequences/youtube/c23/videos/000.mp4"
    assert (
        "warning, too optimistic: this video is in the train split"
        in call(capsys, "analyze", seen, *DETERMINISTIC)[1]
    )
    assert "too optimistic" not in call(capsys, "analyze", fake(world), *DETERMINISTIC)[1]


def test_bad_videos_are_refused(world, capsys, tmp_path):
    whole = fake(world).read_bytes()
    bad = {"zero": b"", "noise": b"\x07" * 3000, "cut": whole[: len(whole) // 2]}
    for name, content in bad.items():
        (tmp_path / f"{name}.mp4").write_bytes(content)
    video.encode(tmp_path / "dark.mp4", np.zeros((8, 32, 32, 3), np.uint8), 8.0)
    expected = {
        "zero": "is empty (0 bytes)",
        "noise": "not a readable video",
        "cut": "not a readable video",
        "dark": "no face in any of 8 frames",
        "absent": "no video file",
    }
    for name, words in expected.items():
        error = refused(capsys, "analyze", tmp_path / f"{name}.mp4", *DETERMINISTIC)
        assert words in error and f"{name}.mp4" in error
    assert not (tmp_path / "cache/models").exists()  # told before any training


def test_a_still_picture_is_refused(world, capsys, tmp_path):
    cv2.imwrite(str(tmp_path / "still.png"), np.full((32, 32, 3), 100, np.uint8))
    error = refused(capsys, "analyze", tmp_path / "still.png", *DETERMINISTIC)
    assert "still.png is a still picture, one frame: give a video" in error


def test_an_unfamiliar_video_gets_no_verdict_but_reasons(world, capsys, tmp_path, monkeypatch):
    assert (
        "it needs the videos of 19 people, here are 6"
        in call(capsys, "analyze", fake(world), *DETERMINISTIC)[1]
    )
    judge = familiarity_check.Guard.judge
    monkeypatch.setattr(
        familiarity_check.Guard, "judge", lambda self, track, x: judge(self, track, x, 0.2)
    )  # six people reach 1 / 7
    video.encode(tmp_path / "white.mp4", np.full((8, 32, 32, 3), 250, np.uint8), 8.0)
    code, out, _ = call(
        capsys, "analyze", tmp_path / "white.mp4", *DETERMINISTIC, "--json", "report.json"
    )
    answer, guard = out.splitlines()[:2]
    assert (
        code == 0
        and answer.startswith("white.mp4: CANNOT TELL")
        and "unlike anything this was calibrated on" in guard
    )
    report = json.loads(Path("report.json").read_text())
    assert report["decision"] == "cannot tell" and report["p_fake"] > 0.5
    assert (
        not report["familiarity"]["familiar"]
        and "less contrast" in report["familiarity"]["reasons"]
    )


def test_clip_shorter_than_the_window(world, capsys):
    error = refused(
        capsys, "analyze", fake(world), "--detector", "fakecatcher", "--method", "deterministic"
    )
    assert "006_007.mp4: clip of 8 frames is shorter than the PPG window of 64" in error


@pytest.mark.parametrize(
    "options, words",
    [
        (["--profile", "big"], "unknown profile 'big': use quick, full, paper"),
        (["--detector", "x"], "unknown detector 'x': use resnet18"),
        (
            ["--method", "x"],
            "unknown method 'x': use deterministic, temperature, mc_dropout, bnn, laplace, ens",
        ),
        (["--alpha", "0"], "alpha is 0.0"),
        (["--alpha", "1"], "alpha is 1.0"),
        (["--alpha", "nan"], "alpha is nan"),
        (["--alpha", "x"], "invalid float value: 'x'"),
        (["--figure", "a.tiff"], "ends in .png, .pdf or .svg"),
        (["--figure", "/proc/none/a.png"], "cannot write /proc/none/a.png"),
        (["--json", "."], "is a folder"),
        (["--json", "/proc/none/a.json"], "cannot write /proc/none/a.json"),
    ],
)
def test_bad_options_of_analyze(world, capsys, options, words):
    assert words in refused(capsys, "analyze", fake(world), *DETERMINISTIC, *options)
