"""Any data set as one index: known layouts, new ones, and roots that hold no data set."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from support import small_layouts as layouts
from support.small_layouts import put

from deepfake_uncertainty import cli
from deepfake_uncertainty.datasets import index as index_module
from deepfake_uncertainty.datasets import layouts as package_of_layouts
from deepfake_uncertainty.datasets import leakage
from deepfake_uncertainty.datasets.index import adapters, index
from deepfake_uncertainty.datasets.layouts import records, splits
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.training import profiles


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    return layouts.movie(tmp_path_factory.mktemp("movie"))


@pytest.mark.parametrize("name", layouts.ALL)
def test_every_layout_gives_the_same_index(tmp_path, content, name):
    root = layouts.ALL[name](tmp_path, content)
    frame, skipped = index(root)
    assert list(frame) == records.COLUMNS and list(skipped) == records.SKIPPED
    assert set(frame["dataset"]) == {name}
    assert set(index(root, dataset="mine")[0]["dataset"]) == {"mine"}
    assert set(frame["split"]) == set(splits.SPLITS) and "real" in set(frame["generator"])
    assert (frame["identity"] == frame["target"]).all()
    assert (frame[frame["generator"] == "real"]["source"] == "").all()
    assert frame["n_frames"].isin([3, 5]).all() and not frame.isna().any(axis=None)
    leakage.check_leakage(frame)
    leakage.check_disjoint(dict(list(frame.groupby("split"))))
    assert frame.equals(index(root)[0]) and skipped.equals(index(root)[1])
    assert sum(adapter.fits(root) for adapter in adapters()) == 1


def test_all_compressions_directions_and_methods_of_faceforensics(tmp_path, content):
    root = layouts.faceforensics(tmp_path, content)
    for compression, folder in (("c40", "c40"), ("c0", "raw")):
        for path in list(root.glob("*_sequences/*/c23/videos/*.mp4")):
            put(path.parents[2] / folder / "videos" / path.name, content)
        frame, skipped = index(root, compression)
        assert len(frame) == 24 and skipped.empty
        assert frame["path"].str.contains(f"/{folder}/").all()
        counts = frame["generator"].value_counts().to_dict()
        assert counts == {"real": 8, "Deepfakes": 8, "FaceShifter": 8}
        fakes = frame[frame["generator"] == "FaceShifter"]
        both_directions = set(fakes["source"] + "_" + fakes["target"])
        assert set(fakes["video"]) == both_directions
    with pytest.raises(InputError, match="choose one of c0, raw, c23, c40"):
        index(root, "c24")


@pytest.mark.parametrize("name", layouts.ALL)
def test_check_counts_the_videos_of_any_layout(tmp_path, content, name, monkeypatch, capsys):
    root = layouts.ALL[name](tmp_path, content)
    monkeypatch.setenv(profiles.DATA_ROOT_VARIABLE, str(root))
    assert cli.main(["check"]) == 0
    out, err = capsys.readouterr()
    frame, skipped = index(root)
    assert f"{len(frame)} videos of {name}; {len(skipped)} skipped" in out
    assert all(text in out for text in splits.SPLITS)
    assert err.count("\n") == len(skipped)


def test_roots_in_no_layout_name_the_known_ones_and_what_was_found(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        index(tmp_path / "none")
    with pytest.raises(InputError, match="is empty; expected one of FaceForensics"):
        index(tmp_path)
    for number in range(9):
        (tmp_path / f"folder{number}").mkdir()
    with pytest.raises(InputError, match=r"found folder0, .*folder5, …; expected") as error:
        index(tmp_path)
    message = str(error.value)
    assert all(adapter.NAME in message for adapter in adapters())
    assert "such as original_sequences/youtube/" in message and "\n" not in message
    assert len(message) - len(str(tmp_path)) <= 230


@pytest.mark.parametrize("names", [["x" * 200], ["a" * 50, "b" * 50, "c" * 50], list("abcdefghi")])
def test_long_listings_are_shortened(tmp_path, names):
    for name in names:
        (tmp_path / name).mkdir()
    with pytest.raises(InputError, match="is in no known layout: found .*…") as error:
        index(tmp_path)
    assert len(str(error.value)) - len(str(tmp_path)) <= 230


MODULE = """
NAME, LAYOUT = "mine", "mine/*.mp4"

def fits(root):
    return (root / "mine").is_dir()

