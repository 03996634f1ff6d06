"""Speed as a user waits for it: the import of the engine, and the analysis of a new video.

Both are clock times on all processors.
"""

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from benchmarks.runner import Entry

from deepfake_uncertainty import paths
from deepfake_uncertainty.benchmark.renderer import render
from deepfake_uncertainty.datasets import video
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study.your_video import analysis, drawing
from deepfake_uncertainty.training import predict

NAME = f"benchmark-{os.getpid()}.mp4"
OPTIONS = "resnet18", "bnn", "quick", 0.2  # the defaults, with the error rate that quick allows


def entries(small: bool) -> Iterator[Entry]:
    """Yield the entries; those of `analyze` only where its trained networks are in the cache."""
    yield Entry("import the engine", _import, bar=3, threads=2)
    with tempfile.TemporaryDirectory() as folder:
        clip = Clip(Path(folder), 24 if small else 250)
        try:
            with mock.patch.object(predict, "_trained", side_effect=InputError("not trained yet")):
                _analyze(clip)
        except InputError as problem:
            print(f"analyze is not measured: {problem}; ./run_all.sh makes what it needs")
            return
        finally:
            clip.forget()
        length = f"{clip.n_frames / 25:g} s"
        try:
            yield Entry(f"analyze a clip of {length}", lambda: _command(clip), bar=8, threads=2)
            name = f"analyze a clip of {length}, without the imports"
            yield Entry(name, lambda: _analyze(clip), bar=5, threads=2)
        finally:
            clip.forget()


class Clip:
    """A rendered clip in a file of 25 frames per second that differs at each call of `new`."""

    def __init__(self, folder: Path, n_frames: int) -> None:
        self.path, self.n_frames, self.count = folder / NAME, n_frames, itertools.count()
        frames = render.render_clip(900, 0, n_frames=n_frames, sound=False).frames
        video.encode(self.path, frames, 25.0)
        self.content = self.path.read_bytes()

    def new(self) -> Path:
        """Return the file with another number in a box of MP4 that no reader uses.

        The face in a file that is unchanged is tracked once only.
        """
        box = (16).to_bytes(4, "big") + b"free" + next(self.count).to_bytes(8, "big")
        self.path.write_bytes(self.content + box)
        return self.path

    def forget(self) -> None:
        """Remove the tracks of the clip from the cache."""
        for meta in (paths.CACHE / "tracks").glob("*/meta.json"):
            if json.loads(meta.read_text())["video"] == NAME:
                shutil.rmtree(meta.parent)


def _import() -> None:
    subprocess.run([sys.executable, "-c", "import deepfake_uncertainty.uncertainty"], check=True)


def _analyze(clip: Clip) -> None:
    drawing.draw(analysis.analyze(clip.new(), *OPTIONS), clip.path.with_suffix(".png"))


def _command(clip: Clip) -> None:
    detector, method, profile, alpha = OPTIONS
    chosen = ["--detector", detector, "--method", method, "--profile", profile]
    files = ["--figure", str(clip.path.with_suffix(".png"))]
    command = [sys.executable, "-m", "deepfake_uncertainty", "analyze", str(clip.new())]
    rest = [*chosen, "--alpha", str(alpha), *files]
    subprocess.run([*command, *rest], capture_output=True, check=True)
