"""Speed of the pipeline's stages on this machine (`./run_all.sh bench`): median of three runs."""

import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import torch

from deepfake_uncertainty.benchmark import render
from deepfake_uncertainty.datasets import faces, video
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.uncertainty import dropout

FRAMES, CROPS, SAMPLES = 64, 64, 50


def seconds(call, repeats=3):
    """Return the median time of `call` in seconds after one call that warms up."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def stages(folder):
    """Yield (stage, seconds, units a second, unit) down the pipeline."""
    taken = seconds(lambda: render.render_clip(0, 0, n_frames=FRAMES))
    yield "render a clip", taken, FRAMES / taken, "frames/s"
    frames, path = render.render_clip(0, 0, n_frames=FRAMES).frames, folder / "clip.mp4"
    taken = seconds(lambda: video.encode(path, frames, 25.0, 23))
    yield "encode H.264", taken, FRAMES / taken, "frames/s"
    taken = seconds(lambda: video.decode(path))
    yield "decode H.264", taken, FRAMES / taken, "frames/s"
    mesh = faces.FaceMesh()
    taken = seconds(lambda: mesh.track(frames))
    yield "detect and track a face", taken, FRAMES / taken, "frames/s"
    network = registry.get("resnet18").build(2, 0.3).eval()
    crops = torch.rand(CROPS, 3, 64, 64)
    with torch.inference_mode():
        taken = seconds(lambda: network(crops))
        yield "ResNet18, one pass", taken, CROPS / taken, "crops/s"
        taken = seconds(lambda: dropout.mc_dropout(network, crops, SAMPLES, 0))
        yield f"ResNet18, {SAMPLES} dropout samples", taken, CROPS / taken, "crops/s"


def main():
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    print(f"{platform.machine()}, {torch.get_num_threads()} thread(s), torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        for stage, taken, rate, unit in stages(Path(folder)):
            print(f"{stage:32s} {taken:8.3f} s {rate:10.0f} {unit}", flush=True)


if __name__ == "__main__":
    main()
