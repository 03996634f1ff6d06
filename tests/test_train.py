"""Training, its cache, and the way from an index to samples."""

import dataclasses
import functools
import json
import multiprocessing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from deepfake_uncertainty import paths
from deepfake_uncertainty.datasets import leakage
from deepfake_uncertainty.detectors import base
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.seeding import seed_everything
from deepfake_uncertainty.study import predict, train
from deepfake_uncertainty.uncertainty import bayes

Recipe = functools.partial(
    base.Recipe, epochs=8, batch=16, lr=1e-2, weight_decay=1e-4, bayes_epochs=4, samples_a_video=3
)


class Small(nn.Module):
    def __init__(self, classes=2, dropout=0.2):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(4, classes))

    def features(self, x):
        return self.body(x)

    def forward(self, x):
        return self.head(self.features(x))


def data(count=97, seed=0, share=0.2):
    """Bright fakes, dark reals; unbalanced, and of a size that leaves a last batch of one."""
    rng = np.random.default_rng(seed)
    y = (rng.random(count) > share).astype(int)
    return (rng.normal(size=(count, 1, 8, 8)) * 0.3 + y[:, None, None, None]).astype(np.float32), y


def built(seed=0):
    seed_everything(seed)
    return Small()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def test_training_learns_and_repeats_with_its_seed():
    one, two, other = built(), built(), built()
    x, y = data()
    history = train.fit(one, x, y, Recipe(), 3, validation=data(40, 1))
    assert history == train.fit(two, x, y, Recipe(), 3, validation=data(40, 1))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    assert history != train.fit(other, x, y, Recipe(), 4, validation=data(40, 1))
    assert history[-1]["loss"] < history[0]["loss"] and history[-1]["val_accuracy"] > 0.95 and not one.training


def test_validation_only_reports_unless_asked_to_choose():
    x, y = data()
    plain, watched, chosen = built(), built(), built()
    train.fit(plain, x, y, Recipe(), 0)
    wrong = data(40, 1)[0], 1 - data(40, 1)[1]  # against the training: its best epoch is an early one
    train.fit(watched, x, y, Recipe(), 0, wrong)
    history = train.fit(chosen, x, y, Recipe(), 0, wrong, choose=True)
    same = [torch.equal(a, b) for a, b in zip(plain.state_dict().values(), watched.state_dict().values(), strict=True)]
    assert all(same)
    found = train._validate(chosen, *wrong, 16)["val_nll"]
    assert found == pytest.approx(min(epoch["val_nll"] for epoch in history)) and found < history[-1]["val_nll"]
    with pytest.raises(InputError):
        train.fit(built(), x, y, Recipe(), 0, choose=True)


def test_balanced_epoch():
    y = torch.tensor([0] * 5 + [1] * 45)
    order = train.balanced_epoch(y, torch.Generator().manual_seed(0))
    counts = torch.bincount(order, minlength=50)
    assert torch.bincount(y[order]).tolist() == [25, 25] and counts[:5].tolist() == [5] * 5 and counts.max() == 5
    assert counts[5:].max() == 1


def test_flip_only_when_the_recipe_asks():
    seen = []

    class Watch(Small):
        def forward(self, x):
            seen.append(x.detach().clone())
            return super().forward(x)

    x, y = data(16)
    x[:] = np.arange(8, dtype=np.float32)  # rows rise from left to right; flipped ones fall
    for flip in (False, True):
        seen.clear()
        train.fit(Watch(), x, y, Recipe(flip=flip, epochs=2), 0)
        falling = torch.cat(seen)[:, 0, 0, 0] > 0
        assert bool(falling.any()) == flip and not bool(falling.all())


@pytest.mark.parametrize("change", ["nan", "one class", "lengths", "empty"])
def test_bad_training_data(change):
    x, y = data(20)
    if change == "nan":
        x[3] = np.nan
    x, y = {"one class": (x, y * 0), "lengths": (x, y[1:]), "empty": (x[:0], y[:0])}.get(change, (x, y))
    with pytest.raises(InputError):
        train.fit(built(), x, y, Recipe(), 0)


