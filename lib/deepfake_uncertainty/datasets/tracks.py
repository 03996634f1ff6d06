"""From a video file to an aligned face track, which is computed once and kept in the cache."""

import dataclasses
import errno
import functools
import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from deepfake_uncertainty import cache, files, paths
from deepfake_uncertainty.datasets import faces, video
from deepfake_uncertainty.errors import InputError

log = logging.getLogger(__name__)
ARRAYS = "crops", "landmarks", "matrices", "times"

# Real cameras jitter. The frame rate counts as variable when more than the share UNEVEN of the
# intervals between frames differ from the median by more than the share JITTER of it.
UNEVEN, JITTER = 0.05, 0.2


@dataclasses.dataclass(frozen=True)
class Track:
    """One face through a video.

    crops: uint8 (F, S, S, 3) RGB.
    landmarks: float32 (F, 468, 2) in frame px.
    matrices: float32 (F, 2, 3), affine maps from frame px to crop px.
    times: float64 (F,) in s, 0 at the first frame.
    fps: frames per second.
    n_faces: number of faces in the frame in which the face was first detected.
    """

    crops: np.ndarray
    landmarks: np.ndarray
    matrices: np.ndarray
    times: np.ndarray
    fps: float
    n_faces: int

    @property
    def crop_landmarks(self) -> np.ndarray:
        """Return the landmarks in crop px, float32 (F, 468, 2)."""
        turn = np.swapaxes(self.matrices[:, :, :2], 1, 2)
        return self.landmarks @ turn + self.matrices[:, None, :, 2]

    def part(self, start: int, length: int) -> "Track":
        """Return the frames from `start` to before `start + length` as a track."""
        chosen = slice(start, start + length)
        return dataclasses.replace(
            self,
            crops=np.array(self.crops[chosen]),
            landmarks=self.landmarks[chosen],
            matrices=self.matrices[chosen],
            times=self.times[chosen],
        )


def check_constant_rate(track: Track) -> None:
    """Raise InputError when the frames of a track are not evenly spaced in time.

    Signals of pulse and motion need a constant frame rate. Detectors that read single frames do
    not: they need no check.
    """
    steps = np.diff(track.times)
    if not len(steps):
        return
    uneven = np.abs(steps - np.median(steps)) > JITTER * np.median(steps)
    if np.mean(uneven) > UNEVEN:
        seen = f"steps of {steps.min():.3f} to {steps.max():.3f} s"
        raise InputError(f"variable frame rate, {seen}: re-encode the video at a constant one")


def load(path: str | Path, size: int = 96, max_frames: int | None = None) -> Track:
    """Return the `Track` of a video from the cache, or build it.

    The track has the first `max_frames` frames (None: all) and crops of `size` px. Its key depends
    on the bytes of the video and on the code that makes tracks. A damaged entry is built again.
    Raises InputError for an unreadable video, for one without a face, and for a full disk.
    """
    path = Path(path)
    if size < 16:
        raise InputError(f"crops of {size} px are too small ({path}): give at least 16")
    fps, _ = video.header(path)
    folder = paths.CACHE / "tracks" / files.digest(path, size, max_frames, _code())
    track = _read(folder)
    if track is None:
        _write(folder, _build(path, size, max_frames, fps), path.name)
        track = _read(folder)
    if track is None:
        raise InputError(f"cannot read back the track just written to {folder}: check that disk")
    return track


def load_all(videos: Sequence[str | Path], jobs: int = 1) -> list[tuple[str, str]]:
    """Track every video of a list of paths, with `jobs` processes.

    Returns (path, reason) for each video that cannot be used, in the order of `videos`. A track
    that is in the cache already is only checked.
    """
    names = [str(path) for path in videos]
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        reasons = tqdm(pool.map(_reason, names), total=len(names), desc="face tracks", unit="video")
        return [(path, reason) for path, reason in zip(names, reasons, strict=True) if reason]


def _reason(path: str) -> str:
    """Return why a video has no track, '' when it has one."""
    try:
        load(path)
    except InputError as error:
        return str(error)
    return ""


@functools.cache
def _code() -> str:
    return cache.code_digest("datasets.tracks")


@functools.cache
def _mesh() -> faces.FaceMesh:
    return faces.FaceMesh()


def _build(path: Path, size: int, max_frames: int | None, fps: float) -> Track:
    """Track and align in two passes over the file.

    So a long video of large frames is never in memory as a whole.
    """
    times = []

    def first_pass() -> Iterator[np.ndarray]:
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


def _write(folder: Path, track: Track, name: str) -> None:
    try:
        with files.atomic_path(folder) as temporary:
            temporary.mkdir()
            for array in ARRAYS:
                np.save(temporary / f"{array}.npy", getattr(track, array))
            shapes = {array: list(getattr(track, array).shape) for array in ARRAYS}
            counts = {"fps": track.fps, "n_faces": int(track.n_faces)}
            meta = {**counts, "shapes": shapes, "video": name}
            files.write_json(temporary / "meta.json", meta)
    except OSError as error:
        # Another process may have finished the same entry in the meantime; its bytes are the same.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            raise


def _read(folder: Path) -> Track | None:
    """Return the cached track, or None when it is absent or damaged."""
    if not folder.is_dir():
        return None
    try:
        meta = json.loads((folder / "meta.json").read_text())
        arrays = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in ARRAYS
        }
        if any(list(arrays[name].shape) != meta["shapes"][name] for name in ARRAYS):
            raise ValueError("its arrays do not have the shapes in meta.json")
        return Track(**arrays, fps=float(meta["fps"]), n_faces=int(meta["n_faces"]))
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        log.warning("cached track %s is damaged and is made again: %s", folder, error)
        return None
