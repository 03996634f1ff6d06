"""Profiles: what counts as built, and what of a given root makes a run stale."""

import dataclasses
import json

import pytest
from support import notebook_sizes

from deepfake_uncertainty import paths
from deepfake_uncertainty.benchmark.stamp import STAMPS, read_stamp
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.training import profiles
from deepfake_uncertainty.training.config import Run


@pytest.fixture
def root(tmp_path, monkeypatch):
    for name in (profiles.DATA_ROOT_VARIABLE, profiles.AV_ROOT_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(paths, "DATA", tmp_path)
    for dataset in STAMPS:
        (tmp_path / "quick" / dataset).mkdir(parents=True)
    stamp(tmp_path / "quick" / "SynthAV", "SynthAV")
    return tmp_path / "quick" / "SynthFF"


def stamp(root, dataset="SynthFF", complete=True, **other):
    wanted = profiles.get("quick").benchmark(dataset) | {"steps": 700} | other
    (root / STAMPS[dataset]).write_text(json.dumps({"parameters": wanted, "complete": complete}))


def test_a_benchmark_is_built_when_it_is_whole_and_of_the_profiles_size(root):
    assert not profiles.is_built("quick")
    stamp(root)
    assert profiles.is_built("quick") and not profiles.is_built("full")
    other = dict(identities=6), dict(n_frames=16), dict(seed=1), dict(compressions=["c0"])
    for damage in (dict(complete=False), *other):
        stamp(root, **damage)
        assert not profiles.is_built("quick")
        with pytest.raises(
            InputError, match="is missing or incomplete: run .* build --profile quick"
        ):
            profiles.videos("quick")


@pytest.mark.parametrize("text", ["", "{", "[1]", "null"])
def test_a_damaged_stamp_counts_as_none(root, text):
    (root / STAMPS["SynthFF"]).write_text(text)
    assert read_stamp(root) == {} and not profiles.is_built("quick")


def test_a_benchmark_is_built_when_both_its_sets_are(root):
    stamp(root)
    other = root.with_name("SynthAV")
    for damage in (dict(complete=False), dict(identities=60)):
        stamp(other, "SynthAV", **damage)
        assert not profiles.is_built("quick")
    (other / STAMPS["SynthAV"]).unlink()
    assert not profiles.is_built("quick")


def test_each_data_set_has_its_root(root, monkeypatch):
    assert profiles.root("quick") == root and profiles.root("quick", "SynthAV") == root.with_name(
        "SynthAV"
    )
    with pytest.raises(InputError, match="unknown data set 'DFDC'"):
        profiles.root("quick", "DFDC")
    with pytest.raises(
        InputError, match=f"set {profiles.AV_ROOT_VARIABLE} to the root of FakeAVCeleb"
    ):
        profiles.root("paper", "SynthAV")
    monkeypatch.setenv(profiles.AV_ROOT_VARIABLE, str(root))
    assert profiles.root("paper", "SynthAV") == root


def test_a_given_root_is_known_by_its_names_sizes_and_dates(root, monkeypatch):
    assert profiles.data_fingerprint() == ""
    monkeypatch.setenv(profiles.DATA_ROOT_VARIABLE, str(root))
    seen = [profiles.data_fingerprint()]
    changes = [("a.mp4", b"1"), ("train.json", b"[]"), ("a.mp4", b"22"), ("b/c.mp4", b"")]
    for name, content in [*changes, ("meta_data.csv", b""), ("list.txt", b""), ("0/1.PNG", b"")]:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(content)
        seen.append(profiles.data_fingerprint())
    (root / "notes.md").write_text("of no account")
    assert len(set(seen)) == 8 and profiles.data_fingerprint() == seen[-1]


@pytest.mark.parametrize("name", ["quick", "full", "paper"])
def test_notebooks_ask_for_the_samples_that_the_batch_makes(name):
    found = notebook_sizes.sizes("01_method_comparison", name)
    size = profiles.get(name)
    assert (found.name, found.samples, found.resamples) == (name, size.samples, size.resamples)
    assert found.seed == size.seed
    assert notebook_sizes.parameters("01_method_comparison", name)["SEED"] == size.seed


def test_an_override_keeps_what_it_is_not_given():
    profile = profiles.get("full")
    assert profile.override() == profile
    assert profile.override(compared=None, samples=None, n_seeds=None) == profile
    found = profile.override(compared=["vit_tiny"], samples=3, seed=7, n_seeds=2, methods=None)
    assert found == dataclasses.replace(
        profile, compared=("vit_tiny",), samples=3, seed=7, n_seeds=2
    )
    assert found.runs == [Run("full", 7, 3), Run("full", 8, 3)] and found.run() == found.runs[0]
    assert found.run(9) == Run("full", 9, 3) and profiles.get("full") == profile


LISTS = ["compared", "unseen_detectors", "methods", "task_methods"]


@pytest.mark.parametrize("field", LISTS)
@pytest.mark.parametrize("value", [[], (), "resnet18", ""])
def test_an_override_wants_a_list_of_names(field, value):
    with pytest.raises(InputError, match=f"{field} is .*: give a list of one or more names"):
        profiles.get("quick").override(**{field: value})


@pytest.mark.parametrize("field", LISTS)
def test_an_override_refuses_unknown_names(field):
    kind = "method" if "methods" in field else "detector"
    known = "bnn" if kind == "method" else "resnet18"
    with pytest.raises(InputError, match=f"unknown {kind} 'nope': use "):
        profiles.get("quick").override(**{field: [known, "nope"]})
    assert getattr(profiles.get("quick").override(**{field: [known]}), field) == (known,)


def test_an_override_of_what_is_no_field_is_an_error():
    with pytest.raises(TypeError, match="speed"):
        profiles.get("quick").override(speed=3)


def test_an_unknown_profile_names_the_known_ones():
    with pytest.raises(InputError, match="unknown profile 'huge': use quick, full, paper"):
        profiles.get("huge")


def test_given_data_are_read_alone(root, monkeypatch):
    assert profiles.datasets() == ["SynthFF", "SynthAV"]
    monkeypatch.setenv(profiles.AV_ROOT_VARIABLE, str(root))
    assert profiles.datasets() == ["SynthAV"]
