"""Samples of probabilities from any network: T passes that differ in what is random in it.

`sample` takes a network with dropout, a posterior over weights, or several networks.
"""

import functools
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.uncertainty import engine, inputs, masks, noise, prefix
from deepfake_uncertainty.uncertainty.bayes import WeightPosterior, Weights
from deepfake_uncertainty.uncertainty.dropout import Dropout, FixedDropout, Keys
from deepfake_uncertainty.uncertainty.inputs import Forward, Tensors
from deepfake_uncertainty.uncertainty.measures import measures

Draw = Callable[[torch.Tensor], torch.Tensor]  # inputs (N, C, H, W) to logits (N, classes)
Model = nn.Module | Sequence[nn.Module]
RETURNS = "samples", "measures", "both"
AT_ONCE = 8  # batches that a network sees before the next network of an ensemble


class Prediction(NamedTuple):
    """Samples float32 (T, N, C) of probabilities and their measures {name: (N,)} in nats."""

    samples: np.ndarray
    measures: dict[str, np.ndarray]


class _Options(NamedTuple):
    """How inputs reach a network, see `sample`."""

    keys: Keys = None
    forward: Forward | None = None
    output: Callable[[Any], Any] | None = None
    device: torch.device | str | None = None
    dtype: torch.dtype | None = None
    batch: int = 64
    progress: bool = False


def sample(
    model: Model,
    data: Any,
    T: int = 50,
    seed: int = 0,
    *,
    keys: Keys = None,
    forward: Forward | None = None,
    output: Callable[[Any], Any] | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    batch: int = 64,
    returns: str = "samples",
    progress: bool = False,
) -> Any:
    """Return T samples of the class probabilities of N inputs, float32 (T, N, C).

    model: a network with dropout, a posterior over weights (`VariationalPosterior`, `LastLayer`),
    or a list of networks (one sample each). data: an array (N, ...), a dict of arrays, or an
    iterable of batches such as a DataLoader, which is read once; of a batch (inputs, labels) the
    inputs count. keys: a label (N,) per input; inputs of one label, such as the frames of a video,
    have the same masks. forward(model, batch): calls the network (default: model(batch), or
    model(**batch) for a dict). output: takes the logits (n, C) out of what the network returns.
    device: the network is moved there. dtype: bfloat16 or float16 for half precision. batch: inputs
    per batch of an array. returns: 'samples', 'measures' (float64 (N,) each, in nats; no samples
    are kept) or 'both' (a `Prediction`).

    Sample t depends on (seed, t) and the keys alone. Raises InputError for what cannot be sampled.
    """
    options = _Options(keys, forward, output, device, dtype, batch, progress)
    _check(options)
    return _joined(
        _parts(model, data, inputs.whole_number_of_samples(T), inputs.whole_seed(seed), options),
        returns,
    )


def _check(options: _Options) -> None:
    """Raise InputError for keys or a type of numbers that cannot be used."""
    keys, dtype = options.keys, options.dtype
    if keys is not None and not (hasattr(keys, "__len__") and hasattr(keys, "__getitem__")):
        raise InputError(f"keys of type {type(keys).__name__}: give a list or an array (N,)")
    if keys is not None:
        noise.label_keys(keys)  # raises InputError
    if dtype not in (None, torch.bfloat16, torch.float16):
        raise InputError(f"dtype is {dtype}: use torch.bfloat16, torch.float16 or None")


def _joined(parts: Generator[np.ndarray], returns: str) -> Any:
    """Return the samples (T, n, C) of some parts of the inputs, their measures, or both."""
    if returns not in RETURNS:
        raise InputError(f"returns is '{returns}': use {', '.join(RETURNS)}")
    kept: list[np.ndarray] = []
    found: list[dict[str, np.ndarray]] = []
    with closing(parts):  # else an error would leave the network as it is in the middle of a pass
        for probabilities in parts:
            if not np.isfinite(probabilities).all():
                raise InputError("the network gives NaN for some inputs: look at these")
            if returns != "measures":
                kept.append(probabilities)
            if returns != "samples":
                found.append(measures(probabilities))
    names = found[0] if found else ()
    joined = {name: np.concatenate([part[name] for part in found]) for name in names}
    if returns == "measures":
        return joined
    samples = np.concatenate(kept, 1)
    return samples if returns == "samples" else Prediction(samples, joined)


