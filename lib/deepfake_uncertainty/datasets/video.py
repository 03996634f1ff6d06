"""Videos, or folders of images, to RGB frames and sound and back, through PyAV on one thread: a rerun gives the same bytes."""

import os
import platform
import re
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from deepfake_uncertainty import files
from deepfake_uncertainty.errors import InputError

# Containers may declare a frame or two more than their edit list plays; more than this are missing.
DECLARED_SLACK = 2
SOUND_RATE = 16000  # Hz
# x264's AVX-512 code gives other bytes now and then (at 64 x 48 and 80 x 80 px, not at our 128 x 128); SSE4.2 is as fast here.
X264 = {"x264-params": "asm=sse4.2"} if platform.machine().lower() in ("x86_64", "amd64") else {}
IMAGES = ".png", ".jpg", ".jpeg"
IMAGE_RATE = 25.0  # frames/s of the clip that a folder of images was taken from: no such data set says it


def _open(path):
    """Open `path` and return its container and first video stream, or say in one line why not."""
    path = Path(path)
    if not os.path.isfile(path):  # unlike Path.is_file, it takes a name that no disk can hold
        raise InputError(f"no video file at {path}, nor a folder of images: check the path")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes): download or build it again")
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"{path} is not a readable video, or is cut off ({error.strerror}): replace it") from error
    if not container.streams.video:
        container.close()
        raise InputError(f"{path} has no video stream (audio only?): give a file with pictures")
    stream = container.streams.video[0]
    stream.codec_context.thread_count = 1
    return container, stream


def _rate(stream, path):
    rate = stream.average_rate or stream.guessed_rate
    if not rate:
        raise InputError(f"{path} does not state a frame rate: re-encode it at a constant rate")
    return float(rate)


def header(path):
    """Return (frames per second, number of frames) as the container states them; InputError for an unreadable file.

    Images in a folder are those frames of a clip of IMAGE_RATE that their names count: 000, 015, 030 give 25/15.
    """
    images = _images(path)
    if images:
        return _image_rate(images), len(images)
    container, stream = _open(path)
    with container:
        fps = _rate(stream, path)
        return fps, _declared(stream, fps) or round((container.duration or 0) / av.time_base * fps)


def _declared(stream, fps):
    """Return how many frames the stream is said to have, 0 when it is not said (Matroska says it as a duration tag)."""
    if stream.frames:
        return stream.frames
    if stream.duration:
        return round(float(stream.duration * stream.time_base) * fps)
    parts = stream.metadata.get("DURATION", "0").split(":")
    try:
        return round(sum(float(part) * 60**power for power, part in enumerate(reversed(parts))) * fps)
    except ValueError:
        return 0


def stream_frames(path, max_frames=None):
    """Yield (frame uint8 (H, W, 3) RGB, time in seconds from the first frame), upright, at most `max_frames` of them.

    `path` is a file, or a folder of images in the order of the numbers in their names (see `header`). Raises InputError
    for a missing, empty, corrupt, truncated or audio-only file, one without a single frame, and an unreadable image.
    """
    if max_frames is not None and max_frames < 1:
        raise InputError(f"max_frames is {max_frames}: ask for at least one frame of {path}")
    images = _images(path)
    if images:
        yield from zip(map(_read_image, images[:max_frames]), _image_times(images), strict=False)
        return
    container, stream = _open(path)
    with container:
        fps = _rate(stream, path)
        declared, count, first = _declared(stream, fps), 0, None
        # One for all frames: each would otherwise make a converter, and its threads, of its own.
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
            raise InputError(f"{path} is corrupt after frame {count} ({error.strerror}): replace the file") from error
    if count == 0:
        raise InputError(f"{path} holds no frame: replace the file")
    if count + DECLARED_SLACK < declared:
        raise InputError(f"{path} is truncated, {count} of {declared} frames can be read: replace the file")


def is_image(name):
    """Return True when a file of that name is an image that `stream_frames` reads."""
    return name.lower().endswith(IMAGES) and not name.startswith(".")


def _images(path):
    """Return the images in a folder, 2.png before 10.png; [] where there are none, or no folder."""
    if not os.path.isdir(path):
        return []
    found = [image for image in Path(path).iterdir() if is_image(image.name) and image.is_file()]
    return sorted(found, key=lambda image: ([int(n) for n in re.findall(r"[0-9]+", image.stem)], image.name))


def _image_times(images):
    """Return the time of each image in s from the first: the last number in its name counts the frames of the clip.

    Where the names do not count upwards, the images are taken as consecutive frames.
    """
    numbers = [re.findall(r"[0-9]+", image.stem)[-1:] for image in images]
    counts = np.array([int(n[0]) if n and len(n[0]) < 10 else 0 for n in numbers])
    if (np.diff(counts) <= 0).any():
        counts = np.arange(len(images))
    return (counts - counts[0]) / IMAGE_RATE


