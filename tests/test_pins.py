"""What is pinned, and how a process says what its arithmetic is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deepfake_uncertainty import cache, pins
from deepfake_uncertainty.detectors import resnet18
from deepfake_uncertainty.report import results

HASWELL = frozenset({"avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "sse4_2"})
on_pinnable = pytest.mark.skipif(not pins.needed_pins(), reason="no pin holds on this processor")


@pytest.fixture(autouse=True)
def processor(monkeypatch):
    """Have a processor with AVX-512 and an environment without pins; return how to set both."""

    def change(instructions=HASWELL | {"avx512f"}, environ=()):
        monkeypatch.setattr(pins, "_instructions", lambda: frozenset(instructions))
        monkeypatch.setattr(
            pins, "_torch_is_held", lambda: True
        )  # the tests' own was loaded before
        for name in [*pins.PINS, pins.FAST_VARIABLE]:
            monkeypatch.delenv(name, raising=False)
        for name, value in dict(environ).items():
            monkeypatch.setenv(name, value)

    change()
    return change


def test_all_pins_make_a_pinned_process(processor):
    assert pins.mode() == "unpinned"
    processor(environ=pins.PINS)
    assert pins.mode() == "pinned" and cache.arithmetic() == "cpu pinned"


@pytest.mark.parametrize("name", pins.PINS)
def test_a_pin_that_is_absent_or_other_unpins_a_process(processor, name):
    others = {key: value for key, value in pins.PINS.items() if key != name}
    processor(environ=others)
    assert pins.mode() == "unpinned"
    processor(environ=others | {name: "other"})
    assert pins.mode() == "unpinned"


def test_a_processor_without_avx512_needs_no_pin_that_opencv_complains_about(processor):
    processor(HASWELL)
    assert set(pins.PINS) - set(pins.needed_pins()) == {"OPENCV_CPU_DISABLE"}
    processor(HASWELL, pins.needed_pins())
    assert pins.mode() == "pinned"


@pytest.mark.parametrize("instructions", [HASWELL - {"fma"}, {"asimd", "fphp"}, ()])
def test_other_processors_run_on_one_thread_and_are_told_once(processor, instructions, capsys):
    processor(instructions, pins.PINS)
    assert pins.mode() == "unpinned" and pins.needed_pins() == {}
    pins.main()
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [f"export {name}=1" for name in pins.THREADS]
    assert shown.err.count("\n") == 1 and "the last digits differ" in shown.err


def test_a_fast_run_lifts_the_pins_and_keeps_its_threads(processor, capsys):
    processor(environ=pins.PINS | {pins.FAST_VARIABLE: "1", "OMP_NUM_THREADS": "3"})
    assert pins.mode() == "fast"
    pins.main()
    shown = capsys.readouterr()
    lifted, *threads = shown.out.splitlines()
    assert lifted.split() == ["unset", *pins.INSTRUCTIONS] and not shown.err
    assert threads == [f"export {name}=3" for name in pins.THREADS]


@on_pinnable
def test_a_shell_that_evaluates_the_lines_is_pinned(tmp_path):
    command = f"{sys.executable} -m deepfake_uncertainty.pins"
    asked = f"import {pins.__name__} as p; print(p.mode())"
    script = f'eval "$({command})" && {sys.executable} -c "{asked}"'
    environ = {name: value for name, value in os.environ.items() if name not in pins.PINS}
    environ |= {"PYTHONPATH": str(Path(pins.__file__).parents[1]), "OMP_NUM_THREADS": "2"}
    for fast, wanted in (("", "pinned"), ("1", "fast")):
        environ[pins.FAST_VARIABLE] = fast
        done = subprocess.run(
            ["bash", "-c", script], env=environ, capture_output=True, text=True, check=True
        )
        assert (done.stdout, done.stderr) == (f"{wanted}\n", "")


def test_the_pins_import_no_library():
    code = "import sys, deepfake_uncertainty.pins; print({'torch', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_keys_and_sidecars_hold_the_arithmetic_and_no_number_of_threads(processor):
    found = []
    for environ in ({}, pins.PINS, {pins.FAST_VARIABLE: "1"}):
        processor(environ=environ)
        state = results.environment()
        assert state["arithmetic"] == cache.arithmetic()
        assert "threads" not in json.dumps(state)
        found.append((cache.code_digest(resnet18.build), state["code"]))
    keys, codes = zip(*found, strict=True)
    assert len(set(keys)) == 3 and len(set(codes)) == 1


def test_a_pinned_run_of_a_notebook_leaves_its_runner_as_it_was(processor):
    processor(environ={"OMP_NUM_THREADS": "3"})
    before = dict(os.environ)
    with pins.for_children():
        assert {name: os.environ[name] for name in pins.PINS} == pins.PINS
    assert dict(os.environ) == before
    processor(environ={pins.FAST_VARIABLE: "1"})
    with pins.for_children():
        assert not pins.PINS.keys() & os.environ.keys()


@on_pinnable
@pytest.mark.parametrize(("first", "wanted"), [("sys", "pinned"), ("numpy", "unpinned")])
def test_a_process_is_pinned_before_it_loads_a_library_or_not_at_all(first, wanted):
    code = f"import {first}; from deepfake_uncertainty import pins; pins.hold(); print(pins.mode())"
    absent = {*pins.PINS, pins.FAST_VARIABLE}
    environ = {name: value for name, value in os.environ.items() if name not in absent}
    environ["PYTHONPATH"] = str(Path(pins.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == wanted


@on_pinnable
@pytest.mark.skipif("avx512f" not in pins._instructions(), reason="PyTorch takes AVX2 here anyway")
def test_pins_that_come_after_pytorch_do_not_count():
    code = """
import os, torch
torch.ones(9).add(1).sum()  # PyTorch looks at the variables when it first computes
from deepfake_uncertainty import pins
os.environ.update(pins.needed_pins())
print(pins.mode())
"""
    plain = {name: value for name, value in os.environ.items() if name not in pins.PINS}
    done = subprocess.run(
        [sys.executable, "-c", code], env=plain, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "unpinned"
