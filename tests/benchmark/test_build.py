"""Small builds of SynthFF and SynthAV: splits, layouts, bytes, sound, and interrupted builds."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepfake_uncertainty.benchmark import build, plan, synthav
from deepfake_uncertainty.benchmark.generators import deepfakes_training
from deepfake_uncertainty.benchmark.renderer import render, voice
from deepfake_uncertainty.benchmark.stamp import STAMPS, read_stamp
from deepfake_uncertainty.benchmark.synthav import SynthAV
from deepfake_uncertainty.benchmark.synthff import SynthFF
from deepfake_uncertainty.datasets import video
from deepfake_uncertainty.errors import InputError

FAMILIES = "faceswap", "wav2lip", "rtvc"
AV = dict(identities=6, n_frames=16, families=FAMILIES, compressions=("c23", "c40"))


@pytest.fixture(scope="module")
def av(tmp_path_factory):
    made = SynthAV(tmp_path_factory.mktemp("av") / "SynthAV", **AV)
    build.build(made, jobs=1, progress=False)
    return made


def content(root):
    """Every file of a data set and its bytes; an archive as its arrays, as zip files have dates."""
    paths = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return {path.relative_to(root).as_posix(): _bytes(path) for path in paths}


def _bytes(path):
    if path.suffix != ".npz":
        return path.read_bytes()
    with np.load(path) as archive:
        return {name: array.tobytes() for name, array in archive.items()}


@given(number=st.integers(0, 500), identities=st.integers(3, 60))
@settings(max_examples=40, deadline=None)
def test_partners_and_fakes_stay_inside_a_split(number, identities):
    assert plan.split_of(number) == plan.split_of(number ^ 1)
    for made in (SynthFF(Path("x"), 2 * identities), SynthAV(Path("x"), 2 * identities)):
        people = range(2 * identities)
        jobs = [(family, a ^ 1, a) for family in made.known_families() for a in people]
        assert sorted(made.jobs) == sorted(jobs)


def test_split_shares_families_and_job_count():
    assert [len(plan.members(split, 20)) for split in ("train", "val", "test")] == [10, 4, 6]
    assert {plan.split_of(number) for number in range(6)} == {"train", "val", "test"}
    assert len(set(SynthFF(Path("x"), 20).jobs)) == 100
    assert len(set(SynthAV(Path("x"), 20).jobs)) == 120


def test_plans_refuse_bad_input_and_builds_other_peoples_folders(tmp_path):
    for wrong in ({"identities": 5}, {"identities": 4}, {"identities": 6, "n_frames": 3}):
        with pytest.raises(InputError, match="even number"):
            SynthFF(tmp_path / "new", **wrong)
    for kind in (SynthFF, SynthAV):
        with pytest.raises(InputError, match="unknown generator"):
            kind(tmp_path / "new", 6, families=("GAN",))
        for rates in (("c22",), (), ("c40",)):
            with pytest.raises(InputError, match="compressions"):
                kind(tmp_path / "new", 6, compressions=rates)
    (tmp_path / "precious.mp4").write_text("mine")
    for kind in (SynthFF, SynthAV):
        with pytest.raises(InputError, match=kind.DATASET.lower()):
            build.build(kind(tmp_path, 6))
    assert (tmp_path / "precious.mp4").exists() and not (tmp_path / "new").exists()


@pytest.fixture(scope="module")
def ff(tmp_path_factory):
    families, rates = ("Deepfakes", "FaceSwap"), ("c0", "c23")
    root = tmp_path_factory.mktemp("ff") / "ff"
    made = SynthFF(root, 6, 16, families=families, compressions=rates, steps=80)
    build.build(made, jobs=1, progress=False)
    return made


@pytest.mark.slow
def test_a_small_synthff_is_whole_and_stamped(ff):
    root = ff.root
    lists = {name: json.loads((root / f"{name}.json").read_text()) for name in set(plan.SPLITS)}
    assert lists == {"train": [["000", "001"]], "test": [["002", "003"]], "val": [["004", "005"]]}
    clips = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.mp4"))
    assert len(clips) == 6 * (2 + 2 * 3)
    assert "manipulated_sequences/FaceSwap/masks/videos/000_001.mp4" in clips
    assert read_stamp(root)["complete"] and not (root / plan.MASTERS).exists()
    card = json.loads((root / "generators/Deepfakes_val.json").read_text())
    allowed = deepfakes_training.MAX_MISSED * card["mean_face_loss"]
    assert card["identities"] == [4, 5] and card["loss"] < allowed
    master = render.render_clip(1, 0, 16).frames
    decoded = [video.decode(ff.real(1, name))[0].astype(float) for name in ("c0", "c23")]
    errors = [np.abs(frames - master).mean() for frames in decoded]
    assert errors[0] < errors[1] and video.sound(ff.real(1, "c23")) is None


@pytest.mark.slow
def test_a_build_makes_only_what_is_missing(ff):
    lost = ff.root / "manipulated_sequences/FaceSwap/c23/videos/004_005.mp4"
    kept, before = ff.real(4, "c23"), lost.read_bytes()
    written = kept.stat().st_mtime_ns
    lost.unlink()
    build.build(ff, jobs=1, progress=False)
    assert lost.read_bytes() == before and kept.stat().st_mtime_ns == written


def test_synthav_has_the_layout_of_fakeavceleb(av):
    for root in (av.root, av.root / "c40"):
        with (root / "meta_data.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        columns = "source,target1,target2,method,category,type,race,gender,path,"
        assert list(rows[0]) == columns.split(",")
        paths = [root / row[""].removeprefix("FakeAVCeleb/") / row["path"] for row in rows]
        assert len(set(paths)) == 6 * 4 and all(path.is_file() for path in paths)
        kinds = {("real", "A"), ("rtvc", "B"), ("faceswap", "C"), ("wav2lip", "D")}
        assert {(row["method"], row["category"]) for row in rows} == kinds
        for row in rows:
            folder = "/".join(row[name] for name in ("type", "race", "gender", "source"))
            assert row[""] == f"FakeAVCeleb/{folder}"
            partner = f"id{int(row['source'][2:]) ^ 1:05d}"
            assert row["target1"] == ("-" if row["method"] == "real" else partner)
        splits = json.loads((root / "splits.json").read_text())
        assert splits == {f"id{number:05d}": plan.split_of(number) for number in range(6)}
        assert read_stamp(root, "SynthAV")["complete"]
    masks = [path.relative_to(av.root / "masks") for path in (av.root / "masks").rglob("*.mp4")]
    assert len(masks) == 6 * 2 and all((av.root / path).is_file() for path in masks)
    assert len(list(av.root.rglob("*.mp4"))) == 2 * 24 + 12
    assert (av.root / "truth/id00003.json").is_file()


def test_types_tones_and_people():
    types = [synthav.type_of(name) for name in ("real", "rtvc", "fsgan", "fsgan-wav2lip")]
    assert types == list(synthav.CATEGORIES)
    groups = [synthav.tone_group(tone)[5:] for tone in range(1, 7)]
    assert groups == ["1-2", "1-2", "3-4", "3-4", "5-6", "5-6"]
    other = SynthFF(Path("x"), 6)
    assert SynthAV(Path("x"), 6).person(0)["speaker"] != other.person(0)["speaker"]


def test_the_sound_is_the_targets_own_the_sources_or_the_targets_words_in_the_sources_voice(av):
    def heard(job):
        return video.sound(av.fake(*job, "c23"))[:10000]

    def alike(a, b):
        return np.corrcoef(a[:10000], b[:10000])[0, 1]

    truth = [np.load(av.truth(number))["sound"] for number in range(6)]
    loud = [sound.std() > 0.01 for sound in truth]
    speaking = [number for number in range(6) if loud[number] and loud[number ^ 1]]
    assert speaking
    for target in speaking:
        source = target ^ 1
        assert alike(video.sound(av.real(target, "c40")), truth[target]) > 0.9
        assert alike(heard(("faceswap", source, target)), truth[target]) > 0.9
        assert alike(heard(("wav2lip", source, target)), truth[source]) > 0.9
        cloned = heard(("rtvc", source, target))
        assert abs(alike(cloned, truth[target])) < 0.5
        pair = cloned, truth[target]
        loudness = [voice.log_mel(sound, plan.FPS, 15).sum(1) for sound in pair]
        assert np.corrcoef(loudness)[0, 1] > 0.7


def test_a_voice_only_fake_has_the_real_picture(av):
    for name in ("c23", "c40"):
        paths = av.real(2, name), av.fake("rtvc", 3, 2, name)
        real, fake = (video.decode(path)[0] for path in paths)
        np.testing.assert_array_equal(real, fake)


def test_outside_its_mask_a_fake_is_its_target_encoded_the_same_way(av):
    for family in ("faceswap", "wav2lip"):
        for target in range(6):
            job = family, target ^ 1, target
            mask = video.decode(av.mask(*job))[0][..., 0] > 127
            paths = av.fake(*job, "c23"), av.real(target, "c23")
            fake, real = (video.decode(path)[0].astype(float) for path in paths)
            error = ((fake - real) ** 2)[~mask].mean()
            assert 10 * np.log10(255**2 / max(error, 1e-9)) >= 38
            assert ((fake - real) ** 2)[mask].mean() > error


@pytest.mark.slow
def test_the_same_plan_gives_the_same_bytes_also_after_a_kill(av, tmp_path):
    again = SynthAV(tmp_path / "SynthAV", **AV)
    (tmp_path / "run.py").write_text(
        "from pathlib import Path\nfrom deepfake_uncertainty.benchmark import build, synthav\n"
        f"plan = synthav.SynthAV(Path({str(again.root)!r}), **{AV!r})\n"
        "if __name__ == '__main__':\n    build.build(plan, jobs=1, progress=False)\n"
    )
    _kill_after_some_fakes(tmp_path / "run.py", again.root)
    assert not read_stamp(again.root, "SynthAV")["complete"]
    assert (again.root / plan.MASTERS).is_dir()
    build.build(again, jobs=2, progress=False)
    assert content(again.root) == content(av.root)


def _count_fakes(root):
    # `Path.rglob` fails when a folder disappears meanwhile; `os.walk` passes over it.
    return sum(name.endswith("_faceswap.mp4") for _, _, names in os.walk(root) for name in names)


def _kill_after_some_fakes(script, root):
    """Run a script that builds in `root` and kill it with its workers after three fakes."""
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    process = subprocess.Popen([sys.executable, str(script)], start_new_session=True, **quiet)
    try:
        until = time.monotonic() + 120
        while _count_fakes(root) < 3 and time.monotonic() < until:
            if process.poll() is not None:
                break
            time.sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
def test_another_stamp_clears_what_the_old_one_built(av, tmp_path):
    made = SynthAV(tmp_path / "SynthAV", 6, 16, families=())
    build.build(made, jobs=1, progress=False)
    old = made.real(0, "c23")
    (made.root / "c40").mkdir()
    written = old.stat().st_mtime_ns
    build.build(SynthAV(made.root, 6, 17, families=()), jobs=1, progress=False)
    assert old.stat().st_mtime_ns > written and video.header(old)[1] == 17
    assert not (made.root / "c40").exists()
    assert json.loads((made.root / STAMPS["SynthAV"]).read_text())["parameters"]["n_frames"] == 17
