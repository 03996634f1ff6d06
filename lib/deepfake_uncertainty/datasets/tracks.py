"""A video file to an aligned face track, computed once and then memory-mapped from the cache."""

import errno
import functools
import json
import logging
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from deepfake_uncertainty import files, paths, results
from deepfake_uncertainty.datasets import faces, video
from deepfake_uncertainty.errors import InputError

log = logging.getLogger(__name__)
ARRAYS = "crops", "landmarks", "matrices", "times"


# Real cameras jitter; more than this share of intervals that differ by more than this from the median is another matter.
UNEVEN, JITTER = 0.05, 0.2


@dataclass(frozen=True)
class Track:
    """One face through a video.

    crops uint8 (F, S, S, 3) RGB; landmarks float32 (F, 468, 2) in frame px; matrices float32 (F, 2, 3) from frame px to
    crop px; times float64 (F,) s; fps frames/s; n_faces seen when the face was first detected.
    """

    crops: np.ndarray
    landmarks: np.ndarray
    matrices: np.ndarray
    times: np.ndarray
    fps: float
    n_faces: int

    @property
    def crop_landmarks(self):
        """The landmarks in crop px, float32 (F, 468, 2)."""
        turn = np.swapaxes(self.matrices[:, :, :2], 1, 2)
        return self.landmarks @ turn + self.matrices[:, None, :, 2]


def check_even(track):
    """Raise InputError when a track's frames are not evenly spaced in time, as a pulse or a motion signal needs them.

    Detectors that read single frames do not ask: variable frame rate and missing images are nothing to them.
    """
    steps = np.diff(track.times)
    if len(steps) and np.mean(np.abs(steps - np.median(steps)) > JITTER * np.median(steps)) > UNEVEN:
        seen = f"steps of {steps.min():.3f} to {steps.max():.3f} s"
        raise InputError(f"variable frame rate, {seen}: re-encode the video at a constant one")


def load(path, size=96, max_frames=None):
    """Return the `Track` of a video (its first `max_frames` frames, crops of `size` px) from the cache, or build it.

    The key holds the bytes of the video and the code that makes tracks; a damaged entry is rebuilt. Raises InputError
    for an unreadable video, one without a face, or a full disk.
    """
    path = Path(path)
    if size < 16:
        raise InputError(f"crops of {size} px asked for {path}: give at least 16")
    fps, _ = video.header(path)
    folder = paths.CACHE / "tracks" / files.digest(path, size, max_frames, _code())
    track = _read(folder)
    if track is None:
        _write(folder, _build(path, size, max_frames, fps), path.name)
        track = _read(folder)
    if track is None:
        raise InputError(f"cannot read back the track just written to {folder}: check that disk")
    return track


def load_all(videos, jobs=1):
    """Track every video of a list of paths with `jobs` processes; return (path, reason) of those that cannot be used.

    What is in the cache already is only checked. The order of the reasons is that of the videos.
    """
    videos = [str(path) for path in videos]
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        reasons = tqdm(pool.map(_reason, videos), total=len(videos), desc="face tracks", unit="video")
        return [(path, reason) for path, reason in zip(videos, reasons, strict=True) if reason]


def _reason(path):
    """Return why a video has no track, '' when it has one."""
    try:
        load(path)
    except InputError as error:
        return str(error)
    return ""


@functools.cache
def _code():
    return results.code_digest("datasets/faces.py", "datasets/video.py", "datasets/tracks.py")


@functools.cache
def _mesh():
    return faces.FaceMesh()


def _build(path, size, max_frames, fps):
    """Track and align in two passes over the file, so that a long video of large frames is never in memory whole."""
    times = []

    def first_pass():
        for frame, time in video.stream_frames(path, max_frames):
            times.append(time)
            yield frame

    try:
        landmarks, _, n_faces = _mesh().track(first_pass())
    except InputError as error:
        raise error if str(path) in str(error) else InputError(f"{path}: {error}") from error
    frames = (frame for frame, _ in video.stream_frames(path, max_frames))
    crops, matrices = faces.align(frames, landmarks, size)
    return Track(crops, landmarks, matrices, np.array(times), fps, n_faces)


def _write(folder, track, name):
    try:
        with files.whole(folder) as temporary:
            temporary.mkdir()
            for array in ARRAYS:
                np.save(temporary / f"{array}.npy", getattr(track, array))
            shapes = {array: list(getattr(track, array).shape) for array in ARRAYS}
            meta = {"fps": track.fps, "n_faces": int(track.n_faces), "shapes": shapes, "video": name}
            files.write_json(temporary / "meta.json", meta)
    except OSError as error:
        # Another process may have finished the same entry in the meantime; its bytes are the same.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _read(folder):
    """Return the cached track, or None when it is absent or damaged."""
    if not folder.is_dir():
        return None
    try:
        meta = json.loads((folder / "meta.json").read_text())
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS}
        if any(list(arrays[name].shape) != meta["shapes"][name] for name in ARRAYS):
            raise ValueError("its arrays are not of the sizes that it notes")
        return Track(**arrays, fps=float(meta["fps"]), n_faces=int(meta["n_faces"]))
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        log.warning("cached track %s is damaged and is made again: %s", folder, error)
        return None
