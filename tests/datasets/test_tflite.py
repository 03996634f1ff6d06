"""The two face networks in PyTorch, against LiteRT, which their files are made for."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter

from deepfake_uncertainty.benchmark.renderer.render import render_clip
from deepfake_uncertainty.datasets import tflite
from deepfake_uncertainty.errors import InputError

SIDES = {"face_detection_front.tflite": 128, "face_landmark.tflite": 192}


def litert(name, image):
    """Return the outputs of a network for an image (H, W, 3) by LiteRT, the largest first."""
    interpreter = Interpreter(str(tflite._weights(name)), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
    interpreter.invoke()
    outputs = [interpreter.get_tensor(one["index"]) for one in interpreter.get_output_details()]
    return sorted(outputs, key=lambda output: -output.size)


def images(side):
    """Return noise, a flat grey, and rendered faces, float32 (side, side, 3)."""
    rng = np.random.default_rng(0)
    faces = [render_clip(number, 0, 1, size=side, sound=False).frames[0] for number in range(4)]
    noise = rng.random((4, side, side, 3), dtype=np.float32)
    grey = np.full((side, side, 3), 0.5, np.float32)
    return [*noise, grey, *(face.astype(np.float32) / 255 for face in faces)]


@pytest.mark.slow
@pytest.mark.parametrize("name", SIDES)
def test_both_networks_agree_with_litert(name):
    network = tflite.Network(name)
    for image in images(SIDES[name]):
        # The detector takes [-1, 1].
        image = 2 * image - 1 if "detection" in name else image
        wanted = litert(name, image)
        found = network(image)
        assert [one.shape for one in found] == [one.shape for one in wanted]
        for one, other in zip(found, wanted, strict=True):
            assert one.dtype == np.float32
            np.testing.assert_allclose(one, other, atol=1e-4 * max(1, np.abs(other).max()), rtol=0)


def test_a_network_leaves_the_number_of_threads_as_it_was():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        network = tflite.Network("face_landmark.tflite")
        network(np.zeros((192, 192, 3), np.float32))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# By hand: 'same' padding gives ceil(n / stride) outputs, and the odd pixel is at the lower right.
@pytest.mark.parametrize(
    ("n", "side", "stride", "before", "after"),
    [(4, 3, 1, 1, 1), (4, 3, 2, 0, 1), (5, 3, 2, 1, 1), (4, 2, 2, 0, 0), (4, 5, 2, 1, 2)],
)
def test_same_padding(n, side, stride, before, after):
    x = torch.ones(1, n, n, 1)
    padded, widths = tflite._padded(x, (side, side), (stride, stride), tflite.SAME, 0.0)
    padded = torch.nn.functional.pad(padded, [0, 0, *2 * [widths[1]], *2 * [widths[0]]])
    rows = padded[0, :, padded.shape[2] // 2, 0].tolist()
    assert rows == [0.0] * before + [1.0] * n + [0.0] * after
    assert (len(rows) - side) // stride + 1 == -(-n // stride)


def test_what_the_networks_do_not_have_is_refused():
    with pytest.raises(ValueError, match="SOFTMAX is not supported: known are ADD, "):
        tflite._step("SOFTMAX", None)
    with pytest.raises(ValueError, match="ADD with a fused activation"):
        tflite._step("ADD", SimpleNamespace(fusedActivationFunction=1))


def test_an_absent_file_is_named():
    with pytest.raises(InputError, match=r"none\.tflite not found: pip install"):
        tflite.Network("none.tflite")
