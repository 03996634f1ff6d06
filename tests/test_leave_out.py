"""Leave one generator out: what is taken out, and statistics whose values are known by construction."""

import numpy as np
import pandas as pd
import pytest

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import leave_out, predict


def index(people=12, families=("wav2lip", "faceswap", "faceswap-wav2lip")):
    rows = []
    for k in range(people):
        row = {"dataset": "d", "target": f"{k}", "identity": f"{k}", "split": ("train", "val", "test")[k % 3], "source": ""}
        rows += [row | {"generator": name, "video": f"{name}{k}"} for name in ("real", *families)]
    return pd.DataFrame(rows)


def test_a_family_goes_whole_from_training_and_validation_and_stays_in_test():
    videos = index()
    left = leave_out.without(videos, "wav2lip")
    gone = videos[~videos["video"].isin(left["video"])]
    assert set(gone["generator"]) == {"wav2lip", "faceswap-wav2lip"} and set(gone["split"]) == {"train", "val"}
    assert left["split"].eq("test").sum() == videos["split"].eq("test").sum()
    assert leave_out.without(videos, leave_out.CONTROL) is videos
    with pytest.raises(InputError, match="cannot leave out 'magic'"):
        leave_out.without(videos, "magic")


def test_settings_shorten_every_training_alike():
    recipe = leave_out.settings("resnet18", 0.5).recipe
    whole = predict.registry.get("resnet18").recipe
    assert recipe.epochs == round(whole.epochs / 2) and recipe.lr == whole.lr and recipe.bayes_epochs >= 1
    with pytest.raises(InputError, match="in \\(0, 1\\]"):
        leave_out.settings("resnet18", 0)


def sampled(unseen, families=("A", "B", "C")):
    """Samples of a detector that is sure and right about what it has seen, and says `unseen` (p of fake) of what it has not."""
    videos, found = index(30, families), {}
    videos = videos[videos["split"].ne("train")].reset_index(drop=True)
    videos["label"] = videos["generator"].ne("real").astype(int)
    for left_out in (leave_out.CONTROL, *families):
        p = np.where(videos["label"], 0.95, 0.05)
        if left_out != leave_out.CONTROL:
            p[videos["generator"].eq(left_out)] = unseen[left_out]
        kept = videos["split"].eq("test") | videos["generator"].ne(left_out)
        samples = np.stack([1 - p, p], -1)[None, kept]
        found[left_out, "resnet18"] = predict.Samples(samples, videos[kept].reset_index(drop=True))
    return found


UNSEEN = {"A": 0.45, "B": 0.05, "C": 0.6}  # in doubt and wrong; sure and wrong; in doubt and right


def test_changes_are_those_made_by_hand():
    def entropy(p):
        return -(p * np.log(p) + (1 - p) * np.log(1 - p))

    found = leave_out.changes(sampled(UNSEEN), 0, 20)
    for name, p in UNSEEN.items():
        change = found["resnet18", name]
        assert change["accuracy"][0] == (0 if p > 0.5 else -1)
        np.testing.assert_allclose(change["total_mean"], entropy(p) - entropy(0.05), atol=1e-9)
    assert found["resnet18", "B"]["total_mean"][0] == pytest.approx(0)  # an inversion: wrong and as sure as ever


def test_inversion_is_a_rank_correlation_over_generators():
    knows = leave_out.changes(sampled({"A": 0.45, "B": 0.3, "C": 0.95}), 0, 5)
    for k, name in enumerate("ABC"):
        knows["resnet18", name]["accuracy"] = np.full(6, -float(k))
        knows["resnet18", name]["total_mean"] = np.full(6, float(k))
    np.testing.assert_allclose(leave_out.inversion(knows, "total"), -1)
    two = dict(list(knows.items())[:2])
    assert np.isnan(leave_out.inversion(two, "total")).all()


def test_the_promise_holds_on_what_was_seen_and_fails_on_what_was_not():
    found = leave_out.errors(sampled(UNSEEN), 0.2, 0, 20)
    assert (found.xs("seen", level="training")["value"] == 0).all()
    unseen = found.xs("unseen", level="training")["value"].droplevel("detector")
    assert unseen["B"] == 1 and unseen["C"] == 0 and (found["n"] == 10).all()


def test_the_table_has_both_trainings_of_every_generator():
    table = leave_out.table(sampled(UNSEEN), 0, 10)
    assert table.loc["resnet18", "B", "seen", "accuracy"]["value"] == 1
    assert table.loc["resnet18", "B", "unseen", "accuracy"]["value"] == 0
    assert set(table.index.get_level_values("training")) == {"seen", "unseen"}
