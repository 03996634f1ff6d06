"""The pipeline in miniature: two rendered people, from their frames to a figure.

Each stage yields what it has made, as arrays and bytes; the stages after it go on from that.
"""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from matplotlib import pyplot as plt
from scipy.stats import gaussian_kde
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import TSNE

from deepfake_uncertainty import paths
from deepfake_uncertainty.benchmark.generators import base, catalogue
from deepfake_uncertainty.benchmark.renderer.render import render_clip
from deepfake_uncertainty.datasets import faces, tracks, video
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.detectors.base import Recipe
from deepfake_uncertainty.evaluation import metrics
from deepfake_uncertainty.report import plotting, results
from deepfake_uncertainty.training import methods
from deepfake_uncertainty.training.config import Settings
from deepfake_uncertainty.training.methods.base import Data, ModelConfig
from deepfake_uncertainty.uncertainty import maps, measures

PEOPLE = 0, 1  # the second stands for a fake
FRAMES, FAKED = 64, 6  # of a clip: FakeCatcher needs 64; how many of them are faked
INPUTS, DRAWS = 4, 3  # per person; per input
# One pass over all inputs is one step: three steps of the network, two of its posterior.
RECIPE = Recipe(
    epochs=3, batch=64, lr=1e-3, weight_decay=1e-2, variational_epochs=2,
    inputs_per_video=INPUTS, flip=True, shift=2, colour=0.1,
)  # fmt: skip
# What they are made of: plain, depthwise, attention, PPG maps, motion.
NETWORKS = "resnet18", "mobilenet", "vit_tiny", "fakecatcher", "motion_phase"
SAMPLED = {
    "mc_dropout": Settings(placement="every_stage"),
    "bnn": Settings(),
    "laplace": Settings(),
}


def people(made: SimpleNamespace) -> Iterator:
    made.clips = [render_clip(number, 0, FRAMES) for number in PEOPLE]
    for clip in made.clips:
        yield from (clip.frames, clip.truth["sound"], clip.truth["landmarks"], clip.truth["pulse"])


def videos(made: SimpleNamespace) -> Iterator:
    made.paths = []
    for number, clip in enumerate(made.clips):
        path = made.folder / f"{number}.mp4"
        video.encode(path, clip.frames, sound=clip.truth["sound"])
        made.paths.append(path)
        yield path.read_bytes()
        yield from (*video.decode(path), video.sound(path))


def face_tracks(made: SimpleNamespace) -> Iterator:
    made.tracks = [tracks.load(path) for path in made.paths]
    for track in made.tracks:
        yield from (track.landmarks, track.matrices, track.crops)


def fakes(made: SimpleNamespace) -> Iterator:
    footage, mesh = [], faces.FaceMesh()
    for number, clip in enumerate(made.clips):
        truth = made.folder / f"{number}.json"
        truth.write_text("{}")
        frames, sound = clip.frames[:FAKED], clip.truth["sound"][: FAKED * 640]
        landmarks, found, _ = mesh.track(frames)
        footage.append(base.footage(number, frames, landmarks, found, truth, sound))
    for name in ("FaceSwap", "Face2Face", "FaceShifter", "NeuralTextures", "fsgan-wav2lip"):
        yield from catalogue.generate(name, *footage, np.random.default_rng(0))


def signals(made: SimpleNamespace) -> Iterator:
    made.inputs = {}
    for name in [*NETWORKS, "motion_deep"]:
        found = [registry.get(name).inputs(track, INPUTS)[0] for track in made.tracks]
        made.inputs[name] = np.concatenate(found)
        yield made.inputs[name]


def _fitted(made: SimpleNamespace, detector: str, method: str, settings: Settings) -> tuple:
    """Return a detector's network by a method, and its inputs."""
    x = made.inputs[detector]
    y = np.repeat([0, 1], len(x) // 2)
    config = ModelConfig(registry.get(detector), RECIPE, 0, settings)
    model, _ = methods.get(method).fit(config, Data(x, y, lambda: (x, y)))
    return model, x


def training(made: SimpleNamespace) -> Iterator:
    for detector in NETWORKS:
        model, x = _fitted(made, detector, "deterministic", Settings())
        yield from (value.numpy() for value in model.state_dict().values())
        yield methods.get("deterministic").sample(
            model, [torch.from_numpy(x)], 1, 0, registry.get(detector)
        )


def samples(made: SimpleNamespace) -> Iterator:
    made.samples = {}
    for name, settings in SAMPLED.items():
        model, x = _fitted(made, "resnet18", name, settings)
        made.samples[name] = methods.get(name).sample(
            model, [torch.from_numpy(x)], DRAWS, 0, registry.get("resnet18")
        )
        yield made.samples[name]
        made.draws = methods.get(name).draws(model, DRAWS, 0) if name == "bnn" else made.draws


def pixel_maps(made: SimpleNamespace) -> Iterator:
    x = torch.from_numpy(made.inputs["resnet18"][:2])
    found = maps.smooth_grad(maps.uncertainty(made.draws), x, copies=2)
    yield from (maps.magnitude(slope).numpy() for slope in found.values())


def numbers(made: SimpleNamespace) -> Iterator:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    features = rng.normal(size=(200, 8)) + labels[:, None]
    p = LogisticRegression().fit(features, labels).predict_proba(features)
    for found in made.samples.values():
        yield from measures(found).values()
    weights = rng.multinomial(200, np.full(200, 1 / 200), 50)
    score, error = rng.random(200).round(2), metrics.errors(p, labels)
    yield from (p, metrics.auroc(p[:, 1], labels, weights), metrics.aurc(score, error, weights))
    yield from (metrics.ece(p, labels, weights=weights), metrics.nll(p, labels, weights))
    yield gaussian_kde(score)(np.linspace(0, 1, 50))
    yield TSNE(perplexity=10, max_iter=250, random_state=0).fit_transform(features[:60])


def figure(made: SimpleNamespace) -> Iterator:
    paths.FIGURES = made.folder
    plotting.use_style()
    drawn, axes = plt.subplots(1, 2)
    axes[0].imshow(made.tracks[0].crops[0])
    axes[1].hist(made.samples["bnn"][..., 1].ravel(), label="P(fake)")
    axes[1].legend()
    results.save(drawn, "00_tiny", {"p": made.samples["bnn"]}, "quick", 0)
    yield from ((made.folder / f"00_tiny.{suffix}").read_bytes() for suffix in ("png", "pdf"))
    yield str(results.load("00_tiny")["numbers"]).encode()


STAGES = (
    people, videos, face_tracks, fakes, signals, training, samples, pixel_maps, numbers, figure,
)  # fmt: skip


def run(folder: Path) -> Iterator[tuple[str, list]]:
    """Yield (name, what it has made: arrays and bytes) of every stage, with files in `folder`."""
    paths.CACHE = folder / "cache"
    made = SimpleNamespace(folder=folder, draws=None)
    for stage in STAGES:
        yield stage.__name__, list(stage(made))
