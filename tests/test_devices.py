"""Where networks compute: the choice of a device, and the pretend card that tests rely on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.devices import WrongDevice, pretend_cuda
from torch import nn
from torch.nn import functional

from deepfake_uncertainty import devices, pins
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.training.config import Run


@pytest.mark.parametrize(
    ("asked", "card", "kind"),
    [
        (None, True, "cpu"),
        ("", True, "cpu"),
        ("cpu", True, "cpu"),
        ("cuda", True, "cuda"),
        ("auto", True, "cuda"),
        ("auto", False, "cpu"),
    ],
)
def test_the_device_is_the_one_asked_for(monkeypatch, asked, card, kind):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: card)
    monkeypatch.delenv(devices.VARIABLE, raising=False)
    if asked is not None:
        monkeypatch.setenv(devices.VARIABLE, asked)
    assert devices.device_kind() == kind == Run("quick", 0, 1).device
    assert Run("quick", 0, 1, "cpu").device == "cpu"


def test_a_device_that_is_unknown_or_absent_is_one_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for asked, said in (("gpu", "unknown device 'gpu': use auto, cpu, cuda"), ("cuda", "no CUDA")):
        monkeypatch.setenv(devices.VARIABLE, asked)
        with pytest.raises(InputError, match=said):
            devices.device_kind()


def test_the_processor_is_chosen_without_pytorch():
    code = "import sys; from deepfake_uncertainty import devices; devices.device_kind();"
    code += "sys.exit('torch' in sys.modules)"
    environment = os.environ | {devices.VARIABLE: "cpu"}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0


def test_run_all_refuses_an_unknown_device_before_it_installs_anything():
    script = Path(__file__).parents[1] / "run_all.sh"
    found = subprocess.run([script, "--device", "gpu"], capture_output=True, text=True)
    assert found.returncode == 2 and not found.stdout
    assert found.stderr == "run_all.sh: unknown device 'gpu': use auto, cpu or cuda\n"


def test_bfloat16_is_for_cards_and_for_fast_processors_that_have_it(monkeypatch):
    found = {}
    for fast in ("", "1"):
        for has in (True, False):
            monkeypatch.setenv(pins.FAST_VARIABLE, fast)
            monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=has: {"avx512_bf16": has})
            assert devices.halves(torch.device("cuda"))
            found[fast, has] = devices.halves(torch.device("cpu"))
    assert found == {("", True): False, ("", False): False, ("1", True): True, ("1", False): False}


def test_the_fast_algorithms_of_a_card_end_with_the_training():
    before = torch.get_deterministic_debug_mode(), torch.backends.cudnn.benchmark
    with devices.training(torch.device("cuda")):
        assert (torch.get_deterministic_debug_mode(), torch.backends.cudnn.benchmark) == (0, True)
    assert (torch.get_deterministic_debug_mode(), torch.backends.cudnn.benchmark) == before
    torch.use_deterministic_algorithms(True, warn_only=True)
    with devices.training(torch.device("cpu")):
        assert torch.get_deterministic_debug_mode() == 1


@pytest.mark.parametrize(
    "mistake",
    [
        lambda x: x + torch.ones(3, 4),
        lambda x: torch.cat([x, torch.zeros(1, 4)]),
        lambda x: nn.Linear(4, 2)(x),
        lambda x: nn.Linear(4, 2).to("cuda")(torch.ones(3, 4)),
        lambda x: functional.cross_entropy(x, torch.tensor([0, 1, 2])),
        lambda x: x[torch.tensor([0])],
        lambda x: x.numpy(),
        lambda x: torch.randn(3, device="cuda", generator=torch.Generator()),
        lambda x: torch.randn(3, generator=torch.Generator("cuda")),
        lambda x: torch.empty_like(x).normal_(generator=torch.Generator()),
    ],
)
def test_the_pretend_card_refuses_what_a_card_refuses(mistake):
    with pretend_cuda():
        x = torch.ones(3, 4).to("cuda")
        with pytest.raises(WrongDevice):
            mistake(x)


def test_the_pretend_card_computes_what_the_processor_computes():
    torch.manual_seed(0)
    network, x = (
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU()),
        torch.ones(2, 1, 5, 5),
    )
    alone = network(x).square().sum()
    alone.backward()
    with pretend_cuda() as card:
        moved = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).to("cuda")
        moved.load_state_dict(network.state_dict())
        there = x.cuda()
        found = moved(there * torch.tensor(1.0, device="cuda") * 1.0).square().sum()
        found.backward()
        assert {value.device.type for value in (there, found, moved[0].weight.grad)} == {"cuda"}
        assert card.waits == 0 and found.item() == alone.item() and card.waits == 1
        assert torch.equal(moved[0].weight.grad.cpu(), network[0].weight.grad) and card.waits == 2
        made = torch.tensor([1, 2], device="cuda"), torch.zeros(2, device="cuda"), there.new_ones(2)
        assert all(value.device.type == "cuda" for value in made)
        assert there[there > 0].shape == (50,) and card.waits > 2


def test_the_pretend_card_is_gone_afterwards():
    with pretend_cuda():
        assert (
            torch.cuda.is_available() and devices.send(torch.ones(2), torch.device("cuda")).is_cuda
        )
    assert torch.Generator is type(torch.default_generator)
    assert not torch.__future__.get_swap_module_params_on_conversion()
    assert torch.ones(2).to("cpu").device.type == "cpu"
