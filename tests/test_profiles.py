"""Profiles: what counts as built, and what of a given root makes a run stale."""

import json

import pytest
import yaml

from deepfake_uncertainty import notebook, paths
from deepfake_uncertainty.benchmark.stamp import STAMPS, read_stamp
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import profiles


@pytest.fixture
def root(tmp_path, monkeypatch):
    for name in (profiles.GIVEN, profiles.GIVEN_AV):
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
    assert not profiles.built("quick")
    stamp(root)
    assert profiles.built("quick") and not profiles.built("full")
    other = dict(identities=6), dict(n_frames=16), dict(seed=1), dict(compressions=["c0"])
    for damage in (dict(complete=False), *other):
        stamp(root, **damage)
        assert not profiles.built("quick")
        with pytest.raises(InputError, match="is not built, or not to its end: run .* build --profile quick"):
            profiles.videos("quick")


@pytest.mark.parametrize("text", ["", "{", "[1]", "null"])
def test_a_damaged_stamp_counts_as_none(root, text):
    (root / STAMPS["SynthFF"]).write_text(text)
    assert read_stamp(root) == {} and not profiles.built("quick")


def test_a_benchmark_is_built_when_both_its_sets_are(root):
    stamp(root)
    other = root.with_name("SynthAV")
    for damage in (dict(complete=False), dict(identities=60)):
        stamp(other, "SynthAV", **damage)
        assert not profiles.built("quick")
    (other / STAMPS["SynthAV"]).unlink()
    assert not profiles.built("quick")


def test_each_data_set_has_its_root(root, monkeypatch):
    assert profiles.root("quick") == root and profiles.root("quick", "SynthAV") == root.with_name("SynthAV")
    with pytest.raises(InputError, match="unknown data set 'DFDC'"):
        profiles.root("quick", "DFDC")
    with pytest.raises(InputError, match=f"set {profiles.GIVEN_AV} to the root of FakeAVCeleb"):
        profiles.root("paper", "SynthAV")
    monkeypatch.setenv(profiles.GIVEN_AV, str(root))
    assert profiles.root("paper", "SynthAV") == root


def test_a_given_root_is_known_by_its_names_sizes_and_dates(root, monkeypatch):
    assert profiles.fingerprint() == ""
    monkeypatch.setenv(profiles.GIVEN, str(root))
    seen = [profiles.fingerprint()]
    changes = [("a.mp4", b"1"), ("train.json", b"[]"), ("a.mp4", b"22"), ("b/c.mp4", b"")]
    for name, content in [*changes, ("meta_data.csv", b""), ("list.txt", b""), ("0/1.PNG", b"")]:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(content)
        seen.append(profiles.fingerprint())
    (root / "notes.md").write_text("of no account")
    assert len(set(seen)) == 8 and profiles.fingerprint() == seen[-1]


@pytest.mark.parametrize("name", ["quick", "full", "paper"])
def test_notebooks_ask_for_the_samples_that_the_batch_makes(name):
    source = (paths.NOTEBOOKS / "01_method_comparison.py").read_text().split('tags=["parameters"]')[1].split("# %%")[0]
    values = {line.split(" = ")[0]: yaml.safe_load(line.split(" = ")[1]) for line in source.splitlines() if " = " in line}
    values |= notebook.parameters(name, "01_method_comparison")
    size = profiles.get(name)
    assert (values["PROFILE"], values["SAMPLES"], values["RESAMPLES"]) == (name, size.samples, size.resamples)
    assert values["SEED"] == size.seed
