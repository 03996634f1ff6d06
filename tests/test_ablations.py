"""Ablations: one choice at a time, fewer people without a trace of those left out, fewer samples of the same run."""

import numpy as np
import pandas as pd
import pytest

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