def _is_network(model: Any) -> bool:
    return isinstance(model, nn.Module) and not isinstance(model, WeightPosterior)


def _parts(model: Model, data: Any, T: int, seed: int, options: _Options) -> Generator[np.ndarray]:
    """Yield probabilities float32 (T, n, C) of the inputs in order, block by block."""
    if isinstance(model, nn.Module) and not isinstance(model, nn.ModuleList):
        yield from _sampled(model, data, T, seed, options)
        return
    members = list(model) if isinstance(model, Iterable) else []
    if not members or not all(map(_is_network, members)):
        raise InputError("a model is a network, a posterior, or a list of networks: give one")
    yield from _predicted(members, data, options)


def _read(network: nn.Module, data: Any, options: _Options) -> Iterator[inputs.Batch]:
    """Yield the batches of the data on the device of a network, which is moved there first."""
    if options.device is not None:
        engine.move(network, options.device)
    device, dtype = engine.device_of(network), engine.dtype_of(network)
    whole = options.forward is not None
    return inputs.batches(data, options.batch, whole, device, dtype)


def _with_keys(batches: Iterable[inputs.Batch], keys: Keys) -> Iterator[engine.Rows]:
    """Yield the tensors of each batch with the keys of its inputs."""
    first, known = 0, None if keys is None else noise.label_keys(keys)
    for batch in batches:
        count = len(batch.tensors[0])
        rows = torch.arange(first, first + count) if known is None else known[first : first + count]
        if len(rows) != count:
            raise InputError(f"{first + len(rows)} keys for more inputs: give one key per input")
        yield batch.tensors, rows
        first += count
    if keys is not None and first != len(keys):
        raise InputError(f"{len(keys)} keys for {first} inputs: give one key per input")


def _source(model: nn.Module, seed: int) -> engine.Source:
    """Return what is random in a model; raises InputError for one of TorchScript."""
    if isinstance(model, torch.jit.ScriptModule):
        raise InputError("a scripted network cannot be sampled: give the one it was made from")
    return Weights(model, seed) if isinstance(model, WeightPosterior) else Dropout(model, seed)


def _sampled(
    model: nn.Module, data: Any, T: int, seed: int, options: _Options
) -> Iterator[np.ndarray]:
    network = model.network if isinstance(model, WeightPosterior) else model
    with engine.exclusive():
        batches, source = _read(model, data, options), _source(model, seed)
    first = next(batches)
    device, dtype = first.tensors[0].device, options.dtype
    adapted = inputs.adapted(network, first, options.forward, options.output)
    part = _split(adapted, first.tensors, source, options)
    limit, pack = engine.BLOCK[device.type], engine.PACK[device.type]
    block: list[engine.Rows] = []
    bar = tqdm(unit="sample", desc="samples", disable=not options.progress, leave=False)
    # A batch is read in the state of the caller: a loader may compute, by networks too.
    for tensors, rows in _with_keys(itertools.chain([first], batches), options.keys):
        with engine.state(adapted, source, device, dtype):
            values = part.prefix(*tensors) if part.known is None else part.known
        part = part._replace(known=None)
        if block and engine.bytes_of(block) + engine.size_in_bytes(values) > limit:
            with engine.state(adapted, source, device, dtype):
                found = engine.block_samples(source, part, T, block, pack, bar.update)
            yield probabilities(found).cpu().numpy()
            block = []
        block.append((values, rows))
    with bar, engine.state(adapted, source, device, dtype):
        found = engine.block_samples(source, part, T, block, pack, bar.update)
    yield probabilities(found).cpu().numpy()


def _split(
    adapted: inputs.Adapted, first: Tensors, source: engine.Source, options: _Options
) -> prefix.Split:
    """Return the split of a network; raises InputError for keys that it cannot respect."""
    few, device = prefix.few_of(first, 2), first[0].device
    # In full precision, where what is lost cannot pass for rounding; else as it will run.
    precision = None if _runs(adapted, few, device) else options.dtype
    with (
        engine.exclusive(),
        inputs.explained(adapted, few),
        engine.evaluation(adapted),
        engine.arithmetic(device, precision),
    ):
        source.discover(adapted, few)
        with source.modes(adapted):
            part = prefix.split(adapted, first if options.dtype is None else few, source)
    if options.keys is not None and not source.by_input:
        raise InputError("keys: this network mixes the inputs of a batch, so none has its own")
    return part if options.dtype is None else part._replace(known=None)


