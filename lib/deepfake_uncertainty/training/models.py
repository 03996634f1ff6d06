"""Trained networks in the cache, under a key of all that they depend on."""

import copy
import dataclasses
import hashlib
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from deepfake_uncertainty import cache, files, paths
from deepfake_uncertainty.detectors.base import Recipe
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.seeding import threads
from deepfake_uncertainty.training import train

log = logging.getLogger(__name__)


def array_digest(*arrays: np.ndarray) -> str:
    """Return a hex key of the values, shapes and types of arrays."""
    state = hashlib.sha256()
    for array in arrays:
        array = np.ascontiguousarray(array)
        state.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return state.hexdigest()


def read_card(key: str) -> dict:
    """Return the card of a cached model.

    It holds the recipe, the seed, the number of training inputs `samples`, the history, the digest
    of the weights, and the seconds of training. Raises FileNotFoundError when there is no model.
    """
    return json.loads((paths.CACHE / "models" / key / "card.json").read_text())


def load(key: str, module: nn.Module) -> list[dict]:
    """Load the weights cached under `key` into `module` and return their history.

    Raises InputError when they are absent or damaged.
    """
    folder = paths.CACHE / "models" / key
    try:
        card = read_card(key)
        if files.digest(folder / "weights.safetensors") != card["weights"]:
            raise ValueError("its weights are not those of its card")
        module.load_state_dict(load_file(folder / "weights.safetensors"))
        module.eval()
        return card["history"]
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise InputError(
            f"cached model {folder} is damaged: {' '.join(str(error).split())}"
        ) from error


def _read(key: str, module: nn.Module) -> list[dict] | None:
    """Load a cached model as `load` does; return None when it is absent or damaged.

    The log says why a model is damaged.
    """
    if not (paths.CACHE / "models" / key).is_dir():
        return None
    try:
        return load(key, module)
    except InputError as error:
        log.warning("%s; it is trained again", error)
        return None


def model_key(
    module: nn.Module,
    x: np.ndarray,
    y: np.ndarray,
    recipe: Recipe,
    seed: int,
    fit: Callable = train.fit,
    **settings: Any,
) -> str:
    """Return the cache key of a training.

    It holds the initial weights, architecture, data, recipe, seed, settings, code, and the kind of
    device, since a card rounds otherwise.
    """
    state = {name: array_digest(value.cpu().numpy()) for name, value in module.state_dict().items()}
    # Tuples of arrays among the settings count by their values: their text is abbreviated.
    plain = {
        name: array_digest(*value) if isinstance(value, tuple) else value
        for name, value in settings.items()
    }
    parts = state, repr(module), _options(module), array_digest(x, y), dataclasses.asdict(recipe)
    kind = next(module.parameters()).device.type
    return files.digest(*parts, seed, plain, fit.__name__, _code(module, fit), kind)


def _options(module: nn.Module) -> list[dict]:
    """Return the plain attributes of all parts of a module, such as the width of a prior.

    They are in neither the state nor the text of a module.
    """
    return [
        {
            name: value
            for name, value in vars(part).items()
            if name != "training" and _is_plain(value)
        }
        for part in module.modules()
    ]


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, int | float | str)


def _code(module: nn.Module, fit: Callable) -> str:
    """Return a key of the code of the training and of the layers.

    The layers of PyTorch and timm are in it by the versions of these packages.
    """
    layers = {type(part) for part in module.modules()}
    own = [layer for layer in layers if layer.__module__.partition(".")[0] not in ("torch", "timm")]
    return cache.code_digest(fit, *own)


def train_or_load(
    module: nn.Module,
    x: np.ndarray,
    y: np.ndarray,
    recipe: Recipe,
    seed: int,
    fit: Callable = train.fit,
    **settings: Any,
) -> tuple[str, list[dict]]:
    """Train `module` in place by fit(module, x, y, recipe, seed, **settings), or load its weights.

    Returns the key of the trained model and its history. A model is cached in the folder
    paths.CACHE / 'models' / key as weights.safetensors and card.json. Other processes that need the
    same model wait for the one that trains it.
    """
    key = model_key(module, x, y, recipe, seed, fit, **settings)
    folder = paths.CACHE / "models" / key
    with cache.lock(folder):
        start = copy.deepcopy(module.state_dict())
        history = _read(key, module)
        if history is None:
            module.load_state_dict(start)
            begun = time.perf_counter()
            with threads(recipe.threads):
                history = fit(module, x, y, recipe, seed, **settings)
            card = {
                "history": history,
                "samples": len(y),
                "seed": seed,
                "recipe": dataclasses.asdict(recipe),
                "seconds": time.perf_counter() - begun,
            }
            _write(folder, module, card)
    return key, history


def _write(folder: Path, module: nn.Module, card: dict) -> None:
    with files.atomic_path(folder) as temporary:
        temporary.mkdir()
        weights = temporary / "weights.safetensors"
        state = module.state_dict()
        save_file({name: state[name].cpu().contiguous().clone() for name in state}, weights)
        files.write_json(temporary / "card.json", card | {"weights": files.digest(weights)})
