"""Trained networks in the cache: found by their key, repaired when damaged, trained once."""

import json
import multiprocessing
from pathlib import Path

import pytest
import torch
from support.small_training import Recipe, built, data

from deepfake_uncertainty import paths
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.training import models, train
from deepfake_uncertainty.uncertainty import bayes


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def same(one, two):
    pairs = zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_cache_hit_key_and_repair(cache):
    x, y = data()
    calls = []

    def fit(*arguments, **settings):
        calls.append(1)
        return train.fit(*arguments, **settings)

    network = built()
    key, history = models.train_or_load(network, x, y, Recipe(), 0, fit)
    again = built()
    assert models.train_or_load(again, x, y, Recipe(), 0, fit) == (key, history)
    assert len(calls) == 1 and same(network, again)
    others = (1, x, 8, 0), (0, x + 1e-3, 8, 0), (0, x, 7, 0), (0, x, 8, 1)
    keys = {key} | {
        models.train_or_load(built(start), inputs, y, Recipe(epochs=epochs), seed, fit)[0]
        for start, inputs, epochs, seed in others
    }
    assert len(keys) == 5 and len(calls) == 5
    folder = cache / "models" / key
    damages = ("weights.safetensors", b"x"), ("card.json", b"{"), ("weights.safetensors", None)
    for name, damage in damages:
        (folder / name).unlink() if damage is None else (folder / name).write_bytes(damage)
        repaired = built()
        assert models.train_or_load(repaired, x, y, Recipe(), 0, fit) == (key, history)
        assert same(network, repaired)
    assert len(calls) == 8 and not list(cache.rglob(".partial*"))


def test_key_holds_what_is_in_neither_state_nor_text():
    x, y = data()
    choices = (0.1, 1), (0.2, 1), (0.1, 0.5), (0.1, 1)
    keys = [
        models.model_key(
            bayes.VariationalPosterior(built(), prior_std, 0.1), x, y, Recipe(), 0, beta=beta
        )
        for prior_std, beta in choices
    ]
    assert keys[0] == keys[3] and len(set(keys)) == 3
    one, two, three = (
        models.model_key(built(), x, y, Recipe(), 0, validation=data(40, s)) for s in (1, 2, 1)
    )
    assert one != two and one == three


def test_key_holds_the_function_that_trains():
    x, y = data(20)
    one = models.model_key(built(), x, y, Recipe(), 0)
    assert one == models.model_key(built(), x, y, Recipe(), 0, train.fit)
    assert one != models.model_key(built(), x, y, Recipe(), 0, train.fit_bayes)


def _train_in_process(home, log):
    paths.CACHE = Path(home)
    torch.set_num_threads(1)

    def fit(*arguments, **settings):
        with open(log, "a") as handle:
            handle.write("trained\n")
        return train.fit(*arguments, **settings)

    models.train_or_load(built(), *data(), Recipe(), 0, fit)


def test_two_processes_train_once(tmp_path):
    context, log = multiprocessing.get_context("fork"), tmp_path / "log"
    torch.set_num_threads(1)  # a forked child cannot use its parent's threads
    arguments = str(tmp_path / "cache"), str(log)
    workers = [context.Process(target=_train_in_process, args=arguments) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0] and log.read_text() == "trained\n"


def test_card_is_readable(cache):
    key, history = models.train_or_load(built(), *data(), Recipe(), 0)
    card = json.loads((cache / "models" / key / "card.json").read_text())
    assert card["recipe"]["epochs"] == 8 and card["samples"] == 97
    assert models.read_card(key) == card and card["history"] == history and card["seed"] == 0


def test_a_model_that_is_absent_or_of_another_network_is_one_line(cache):
    with pytest.raises(InputError, match="cached model .* is damaged"):
        models.load("0123456789abcdef", built())
    key, _ = models.train_or_load(built(), *data(20), Recipe(epochs=1), 0)
    with pytest.raises(InputError, match="cached model .* is damaged") as raised:
        models.load(key, torch.nn.Linear(2, 2))
    assert "\n" not in str(raised.value)


def test_a_tuple_among_the_attributes_of_a_layer_is_in_the_key():
    x, y = data()
    one, other = built(), built()
    one.rates, other.rates = (1, 2), (4, 2)
    assert models.model_key(one, x, y, Recipe(), 0) != models.model_key(other, x, y, Recipe(), 0)
