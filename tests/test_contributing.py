"""The recipes of CONTRIBUTING.md work as they stand, and its lists are those of the project."""

import json
import re
import subprocess
import sys
import tomllib
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from support import scratch_project, small_world

from deepfake_uncertainty import paths, plugins
from deepfake_uncertainty.benchmark.generators import base, catalogue
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError

ROOT, GUIDE = paths.PROJECT, scratch_project.GUIDE.read_text()
RECIPES = [title for title in scratch_project.sections() if title.startswith("Add a")]
RUN_ALL = (ROOT / "run_all.sh").read_text()
TRAIN = "python -m deepfake_uncertainty train"
RESULT = r"AUROC (nan|[\d.]+)"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Return (data root, cache, models) of all scratch copies: {key: time} after `resnet18`.

    The guide says how to make the data.
    """
    cache = tmp_path_factory.mktemp("cache")
    made = scratch_project.make_scratch(tmp_path_factory.mktemp("first") / "project", cache)
    made.carry_out("A small data set for trials")
    data = made.root / "data/tiny"
    scratch_project.Scratch(made.root, data).bash(f"{TRAIN} resnet18 deterministic")
    return data, cache, made.models()


@pytest.fixture
def scratch(shared, tmp_path):
    data, cache, _ = shared
    return scratch_project.make_scratch(tmp_path / "project", cache, data)


@pytest.mark.slow
def test_a_detector_is_one_file(scratch):
    before = scratch.models()
    said = scratch.carry_out("Add a detector")
    assert re.search(rf"^resnet10t, deterministic, on SynthFF: {RESULT}", said, re.MULTILINE)
    assert re.search(rf"^resnet10t, mc_dropout, on SynthFF: {RESULT}.*T = 10", said, re.M)
    after = scratch.models()
    assert before.items() < after.items() and len(after) == len(before) + 1


@pytest.mark.slow
def test_a_plug_in_trains_nobody_else_again(shared, scratch, tmp_path):
    plugin = tmp_path / "mine" / "resnet10t.py"
    plugin.parent.mkdir()
    plugin.write_text(scratch_project.file_block("Add a detector", "resnet10t.py").text)
    before, models = shared[2], scratch.models()
    named = f"--plugin {plugin}"
    scratch.bash(f"{TRAIN} resnet18 deterministic {named}")
    assert before and scratch.models() == models and before.items() <= models.items()
    said = scratch.bash(f"{TRAIN} resnet10t deterministic {named}")
    assert re.search(rf"^resnet10t, deterministic, on SynthFF: {RESULT}", said, re.MULTILINE)
    assert models.items() <= scratch.models().items()


@pytest.mark.slow
def test_an_entry_point_brings_a_detector(scratch):
    (toml,) = [one for one in scratch_project.blocks("Add a detector") if one.language == "toml"]
    ((group, points),) = tomllib.loads(toml.text)["project"]["entry-points"].items()
    assert group == f"deepfake_uncertainty.{registry.DETECTORS.listed.lower()}"
    package, _, module = points["resnet10t"].partition(":")[0].partition(".")
    folder = scratch.root / "lib"
    (folder / package).mkdir()
    code = scratch_project.file_block("Add a detector", "resnet10t.py").text
    (folder / package / f"{module}.py").write_text(code)
    info = folder / f"{package}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{group}]\nresnet10t = {points['resnet10t']}\n")
    said = scratch.bash("python -m deepfake_uncertainty list")
    assert re.search(r"^ +resnet10t +ResNet10-t", said, re.MULTILINE)


@pytest.mark.slow
def test_a_method_is_one_file_and_shares_the_training(scratch):
    before = scratch.models()
    said = scratch.carry_out("Add an uncertainty method")
    assert re.search(r"^resnet18, deterministic,.* T = 1", said, re.MULTILINE)
    assert re.search(rf"^resnet18, tta, on SynthFF: {RESULT}.* T = 10", said, re.M)
    assert scratch.models() == before


def recipes_method(folder):
    """Return the Method of the guide."""
    block = scratch_project.file_block("Add an uncertainty method", ".py")
    (folder / "tta.py").write_text(block.text)
    (method,) = plugins.load_file(folder / "tta.py").METHODS
    return method


def test_the_recipes_method_moves_all_copies_but_the_first(tmp_path):
    method, network = recipes_method(tmp_path), small_world.build(2, 0.5).eval()
    x = torch.from_numpy(np.random.default_rng(0).random((5, 3, 8, 8), dtype=np.float32))
    plain = network(x).softmax(-1).detach().numpy()
    samples = method.sample(network, x.split(2), 3, 0, small_world.SPEC)
    assert samples.shape == (3, 5, 2) and samples.dtype == np.float32
    np.testing.assert_allclose(samples[0], plain, atol=1e-6)
    assert np.abs(samples[1:] - plain).max(axis=(1, 2)).min() > 1e-5
    longer = method.sample(network, x.split(5), 4, 0, small_world.SPEC)
    np.testing.assert_allclose(longer[:3], samples, atol=1e-6)
    for detector, T in ((registry.get("fakecatcher"), 2), (small_world.SPEC, 0)):
        with pytest.raises(InputError, match="only pixels can be moved"):
            method.sample(network, [x], T, 0, detector)


def test_the_recipes_method_mirrors_where_the_training_did(tmp_path):
    left = torch.zeros(1, 3, 16, 16)
    left[..., :8] = 1
    method, network = recipes_method(tmp_path), torch.nn.Sequential(torch.nn.Flatten())
    network.append(torch.nn.Linear(left.numel(), 2))
    with torch.no_grad():  # class 1 is a left half that is brighter than the right one
        network[1].bias.zero_()
        network[1].weight.copy_(torch.stack([0 * left, 2 * left - 1]).reshape(2, -1))
    spec = small_world.SPEC
    flipping = replace(spec, recipe=replace(spec.recipe, flip=True))
    assert (method.sample(network, [left], 6, 0, spec)[:, 0].argmax(-1) == 1).all()
    mirrored = method.sample(network, [left], 6, 0, flipping)
    assert mirrored[:, 0].argmax(-1).tolist() == [1, 0, 1, 0, 1, 0]
    # The border is repeated, so a shift does not change a picture that is the same everywhere.
    assert (method.sample(network, [0 * left + 0.5], 6, 0, spec) == 0.5).all()


@pytest.mark.slow
def test_a_generator_is_one_file(scratch):
    said = scratch.carry_out("Add a generator")
    assert re.search(r"^ +Retouch +2 +2 +2$", said, re.MULTILINE)
    masks = scratch.root / "data/retouch/manipulated_sequences/Retouch/masks"
    assert len(list(masks.rglob("*.mp4"))) == 6


def test_the_recipes_generator_takes_the_next_number_and_benchmark_clips_only(tmp_path):
    (tmp_path / "retouch.py").write_text(
        scratch_project.file_block("Add a generator", "retouch.py").text
    )
    (family,) = plugins.load_file(tmp_path / "retouch.py").FAMILIES
    known = catalogue.FAMILIES.specs().values()
    taken = [other.number for other in known if other.dataset == family.dataset]
    assert family.number == max(taken) + 1 and family.name not in catalogue.FAMILIES
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    angle = np.linspace(0, 2 * np.pi, 468)
    points = np.stack([32 + 20 * np.cos(angle), 32 + 20 * np.sin(angle)], -1)[None]
    landmarks, found = points.repeat(2, 0).astype(np.float32), np.array([True, False])
    clip = base.Footage(0, frames, landmarks, found, tmp_path / "000.json")
    with pytest.raises(InputError, match="own clips only"):
        family.generate(clip, clip, rng)
    clip.truth.write_text("{}")
    forged, mask = family.generate(clip, clip, rng)
    assert mask[0].any() and not mask[1].any() and mask.dtype == bool
    np.testing.assert_array_equal(forged[~mask], frames[~mask])
    assert (forged != frames)[0].any() and forged[0].std() < frames[0].std()


@pytest.mark.slow
def test_a_data_set_is_one_file(scratch):
    said = scratch.carry_out("Add a data set")
    assert "40 videos of TwoFolders; 1 skipped" in said
    assert re.search(r"skipped .*unnamed\.mp4: the name is not of the form", said)
    counts = re.search(r"^TwoFolders real +(\d+) +(\d+) +(\d+)\n +swap +\1 +\2 +\3$", said, re.M)
    assert counts and sum(map(int, counts.groups())) == 20
    passed = re.search(r"^(\d+) passed", said, re.MULTILINE)
    assert passed and int(passed[1]) >= 5 and not re.search(r"\d (failed|error)", said)


@pytest.mark.slow
def test_a_claim_stands_in_the_ledger(scratch):
    said = scratch.carry_out("Add a claim")
    verdict = r"better than chance [01] [01] [01] (supported|contradicted|undecided)$"
    assert re.search(verdict, said, re.MULTILINE)
    (row,) = json.loads((scratch.root / "figures/12_claims.json").read_text())["numbers"]
    assert row["claim"] == "Q8" and row["bound"] == 0.5 and row["n"] == 6
    shown = json.loads((scratch.root / "figures/09_claims.json").read_text())["numbers"]
    assert [one["claim"] for one in shown["rows"]] == ["Q8"]


@pytest.mark.slow
def test_a_notebook_is_a_script_and_its_room(scratch):
    said = scratch.carry_out("Add a notebook")
    assert re.search(
        r"^11_spread P\(fake\) spreads by [\d.]+ within the median of 6 test videos\.$", said, re.M
    )
    for suffix in (".png", ".pdf", ".json"):
        assert (scratch.root / "figures/11_spread").with_suffix(suffix).stat().st_size > 0
    assert (scratch.root / "notebooks/11_example.ipynb").is_file()
    for profile in ("full", "paper"):
        overrides = yaml.safe_load((scratch.root / f"notebooks/params/{profile}.yaml").read_text())
        assert overrides["11_example"] == {"PROFILE": profile} and len(overrides) > 5
    claim = [block.text for block in scratch_project.blocks("Add a claim") if "yaml" in block.path]
    assert claim == [f"12_example_claim:\n  PROFILE: {name}\n" for name in ("full", "paper")]


def test_every_recipe_of_the_guide_is_carried_out_here():
    here = (ROOT / "tests" / "test_contributing.py").read_text()
    assert len(RECIPES) == 6
    assert all(f'carry_out("{title}")' in here for title in RECIPES)


@pytest.mark.parametrize("title", RECIPES)
def test_the_files_of_a_recipe_are_named_in_its_text_and_keep_the_style(title, tmp_path):
    written = [one for one in scratch_project.blocks(title) if one.path]
    text = re.sub(r"^```.*?^```$", "", scratch_project.sections()[title], flags=re.M | re.S)
    assert written and all(f"`{one.path}`" in text for one in written)
    for one in written:
        if one.language == "python" and not one.place:
            path = tmp_path / one.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(one.text)
    config = ["--config", str(ROOT / "pyproject.toml")]
    for command in (["check"], ["format", "--check"]):
        words = [sys.executable, "-m", "ruff", *command, *config, str(tmp_path)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("title", ["Add a detector", "Add an uncertainty method"])
def test_a_detector_and_a_method_take_thirty_lines(title):
    assert scratch_project.blocks(title)[0].text.count("\n") <= 30


def test_the_guide_lists_every_package_in_the_order_of_the_layers():
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    names = re.findall(r"deepfake_uncertainty\.(\w+)", " ".join(layers["contracts"][0]["layers"]))
    section = scratch_project.sections()["How the project is built"]
    listed = re.findall(r"`(\w+)`", " ".join(re.findall(r"^\|([^|]+)\|", section, re.MULTILINE)))
    packages = {path.parent.name for path in (ROOT / "lib").glob("*/*/__init__.py")}
    assert set(listed) >= packages and set(listed) <= set(names)
    top = [name for name in names if name in packages]
    assert [name for name in listed if name in packages] == top


def checks_of_run_all():
    """Return the checks that `./run_all.sh test` calls, pytest apart."""
    (body,) = re.findall(r"^tests\(\) \{\n(.*?)^\}", RUN_ALL, re.MULTILINE | re.DOTALL)
    lines = [line.strip() for line in body.splitlines()]
    called = [line for line in lines if line.startswith(("python -m ", "lint-imports"))]
    return [line for line in called if "pytest" not in line]


def hooks():
    """Return the hooks of the pre-commit configuration, all of them local."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [part["repo"] for part in config["repos"]] == ["local"]
    return config["repos"][0]["hooks"]


def test_the_hooks_are_the_checks_of_run_all():
    assert [hook["entry"] for hook in hooks()] == checks_of_run_all()
    assert len(hooks()) == 5
    for hook in hooks():
        assert hook["language"] == "system" and hook["pass_filenames"] is False
        assert "additional_dependencies" not in hook and "rev" not in hook


def test_the_guide_names_the_checks():
    section = scratch_project.sections()["What is checked"]
    assert all(f"`{entry}`" in section for entry in checks_of_run_all())


def test_the_changelog_begins_with_the_version_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    log = (ROOT / ".github" / "CHANGELOG.md").read_text()
    assert re.findall(r"^## \[?([\d.]+)", log, re.MULTILINE) == [project["version"], "0.1.0"]


@pytest.mark.parametrize("name", [".github/CONTRIBUTING.md", ".github/CHANGELOG.md"])
def test_a_page_has_short_lines_and_names_no_host(name):
    text = (ROOT / name).read_text()
    prose = [line for line in text.splitlines() if not line.startswith("|")]
    assert max(map(len, prose)) <= 100
    assert "http" not in text and not re.search(r"\b(www|github|gitlab)\.\w", text)
