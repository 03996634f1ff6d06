"""Speed of the stages before a detector: rendering, the codec, and the face tracker."""

import tempfile
from pathlib import Path

import cv2
from benchmarks.runner import Entry

from deepfake_uncertainty.benchmark import render
from deepfake_uncertainty.datasets import faces, video


def entries(small):
    """Yield the entries, each a frame of 128 x 128 in a clip of 144."""
    cv2.setNumThreads(1)
    n = 24 if small else 144
    yield Entry("render a frame (its share of the set-up included)", lambda: render.render_clip(1, 0, n_frames=n),
                bar=2.5e-3, units=n)  # fmt: skip
    frames = render.render_clip(1, 0, n_frames=n).frames
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        yield Entry("encode a frame, H.264", lambda: video.encode(path, frames, 25.0, 23), units=n)
        yield Entry("decode a frame, H.264", lambda: video.decode(path), units=n)
    mesh = faces.FaceMesh()
    yield Entry("track a face, a frame", lambda: mesh.track(frames), units=n)
