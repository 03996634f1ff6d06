"""The catalogue of generators: names, numbers, plug-ins and hybrids."""

import json
from pathlib import Path

import numpy as np
import pytest

from deepfake_uncertainty import plugins
from deepfake_uncertainty.benchmark import build
from deepfake_uncertainty.benchmark.generators import base, catalogue
from deepfake_uncertainty.benchmark.renderer import render
from deepfake_uncertainty.benchmark.stamp import read_stamp
from deepfake_uncertainty.benchmark.synthav import SynthAV
from deepfake_uncertainty.benchmark.synthff import SynthFF
from deepfake_uncertainty.datasets import leakage, video
from deepfake_uncertainty.datasets.layouts import faceforensics
from deepfake_uncertainty.errors import InputError

# Random draws derive from these numbers: they must never change.
NUMBERS = {
    "SynthFF": ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter"),
    "SynthAV": ("faceswap", "fsgan", "wav2lip", "faceswap-wav2lip", "fsgan-wav2lip", "rtvc"),
}
PLUGIN = """
import numpy as np
from deepfake_uncertainty.benchmark.generators import base

def generate(source, target, rng):
    base.require_benchmark_clip(source, target)
    mask = np.zeros(target.frames.shape[:3], bool)
    mask[:, :8] = True
    return np.where(mask[..., None], np.uint8(rng.integers(256)), target.frames), mask

FAMILIES = [base.Family({arguments}, swaps_identity=False{generate})]
"""


@pytest.fixture
def add(tmp_path, monkeypatch):
    """A function that adds a plug-in family to a fresh catalogue."""
    old = catalogue.FAMILIES
    fresh = plugins.Registry(old.kind, old.package, old.listed, old.spec_type, old.order)
    monkeypatch.setattr(catalogue, "FAMILIES", fresh)

    def write(name, dataset, number, generate=", generate=generate"):
        path = tmp_path / f"{name}.py"
        arguments = f"{name!r}, {dataset!r}, {number}"
        path.write_text(PLUGIN.format(arguments=arguments, generate=generate))
        monkeypatch.setenv(plugins.VARIABLE, str(path))

    return write


@pytest.mark.parametrize("dataset", NUMBERS)
def test_families_keep_their_order_and_numbers(dataset):
    plan = {"SynthFF": SynthFF, "SynthAV": SynthAV}[dataset](Path("x"), 6)
    assert plan.families == plan.known_families() == NUMBERS[dataset]
    for number, name in enumerate(NUMBERS[dataset]):
        assert catalogue.number(name) == number


def test_the_layouts_know_the_same_families():
    assert catalogue.families("SynthFF") == faceforensics.FAMILIES
    assert catalogue.families("SynthAV") == leakage.FAMILIES


def test_swaps_show_the_source_and_reenactments_the_target():
    kept = {"Face2Face", "NeuralTextures", "wav2lip"}
    assert set(catalogue.swaps()) == {*faceforensics.FAMILIES, *leakage.FAMILIES} - kept


def test_trained_families_have_weights():
    assert {path.stem for path in Path(base.__file__).parent.glob("weights/*.safetensors")} == set(
        catalogue.trained()
    )


def test_a_plug_in_with_a_new_number_gets_in(add, pair):
    usual = build.source_digest(SynthFF(Path("x"), 6).families)
    add("stripe", "SynthFF", 5)
    assert catalogue.families("SynthFF") == (*NUMBERS["SynthFF"], "stripe")
    assert catalogue.families("SynthAV") == NUMBERS["SynthAV"][:-1]
    assert catalogue.number("stripe") == 5 and "stripe" not in catalogue.swaps()
    plan = SynthFF(Path("x"), 6)
    assert plan.families[-1] == "stripe" and ("stripe", 1, 0) in plan.jobs
    frames, mask = catalogue.generate("stripe", *pair, np.random.default_rng(0))
    assert mask[:, :8].all() and not mask[:, 8:].any() and (frames[:, :8] == frames[0, 0, 0]).all()
    assert build.source_digest(plan.families) != usual
    assert build.source_digest(NUMBERS["SynthFF"]) == usual


def test_a_plug_in_named_like_a_hybrid_runs_its_own_generator(add, pair):
    add("my-stripe", "SynthAV", 6)
    _, mask = catalogue.generate("my-stripe", *pair, np.random.default_rng(0))
    assert mask[:, :8].all() and not mask[:, 8:].any()


@pytest.mark.parametrize(
    ("dataset", "number", "holder"),
    [("SynthFF", 2, "FaceSwap"), ("SynthAV", 1, "fsgan"), ("SynthAV", 5, "rtvc")],
)
def test_a_taken_number_is_refused(add, dataset, number, holder):
    add("stripe", dataset, number)
    with pytest.raises(InputError, match=f"'stripe' has number {number} .*'{holder}'"):
        catalogue.families(dataset)


@pytest.mark.parametrize(
    ("name", "dataset", "number", "message"),
    [
        ("stripe", "FaceForensics++", 9, "use SynthFF or SynthAV"),
        ("stripe", "SynthFF", -1, "use 0 or more"),
        ("real", "SynthFF", 9, "reserved"),
        ("rtvc", "SynthAV", 9, "reserved"),
        ("FaceSwap", "SynthFF", 9, "two generators are called 'FaceSwap'"),
    ],
)
def test_impossible_families_are_refused(add, name, dataset, number, message):
    add(name, dataset, number)
    with pytest.raises(InputError, match=message):
        catalogue.families("SynthFF")


def test_a_hybrid_is_refused_alone(add, pair):
    add("mix", "SynthAV", 6, generate="")
    with pytest.raises(InputError, match="'mix' is a hybrid"):
        catalogue.generate("mix", *pair, np.random.default_rng(0))
    with pytest.raises(InputError, match="'mix' is a hybrid"):
        catalogue.generate("faceswap-mix", *pair, np.random.default_rng(0))


@pytest.mark.slow
def test_a_plug_in_is_built_and_stamped(add, tmp_path):
    add("stripe", "SynthFF", 5)
    made = SynthFF(tmp_path / "ff", 6, 16, families=("stripe",))
    build.build(made, jobs=1, progress=False)
    mask = video.decode(made.mask("stripe", 1, 0))[0][..., 0] > 127
    assert mask[:, :7].all() and not mask[:, 9:].any()
    grey = int(np.random.default_rng([0, 5, 1, 0]).integers(256))
    fake = video.decode(made.fake("stripe", 1, 0, "c23"))[0].astype(float)
    assert abs(fake[:, :7].mean() - grey) < 3
    real = render.render_clip(0, 0, 16).frames
    assert np.abs(fake - real)[:, 16:].mean() < 5
    assert read_stamp(made.root)["parameters"]["families"] == ["stripe"]
    assert json.loads((made.root / "test.json").read_text()) == [["002", "003"]]
