"""Leave one generator out: the videos left out, and statistics of known value."""

import numpy as np
import pandas as pd
import pytest

from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import leave_one_out
from deepfake_uncertainty.training import predict, tasks
from deepfake_uncertainty.training.config import Run, Settings


def index(people=12, families=("wav2lip", "faceswap", "faceswap-wav2lip")):
    rows = []
    for k in range(people):
        row = {
            "dataset": "d",
            "target": f"{k}",
            "identity": f"{k}",
            "split": ("train", "val", "test")[k % 3],
            "source": "",
        }
        rows += [row | {"generator": name, "video": f"{name}{k}"} for name in ("real", *families)]
    return pd.DataFrame(rows)


def test_a_family_goes_whole_from_training_and_validation_and_stays_in_test():
    videos = index()
    left = tasks.without_generator(videos, "wav2lip")
    gone = videos[~videos["video"].isin(left["video"])]
    assert set(gone["generator"]) == {"wav2lip", "faceswap-wav2lip"}
    assert set(gone["split"]) == {"train", "val"}
    assert left["split"].eq("test").sum() == videos["split"].eq("test").sum()
    assert tasks.without_generator(videos, tasks.CONTROL) is videos
    with pytest.raises(InputError, match="cannot leave out 'magic'"):
        tasks.without_generator(videos, "magic")


def test_settings_shorten_every_training_alike():
    run, spec = Run("quick", 0, 1), registry.get("resnet18")
    recipe, whole = run.recipe(spec, Settings(epoch_fraction=0.5)), spec.recipe
    assert recipe.epochs == round(whole.epochs / 2)
    assert recipe.lr == whole.lr
    assert recipe.variational_epochs >= 1
    with pytest.raises(InputError, match="in \\(0, 1\\]"):
        run.recipe(spec, Settings(epoch_fraction=0))


def sampled(unseen, families=("A", "B", "C")):
    """Samples of a detector that is sure and right, but gives unseen fakes the p(fake) `unseen`."""
    videos, found = index(30, families), {}
    videos = videos[videos["split"].ne("train")].reset_index(drop=True)
    videos["label"] = videos["generator"].ne("real").astype(int)
    for left_out in (tasks.CONTROL, *families):
        p = np.where(videos["label"], 0.95, 0.05)
        if left_out != tasks.CONTROL:
            p[videos["generator"].eq(left_out)] = unseen[left_out]
        kept = videos["split"].eq("test") | videos["generator"].ne(left_out)
        samples = np.stack([1 - p, p], -1)[None, kept]
        found[left_out, "resnet18"] = predict.Samples(samples, videos[kept].reset_index(drop=True))
    return found


UNSEEN = {"A": 0.45, "B": 0.05, "C": 0.6}  # in doubt and wrong; sure and wrong; in doubt and right


def test_changes_are_those_made_by_hand():
    def entropy(p):
        return -(p * np.log(p) + (1 - p) * np.log(1 - p))

    found = leave_one_out.unseen_changes(sampled(UNSEEN), 0, 20)
    for name, p in UNSEEN.items():
        change = found["resnet18", name]
        assert change["accuracy"][0] == (0 if p > 0.5 else -1)
        np.testing.assert_allclose(change["total_mean"], entropy(p) - entropy(0.05), atol=1e-9)
    # An inversion: wrong and as sure as ever.
    assert found["resnet18", "B"]["total_mean"][0] == pytest.approx(0)


def test_inversion_is_a_rank_correlation_over_generators():
    knows = leave_one_out.unseen_changes(sampled({"A": 0.45, "B": 0.3, "C": 0.95}), 0, 5)
    for k, name in enumerate("ABC"):
        knows["resnet18", name]["accuracy"] = np.full(6, -float(k))
        knows["resnet18", name]["total_mean"] = np.full(6, float(k))
    np.testing.assert_allclose(leave_one_out.inversion_correlation(knows, "total"), -1)
    two = dict(list(knows.items())[:2])
    assert np.isnan(leave_one_out.inversion_correlation(two, "total")).all()


def test_the_promise_holds_on_what_was_seen_and_fails_on_what_was_not():
    found = leave_one_out.rule_errors(sampled(UNSEEN), 0.2, 0, 20)
    assert (found.xs("seen", level="training")["value"] == 0).all()
    unseen = found.xs("unseen", level="training")["value"].droplevel("detector")
    assert unseen["B"] == 1 and unseen["C"] == 0 and (found["n"] == 10).all()


def test_the_table_has_both_trainings_of_every_generator():
    table = leave_one_out.seen_unseen_table(sampled(UNSEEN), 0, 10)
    assert table.loc["resnet18", "B", "seen", "accuracy"]["value"] == 1
    assert table.loc["resnet18", "B", "unseen", "accuracy"]["value"] == 0
    assert set(table.index.get_level_values("training")) == {"seen", "unseen"}
