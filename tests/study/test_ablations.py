"""Ablations: one choice at a time, fewer people, and fewer samples of the same run."""

import numpy as np
import pandas as pd
import pytest

from deepfake_uncertainty.datasets import leakage
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import ablations
from deepfake_uncertainty.training import predict
from deepfake_uncertainty.training.config import Run


def people(count=8):
    rows = []
    for k in range(count):
        split = "train" if k < count - 2 else "test"
        row = {"dataset": "d", "target": f"{k}", "identity": f"{k}", "split": split}
        rows.append(row | {"generator": "real", "video": f"{k}", "source": ""})
        rows.append(row | {"generator": "A", "video": f"{k}_{k ^ 1}", "source": f"{k ^ 1}"})
    return pd.DataFrame(rows)


def test_a_choice_is_varied_alone_and_its_usual_value_is_marked():
    found = ablations.setting_variants("delta", [0.05, 0.1], "resnet18", "bnn", 20, beta=0.5)
    assert [(one.value, one.usual, one.settings.delta, one.settings.beta) for one in found] == [
        ("0.05", False, 0.05, 0.5),
        ("0.1", True, 0.1, 0.5),
    ]
    with pytest.raises(InputError, match="'speed' is no setting"):
        ablations.setting_variants("speed", [1], "resnet18", "bnn", 20)


def test_a_person_left_out_is_not_seen_as_source_either():
    index = people()
    rows = ablations.with_identity_share(index, 0.5)
    training = rows[rows["split"].eq("train")]
    assert set(training["identity"]) == {"0", "1", "2"}
    assert "2_3" not in set(training["video"])  # 3 is left out
    pd.testing.assert_frame_equal(
        rows[rows["split"].eq("test")].reset_index(drop=True),
        index[index["split"].eq("test")].reset_index(drop=True),
    )
    assert len(ablations.with_identity_share(index, 1.0)) == len(index)


@pytest.mark.parametrize(
    ("share", "message"), [(0, "in \\(0, 1\\]"), (1.5, "in \\(0, 1\\]"), (0.1, "leaves 1")]
)
def test_a_share_that_leaves_nobody_is_refused(share, message):
    with pytest.raises(InputError, match=message):
        ablations.with_identity_share(people(), share)


def test_fewer_samples_are_the_first_ones():
    samples = predict.Samples(np.random.default_rng(0).dirichlet([1, 1], (5, 3)), people(2))
    found = ablations.first_samples(samples, [1, 5])
    assert list(found) == [("T", "1"), ("T", "5")]
    np.testing.assert_array_equal(found["T", "1"].probabilities, samples.probabilities[:1])
    with pytest.raises(InputError, match="6 of 5"):
        ablations.first_samples(samples, [6])


@pytest.fixture
def registered(monkeypatch):
    """Undo what a test adds to the registry of detectors."""
    monkeypatch.setattr(registry.DETECTORS, "_specs", dict(registry.DETECTORS.specs()))


def test_an_input_of_another_kind_is_a_new_detector_with_a_new_name(registered):
    found = ablations.input_variants("window", [64, 32], "fakecatcher", "bnn", 3, usual=64)
    assert [one.detector for one in found] == ["fakecatcher", "fakecatcher, window 32"]
    spec = registry.get("fakecatcher, window 32")
    assert spec.window == 32 and spec.inputs.keywords == {"window": 32}
    assert registry.get("fakecatcher").inputs is not spec.inputs


def test_another_network_is_a_new_detector(registered):
    found = ablations.network_variants("patch", [16, 32], "vit_tiny", "deterministic", 1, usual=16)
    assert [(one.detector, one.usual) for one in found] == [
        ("vit_tiny", True),
        ("vit_tiny, patch 32", False),
    ]
    built = registry.get("vit_tiny, patch 32").build(2, 0.1)
    assert built.features[1].patch_embed.patch_size == (32, 32)


def test_other_compressions_are_only_tested_on(monkeypatch):
    asked = []

    def samples_for(detector, method, index, run, on=None, settings=None):
        asked.append((index, on))
        assert run == Run("quick", 0, 2)
        rows = index if on is None else on
        return predict.Samples(np.ones((1, len(rows), 2)) / 2, rows)

    monkeypatch.setattr(ablations.predict, "samples_for", samples_for)
    index = people()
    other = index.assign(path="c40")
    variants = ablations.compression_variants(["c23", "c40"], "resnet18", "bnn", 2)
    found = ablations.sample_variants(index, variants, Run("quick", 0, 5), {"c40": other})
    assert list(found) == [("compression", "c23"), ("compression", "c40")]
    assert asked[0][1] is None and all(rows is index for rows, _ in asked)
    assert asked[1][1]["split"].eq("test").all() and asked[1][1]["path"].eq("c40").all()


def test_every_setting_is_compared_with_the_usual_one():
    rng, index = np.random.default_rng(0), people(40)
    index["label"] = index["generator"].ne("real").astype(int)
    good = np.where(index["label"], 0.8, 0.2) + rng.normal(0, 0.05, len(index))
    bad = rng.random(len(index))
    sampled = {
        ("delta", name): predict.Samples(np.stack([1 - p, p], -1)[None], index)
        for name, p in (("0.1", good), ("0.3", bad))
    }
    found = ablations.setting_variants("delta", [0.1, 0.3], "resnet18", "bnn", 3)
    table = ablations.difference_to_default(sampled, found, "auroc", 0, 200)
    row = table.loc["delta", "0.3"]
    assert len(table) == 1 and row["high"] < 0 and row["p_holm"] == row["p"] < 0.05
    assert row["n"] == len(index.drop_duplicates(list(leakage.KEY)))
    assert ablations.setting_labels(found, "delta") == {"0.1": "0.1 *", "0.3": "0.3"}


def test_a_setting_that_cannot_read_a_video_is_compared_on_the_others():
    rng, index = np.random.default_rng(0), people(40)
    index["label"] = index["generator"].ne("real").astype(int)
    p = np.where(index["label"], 0.8, 0.2) + rng.normal(0, 0.05, len(index))
    whole = predict.Samples(np.stack([1 - p, p], -1)[None], index)
    lost = index["video"].isin(index["video"].unique()[:5])
    # The two settings differ on the lost videos alone.
    less = predict.Samples(whole.probabilities[:, ~lost], index[~lost].reset_index(drop=True))
    whole.probabilities[:, lost] = whole.probabilities[:, lost, ::-1]
    found = ablations.setting_variants("delta", [0.1, 0.3], "resnet18", "bnn", 3)
    sampled = {("delta", "0.1"): whole, ("delta", "0.3"): less}
    row = ablations.difference_to_default(sampled, found, "auroc", 0, 50).loc["delta", "0.3"]
    assert row["value"] == row["low"] == row["high"] == 0
    fewer, every = (len(part.drop_duplicates(list(leakage.KEY))) for part in (less.index, index))
    assert row["n"] == fewer < every
