"""From videos, or folders of images, to RGB frames and sound, and back.

PyAV runs on one thread, so that a second run gives the same bytes.
"""

import os
import platform
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from deepfake_uncertainty import files
from deepfake_uncertainty.errors import InputError

# Containers may declare a few frames more than their edit list plays.
DECLARED_SLACK = 2
SOUND_RATE = 16000  # Hz
# The AVX-512 code of x264 sometimes gives other bytes (at 64 x 48 and 80 x 80 px, not at our
# 128 x 128 px). SSE4.2 is as fast here.
X264 = {"x264-params": "asm=sse4.2"} if platform.machine().lower() in ("x86_64", "amd64") else {}
IMAGES = ".png", ".jpg", ".jpeg"
# Frames per second of the clip that a folder of images was taken from. No such data set states it.
IMAGE_RATE = 25.0


def _open(path: str | Path) -> tuple[Any, Any]:
    """Return the container of the file at `path`, and its first video stream.

    Raises InputError for a file that is missing, empty, unreadable or without a video stream.
    """
    path = Path(path)
    if not os.path.isfile(path):  # unlike Path.is_file, it accepts a name that no disk can hold
        raise InputError(f"no video file at {path}, nor a folder of images: check the path")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes): download or build it again")
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        problem = f"is not a readable video, or is cut off ({error.strerror})"
        raise InputError(f"{path} {problem}: replace it") from error
    if not container.streams.video:
        container.close()
        raise InputError(f"{path} has no video stream (audio only?): give a file with pictures")
    stream = container.streams.video[0]
    stream.codec_context.thread_count = 1
    return container, stream


def _rate(stream: Any, path: str | Path) -> float:
    rate = stream.average_rate or stream.guessed_rate
    if not rate:
        raise InputError(f"{path} does not state a frame rate: re-encode it at a constant rate")
    return float(rate)


def header(path: str | Path) -> tuple[float, int]:
    """Return (frames per second, number of frames) as the container states them.

    For a folder of images, the last number in each name is the number of the frame in a clip of
    IMAGE_RATE: 000, 015, 030 give 25/15 frames per second. Raises InputError when the file cannot
    be read.
    """
    images = _images(path)
    if images:
        return _image_rate(images), len(images)
    container, stream = _open(path)
    with container:
        fps = _rate(stream, path)
        return fps, _declared(stream, fps) or round((container.duration or 0) / av.time_base * fps)


def _declared(stream: Any, fps: float) -> int:
    """Return how many frames the stream declares, 0 when it does not declare a number.

    Matroska declares a duration, as a tag.
    """
    if stream.frames:
        return stream.frames
    if stream.duration:
        return round(float(stream.duration * stream.time_base) * fps)
    parts = reversed(stream.metadata.get("DURATION", "0").split(":"))
    try:
        return round(sum(float(part) * 60**power for power, part in enumerate(parts)) * fps)
    except ValueError:
        return 0


def stream_frames(
    path: str | Path, max_frames: int | None = None
) -> Iterator[tuple[np.ndarray, float]]:
    """Yield (upright frame uint8 (H, W, 3) RGB, time in s from the first frame) of a video.

    `max_frames` limits their number (None: all). `path` is a file, or a folder of images in the
    order of the numbers in their names (see `header`). Raises InputError for a missing, empty,
    corrupt, truncated or audio-only file, for one without any frame, and for an unreadable image.
    """
    if max_frames is not None and max_frames < 1:
        raise InputError(f"max_frames is {max_frames}: read at least one frame of {path}")
    images = _images(path)
    if images:
        yield from zip(map(_read_image, images[:max_frames]), _image_times(images), strict=False)
        return
    container, stream = _open(path)
    with container:
        fps = _rate(stream, path)
        declared, count, first = _declared(stream, fps), 0, None
        # One converter for all frames: otherwise each frame creates one, with its own threads.
        converter = VideoReformatter()
        try:
            for frame in container.decode(stream):
                time = frame.time if frame.time is not None else count / fps
                first = time if first is None else first
                yield _upright(frame, converter), time - first
                count += 1
                if count == max_frames:
                    return
        except av.FFmpegError as error:
            problem = f"is corrupt after frame {count} ({error.strerror})"
            raise InputError(f"{path} {problem}: replace the file") from error
    if count == 0:
        raise InputError(f"{path} holds no frame: replace the file")
    if count + DECLARED_SLACK < declared:
        problem = f"is truncated, {count} of {declared} frames can be read"
        raise InputError(f"{path} {problem}: replace the file")


def is_image(name: str) -> bool:
    """Return True when a file of that name is an image that `stream_frames` reads."""
    return name.lower().endswith(IMAGES) and not name.startswith(".")


def _images(path: str | Path) -> list[Path]:
    """Return the images in a folder, 2.png before 10.png; [] where there are none, or no folder."""

    def order(image: Path) -> tuple[list[int], str]:
        return [int(number) for number in re.findall(r"[0-9]+", image.stem)], image.name

    if not os.path.isdir(path):
        return []
    images = [image for image in Path(path).iterdir() if is_image(image.name) and image.is_file()]
    return sorted(images, key=order)


def _image_times(images: Sequence[Path]) -> np.ndarray:
    """Return the time of each image in s from the first image.

    The last number in a name is the number of the frame in the clip. Where these numbers do not
    increase, the images are taken as consecutive frames.
    """
    numbers = [re.findall(r"[0-9]+", image.stem)[-1:] for image in images]
    counts = np.array([int(n[0]) if n and len(n[0]) < 10 else 0 for n in numbers])
    if (np.diff(counts) <= 0).any():
        counts = np.arange(len(images))
    return (counts - counts[0]) / IMAGE_RATE


