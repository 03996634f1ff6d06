"""Training: it learns, repeats with its seed, balances classes and refuses what it cannot use."""

import numpy as np
import pytest
import torch
from support.small_training import Recipe, Small, built, data
from torch.nn import functional

from deepfake_uncertainty.detectors import augment
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.seeding import seed_everything
from deepfake_uncertainty.training import train
from deepfake_uncertainty.uncertainty import bayes


def test_training_learns_and_repeats_with_its_seed():
    one, two, other = built(), built(), built()
    x, y = data()
    history = train.fit(one, x, y, Recipe(), 3)
    assert history == train.fit(two, x, y, Recipe(), 3)
    pairs = zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert history != train.fit(other, x, y, Recipe(), 4)
    assert history[-1]["loss"] < history[0]["loss"] and not one.training
    unseen, labels = data(40, 1)
    with torch.no_grad():
        predicted = one(torch.from_numpy(unseen)).argmax(1).numpy()
    assert (predicted == labels).mean() > 0.95


def test_a_training_is_a_plain_loop_to_the_byte():
    x, y = (torch.from_numpy(part) for part in data())
    one, other, recipe = built(), built(), Recipe(flip=True, shift=1, epochs=3)
    found = train.fit(one, x.numpy(), y.numpy(), recipe, 3)
    seed_everything(3)
    generator = torch.Generator().manual_seed(3)
    optimiser = torch.optim.AdamW(other.parameters(), recipe.lr, weight_decay=1e-4, fused=True)
    counts = [len(train.balanced_epoch(y, torch.Generator())) for _ in range(recipe.epochs)]
    steps = sum(-(-count // recipe.batch) for count in counts)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.lr, total_steps=steps)
    for epoch in found:
        order, losses = train.balanced_epoch(y, generator), []
        for batch in order.tensor_split(-(-len(order) // recipe.batch)):
            images = augment.augment(x[batch], recipe, generator)
            loss = functional.cross_entropy(other.train()(images), y[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rate.step()
            losses.append(loss.item())
        assert epoch == {"loss": sum(losses) / len(losses)}
    states = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in states)


def test_balanced_epoch():
    y = torch.tensor([0] * 5 + [1] * 45)
    order = train.balanced_epoch(y, torch.Generator().manual_seed(0))
    counts = torch.bincount(order, minlength=50)
    assert torch.bincount(y[order]).tolist() == [25, 25]
    assert counts[:5].tolist() == [5] * 5 and counts.max() == 5
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
    changed = {"one class": (x, y * 0), "lengths": (x, y[1:]), "empty": (x[:0], y[:0])}
    x, y = changed.get(change, (x, y))
    with pytest.raises(InputError):
        train.fit(built(), x, y, Recipe(), 0)


def test_a_loss_that_diverges_is_one_line():
    x, y = data(20)
    with pytest.raises(InputError, match="the loss is nan in epoch [12]: lower the learning rate"):
        train.fit(built(), x * np.float32(1e38), y, Recipe(lr=1e38), 0)


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
