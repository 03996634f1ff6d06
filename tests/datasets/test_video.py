"""Video files: round trips, times, determinism, and every kind of bad file."""

import wave

import av
import numpy as np
import pytest

from deepfake_uncertainty.datasets import video
from deepfake_uncertainty.errors import InputError


def clip(n=10, height=48, width=64):
    """Smooth colour ramps that move by one pixel per frame: easy to compress, each different."""
    y, x = np.mgrid[:height, :width]
    frames = [
        np.stack([(4 * (x + i)) % 256, 3 * y + 20, 128 + 0 * x + 3 * i], -1) for i in range(n)
    ]
    return np.clip(frames, 0, 255).astype(np.uint8)


def test_round_trip_keeps_frames_and_times(tmp_path):
    fade = np.arange(12, dtype=np.uint8)[:, None, None, None]
    flat = np.tile(np.array([200, 80, 40], np.uint8), (12, 32, 32, 1)) - fade
    video.encode(tmp_path / "a.mp4", flat, fps=25, crf=10)
    frames, times = video.decode(tmp_path / "a.mp4")
    assert frames.dtype == np.uint8 and frames.shape == flat.shape
    assert np.abs(frames.astype(int) - flat).max() <= 4
    np.testing.assert_allclose(times, np.arange(12) / 25, atol=1e-6)
    assert video.header(tmp_path / "a.mp4") == (25.0, 12)


def test_ntsc_rate_and_max_frames(tmp_path):
    video.encode(tmp_path / "a.mp4", clip(9), fps=30000 / 1001)
    fps, count = video.header(tmp_path / "a.mp4")
    frames, times = video.decode(tmp_path / "a.mp4", max_frames=4)
    assert fps == pytest.approx(29.97, abs=1e-3) and count == 9 and len(frames) == 4
    assert times[3] == pytest.approx(3 * 1001 / 30000, abs=1e-4)
    np.testing.assert_array_equal(frames, video.decode(tmp_path / "a.mp4")[0][:4])


def test_encoding_is_deterministic_and_crf_orders_size(tmp_path):
    noisy = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)
    for name, crf in (("a", 23), ("b", 23), ("c", 40)):
        video.encode(tmp_path / f"{name}.mp4", noisy, crf=crf)
    a, b, c = ((tmp_path / f"{name}.mp4").read_bytes() for name in "abc")
    assert a == b and len(c) < len(a)


def speech(seconds=2.0):
    """A tone of 200 Hz and its overtone, swelling as syllables do, float32 at 16 kHz."""
    t = np.arange(round(seconds * video.SOUND_RATE)) / video.SOUND_RATE
    return np.float32((0.3 * np.sin(1256.6 * t) + 0.1 * np.sin(5026.5 * t)) * np.sin(9 * t) ** 2)


def test_sound_comes_back_in_step_and_leaves_the_picture_and_the_bytes_alone(tmp_path):
    frames, sound = clip(50), speech()
    for name, given in (("mute", None), ("a", sound), ("b", sound)):
        video.encode(tmp_path / f"{name}.mp4", frames, sound=given)
    heard = video.sound(tmp_path / "a.mp4")
    assert heard.dtype == np.float32 and abs(len(heard) - len(sound)) <= 1024
    assert np.corrcoef(heard[: len(sound)], sound[: len(heard)])[0, 1] > 0.95
    assert video.sound(tmp_path / "mute.mp4") is None
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    np.testing.assert_array_equal(
        video.decode(tmp_path / "a.mp4")[0], video.decode(tmp_path / "mute.mp4")[0]
    )


def test_encoding_again_gives_the_same_bytes(tmp_path):
    found = set()
    for _ in range(40):  # of 60 by x264's AVX-512 code, 34 to 48 were alike
        video.encode(tmp_path / "a.mp4", clip(50))
        found.add((tmp_path / "a.mp4").read_bytes())
    assert len(found) == 1


