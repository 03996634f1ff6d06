"""Training of a detector, deterministic or Bayesian, kept in a content-keyed cache."""

import copy
import dataclasses
import fcntl
import hashlib
import json
import logging
import math
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.nn import functional

from deepfake_uncertainty import files, paths, results
from deepfake_uncertainty.detectors import augment
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.seeding import seed_everything, threads

log = logging.getLogger(__name__)


def _checked(x, y):
    x, y = torch.as_tensor(np.asarray(x, dtype=np.float32)), torch.as_tensor(np.array(y), dtype=torch.long)
    if len(x) != len(y) or len(x) < 2:
        raise InputError(f"{len(x)} inputs and {len(y)} labels: training needs at least two, and one label an input")
    if not torch.isfinite(x).all():
        raise InputError("the inputs hold NaN or infinite values: find the video they come from")
    if len(y.unique()) < 2:
        raise InputError(f"all training labels are {int(y[0])}: a detector needs two classes to learn from")
    return x, y


def balanced_epoch(y, generator):
    """Return about N shuffled indices (int64) into labels y (N,) in which each class seen is equally frequent.

    Each class runs through its items in a random order, as often as needed: rare items repeat, common ones take turns.
    """
    classes = y.unique()
    share = math.ceil(len(y) / len(classes))
    chosen = []
    for label in classes:
        own = torch.nonzero(y == label).flatten()
        turns = [own[torch.randperm(len(own), generator=generator)] for _ in range(math.ceil(share / len(own)))]
        chosen.append(torch.cat(turns)[:share])
    chosen = torch.cat(chosen)
    return chosen[torch.randperm(len(chosen), generator=generator)]


