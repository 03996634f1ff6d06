"""The command line on a tiny data set: what a user types, what is answered, and the exit code."""

import json
import logging
import resource
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import small_world
from safetensors.torch import save_file
from torch import ones

from deepfake_uncertainty import cli, files, paths
from deepfake_uncertainty.datasets import tracks, video
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import ood, predict, profiles, train

DETERMINISTIC = ["--detector", "small", "--method", "deterministic", "--alpha", "0.34"]


@pytest.fixture
def world(tmp_path, monkeypatch):
    root = small_world.write_root(tmp_path / "root")
    monkeypatch.setenv("DEEPFAKE_UNCERTAINTY_DATA_ROOT", str(root))
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(tracks, "load", small_world.load_track)
    monkeypatch.setitem(registry.DETECTORS, "small", small_world.SPEC)
    monkeypatch.chdir(tmp_path)
    return root


def fake(root):
    return root / "manipulated_sequences/A/c23/videos/006_007.mp4"


def call(capsys, *arguments):
    """Return exit code, standard output, and standard error without what is logged."""
    try:
        code = cli.main([str(part) for part in arguments])
    except SystemExit as left:
        code = left.code
    out, err = capsys.readouterr()
    return code, out, err


def refused(capsys, *arguments):
    code, out, err = call(capsys, *arguments)
    assert code == 2 and out == "" and err.count("\n") == 1 and err.startswith("error: ") and "Traceback" not in err
    return err


