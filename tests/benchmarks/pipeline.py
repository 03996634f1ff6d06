"""Speed of the stages before a detector: renderer, video codec, face tracker and generators."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from benchmarks.runner import Entry

from deepfake_uncertainty.benchmark.generators import base, catalogue
from deepfake_uncertainty.benchmark.renderer import render
from deepfake_uncertainty.datasets import faces, video


def entries(small: bool) -> Iterator[Entry]:
    """Yield the entries, each for one frame of 128 x 128 in a clip of 128 frames."""
    cv2.setNumThreads(1)
    n = 24 if small else 128
    yield Entry(
        "render a frame (its share of the set-up included)",
        lambda: render.render_clip(1, 0, n_frames=n, sound=False),
        bar=2.5e-3,
        units=n,
    )
    frames = render.render_clip(1, 0, n_frames=n).frames
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        yield Entry("encode a frame, H.264", lambda: video.encode(path, frames, 25.0, 23), units=n)
        yield Entry("decode a frame, H.264", lambda: video.decode(path), units=n)
    mesh = faces.FaceMesh()
    yield Entry("track a face, a frame", lambda: mesh.track(frames), units=n)
    with tempfile.TemporaryDirectory() as folder:
        pair = [_footage(mesh, number, n, Path(folder)) for number in (0, 1)]
        for family in (*catalogue.families("SynthFF"), *catalogue.families("SynthAV")):
            if family != "Deepfakes":  # its network is trained while the benchmark is built
                yield Entry(f"fake a frame, {family}", _call(family, pair), units=n)


def _footage(mesh: faces.FaceMesh, number: int, n: int, folder: Path) -> base.Footage:
    clip = render.render_clip(number, 0, n_frames=n)
    landmarks, found, _ = mesh.track(clip.frames)
    truth = folder / f"{number}.json"
    truth.write_text("{}")
    return base.footage(number, clip.frames, landmarks, found, truth, clip.truth["sound"])


def _call(family: str, pair: list[base.Footage]) -> Callable:
    return lambda: catalogue.generate(family, *pair, np.random.default_rng(0))
