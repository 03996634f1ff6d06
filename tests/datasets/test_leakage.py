"""Guards against leakage, and the splits that keep people apart."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepfake_uncertainty.datasets import leakage
from deepfake_uncertainty.datasets.layouts import splits
from deepfake_uncertainty.errors import InputError


def table(*rows):
    frame = pd.DataFrame(rows, columns=["generator", "video", "target", "source", "split"])
    return frame.assign(dataset="set", identity=frame["target"])


CLEAN = (
    ("real", "a", "a", "", "train"),
    ("wav2lip", "a_b", "a", "b", "train"),
    ("real", "c", "c", "", "test"),
)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        # An identity, a source, a target and the real clip of a source in two splits.
        (("real", "a2", "a", "", "val"), "identity a occurs in the splits train, val"),
        (("fsgan", "c_b", "c", "b", "test"), "identity b occurs in the splits test, train"),
        (("fsgan", "b_c", "b", "c", "test"), "identity b"),
        (("real", "b", "b", "", "test"), "identity b"),
        (("real", "a", "a", "", "train"), "occurs 2 times"),
    ],
)
def test_each_leak_is_found(row, words):
    leakage.check_leakage(table(*CLEAN))
    with pytest.raises(InputError, match=words):
        leakage.check_leakage(table(*CLEAN, row))


def test_validation_and_test_may_not_be_one():
    rows = table(*CLEAN)
    test = rows[rows["split"] == "test"]
    leakage.check_disjoint({"train": rows[rows["split"] == "train"], "test": test})
    with pytest.raises(InputError, match="validation and test share 1 by video"):
        leakage.check_disjoint({"validation": test, "test": test})
    with pytest.raises(InputError, match="share 1 by identity, such as set/b"):
        leakage.check_disjoint({"one": rows, "other": table(("real", "b", "b", "", "test"))})


def test_one_name_in_two_data_sets_is_two_people():
    rows = table(*CLEAN)
    leakage.check_leakage(pd.concat([rows, rows.assign(dataset="other", split="val")]))
    leakage.check_disjoint({"a": rows, "b": rows.assign(dataset="other")})


def test_hybrids_are_left_out_with_their_tools():
    assert set(leakage.relatives("wav2lip")) == {"wav2lip", "faceswap-wav2lip", "fsgan-wav2lip"}
    assert set(leakage.relatives("fsgan")) == {"fsgan", "fsgan-wav2lip"}
    related = {"fsgan", "wav2lip", "faceswap-wav2lip", "fsgan-wav2lip"}
    assert set(leakage.relatives("fsgan-wav2lip")) == related
    assert leakage.relatives("FaceSwap") == ("FaceSwap",)
    rows = pd.DataFrame({"generator": ["real", *leakage.FAMILIES, "Deepfakes"]})
    left_out = rows["generator"][leakage.held_out(rows, "wav2lip")].to_list()
    assert left_out == ["wav2lip", "faceswap-wav2lip", "fsgan-wav2lip"]
    assert leakage.held_out(rows, "Deepfakes").sum() == 1
    for name in ("real", "rtvc"):
        words = f"cannot leave out '{name}': the index has Deepfakes, faceswap"
        with pytest.raises(InputError, match=words):
            leakage.held_out(rows, name)


NAMES = st.sampled_from("abcdefgh")
ROWS = st.lists(st.tuples(NAMES, NAMES | st.just(""), st.lists(NAMES, max_size=2)), max_size=12)


@settings(max_examples=150, deadline=None)
@given(ROWS)
def test_no_person_crosses_splits_by_person(people):
    rows = [{"target": target, "source": source, "also": also} for target, source, also in people]
    seen = {}
    for row in splits.by_person(rows):
        assert ("split" in row) != ("reason" in row)
        for person in [row["target"], row["source"], *row["also"]] if "split" in row else ():
            assert person == "" or seen.setdefault(person, row["split"]) == row["split"]


def test_splits_by_person_are_balanced_and_do_not_move():
    rows = [{"target": f"id{number}", "source": ""} for number in range(2000)]
    share = pd.Series([row["split"] for row in splits.by_person(rows)]).value_counts(normalize=True)
    assert all(abs(share[name] - splits.SHARES[name]) < 0.03 for name in splits.SPLITS)
    fewer = splits.by_person([{"target": row["target"], "source": ""} for row in rows[::7]])
    assert [row["split"] for row in fewer] == [row["split"] for row in rows[::7]]


def test_small_groups_stay_together_and_large_ones_are_divided():
    pairs = [{"target": f"{i:03d}", "source": f"{i ^ 1:03d}"} for i in range(100)]
    assert all("split" in row for row in splits.by_person(pairs))
    ring = [{"target": f"{i:03d}", "source": f"{(i + 1) % 100:03d}"} for i in range(100)]
    assert any("but source" in row.get("reason", "") for row in splits.by_person(ring))
    assert {row["split"] for row in ring if "split" in row} == set(splits.SPLITS)


def test_a_new_hybrid_has_its_relatives_and_itself():
    present = "faceswap", "retouch", "faceswap-retouch", "wav2lip"
    assert set(leakage.relatives("faceswap-retouch", present)) == set(present) - {"wav2lip"}
    assert set(leakage.relatives("faceswap", present)) == {"faceswap", "faceswap-retouch"}
    rows = pd.DataFrame({"generator": ["real", *present]})
    assert leakage.held_out(rows, "faceswap-retouch").tolist() == [False, True, True, True, False]