@pytest.mark.parametrize("method", ["deterministic", "mc_dropout", "bnn"])
def test_analyze_answers_with_a_table_a_figure_and_json(world, capsys, method):
    code, out, _ = call(capsys, "analyze", fake(world), *DETERMINISTIC, "--method", method, "--json", "report.json")
    assert code == 0 and out.startswith("006_007.mp4: FAKE, P(fake) ")
    assert "no evidence about footage unlike it" in out and "epistemic (nats)" in out
    assert Path("006_007-analysis.png").stat().st_size > 10_000
    report = json.loads(Path("report.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert report["decision"] == "fake" and len(report["windows"]) == 4 and report["p_fake"] > 0.5
    assert report["trained_on"] == "4 identities of FaceForensics++ (real, A)"


def test_analyze_twice_reads_nothing_of_the_training_set(world, capsys, monkeypatch):
    call(capsys, "analyze", fake(world), *DETERMINISTIC)
    monkeypatch.setattr(predict, "load_inputs", lambda *_: pytest.fail("inputs were read again"))
    monkeypatch.setattr(train, "fit", lambda *_: pytest.fail("trained again"))
    assert call(capsys, "analyze", fake(world), *DETERMINISTIC)[0] == 0


def test_analyze_says_which_face_and_whether_the_trial_is_fair(world, capsys):
    two = world.parent / "two.mp4"
    two.write_bytes(fake(world).read_bytes())
    assert "2 faces where one is first seen: the largest" in call(capsys, "analyze", two, *DETERMINISTIC)[1]
    seen = world / "original_sequences/youtube/c23/videos/000.mp4"
    assert "no fair trial: this video is of the train split" in call(capsys, "analyze", seen, *DETERMINISTIC)[1]
    assert "no fair trial" not in call(capsys, "analyze", fake(world), *DETERMINISTIC)[1]


def test_bad_videos_are_refused(world, capsys, tmp_path):
    whole = fake(world).read_bytes()
    bad = {"zero": b"", "noise": b"\x07" * 3000, "cut": whole[: len(whole) // 2]}
    for name, content in bad.items():
        (tmp_path / f"{name}.mp4").write_bytes(content)
    video.encode(tmp_path / "dark.mp4", np.zeros((8, 32, 32, 3), np.uint8), 8.0)
    expected = {"zero": "is empty (0 bytes)", "noise": "not a readable video", "cut": "not a readable video",
                "dark": "no face in any of 8 frames", "absent": "no video file"}  # fmt: skip
    for name, words in expected.items():
        error = refused(capsys, "analyze", tmp_path / f"{name}.mp4", *DETERMINISTIC)
        assert words in error and f"{name}.mp4" in error
    assert not (tmp_path / "cache/models").exists()  # told before any training


def test_a_still_picture_is_refused(world, capsys, tmp_path):
    cv2.imwrite(str(tmp_path / "still.png"), np.full((32, 32, 3), 100, np.uint8))
    error = refused(capsys, "analyze", tmp_path / "still.png", *DETERMINISTIC)
    assert "still.png is a still picture, one frame: give a video" in error


def test_an_unfamiliar_video_gets_no_verdict_but_reasons(world, capsys, tmp_path, monkeypatch):
    assert "it needs the videos of 19 people, here are 6" in call(capsys, "analyze", fake(world), *DETERMINISTIC)[1]
    judge = ood.Guard.judge
    monkeypatch.setattr(ood.Guard, "judge", lambda self, track, x: judge(self, track, x, 0.2))  # six people reach 1 / 7
    video.encode(tmp_path / "white.mp4", np.full((8, 32, 32, 3), 250, np.uint8), 8.0)
    code, out, _ = call(capsys, "analyze", tmp_path / "white.mp4", *DETERMINISTIC, "--json", "report.json")
    answer, guard = out.splitlines()[:2]
    assert code == 0 and answer.startswith("white.mp4: CANNOT TELL") and "unlike anything this was calibrated on" in guard
    report = json.loads(Path("report.json").read_text())
    assert report["decision"] == "cannot tell" and report["p_fake"] > 0.5
    assert not report["familiarity"]["familiar"] and "less contrast" in report["familiarity"]["reasons"]


def test_clip_shorter_than_the_window(world, capsys):
    error = refused(capsys, "analyze", fake(world), "--detector", "fakecatcher", "--method", "deterministic")
    assert "006_007.mp4: clip of 8 frames is shorter than the PPG window of 64" in error


@pytest.mark.parametrize("options, words", [
    (["--profile", "big"], "unknown profile 'big': use quick, full, paper"),
    (["--detector", "x"], "unknown detector 'x': use resnet18"),
    (["--method", "x"], "unknown method 'x': use deterministic, temperature, mc_dropout, bnn, laplace, ensemble"),
    (["--alpha", "0"], "alpha is 0.0"), (["--alpha", "1"], "alpha is 1.0"), (["--alpha", "nan"], "alpha is nan"),
    (["--alpha", "x"], "invalid float value: 'x'"),
    (["--figure", "a.tiff"], "ends in .png, .pdf or .svg"),
    (["--figure", "/proc/none/a.png"], "cannot write /proc/none/a.png"),
    (["--json", "."], "is a folder"), (["--json", "/proc/none/a.json"], "cannot write /proc/none/a.json"),
])  # fmt: skip
def test_bad_options_of_analyze(world, capsys, options, words):
    assert words in refused(capsys, "analyze", fake(world), *DETERMINISTIC, *options)


@pytest.mark.parametrize("arguments, words", [
    (["train", "x", "bnn"], "unknown detector"), (["train", "small", "x"], "unknown method"), (["train"], "required: detector"),
    (["build", "--jobs", "0"], "'0' is not a number of processes above zero"), (["build", "--jobs", "abc"], "'abc'"),
    (["build", "--profile", "paper"], "nothing to build"), (["fly"], "invalid choice"), ([], "required: command"),
])  # fmt: skip
def test_bad_commands(world, capsys, arguments, words):
    assert words in refused(capsys, *arguments)


def test_bad_roots_say_what_was_expected_and_found(world, capsys, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other/faces").mkdir(parents=True)
    for name, words in {"missing": "no folder", "empty": "is empty", "other": "found faces"}.items():
        monkeypatch.setenv("DEEPFAKE_UNCERTAINTY_DATA_ROOT", str(tmp_path / name))
        error = refused(capsys, "train", "small", "bnn")
        assert words in error and "original_sequences/youtube" in error
    monkeypatch.delenv("DEEPFAKE_UNCERTAINTY_DATA_ROOT")
    monkeypatch.setattr(paths, "DATA", tmp_path / "data")
    assert "build --profile quick" in refused(capsys, "train", "small", "bnn")
    assert "DEEPFAKE_UNCERTAINTY_DATA_ROOT" in refused(capsys, "train", "small", "bnn", "--profile", "paper")


def test_bad_videos_among_good_ones_are_listed_and_counted(world, capsys):
    folder = world / "original_sequences/youtube/c23/videos"
    (folder / "000.mp4").write_bytes(b"")
    video.encode(folder / "002.mp4", np.zeros((8, 32, 32, 3), np.uint8), 8.0)
    video.encode(folder / "006.mp4", np.zeros((8, 32, 32, 3), np.uint8), 8.0)
    for _ in range(2):  # the second time from the cache
        code, out, err = call(capsys, "train", "small", "deterministic")
        assert code == 0 and out == "binary.small.0: 1 samples of 28 rows; 3 videos skipped\n"
        listed = [line for line in err.splitlines() if line.startswith("skipped ")]
        assert [Path(line.split(":")[0]).name for line in listed] == ["000.mp4", "002.mp4", "006.mp4"]
        assert "0 bytes" in listed[0] and "no face" in listed[1] and "no face" in listed[2]


def test_check_counts_the_videos_and_names_the_bad(world, capsys):
    (world / "manipulated_sequences/A/c23/videos/001_000.mp4").write_bytes(b"")
    code, out, err = call(capsys, "check")
    rows = {line.split()[-4]: line.split()[-3:] for line in out.splitlines() if len(line.split()) > 3}
    assert code == 0 and rows["A"] == ["3", "2", "2"] and rows["real"] == ["4", "2", "2"]  # train, val, test
    assert out.endswith("15 videos of FaceForensics++; 1 skipped\n") and "001_000.mp4" in err and err.count("\n") == 1


def test_track_reads_every_video_and_counts_the_bad(world, capsys, monkeypatch):
    monkeypatch.setattr(tracks, "load_all", lambda videos, jobs: [(videos[3], f"no face, {len(videos)} videos, {jobs} jobs")])
    (world / "manipulated_sequences/A/c23/videos/006_007.mp4").unlink()
    code, out, err = call(capsys, "track", "--jobs", "3")
    assert code == 0 and out == "face tracks of 16 videos; 2 skipped\n"
    reasons = [line.split(": ")[1] for line in err.splitlines()]
    assert reasons == ["named by the splits, not on disk", "no face, 15 videos, 3 jobs"]


@pytest.mark.parametrize("kind", ["fitted/*.json", "models/*/weights.safetensors", "models/*/card.json", "samples/*.npz"])
def test_damaged_entries_are_made_again(world, capsys, caplog, kind):
    call(capsys, "analyze", fake(world), *DETERMINISTIC, "--method", "bnn", "--json", "first.json")
    damaged = sorted((world.parent / "cache").glob(kind))
    assert damaged
    for path in damaged:
        path.write_bytes(path.read_bytes()[:20])
    with caplog.at_level(logging.WARNING):
        assert call(capsys, "analyze", fake(world), *DETERMINISTIC, "--method", "bnn", "--json", "again.json")[0] == 0
    told = [record for record in caplog.records if record.levelno == logging.WARNING]
    # A note is only a shortcut to the weights: without it nothing is lost. Each of the two models says so once.
    assert len(told) == {"fitted/*.json": 0, "samples/*.npz": 1}.get(kind, 2) and all("damaged" in r.message for r in told)
    first, again = (json.loads(Path(name).read_text()) for name in ("first.json", "again.json"))
    assert again["decision"] == first["decision"] and again["p_fake"] == pytest.approx(first["p_fake"], abs=1e-4)


def test_an_interruption_is_one_line_and_130(world, capsys, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(predict, "samples_for", stop)
    code, out, err = call(capsys, "train", "small", "bnn")
    assert code == 130 and out == "" and err.startswith("interrupted: ") and err.count("\n") == 1


@contextmanager
def full_disk():
    """A limit on the size of files stands for a full disk; it ends with the block, or pytest's own log would meet it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name, write", [
    ("a.npy", lambda path: np.save(path, np.ones(10_000))), ("a.npz", lambda path: np.savez(path, a=np.ones(10_000))),
    ("a.json", lambda path: path.write_bytes(bytes(10_000))), ("a.bin", lambda path: save_file({"a": ones(10_000)}, path)),
])  # fmt: skip
def test_a_full_disk_leaves_nothing_half_written(tmp_path, name, write):
    with full_disk(), pytest.raises(InputError, match=f"disk full while writing .*{name}"):
        with files.whole(tmp_path / name) as temporary:
            write(temporary)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_ends_a_command_and_a_rerun_works(world, capsys):
    with full_disk():
        error = refused_after_log(capsys, "analyze", fake(world), *DETERMINISTIC)
    assert "disk full while writing" in error
    assert not list((world.parent / "cache").rglob(".partial-*")) and not list((world.parent / "cache").rglob("*.npz"))
    assert call(capsys, "analyze", fake(world), *DETERMINISTIC)[0] == 0


def refused_after_log(capsys, *arguments):
    code, out, err = call(capsys, *arguments)
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert code == 2 and out == "" and len(lines) == 1 and "Traceback" not in err
    return lines[0]


def test_build_makes_both_sets_in_the_profiles_size(tmp_path, monkeypatch, capsys):
    from deepfake_uncertainty.benchmark import build

    plans, full = [], profiles.get("full")
    monkeypatch.setattr(paths, "DATA", tmp_path)
    monkeypatch.setattr(build, "build", lambda plan, jobs: plans.append((plan, jobs)) or plan.root)
    for name in (profiles.GIVEN, profiles.GIVEN_AV):
        monkeypatch.delenv(name, raising=False)
    assert cli.main(["build", "--profile", "full", "--jobs", "3"]) == 0
    assert [(plan.DATASET, plan.identities, plan.n_frames, plan.compressions, plan.root, jobs) for plan, jobs in plans] == [
        (name, people, full.frames, ("c0", "c23", "c40"), tmp_path / "full" / name, 3)
        for name, people in (("SynthFF", full.identities), ("SynthAV", full.av_identities))]  # fmt: skip
    assert f"SynthAV: {full.av_identities} identities in" in capsys.readouterr().out