def _runs(adapted: inputs.Adapted, few: Tensors, device: torch.device) -> bool:
    """Return True when a network takes its inputs in full precision."""
    try:
        with engine.exclusive(), engine.evaluation(adapted), engine.arithmetic(device, None):
            adapted.raw(*prefix.few_of(few, 2))
    except Exception as error:  # others than this are explained where it is tried for good
        return not isinstance(error, RuntimeError)
    return True


def _predicted(networks: list[nn.Module], data: Any, options: _Options) -> Iterator[np.ndarray]:
    """Yield probabilities float32 (networks, n, C), one sample per network."""
    with engine.exclusive():
        for network in networks[1:]:
            engine.move(network, options.device or engine.device_of(networks[0]))
        batches = _read(networks[0], data, options)
    first = next(batches)
    device, few = first.tensors[0].device, prefix.few_of(first.tensors, 2)
    members = [inputs.adapted(one, first, options.forward, options.output) for one in networks]
    folded = []
    for member in members:
        precision = None if _runs(member, few, device) else options.dtype
        with (
            engine.exclusive(),
            inputs.explained(member, few),
            engine.evaluation(member),
            engine.arithmetic(device, precision),
        ):
            folded.append(prefix.folded(member, few))
    stream = itertools.chain([first], batches)
    while group := list(itertools.islice(stream, AT_ONCE)):
        with engine.exclusive(), ExitStack() as stack:
            for member in members:
                stack.enter_context(engine.evaluation(member))
            stack.enter_context(engine.arithmetic(device, options.dtype))
            found = [_pass(network, group, device) for network in folded]
        if len({len(logits[0]) for logits in found}) > 1:
            raise InputError("the networks of an ensemble differ in their numbers of classes")
        yield probabilities(torch.stack(found)).cpu().numpy()


def _pass(network: nn.Module, group: list[inputs.Batch], device: torch.device) -> torch.Tensor:
    def logits(batch: inputs.Batch) -> torch.Tensor:
        found = network(*batch.tensors)
        if found.ndim != 2 or len(found) != len(batch.tensors[0]):
            shape, count = tuple(found.shape), len(batch.tensors[0])
            raise InputError(f"the network returns {shape} for {count} inputs: {inputs.ADVICE}")
        return found

    return torch.cat(engine.parallel_map(logits, group, device))


def probabilities(logits: torch.Tensor) -> torch.Tensor:
    """Return the softmax of logits (..., C) in float32: in half precision rows do not sum to 1."""
    return logits.float().softmax(-1)


class _Fixed:
    """A function from inputs (N, ...) to logits by a network, which is in evaluation mode."""

    def __init__(self, network: nn.Module, function: Draw) -> None:
        self.network, self.function = network, function

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        with engine.exclusive(), masks.modes(self.network, lambda *_: False):
            logits = self.function(x)
        inputs.checked_logits(logits, len(x))
        return logits


def draws(model: Model, T: int, seed: int, keys: Keys = None) -> list[Draw]:
    """Return T fixed functions of inputs x (N, C, H, W) to logits (N, classes).

    They are differentiable in x. Draw t is sample t of `sample` for the same model, seed and keys.
    Raises InputError as `sample` does.
    """
    count, seed = inputs.whole_number_of_samples(T), inputs.whole_seed(seed)
    if not isinstance(model, nn.Module) or isinstance(model, nn.ModuleList):
        return [_Fixed(member, member) for member in model]
    if isinstance(model, WeightPosterior):
        with torch.no_grad():
            draw = model.drawer()
            weights = [draw(seed, t) for t in range(count)]
        logits = [functools.partial(model.logits, weights=drawn) for drawn in weights]
        return [_Fixed(model.network, function) for function in logits]
    return [FixedDropout(model, seed, t, keys) for t in range(count)]
