"""Ablations: one choice at a time, fewer people without a trace of those left out, fewer samples of the same run."""

import numpy as np
import pandas as pd
import pytest

from deepfake_uncertainty.datasets import leakage
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import ablations, predict


def people(count=8):
    rows = []
    for k in range(count):
        split = "train" if k < count - 2 else "test"
        row = {"dataset": "d", "target": f"{k}", "identity": f"{k}", "split": split}
        rows.append(row | {"generator": "real", "video": f"{k}", "source": ""})
        rows.append(row | {"generator": "A", "video": f"{k}_{k ^ 1}", "source": f"{k ^ 1}"})
    return pd.DataFrame(rows)


def test_a_choice_is_varied_alone_and_its_usual_value_is_marked():
    found = ablations.vary("delta", [0.05, 0.1], "resnet18", "bnn", 20, beta=0.5)
    assert [(one.value, one.usual, one.settings.delta, one.settings.beta) for one in found] == [
        ("0.05", False, 0.05, 0.5), ("0.1", True, 0.1, 0.5),
    ]  # fmt: skip
    with pytest.raises(InputError, match="'speed' is no setting"):
        ablations.vary("speed", [1], "resnet18", "bnn", 20)


def test_who_is_left_out_is_not_seen_as_source_either():
    index = people()
    rows = ablations.fewer_people(index, 0.5)
    training = rows[rows["split"].eq("train")]
    assert set(training["identity"]) == {"0", "1", "2"}
    assert "2_3" not in set(training["video"])  # 3 is left out
    pd.testing.assert_frame_equal(rows[rows["split"].eq("test")].reset_index(drop=True),
                                  index[index["split"].eq("test")].reset_index(drop=True))  # fmt: skip
    assert len(ablations.fewer_people(index, 1.0)) == len(index)


@pytest.mark.parametrize(("share", "message"), [(0, "in \\(0, 1\\]"), (1.5, "in \\(0, 1\\]"), (0.1, "leaves 1")])
def test_a_share_that_leaves_nobody_is_refused(share, message):
    with pytest.raises(InputError, match=message):
        ablations.fewer_people(people(), share)


def test_fewer_samples_are_the_first_ones():
    samples = predict.Samples(np.random.default_rng(0).dirichlet([1, 1], (5, 3)), people(2))
    found = ablations.fewer_samples(samples, [1, 5])
    assert list(found) == [("T", "1"), ("T", "5")]
    np.testing.assert_array_equal(found["T", "1"].probabilities, samples.probabilities[:1])
    with pytest.raises(InputError, match="6 of 5"):
        ablations.fewer_samples(samples, [6])


def test_an_input_of_another_kind_is_a_detector_of_its_own_with_a_name_of_its_own(monkeypatch):
    monkeypatch.setattr(ablations.registry, "DETECTORS", dict(ablations.registry.DETECTORS))
    found = ablations.inputs("window", [64, 32], "fakecatcher", "bnn", 3, usual=64)
    assert [one.detector for one in found] == ["fakecatcher", "fakecatcher, window 32"]
    spec = ablations.registry.get("fakecatcher, window 32")
    assert spec.window == 32 and spec.inputs.keywords == {"window": 32}
    assert ablations.registry.get("fakecatcher").inputs is not spec.inputs


def test_another_network_is_a_detector_of_its_own(monkeypatch):
    monkeypatch.setattr(ablations.registry, "DETECTORS", dict(ablations.registry.DETECTORS))
    found = ablations.networks("patch", [16, 32], "vit_tiny", "deterministic", 1, usual=16)
    assert [(one.detector, one.usual) for one in found] == [("vit_tiny", True), ("vit_tiny, patch 32", False)]
    built = ablations.registry.get("vit_tiny, patch 32").build(2, 0.1)
    assert built.features[1].patch_embed.patch_size == (32, 32)


def test_other_compressions_are_only_tested_on(monkeypatch):
    asked = []

    def samples_for(detector, method, index, seed, T, on=None, settings=None):
        asked.append((index, on))
        rows = index if on is None else on
        return predict.Samples(np.ones((1, len(rows), 2)) / 2, rows)

    monkeypatch.setattr(ablations.predict, "samples_for", samples_for)
    index = people()
    other = index.assign(path="c40")
    found = ablations.sample(index, ablations.compressions(["c23", "c40"], "resnet18", "bnn", 2), 0, {"c40": other})
    assert list(found) == [("compression", "c23"), ("compression", "c40")]
    assert asked[0][1] is None and all(rows is index for rows, _ in asked)
    assert asked[1][1]["split"].eq("test").all() and asked[1][1]["path"].eq("c40").all()


def test_every_setting_is_held_against_the_usual_one():
    rng, index = np.random.default_rng(0), people(40)
    index["label"] = index["generator"].ne("real").astype(int)
    good = np.where(index["label"], 0.8, 0.2) + rng.normal(0, 0.05, len(index))
    bad = rng.random(len(index))
    sampled = {("delta", name): predict.Samples(np.stack([1 - p, p], -1)[None], index)
               for name, p in (("0.1", good), ("0.3", bad))}  # fmt: skip
    found = ablations.vary("delta", [0.1, 0.3], "resnet18", "bnn", 3)
    table = ablations.against_usual(sampled, found, "auroc", 0, 200)
    row = table.loc["delta", "0.3"]
    assert len(table) == 1 and row["high"] < 0 and row["p_holm"] == row["p"] < 0.05
    assert row["n"] == len(index.drop_duplicates(list(leakage.KEY)))
    assert ablations.starred(found, "delta") == {"0.1": "0.1 *", "0.3": "0.3"}


def test_a_setting_that_cannot_read_a_video_is_compared_on_the_others():
    rng, index = np.random.default_rng(0), people(40)
    index["label"] = index["generator"].ne("real").astype(int)
    p = np.where(index["label"], 0.8, 0.2) + rng.normal(0, 0.05, len(index))
    whole = predict.Samples(np.stack([1 - p, p], -1)[None], index)
    lost = index["video"].isin(index["video"].unique()[:5])
    # What the fewer videos are asked is wrong for those that are lost alone, and else the same.
    less = predict.Samples(whole.probabilities[:, ~lost], index[~lost].reset_index(drop=True))
    whole.probabilities[:, lost] = whole.probabilities[:, lost, ::-1]
    found = ablations.vary("delta", [0.1, 0.3], "resnet18", "bnn", 3)
    row = ablations.against_usual({("delta", "0.1"): whole, ("delta", "0.3"): less}, found, "auroc", 0, 50).loc["delta", "0.3"]
    assert row["value"] == row["low"] == row["high"] == 0
    assert row["n"] == len(less.index.drop_duplicates(list(leakage.KEY))) < len(index.drop_duplicates(list(leakage.KEY)))