def test_bayes_trains_repeatably_and_refuses_a_negative_beta():
    x, y = data()
    found = []
    for _ in range(2):
        network = built()
        train.fit(network, x, y, Recipe(), 0)
        posterior = bayes.VariationalPosterior(network, 0.1, 0.1)
        found.append(train.fit_bayes(posterior, x, y, Recipe(lr=1e-3), 1, beta=0.1))
    assert found[0] == found[1] and all(np.isfinite(epoch["loss"]) for epoch in found[0])
    with pytest.raises(InputError):
        train.fit_bayes(posterior, x, y, Recipe(), 1, beta=-1)


def test_cache_hit_key_and_repair(cache, monkeypatch):
    x, y = data()
    calls = []

    def fit(*arguments, **settings):
        calls.append(1)
        return train.fit(*arguments, **settings)

    network = built()
    key, history = train.cached(network, x, y, Recipe(), 0, fit)
    again = built()
    assert train.cached(again, x, y, Recipe(), 0, fit) == (key, history) and len(calls) == 1
    assert all(torch.equal(a, b) for a, b in zip(network.state_dict().values(), again.state_dict().values(), strict=True))
    keys = {key} | {train.cached(built(s), x2, y, Recipe(epochs=e), seed, fit)[0]
                    for s, x2, e, seed in ((1, x, 8, 0), (0, x + 1e-3, 8, 0), (0, x, 7, 0), (0, x, 8, 1))}
    assert len(keys) == 5 and len(calls) == 5
    folder = cache / "models" / key
    for name, damage in (("weights.safetensors", b"x"), ("card.json", b"{"), ("weights.safetensors", None)):
        (folder / name).unlink() if damage is None else (folder / name).write_bytes(damage)
        repaired = built()
        assert train.cached(repaired, x, y, Recipe(), 0, fit) == (key, history)
        same = zip(network.state_dict().values(), repaired.state_dict().values(), strict=True)
        assert all(torch.equal(a, b) for a, b in same)
    assert len(calls) == 8 and not list(cache.rglob(".partial*"))


def test_key_holds_what_is_in_neither_state_nor_text():
    x, y = data()
    keys = [train.model_key(bayes.VariationalPosterior(built(), prior_std, 0.1), x, y, Recipe(), 0, beta=beta)
            for prior_std, beta in ((0.1, 1), (0.2, 1), (0.1, 0.5), (0.1, 1))]
    assert keys[0] == keys[3] and len(set(keys)) == 3
    one, two, three = (train.model_key(built(), x, y, Recipe(), 0, validation=data(40, s)) for s in (1, 2, 1))
    assert one != two and one == three


def _train_in_process(home, log):
    paths.CACHE = Path(home)
    torch.set_num_threads(1)

    def fit(*arguments, **settings):
        with open(log, "a") as handle:
            handle.write("trained\n")
        return train.fit(*arguments, **settings)

    train.cached(built(), *data(), Recipe(), 0, fit)


def test_two_processes_train_once(tmp_path):
    context, log = multiprocessing.get_context("fork"), tmp_path / "log"
    torch.set_num_threads(1)  # a forked child cannot use its parent's threads
    workers = [context.Process(target=_train_in_process, args=(str(tmp_path / "cache"), str(log))) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0] and log.read_text() == "trained\n"


def videos(folder, generators=("real", "A", "B"), identities=9):
    rows = []
    for number in range(identities):
        split = ("train", "val", "test")[number % 3]
        for generator in generators:
            path = folder / f"{generator}-{number}.mp4"
            path.write_text(f"{generator} {number}")
            rows.append(("set", generator, str(number), str(number), "", str(number), split, str(path)))
    return pd.DataFrame(rows, columns=["dataset", "generator", "video", "target", "source", "identity", "split", "path"])


def test_leaks_are_refused(tmp_path):
    index = videos(tmp_path)
    split = {name: rows for name, rows in index.groupby("split")}
    leakage.refuse_leak(split)
    with pytest.raises(InputError, match="video"):
        leakage.refuse_leak({"val": split["test"], "test": split["test"]})
    with pytest.raises(InputError, match="identity"):
        leakage.refuse_leak({"a": index[index["generator"] == "A"], "b": index[index["generator"] == "B"]})
    as_source = split["test"].assign(source="0")
    with pytest.raises(InputError, match="identity"):
        leakage.refuse_leak({"train": split["train"], "test": as_source})


