"""All commands but `analyze`: what a user types, what is answered, and the exit code."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from support.command_line import DETERMINISTIC, call, fake, refused

from deepfake_uncertainty import cli, devices, paths
from deepfake_uncertainty.datasets import tracks, video
from deepfake_uncertainty.training import predict, profiles


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["train", "x", "bnn"], "unknown detector"),
        (["train", "small", "x"], "unknown method"),
        (["train"], "required: detector"),
        (["build", "--jobs", "0"], "'0' is not a number of processes above zero"),
        (["build", "--jobs", "abc"], "'abc'"),
        (["build", "--profile", "paper"], "nothing to build"),
        (["fly"], "invalid choice"),
        ([], "required: command"),
    ],
)
def test_bad_commands(world, capsys, arguments, words):
    assert words in refused(capsys, *arguments)


@pytest.mark.parametrize("command", [("train", "small", "bnn"), ("analyze", "video.mp4")])
def test_a_card_that_is_not_there_is_reported_first(world, capsys, monkeypatch, command):
    monkeypatch.setenv(devices.VARIABLE, "cpu")  # restored afterwards: the option sets it
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no CUDA card here" in refused(capsys, *command, "--device", "cuda")
    assert "invalid choice: 'gpu'" in refused(capsys, *command, "--device", "gpu")
    monkeypatch.setenv(devices.VARIABLE, "gpu")
    assert "unknown device 'gpu'" in refused(capsys, *command)


def test_bad_roots_say_what_was_expected_and_found(world, capsys, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other/faces").mkdir(parents=True)
    for name, words in {
        "missing": "no folder",
        "empty": "is empty",
        "other": "found faces",
    }.items():
        monkeypatch.setenv("DEEPFAKE_UNCERTAINTY_DATA_ROOT", str(tmp_path / name))
        error = refused(capsys, "train", "small", "bnn")
        assert words in error and "original_sequences/youtube" in error
    monkeypatch.delenv("DEEPFAKE_UNCERTAINTY_DATA_ROOT")
    monkeypatch.setattr(paths, "DATA", tmp_path / "data")
    assert "build --profile quick" in refused(capsys, "train", "small", "bnn")
    assert "DEEPFAKE_UNCERTAINTY_DATA_ROOT" in refused(
        capsys, "train", "small", "bnn", "--profile", "paper"
    )


def test_bad_videos_among_good_ones_are_listed_and_counted(world, capsys):
    folder = world / "original_sequences/youtube/c23/videos"
    (folder / "000.mp4").write_bytes(b"")
    video.encode(folder / "002.mp4", np.zeros((8, 32, 32, 3), np.uint8), 8.0)
    video.encode(folder / "006.mp4", np.zeros((8, 32, 32, 3), np.uint8), 8.0)
    for _ in range(2):  # the second time from the cache
        code, out, err = call(capsys, "train", "small", "deterministic")
        result, last = out.splitlines()
        assert result == (
            "small, deterministic, on FaceForensics++: AUROC 1.00 [1.00, 1.00], "
            "accuracy 1.00 [1.00, 1.00] (3 test videos of 2 people; 12 inputs, T = 1)"
        )
        assert code == 0 and last == "binary.small.0: 3 videos skipped"
        listed = [line for line in err.splitlines() if line.startswith("skipped ")]
        assert [Path(line.split(":")[0]).name for line in listed] == [
            "000.mp4",
            "002.mp4",
            "006.mp4",
        ]
        assert "0 bytes" in listed[0] and "no face" in listed[1] and "no face" in listed[2]


def test_check_counts_the_videos_and_names_the_bad(world, capsys):
    (world / "manipulated_sequences/A/c23/videos/001_000.mp4").write_bytes(b"")
    code, out, err = call(capsys, "check")
    rows = {
        line.split()[-4]: line.split()[-3:] for line in out.splitlines() if len(line.split()) > 3
    }
    assert (
        code == 0 and rows["A"] == ["3", "2", "2"] and rows["real"] == ["4", "2", "2"]
    )  # train, val, test
    assert (
        out.endswith("15 videos of FaceForensics++; 1 skipped\n")
        and "001_000.mp4" in err
        and err.count("\n") == 1
    )


def test_track_reads_every_video_and_counts_the_bad(world, capsys, monkeypatch):
    monkeypatch.setattr(
        tracks,
        "load_all",
        lambda videos, jobs: [(videos[3], f"no face, {len(videos)} videos, {jobs} jobs")],
    )
    (world / "manipulated_sequences/A/c23/videos/006_007.mp4").unlink()
    code, out, err = call(capsys, "track", "--jobs", "3")
    assert code == 0 and out == "face tracks of 16 videos; 2 skipped\n"
    reasons = [line.split(": ")[1] for line in err.splitlines()]
    assert reasons == ["named by the splits, not on disk", "no face, 15 videos, 3 jobs"]


@pytest.mark.parametrize(
    "kind", ["fitted/*.json", "models/*/weights.safetensors", "models/*/card.json", "samples/*.npz"]
)
def test_damaged_entries_are_made_again(world, capsys, caplog, kind):
    call(capsys, "analyze", fake(world), *DETERMINISTIC, "--method", "bnn", "--json", "first.json")
    damaged = sorted((world.parent / "cache").glob(kind))
    assert damaged
    for path in damaged:
        path.write_bytes(path.read_bytes()[:20])
    with caplog.at_level(logging.WARNING):
        assert (
            call(
                capsys,
                "analyze",
                fake(world),
                *DETERMINISTIC,
                "--method",
                "bnn",
                "--json",
                "again.json",
            )[0]
            == 0
        )
    told = [record for record in caplog.records if record.levelno == logging.WARNING]
    # A note is only a shortcut to the weights: without it nothing is lost. Each model says so once.
    assert len(told) == {"fitted/*.json": 0, "samples/*.npz": 1}.get(kind, 2) and all(
        "damaged" in r.message for r in told
    )
    first, again = (json.loads(Path(name).read_text()) for name in ("first.json", "again.json"))
    assert again["decision"] == first["decision"] and again["p_fake"] == pytest.approx(
        first["p_fake"], abs=1e-4
    )


def test_an_interruption_is_one_line_and_130(world, capsys, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(predict, "samples_for", stop)
    code, out, err = call(capsys, "train", "small", "bnn")
    assert code == 130 and out == "" and err.startswith("interrupted: ") and err.count("\n") == 1


def test_build_makes_both_sets_in_the_profiles_size(tmp_path, monkeypatch, capsys):
    from deepfake_uncertainty.benchmark import build

    plans, full = [], profiles.get("full")
    monkeypatch.setattr(paths, "DATA", tmp_path)
    monkeypatch.setattr(build, "build", lambda plan, jobs: plans.append((plan, jobs)) or plan.root)
    for name in (profiles.DATA_ROOT_VARIABLE, profiles.AV_ROOT_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    assert cli.main(["build", "--profile", "full", "--jobs", "3"]) == 0
    assert [
        (plan.DATASET, plan.identities, plan.n_frames, plan.compressions, plan.root, jobs)
        for plan, jobs in plans
    ] == [
        (name, people, full.frames, ("c0", "c23", "c40"), tmp_path / "full" / name, 3)
        for name, people in (("SynthFF", full.identities), ("SynthAV", full.av_identities))
    ]
    assert f"SynthAV: {full.av_identities} identities in" in capsys.readouterr().out