def test_sound_of_any_rate_and_layout_is_read_as_16_khz_mono(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        pictures = container.add_stream("libx264", rate=25)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        track = container.add_stream("aac", rate=44100, layout="stereo")
        for frame in clip(25):
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(pictures.encode())
        tone = np.float32(0.5 * np.sin(2 * np.pi * 300 * np.arange(44100) / 44100))
        samples = av.AudioFrame.from_ndarray(np.stack([tone, tone]), format="fltp", layout="stereo")
        samples.sample_rate = 44100
        container.mux(track.encode(samples))
        container.mux(track.encode())
    heard = video.sound(tmp_path / "a.mp4")
    assert abs(len(heard) - 16000) < 1100
    assert np.abs(np.fft.rfft(heard[2000:10000])).argmax() * 2 == 300


def test_grey_frames_and_cheap_presets_keep_masks(tmp_path):
    mask = np.random.default_rng(0).random((6, 8, 8)).repeat(8, 1).repeat(8, 2) > 0.5
    for preset in ("medium", "veryfast"):
        video.encode(tmp_path / "a.mp4", np.uint8(mask) * 255, crf=10, preset=preset)
        frames, _ = video.decode(tmp_path / "a.mp4")
        assert frames.shape == (6, 64, 64, 3)
        np.testing.assert_array_equal(frames > 127, mask[..., None].repeat(3, -1))


def test_one_frame_is_a_video(tmp_path):
    video.encode(tmp_path / "a.mp4", clip(1))
    frames, times = video.decode(tmp_path / "a.mp4")
    assert len(frames) == 1 and times.tolist() == [0.0]


def test_sound_beside_the_pictures_is_ignored(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        sound = container.add_stream("aac", rate=16000)
        pictures = container.add_stream("libx264", rate=25)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        silence = np.zeros((1, 1024), np.float32)
        samples = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
        samples.sample_rate = 16000
        container.mux(sound.encode(samples))
        for frame in clip(5):
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(pictures.encode())
        container.mux(sound.encode())
    assert video.decode(tmp_path / "a.mp4")[0].shape == (5, 48, 64, 3)


def test_missing_empty_and_corrupt_files(tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "corrupt.mp4").write_bytes(b"not a video " * 500)
    video.encode(tmp_path / "whole.mp4", clip(40))
    whole = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    expected = {
        "none": "no video file",
        "empty": "0 bytes",
        "corrupt": "not a readable",
        "cut": "not a readable",
    }
    for name, message in expected.items():
        for read in (video.decode, video.header):
            with pytest.raises(InputError, match=message) as error:
                read(tmp_path / f"{name}.mp4")
            assert f"{name}.mp4" in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(InputError, match="no video file"):
        video.decode(tmp_path)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_file_cut_off_after_its_header_is_truncated(tmp_path, suffix):
    noisy = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    path = tmp_path / f"fast.{suffix}"
    options = {"movflags": "faststart"} if suffix == "mp4" else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for frame in noisy:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"truncated|corrupt"):
        video.decode(path)


def test_audio_only_file(tmp_path):
    with wave.open(str(tmp_path / "a.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16000))
    with pytest.raises(InputError, match="audio only"):
        video.decode(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("frames", "options", "message"),
    [
        (clip(2)[:, :47], {}, "even"),
        (clip(2).astype(float), {}, "uint8"),
        (clip(2)[..., :2], {}, "uint8"),
        (clip(2)[0, :, :, 0], {}, "uint8"),
        (clip(2), {"sound": np.zeros((1, 9))}, "sound"),
        (clip(2), {"sound": np.full(9, 1.5)}, "sound"),
        (clip(2), {"sound": np.full(9, np.nan)}, "sound"),
        (clip(2), {"sound": np.zeros(0)}, "sound"),
        (clip(2)[:0], {}, "F >= 1"),
        (clip(2), {"crf": 52}, "CRF"),
        (clip(2), {"fps": 0}, "rate"),
        (clip(2), {"fps": float("nan")}, "rate"),
    ],
)
def test_refused_encodings_leave_no_file(tmp_path, frames, options, message):
    with pytest.raises(InputError, match=message):
        video.encode(tmp_path / "a.mp4", frames, **options)
    assert not list(tmp_path.iterdir())


def test_max_frames_below_one_is_refused(tmp_path):
    video.encode(tmp_path / "a.mp4", clip(2))
    with pytest.raises(InputError, match="max_frames"):
        video.decode(tmp_path / "a.mp4", max_frames=0)


def test_bits_are_those_of_the_pictures_whatever_is_heard(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (10, 32, 32, 3)).astype(np.uint8)
    video.encode(tmp_path / "a.mp4", frames, 25)
    video.encode(tmp_path / "b.mp4", frames, 25, sound=np.zeros(6400, np.float32))
    bits = video.picture_bits(tmp_path / "a.mp4")
    assert bits == video.picture_bits(tmp_path / "b.mp4")
    assert 0 < bits < 8 * (tmp_path / "a.mp4").stat().st_size