@dataclasses.dataclass(frozen=True)
class Spec:
    name: str = "small"
    window: int = 1
    recipe: Recipe = dataclasses.field(default_factory=lambda: Recipe(epochs=40))

    def build(self, classes, dropout):
        return Small(classes, dropout)

    def inputs(self, track, n):
        generator, number = track
        rng = np.random.default_rng([int(number), *generator.encode()])
        return (rng.normal(size=(n, 1, 8, 8)) + 2 * (generator != "real")).astype(np.float32), np.arange(n) * 10


@pytest.fixture
def small(cache, monkeypatch):
    loads = []

    def load(path, *_):
        loads.append(path)
        if "B-4" in str(path):
            raise InputError(f"{path}: no face")
        return Path(path).read_text().split()

    monkeypatch.setattr(predict.tracks, "load", load)
    monkeypatch.setattr(predict.registry, "get", lambda name: Spec(name))
    return loads


def test_inputs_skip_bad_videos_and_are_cached(small, cache, tmp_path):
    index = videos(tmp_path)
    x, rows = predict.load_inputs(index, Spec())
    assert x.shape == (26 * 3, 1, 8, 8) and x.dtype == np.float32 and len(rows) == len(x)
    assert [Path(path).name for path, _ in rows.attrs["skipped"]] == ["B-4.mp4"]
    assert rows.columns.tolist() == ["dataset", "generator", "video", "identity", "split", "start", "label"]
    assert (rows["label"] == (rows["generator"] != "real")).all() and rows["start"][:3].tolist() == [0, 10, 20]
    before = len(small)
    next((cache / "inputs").glob("*.npz")).write_bytes(b"damaged")
    again, _ = predict.load_inputs(index, Spec())
    assert (x == again).all() and len(small) == before + 2  # the damaged one and the video without a face
    with pytest.raises(InputError, match="no face"):
        predict.load_inputs(index[index["path"].str.contains("B-4")], Spec())


def test_source_labels():
    assert predict.labels(["real", "A", "B"]).tolist() == [0, 1, 1]
    assert predict.labels(["B", "A"], ("A", "B")).tolist() == [1, 0]
    with pytest.raises(InputError):
        predict.labels(["real", "A"], ("A", "B"))


@pytest.mark.parametrize("method, count", [("deterministic", 1), ("mc_dropout", 5), ("bnn", 5)])
def test_samples_of_each_method(method, count, small, cache, tmp_path):
    index = videos(tmp_path)
    samples = predict.samples_for("small", method, index, 0, count)
    p, rows = samples
    assert p.shape == (count, len(rows), 2) and p.dtype == np.float32 and np.allclose(p.sum(2), 1, atol=1e-5)
    assert set(rows["split"]) == {"val", "test"} and (p.mean(0).argmax(1) == rows["label"]).mean() > 0.8
    again = predict.samples_for("small", method, index, 0, count)
    assert (again.probabilities == p).all()
    for archive in (cache / "samples").glob("*.npz"):
        archive.write_bytes(archive.read_bytes()[:50])
    assert np.allclose(predict.samples_for("small", method, index, 0, count).probabilities, p, atol=1e-6)


def test_samples_refuse_leaks_and_unknown_names(small, tmp_path):
    index = videos(tmp_path)
    with pytest.raises(InputError, match="method"):
        predict.samples_for("small", "magic", index, 0, 1)
    with pytest.raises(InputError, match="T is 0"):
        predict.samples_for("small", "bnn", index, 0, 0)
    leaked = index.assign(identity="7")
    with pytest.raises(InputError, match="share"):
        predict.samples_for("small", "deterministic", leaked, 0, 1)
    with pytest.raises(InputError, match="share"):
        predict.samples_for("small", "deterministic", index, 0, 1, on=index)


def test_card_is_readable(cache):
    key, _ = train.cached(built(), *data(), Recipe(), 0)
    card = json.loads((cache / "models" / key / "card.json").read_text())
    assert card["recipe"]["epochs"] == 8 and card["samples"] == 97