def _batches(y, size, generator):
    """Return the batches of one epoch, of nearly equal size: a last batch of one would break batch normalisation."""
    order = balanced_epoch(y, generator)
    return torch.tensor_split(order, max(1, min(math.ceil(len(order) / size), len(order) // 2)))


def _descend(module, loss, x, y, recipe, epochs, seed, after=None):
    """Run AdamW with a one-cycle rate on loss(x, y) of balanced batches; return the mean loss of each epoch."""
    generator = torch.Generator().manual_seed(seed)
    device = next(module.parameters()).device
    # Fused: one pass over the weights in place of ten, a third of the time.
    optimiser = torch.optim.AdamW(module.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    steps = epochs * len(_batches(y, recipe.batch, torch.Generator().manual_seed(seed)))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.lr, total_steps=steps)
    history = []
    for epoch in range(epochs):
        module.train()
        total, batches = 0.0, _batches(y, recipe.batch, generator)
        for batch in batches:
            images = augment.augmented(x[batch], recipe, generator)
            value = loss(images.to(device), y[batch].to(device))
            if not torch.isfinite(value):
                raise InputError(f"the loss is {value.item()} in epoch {epoch + 1}: lower the recipe's learning rate")
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
            schedule.step()
            total += value.item()
        history.append({"loss": total / len(batches)} | (after() if after else {}))
    module.eval()
    return history


def fit(network, x, y, recipe, seed, validation=None, choose=False):
    """Train a Classifier in place on x float32 (N, C, H, W), y int (N,) and return the history, one dict an epoch.

    Cross-entropy on class-balanced batches. `validation` (x, y), of other identities, adds its nll in nats and accuracy
    to the history; with `choose` the epoch of least validation nll is kept (then calibrate decisions elsewhere).
    Raises InputError for bad inputs or a diverging loss.
    """
    x, y = _checked(x, y)
    if choose and validation is None:
        raise InputError("choosing a checkpoint needs validation data: pass validation=(x, y) of the val split")
    seed_everything(seed)
    best = {"val_nll": math.inf}

    def after():
        found = _validate(network, *validation, recipe.batch) if validation else {}
        if choose and found["val_nll"] < best["val_nll"]:
            best.update(found, state=copy.deepcopy(network.state_dict()))
        return found

    def loss(images, labels):
        return functional.cross_entropy(network(images), labels)

    history = _descend(network, loss, x, y, recipe, recipe.epochs, seed, after)
    if choose:
        network.load_state_dict(best["state"])
    return history


def _validate(network, x, y, size):
    network.eval()
    device = next(network.parameters()).device
    with torch.no_grad():
        logits = torch.cat([network(part.to(device)).cpu() for part in torch.as_tensor(x).split(size)])
    y = torch.as_tensor(np.array(y), dtype=torch.long)
    right = (logits.argmax(1) == y).double().mean().item()
    return {"val_nll": functional.cross_entropy(logits, y).item(), "val_accuracy": right}


def fit_bayes(posterior, x, y, recipe, seed, beta=1.0):
    """Train a VariationalPosterior in place on x (N, C, H, W), y (N,) by its ELBO loss, and return the history.

    `beta` >= 0 weighs the KL (summed over all weights, divided by N; 1 is the ELBO). There is no weight decay:
    the prior takes its part.
    """
    if not beta >= 0:
        raise InputError(f"beta is {beta}: give a weight of the KL that is at least 0")
    x, y = _checked(x, y)
    seed_everything(seed)
    undecayed = dataclasses.replace(recipe, weight_decay=0.0)

    def loss(images, labels):
        return posterior.elbo_loss(images, labels, len(x), beta)

    return _descend(posterior, loss, x, y, undecayed, recipe.bayes_epochs, seed)


def array_digest(*arrays):
    """Return a hex key of the values, shapes and types of arrays."""
    state = hashlib.sha256()
    for array in arrays:
        array = np.ascontiguousarray(array)
        state.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return state.hexdigest()


@contextmanager
def locked(path):
    """Hold an exclusive lock named after `path`, so that two processes do not compute the same entry."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.parent / f".{path.name}.lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def read_card(key):
    """Return the card of a cached model: its recipe, seed, number of samples, history, digest, and seconds of training."""
    return json.loads((paths.CACHE / "models" / key / "card.json").read_text())


def load(key, module):
    """Load the weights cached under `key` into `module` and return their history; InputError when absent or damaged."""
    folder = paths.CACHE / "models" / key
    try:
        card = read_card(key)
        if files.digest(folder / "weights.safetensors") != card["weights"]:
            raise ValueError("its weights are not those of its card")
        module.load_state_dict(load_file(folder / "weights.safetensors"))
        module.eval()
        return card["history"]
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise InputError(f"cached model {folder} is damaged: {' '.join(str(error).split())}") from error


def _read(key, module):
    """Return the history of a cached model, its weights loaded into `module`; None when absent or, said so, damaged."""
    if not (paths.CACHE / "models" / key).is_dir():
        return None
    try:
        return load(key, module)
    except InputError as error:
        log.warning("%s; it is trained again", error)
        return None


def model_key(module, x, y, recipe, seed, **settings):
    """Return the cache key of a training: start weights, architecture, data, recipe, seed, settings and code."""
    state = {name: array_digest(value.cpu().numpy()) for name, value in module.state_dict().items()}
    # Arrays among the settings (validation data) go in by their values; their text would be cut short.
    plain = {name: array_digest(*value) if isinstance(value, tuple) else value for name, value in settings.items()}
    data, recipe = array_digest(x, y), dataclasses.asdict(recipe)
    # Plain attributes (a prior's width) are in neither the state nor the text of a module.
    options = [{name: value for name, value in vars(part).items() if isinstance(value, int | float | str)
                and name != "training"} for part in module.modules()]
    code = results.code_digest("detectors", "uncertainty")
    return files.digest(state, repr(module), options, data, recipe, seed, plain, code, Path(__file__))


def cached(module, x, y, recipe, seed, train=fit, **settings):
    """Train `module` in place by train(module, x, y, recipe, seed, **settings) or load what that gave: key, history.

    `train` is fit or fit_bayes. Models lie under paths.CACHE / 'models' / key as weights.safetensors and card.json.
    """
    key = model_key(module, x, y, recipe, seed, train=train.__name__, **settings)
    folder = paths.CACHE / "models" / key
    with locked(folder):
        start = copy.deepcopy(module.state_dict())
        history = _read(key, module)
        if history is None:
            module.load_state_dict(start)
            begun = time.perf_counter()
            with threads(recipe.threads):
                history = train(module, x, y, recipe, seed, **settings)
            seconds = time.perf_counter() - begun
            with files.whole(folder) as temporary:
                temporary.mkdir()
                weights = temporary / "weights.safetensors"
                state = {name: value.cpu().contiguous().clone() for name, value in module.state_dict().items()}
                save_file(state, weights)
                card = {"weights": files.digest(weights), "history": history, "samples": len(y), "seed": seed,
                        "recipe": dataclasses.asdict(recipe), "seconds": seconds}
                files.write_json(temporary / "card.json", card)
    return key, history
