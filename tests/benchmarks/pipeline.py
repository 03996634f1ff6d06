"""Speed of the stages before a detector: rendering, the codec, the face tracker, and the generators."""

import tempfile
from pathlib import Path

import cv2
import numpy as np
from benchmarks.runner import Entry

from deepfake_uncertainty.benchmark import render
from deepfake_uncertainty.benchmark.generators import base, registry
from deepfake_uncertainty.datasets import faces, video


def entries(small):
    """Yield the entries, each a frame of 128 x 128 in a clip of 128."""
    cv2.setNumThreads(1)
    n = 24 if small else 128
    yield Entry("render a frame (its share of the set-up included)", lambda: render.render_clip(1, 0, n_frames=n, sound=False),
                bar=2.5e-3, units=n)  # fmt: skip
    frames = render.render_clip(1, 0, n_frames=n).frames
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        yield Entry("encode a frame, H.264", lambda: video.encode(path, frames, 25.0, 23), units=n)
        yield Entry("decode a frame, H.264", lambda: video.decode(path), units=n)
    mesh = faces.FaceMesh()
    yield Entry("track a face, a frame", lambda: mesh.track(frames), units=n)
    with tempfile.TemporaryDirectory() as folder:
        pair = [_footage(mesh, number, n, Path(folder)) for number in (0, 1)]
        for family in (*registry.FF, *registry.AV):
            if family != "Deepfakes":  # its network is trained while the benchmark is built
                yield Entry(f"fake a frame, {family}", _call(family, pair), units=n)


def _footage(mesh, number, n, folder):
    clip = render.render_clip(number, 0, n_frames=n)
    landmarks, found, _ = mesh.track(clip.frames)
    truth = folder / f"{number}.json"
    truth.write_text("{}")
    return base.footage(number, clip.frames, landmarks, found, truth, clip.truth["sound"])


def _call(family, pair):
    return lambda: registry.generate(family, *pair, np.random.default_rng(0))