def _image_rate(images: Sequence[Path]) -> float:
    return float(1 / np.median(np.diff(_image_times(images)))) if len(images) > 1 else IMAGE_RATE


def _read_image(path: Path) -> np.ndarray:
    refusal = InputError(f"{path} is not a readable image, or is cut off: replace it, or remove it")
    try:
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR_RGB)
    # An empty file, or a header with more pixels than OpenCV accepts.
    except cv2.error as error:
        raise refusal from error
    if image is None:
        raise refusal
    return image


def _upright(frame: av.VideoFrame, converter: VideoReformatter) -> np.ndarray:
    """Return the frame as RGB, rotated by its display matrix, which telephones write."""
    image = converter.reformat(frame, format="rgb24").to_ndarray()
    return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90)))


def decode(path: str | Path, max_frames: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return frames uint8 (F, H, W, 3) RGB and times float64 (F,) in s from the first frame.

    Raises InputError as `stream_frames` does, and when the picture size changes within the video.
    """
    frames: list[np.ndarray] = []
    times = []
    for frame, time in stream_frames(path, max_frames):
        if frames and frame.shape != frames[0].shape:
            problem = f"{path} changes its picture size at frame {len(frames)}"
            raise InputError(f"{problem}: re-encode it at one size")
        frames.append(frame)
        times.append(time)
    return np.stack(frames), np.array(times, np.float64)


def picture_bits(path: str | Path) -> int:
    """Return the size on disk, in bits, of the pictures of a video or a folder, without sound."""
    path = Path(path)
    if path.is_dir():
        return 8 * sum(image.stat().st_size for image in path.iterdir() if is_image(image.name))
    container, stream = _open(path)
    with container:
        return 8 * sum(packet.size for packet in container.demux(stream))


def sound(path: str | Path) -> np.ndarray | None:
    """Return the sound of a video as float32 (S,), mono in [-1, 1] at 16 kHz.

    Returns None when there is no sound track. Raises InputError as `stream_frames` does.
    """
    container, _ = _open(path)
    with container:
        if not container.streams.audio:
            return None
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=SOUND_RATE)
        try:
            pieces = []
            for frame in container.decode(audio=0):
                pieces += resampler.resample(frame)
            pieces += resampler.resample(None)
        except av.FFmpegError as error:
            problem = f"the sound of {path} is corrupt ({error.strerror})"
            raise InputError(f"{problem}: replace the file") from error
    if not pieces:
        raise InputError(f"{path} has a sound track without a sample: replace the file")
    return np.clip(np.concatenate([piece.to_ndarray()[0] for piece in pieces]), -1, 1)


def _check(
    path: str | Path, frames: np.ndarray, fps: float, crf: int, sound: np.ndarray | None
) -> None:
    """Raise InputError for arguments that `encode` cannot write."""
    target = f"to {path}"
    is_grey_or_rgb = frames.ndim >= 3 and frames.shape[3:] in ((), (3,))
    if not is_grey_or_rgb or frames.dtype != np.uint8 or not len(frames):
        remedy = "give uint8 (F, H, W[, 3]), F >= 1"
        raise InputError(f"cannot encode {frames.dtype} {frames.shape} {target}: {remedy}")
    height, width = frames.shape[1:3]
    if height % 2 or width % 2:
        remedy = "yuv420p needs an even width and height"
        raise InputError(f"cannot encode {width} x {height} {target}: {remedy}")
    if not (np.isfinite(fps) and fps > 0) or not 0 <= crf <= 51:
        remedy = "give a rate above 0, a CRF of 0 to 51"
        raise InputError(f"cannot encode {path} at {fps} frames/s, CRF {crf}: {remedy}")
    if sound is not None and (sound.ndim != 1 or not len(sound) or not np.abs(sound).max() <= 1):
        remedy = "give (S,) in [-1, 1], S >= 1"
        raise InputError(f"cannot encode sound {sound.shape} {target}: {remedy}")


def encode(
    path: str | Path,
    frames: np.ndarray,
    fps: float = 25.0,
    crf: int = 23,
    sound: np.ndarray | None = None,
    preset: str = "medium",
) -> None:
    """Write uint8 RGB (F, H, W, 3) or grey (F, H, W) frames, even H and W, as H.264 to MP4.

    `crf` is the rate factor, 0 to 51. `sound` float32 (S,) in [-1, 1] at 16 kHz is written as AAC.
    `preset` is that of x264: use a fast one for simple pictures, such as masks. The file is either
    complete or absent. Raises InputError for other shapes or values.
    """
    frames, sound = np.asarray(frames), None if sound is None else np.asarray(sound, np.float32)
    _check(path, frames, fps, crf, sound)
    with (
        files.atomic_path(path) as temporary,
        av.open(str(temporary), "w", format="mp4") as container,
    ):
        stream = _add_pictures(container, frames, fps, {"crf": str(crf), "preset": preset})
        # Every stream must exist before the first packet is written.
        track: Any = None
        if sound is not None:
            track = container.add_stream("aac", rate=SOUND_RATE, layout="mono", bit_rate=32000)
        given = "rgb24" if frames.ndim == 4 else "gray"
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=given)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
        if sound is not None:
            samples = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
            samples.sample_rate, samples.pts = SOUND_RATE, 0
            container.mux(track.encode(samples))
            container.mux(track.encode())


def _add_pictures(container: Any, frames: np.ndarray, fps: float, options: dict[str, str]) -> Any:
    """Return a new H.264 stream of `container` for `frames`, encoded on one thread."""
    rate = Fraction(fps).limit_denominator(1001)
    stream = container.add_stream("libx264", rate=rate, options=options | X264)
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = "yuv420p" if frames.ndim == 4 else "gray"
    stream.codec_context.thread_count = 1
    return stream