def index(root, dataset=None):
    return dataset, root.name
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A folder whose modules count as modules of the package `layouts`."""
    folder = tmp_path / "package"
    folder.mkdir()
    monkeypatch.setattr(package_of_layouts, "__path__", [*package_of_layouts.__path__, str(folder)])
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if name.startswith(package_of_layouts.__name__):
            delattr(package_of_layouts, name.rpartition(".")[2])
            del sys.modules[name]


def test_built_in_layouts_are_tried_in_their_order():
    names = [adapter.NAME for adapter in adapters()]
    assert names == ["FaceForensics++", "FakeAVCeleb", "Celeb-DF", "DFDC", "frame folders"]


def test_a_new_data_set_is_one_module(tmp_path, package):
    (package / "aaa_mine.py").write_text(MODULE)
    assert [adapter.NAME for adapter in adapters()][-1] == "mine"
    root = tmp_path / "root"
    (root / "mine").mkdir(parents=True)
    assert index(root) == (None, "root") and index(root, "c40", dataset="x") == ("x", "root")
    with pytest.raises(InputError, match="frame folders, mine, such as"):
        index(tmp_path / "none")


def test_a_module_says_itself_where_it_is_tried_and_whether_it_has_compressions(tmp_path, package):
    with_compression = MODULE.replace("dataset=None", "dataset=None, compression='c0'")
    first = with_compression.replace("root.name", "compression") + "ORDER = 1"
    (package / "mine.py").write_text(first)
    assert adapters()[0].NAME == "mine"
    (tmp_path / "mine").mkdir()
    (tmp_path / "Celeb-real").mkdir()
    assert index(tmp_path, "c40") == (None, "c40")


def test_a_module_without_a_part_is_reported_and_a_helper_is_not(package):
    (package / "mine_helper.py").write_text("index = 3")
    assert len(adapters()) == 5
    (package / "mine_broken.py").write_text(MODULE.replace("def fits", "def fit"))
    with pytest.raises(InputError, match=r"mine_broken\.py lacks fits"):
        adapters()


@pytest.mark.parametrize("name", layouts.ALL)
@pytest.mark.parametrize("between", ["set", "more/set"])
def test_a_root_too_high_names_the_folder_below(tmp_path, content, name, between):
    root = layouts.ALL[name](tmp_path / "data" / between, content)
    (tmp_path / "data/notes").mkdir()
    with pytest.raises(InputError) as error:
        index(tmp_path / "data")
    expected = f"root {tmp_path / 'data'} holds no data set itself; did you mean {root}?"
    assert str(error.value) == expected


@pytest.mark.parametrize("name", sorted(set(layouts.ALL) - {"DFDC"}))
def test_a_root_too_low_names_the_folder_above(tmp_path, content, name, monkeypatch):
    root = layouts.ALL[name](tmp_path / "set", content)
    below = sorted(path for path in root.iterdir() if path.is_dir())
    for folder in [*below, next(path for path in below[0].iterdir())]:
        if folder.is_dir():
            with pytest.raises(InputError) as error:
                index(folder)
            expected = f"root {folder} holds no data set itself; did you mean {root}?"
            assert str(error.value) == expected
    monkeypatch.chdir(below[0])
    with pytest.raises(InputError, match=f"did you mean {root}?"):
        index(".")


def test_a_part_of_dfdc_names_the_folders_above(tmp_path, content):
    root = layouts.dfdc(tmp_path / "set", content)
    with pytest.raises(InputError, match=f"did you mean {root}\\?"):
        index(root / "test")
    with pytest.raises(InputError, match=f"did you mean {root}/train or {root}\\?"):
        index(root / "train/dfdc_train_part_0")


def test_at_most_three_folders_are_suggested(tmp_path):
    for number in range(5):
        (tmp_path / f"set{number}/Celeb-real").mkdir(parents=True)
    first, second, third = (f"{tmp_path}/set{number}" for number in range(3))
    with pytest.raises(InputError, match=f"did you mean {first}, {second} or {third}\\?"):
        index(tmp_path)


def test_hidden_folders_and_folders_far_away_are_not_suggested(tmp_path):
    (tmp_path / "high/a/b/c/Celeb-real").mkdir(parents=True)
    (tmp_path / "low/Celeb-real/a/b/c").mkdir(parents=True)
    (tmp_path / "hidden/.cache/Celeb-real").mkdir(parents=True)
    for folder, name in (("high", "a"), ("low/Celeb-real/a/b", "c")):
        with pytest.raises(InputError, match=f"is in no known layout: found {name};"):
            index(tmp_path / folder)
    with pytest.raises(InputError, match="hidden is empty;"):
        index(tmp_path / "hidden")


def test_folders_that_cannot_be_read_are_not_suggested(tmp_path, monkeypatch):
    (tmp_path / "set/Celeb-real").mkdir(parents=True)

    def refused(root):
        raise PermissionError(13, "Permission denied")

    assert index_module._fits(tmp_path / "set", adapters())
    assert not index_module._fits(tmp_path, [SimpleNamespace(fits=refused)])
    monkeypatch.setattr(Path, "iterdir", refused)
    assert not list(index_module._subfolders([tmp_path]))
