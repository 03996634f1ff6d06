"""Damaged and odd videos, from the folder of a data set to detector inputs.

Each gives rows or one clear reason.
"""

import dataclasses
import subprocess
import sys
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from support import small_layouts as layouts

from deepfake_uncertainty import paths
from deepfake_uncertainty.benchmark.renderer.render import render_clip
from deepfake_uncertainty.datasets import tracks
from deepfake_uncertainty.datasets.index import index
from deepfake_uncertainty.detectors import fakecatcher, registry
from deepfake_uncertainty.errors import InputError

N_FRAMES = 68
DAMAGES = (
    "whole, truncated, corrupt, empty, sound, no face, turned, variable, grey, one frame, missing"
).split(", ")


@pytest.fixture(scope="module")
def face():
    return render_clip(1, 0, n_frames=N_FRAMES).frames


def encode(path, frames, steps=None, pixels="yuv420p"):
    """Write frames with `steps` of 1/25 s between them, in the pixel format `pixels`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream(
            "libx264", rate=25, options={"preset": "ultrafast", "crf": "18"}
        )
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
        stream.codec_context.time_base, stream.codec_context.thread_count = Fraction(1, 25), 1
        steps = np.ones(len(frames) - 1, int) if steps is None else steps
        times = np.concatenate([[0], np.cumsum(steps)])
        for frame, time in zip(frames, times, strict=False):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = int(time), Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def turn(path):
    """Write into the track header that players rotate the picture clockwise, as telephones do.

    The matrix is x' = -y, y' = x.
    """
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40
    matrix = np.array([0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30], ">i4")
    data[start : start + 36] = matrix.tobytes()
    path.write_bytes(data)


@pytest.fixture(scope="module")
def world(face, tmp_path_factory):
    """A Celeb-DF of real clips, one per kind of damage, tracked into a cache of its own."""
    root = tmp_path_factory.mktemp("damage")
    clip = {name: root / f"Celeb-real/id{number}_0000.mp4" for number, name in enumerate(DAMAGES)}
    encode(clip["whole"], face)
    encode(clip["turned"], np.ascontiguousarray(np.rot90(face, 1, (1, 2))))
    turn(clip["turned"])
    encode(clip["variable"], face, np.tile([1, 1, 2], N_FRAMES)[: N_FRAMES - 1])
    encode(clip["grey"], face, pixels="gray")
    encode(clip["one frame"], face[:1])
    encode(clip["no face"], np.full_like(face[:8], 90))
    whole = clip["whole"].read_bytes()
    clip["truncated"].write_bytes(whole[: len(whole) * 2 // 3])
    clip["corrupt"].write_bytes(np.random.default_rng(0).bytes(5000))
    clip["empty"].touch()
    with av.open(str(clip["sound"]), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        silence = np.zeros((1, 1024), np.float32)
        sound = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
        sound.sample_rate = 16000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    layouts.put(root / "List_of_testing_videos.txt", b"1 Celeb-real/id10_0000.mp4\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "CACHE", root / "cache")
        yield index(root), {name: str(path) for name, path in clip.items()}


def test_the_index_names_what_no_header_can_be_read_of(world):
    (videos, skipped), clip = world
    reasons = dict(skipped.itertuples(index=False, name=None))
    expected = {
        "corrupt": "not a readable video",
        "empty": "0 bytes",
        "sound": "audio only",
        "missing": "not on disk",
    }
    assert set(reasons) == {clip[name] for name in expected}
    assert all(words in reasons[clip[name]] for name, words in expected.items())
    frames = videos.set_index("path")["n_frames"]
    assert frames[clip["one frame"]] == 1 and frames[clip["turned"]] == N_FRAMES


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("truncated", "truncated|corrupt"),
        ("no face", "no face"),
        ("missing", "no video file"),
        ("empty", "0 bytes"),
    ],
)
def test_what_has_no_track_says_why(world, name, words):
    with pytest.raises(InputError, match=words) as error:
        tracks.load(world[1][name])
    assert world[1][name] in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["whole", "turned", "variable", "grey", "one frame"])
def test_odd_videos_give_inputs_of_frames(world, name):
    track = tracks.load(world[1][name])
    count = 1 if name == "one frame" else N_FRAMES
    assert track.crops.shape == (count, 96, 96, 3)
    x, starts = registry.get("resnet18").inputs(track, 4)
    assert len(x) == len(starts) == min(4, count) and np.isfinite(x).all()
    if name == "grey":
        assert (track.crops == track.crops[..., :1]).all()


def test_a_turned_clip_is_tracked_as_the_upright_one(world):
    upright, turned = (tracks.load(world[1][name]) for name in ("whole", "turned"))
    assert np.abs(upright.landmarks - turned.landmarks).mean() < 1
    assert np.abs(upright.crops.astype(int) - turned.crops).mean() < 6


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("whole", None),
        ("turned", None),
        ("variable", "variable frame rate"),
        ("grey", "grey|black"),
        ("one frame", "shorter"),
    ],
)
def test_signals_over_time_ask_for_more_than_frames_do(world, name, words):
    track = tracks.load(world[1][name])
    if words is None:
        assert fakecatcher.maps(track, 4)[0].shape == (1, 1, 64, 64)
    else:
        with pytest.raises(InputError, match=words):
            fakecatcher.maps(track, 4)


def test_jitter_and_a_few_lost_frames_are_even_enough(world):
    track = tracks.load(world[1]["whole"])
    steps = np.random.default_rng(0).uniform(0.034, 0.046, 200)
    steps[::40] = 0.08
    tracks.check_constant_rate(dataclasses.replace(track, times=np.cumsum(steps)))
    uneven = dataclasses.replace(track, times=np.cumsum([0.04, 0.1] * 9))
    with pytest.raises(InputError, match=r"variable frame rate, steps of 0\.0.. to 0\.100 s"):
        tracks.check_constant_rate(uneven)


def test_a_folder_of_images_is_tracked_as_its_video_is(world, face, tmp_path):
    layouts.images(tmp_path / "faces", [])
    for number, frame in enumerate(face[:12]):
        cv2.imwrite(str(tmp_path / f"faces/{number}.png"), frame[..., ::-1])
    track = tracks.load(tmp_path / "faces")
    assert track.fps == 25 and len(track.crops) == 12
    assert np.abs(track.landmarks - tracks.load(world[1]["whole"]).landmarks[:12]).mean() < 1
    (tmp_path / "faces/5.png").write_bytes((tmp_path / "faces/5.png").read_bytes()[:2000])
    with pytest.raises(InputError, match=r"faces/5\.png is not a readable image"):
        tracks.load(tmp_path / "faces")


@pytest.mark.parametrize("detector", ["resnet18", "fakecatcher"])
def test_the_length_of_a_clip_changes_neither_number_nor_size_of_its_samples(
    detector, face, monkeypatch
):
    """Fakes of FakeAVCeleb are longer than its real clips.

    A detector, or a mean over more windows, could separate them by that alone.
    """
    spec, shapes = registry.get(detector), set()
    landmarks = np.random.default_rng(0).uniform(0, 96, (468, 2)).astype(np.float32)
    for n_frames in (320, 777):
        turns = np.resize(np.arange(N_FRAMES), n_frames)
        crops = face[turns, 16:112, 16:112]
        matrices = np.tile(np.eye(2, 3, dtype=np.float32), (n_frames, 1, 1))
        points, times = np.tile(landmarks, (n_frames, 1, 1)), np.arange(n_frames) / 25
        track = tracks.Track(crops, points, matrices, times, 25.0, 1)
        x, starts = spec.inputs(track, spec.recipe.inputs_per_video)
        shapes.add((x.shape, starts.shape))
    assert len(shapes) == 1 and x.shape[0] == spec.recipe.inputs_per_video


@pytest.mark.slow
def test_huge_frames_are_never_in_memory_together(tmp_path):
    """A frame of 4096 x 2160 px takes 27 MB, a whole clip much more.

    All later frames of the clip together may take no more memory than eight frames.
    """
    encode(tmp_path / "huge.mp4", np.broadcast_to(np.uint8(90), (30, 2160, 4096, 3)))
    # A process of its own. Its peak would also count what the parent held when it was forked.
    code = (
        "import psutil, sys; from deepfake_uncertainty.datasets import video\n"
        "for frame, _ in video.stream_frames(sys.argv[1]):\n"
        "    print(frame.shape == (2160, 4096, 3), psutil.Process().memory_info().rss // 10**6)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "huge.mp4")]
    done = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    taken = [int(megabytes) for megabytes in done[1::2]]
    assert done[::2] == ["True"] * 30
    assert max(taken) - taken[0] < 8 * 27