def _image_rate(images):
    return float(1 / np.median(np.diff(_image_times(images)))) if len(images) > 1 else IMAGE_RATE


def _read_image(path):
    wrong = InputError(f"{path} is not a readable image, or is cut off: replace it, or remove it")
    try:
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:  # an empty file, or a header that asks for more pixels than OpenCV takes
        raise wrong from error
    if image is None:
        raise wrong
    return image


def _upright(frame, converter):
    """Return the picture as RGB, turned as the display matrix of telephone videos asks."""
    image = converter.reformat(frame, format="rgb24").to_ndarray()
    return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90)))


def decode(path, max_frames=None):
    """Return (frames uint8 (F, H, W, 3) RGB, times float64 (F,) in seconds, 0 at the first frame) of a video.

    Raises InputError as `stream_frames` does, and when the picture size changes on the way.
    """
    frames, times = [], []
    for frame, time in stream_frames(path, max_frames):
        if frames and frame.shape != frames[0].shape:
            raise InputError(f"{path} changes its picture size at frame {len(frames)}: re-encode it at one size")
        frames.append(frame)
        times.append(time)
    return np.stack(frames), np.array(times, np.float64)


def picture_bits(path):
    """Return the bits that the pictures of a video, or the images of a folder, take on disk, without its sound."""
    path = Path(path)
    if path.is_dir():
        return 8 * sum(image.stat().st_size for image in path.iterdir() if is_image(image.name))
    container, stream = _open(path)
    with container:
        return 8 * sum(packet.size for packet in container.demux(stream))


def sound(path):
    """Return the sound of a video as float32 (S,) mono in [-1, 1] at 16 kHz, None when it has no sound track.

    Raises InputError as `stream_frames` does.
    """
    container, _ = _open(path)
    with container:
        if not container.streams.audio:
            return None
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=SOUND_RATE)
        try:
            pieces = [piece for frame in container.decode(audio=0) for piece in resampler.resample(frame)]
            pieces += resampler.resample(None)
        except av.FFmpegError as error:
            raise InputError(f"the sound of {path} is corrupt ({error.strerror}): replace the file") from error
    if not pieces:
        raise InputError(f"{path} has a sound track without a sample: replace the file")
    return np.clip(np.concatenate([piece.to_ndarray()[0] for piece in pieces]), -1, 1)


def _check(path, frames, fps, crf, sound):
    if frames.ndim < 3 or frames.shape[3:] not in ((), (3,)) or frames.dtype != np.uint8 or not len(frames):
        raise InputError(f"cannot encode {frames.dtype} {frames.shape} to {path}: give uint8 (F, H, W[, 3]), F >= 1")
    height, width = frames.shape[1:3]
    if height % 2 or width % 2:
        raise InputError(f"cannot encode {width} x {height} to {path}: yuv420p needs an even width and height")
    if not (np.isfinite(fps) and fps > 0) or not 0 <= crf <= 51:
        raise InputError(f"cannot encode {path} at {fps} frames/s, CRF {crf}: give a rate above 0, a CRF of 0 to 51")
    if sound is not None and (sound.ndim != 1 or not len(sound) or not np.abs(sound).max() <= 1):
        raise InputError(f"cannot encode sound {sound.shape} to {path}: give (S,) in [-1, 1], S >= 1")


def encode(path, frames, fps=25.0, crf=23, sound=None, preset="medium"):
    """Write uint8 RGB (F, H, W, 3) or grey (F, H, W) frames, even H and W, as H.264 (rate factor 0..51) to MP4.

    `sound` float32 (S,) in [-1, 1] at 16 kHz goes beside the picture as AAC. `preset` is x264's: a fast one for what
    is simple, as masks are. Raises InputError for other shapes or values; the file is whole or not there at all.
    """
    frames, sound = np.asarray(frames), None if sound is None else np.asarray(sound, np.float32)
    _check(path, frames, fps, crf, sound)
    given, stored = ("rgb24", "yuv420p") if frames.ndim == 4 else ("gray", "gray")
    with files.whole(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        options = {"crf": str(crf), "preset": preset} | X264
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options=options)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], stored
        stream.codec_context.thread_count = 1
        # Every stream must be known before the first packet is written.
        track = None if sound is None else container.add_stream("aac", rate=SOUND_RATE, layout="mono", bit_rate=32000)
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=given)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
        if track is not None:
            samples = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
            samples.sample_rate, samples.pts = SOUND_RATE, 0
            container.mux(track.encode(samples))
            container.mux(track.encode())
