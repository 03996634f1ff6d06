"""Regions shown and hidden, true masks on crops, and what the tables make of them, on networks whose region is known."""

from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from deepfake_uncertainty.datasets import tracks, video
from deepfake_uncertainty.datasets.regions import REGIONS, region_mask
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.detectors.base import DetectorSpec, Recipe
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.signals import ppg
from deepfake_uncertainty.study import masks, predict, regions, regionstats

SIZE = 96
SPEC = DetectorSpec("frames", "Frames", None, lambda track, n: (
    np.asarray(track.crops[:n]).transpose(0, 3, 1, 2).astype(np.float32) / 255, np.arange(min(n, len(track.crops)))), 1, None)


def landmarks():
    """Return 468 points whose groups lie in seven separate bands of the crop, forehead on top."""
    points, rng = np.full((468, 2), SIZE / 2, np.float32), np.random.default_rng(0)
    for band, groups in enumerate(REGIONS.values()):
        for side, group in enumerate(groups):
            width = 90 / len(groups)
            x = 3 + side * width + rng.uniform(0, width - 2, len(group))
            y = 4 + 13 * band + rng.uniform(0, 8, len(group))
            points[group] = np.stack([x, y], 1)
    return points


def track(frames=3, seed=0):
    crops = np.random.default_rng(seed).integers(0, 255, (frames, SIZE, SIZE, 3)).astype(np.uint8)
    matrices = np.tile(np.eye(2, 3, dtype=np.float32), (frames, 1, 1))
    return tracks.Track(crops, np.stack([landmarks()] * frames), matrices, np.arange(frames) / 25, 25.0, 1)


def test_no_pixel_is_of_two_regions_and_none_of_a_hull_is_lost():
    points = np.random.default_rng(0).uniform(10, 86, (468, 2)).astype(np.float32)  # every hull overlaps every other
    count = sum(region_mask(points, name, SIZE).astype(int) for name in REGIONS)
    hulls = np.zeros((SIZE, SIZE), np.uint8)
    for group in (group for groups in REGIONS.values() for group in groups):
        cv2.fillConvexPoly(hulls, cv2.convexHull(np.round(points[group]).astype(np.int32)), 1)
    assert np.array_equal(count, hulls)
    with pytest.raises(KeyError):
        region_mask(points, "ear", SIZE)


@pytest.mark.parametrize("fill", regions.FILLS)
def test_painting_over_nothing_or_everything(fill):
    crops = track().crops
    assert np.array_equal(regions.painted_over(crops, np.zeros(crops.shape[:3]), fill), crops)
    gone = regions.painted_over(crops, np.ones(crops.shape[:3]), fill)
    assert gone.std() < crops.std() / 5 and abs(gone.mean() - crops.mean()) < 2
    with pytest.raises(InputError, match="unknown fill 'pink'"):
        regions.painted_over(crops, np.ones(crops.shape[:3]), "pink")


def test_hidden_and_alone_change_the_region_and_the_rest():
    own = track(1)
    x, starts = regions.variants(own, SPEC, 1, "mean")
    assert x.shape == (len(regions.VARIANTS), 1, 3, SIZE, SIZE) and starts.tolist() == [0]
    inside = cv2.erode(region_mask(own.crop_landmarks[0], "mouth", SIZE).astype(np.uint8), np.ones((3, 3))) > 0
    outside = ~cv2.dilate(region_mask(own.crop_landmarks[0], "mouth", SIZE).astype(np.uint8), np.ones((13, 13))).astype(bool)
    shown = {name: x[place, 0].mean(0) for place, name in enumerate(regions.VARIANTS)}
    whole = shown["whole", "face"]
    assert np.array_equal(shown["hidden", "mouth"][outside], whole[outside])
    assert shown["alone", "mouth"][outside].std() < 0.01 < whole[inside].std()
    assert np.abs(shown["hidden", "mouth"] - whole)[inside].mean() > 0.05


def test_cells_of_ppg_maps_are_each_in_one_region():
    assert sorted(sum(regions.CELLS.values(), ())) == list(range(ppg.REGIONS)) and set(regions.CELLS) == set(REGIONS)


@pytest.mark.parametrize("fill", regions.FILLS)
def test_altered_maps_keep_the_other_rows(fill):
    x = np.random.default_rng(0).random((2, 1, 64, 20), np.float32)
    cells = np.array(regions.CELLS["nose"])
    rows = np.concatenate([cells, cells + 32])
    hidden, alone = (regions.altered_map(x, "nose", way, fill) for way in regions.WAYS)
    rest = np.setdiff1d(np.arange(64), rows)
    assert np.array_equal(hidden[:, :, rest], x[:, :, rest]) and np.array_equal(alone[:, :, rows], x[:, :, rows])
    expected = x[:, 0, :32].mean(1) if fill == "blur" else x[:, 0, :32].mean((1, 2))[:, None]
    assert np.allclose(hidden[:, 0, cells[0]], np.broadcast_to(expected, (2, 20)), atol=1e-6)
    with pytest.raises(InputError, match="unknown fill"):
        regions.altered_map(x, "nose", "hidden", "pink")


def test_ppg_detectors_are_told_by_their_inputs():
    assert regions.reads_ppg(registry.get("fakecatcher")) and regions.reads_ppg(registry.get("fakecatcher128"))
    assert not regions.reads_ppg(registry.get("resnet18")) and not regions.reads_ppg(SPEC)


def mask_clip(path, where, frames=3):
    painted = np.zeros((frames, SIZE, SIZE, 3), np.uint8)
    painted[:, where] = 255
    video.encode(path, painted, 25.0, 10)
    return str(path)


def test_masks_follow_the_face_and_what_is_missing_is_said(tmp_path):
    where = np.zeros((SIZE, SIZE), bool)
    where[40:60, 20:50] = True
    path, own = mask_clip(tmp_path / "mask.mp4", where), track()
    own.matrices[:, :, 2] = 5, -3
    moved = np.roll(where, (-3, 5), (0, 1))
    assert (masks.on_crops(path, own, [0, 2]) == moved).mean() > 0.99
    with pytest.raises(InputError, match="has 3 frames, frame 7 is needed"):
        masks.on_crops(path, own, [7])
    with pytest.raises(InputError, match="no mask"):
        masks.on_crops("", own, [0])
    real, bare = (SimpleNamespace(generator=name, mask_path="") for name in ("real", "A"))
    assert not masks.of_video(real, own, [0]).any() and masks.of_video(bare, own, [0]) is None


def test_coverage_is_the_painted_share_of_each_region(tmp_path):
    own = track()
    row = SimpleNamespace(generator="A", mask_path=mask_clip(tmp_path / "m.mp4", region_mask(landmarks(), "mouth", SIZE)))
    found = regions.coverage(row, own, SPEC, [0, 1])
    assert found["mouth"] > 0.95 and max(found[name] for name in REGIONS if name != "mouth") < 0.05
    bare = regions.coverage(SimpleNamespace(generator="A", mask_path=""), own, SPEC, [0])
    assert np.isnan(list(bare.values())).all()


class Mouth(nn.Module):
    """Logits (0, 20 times the spread of the mouth's pixels): a flat mouth gives 0.5, whatever the rest is."""

    def forward(self, x):
        mask = torch.from_numpy(cv2.erode(region_mask(landmarks(), "mouth", SIZE).astype(np.uint8), np.ones((5, 5))) > 0)
        spread = x[..., mask].std((1, 2))
        return torch.stack([torch.zeros_like(spread), 20 * spread], 1)


def world(monkeypatch):
    index = pd.DataFrame([
        {"dataset": "D", "generator": name, "video": f"{name}{k}", "identity": f"{k}", "target": f"{k}", "source": "",
         "split": "test", "path": f"{name}{k}", "mask_path": ""} for k in range(3) for name in ("real", "A", "B")])  # fmt: skip
    recipe = Recipe(1, 8, 0.1, 0.0, 1, 2)
    model = Mouth()
    model.unused = nn.Parameter(torch.zeros(1))
    monkeypatch.setattr(predict, "fitted", lambda *_: predict.Fitted("deterministic", 0, model, recipe, "key", []))
    monkeypatch.setattr(registry, "get", lambda name: SPEC)
    monkeypatch.setattr(tracks, "load", lambda path: track(seed=int(path[-1])))
    return index


def test_a_network_that_looks_at_the_mouth_has_its_score_there(monkeypatch):
    found = regions.measured("any", "deterministic", world(monkeypatch), 0, 1, 2)["blur"]
    assert len(found) == 9 * len(regions.VARIANTS) and found["total"].between(0, np.log(2) + 1e-6).all()
    carried = regionstats.carried(found).groupby(["way", "region"])["total"].mean()
    # Sure of the mouth's texture, the network has no idea without it: hiding it costs certainty, showing it alone none.
    assert carried["hidden"].idxmin() == "mouth" and carried["hidden", "mouth"] < -0.5
    assert carried["hidden"].drop("mouth").abs().max() < 0.1
    assert carried["alone"].idxmin() == "mouth" and carried["alone"].drop("mouth").min() > 0.5


def test_videos_that_cannot_be_used_are_listed_and_none_is_an_error(monkeypatch):
    index = world(monkeypatch)

    def load(path):
        if path != "A1":
            raise InputError(f"{path}: no face")
        return track()

    monkeypatch.setattr(tracks, "load", load)
    found = regions.measured("any", "deterministic", index, 0, 1, 1, ["mean"])["mean"]
    assert len(found) == len(regions.VARIANTS) and len(found.attrs["skipped"]) == 8
    with pytest.raises(InputError, match="no test video"):
        regions.measured("any", "deterministic", index[index["path"] != "A1"], 0, 1, 1)


def planted(effect, generators=("A", "B", "C"), people=8, seed=0):
    """Rows as `regions.measured` gives: each generator paints other regions; `effect` nats where it painted, and noise."""
    rng, rows, names = np.random.default_rng(seed), [], list(REGIONS)
    for person in range(people):
        for place, generator in enumerate(("real", *generators)):
            key = {"dataset": "D", "generator": generator, "video": f"{person}", "identity": f"{person}"}
            for way, region in regions.VARIANTS:
                painted = float(generator != "real" and region in names[2 * place - 2 : 2 * place + 1])
                base = 0.5 if way == "whole" else 0.1 * names.index(region)
                value = base + (effect if way == "alone" else -effect) * painted + rng.normal(0, 0.005)
                row = dict.fromkeys(regionstats.CARRIED, value) | {"way": way, "region": region, "coverage": painted}
                rows.append(key | row)
    return pd.DataFrame(rows)


def test_a_planted_effect_is_found_and_none_is_not():
    for effect, said in ((0.3, "supported"), (-0.3, "contradicted"), (0.0, "undecided")):
        ties = regionstats.correlations(regionstats.carried(planted(effect)), 0, 100)
        ties = ties.xs(("total", "centred"), level=("score", "kind"))
        assert regionstats.verdict(ties) == said and (ties["n"] == 21).all()
        assert effect == 0 or (ties["value"].abs() > 0.9).all()


def test_by_region_gives_the_means():
    table = regionstats.by_region(regionstats.carried(planted(0.3)), 0, 50)
    row = table.loc[("alone", "total", "A", "brows")]
    assert row["value"] == pytest.approx(0.4, abs=0.01) and row["low"] <= row["value"] <= row["high"]
    assert row["n"] == 8 and row["coverage"] == 1 and table.loc[("alone", "total", "real", "brows"), "coverage"] == 0


def test_one_generator_is_too_few():
    with pytest.raises(InputError, match="1 generators with masks"):
        regionstats.correlations(regionstats.carried(planted(0.1, ("A",))), 0, 10)


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=3, max_size=12))
def test_correlations_are_scipys(pairs):
    one, other = np.array(pairs, float).T
    for ours, theirs in ((regionstats.pearson, stats.pearsonr), (regionstats.spearman, stats.spearmanr)):
        found = ours(one[None], other[None])[0]
        if np.ptp(one) == 0 or np.ptp(other) == 0:
            assert np.isnan(found)
        else:
            assert found == pytest.approx(theirs(one, other).statistic, abs=1e-9)


def test_centred_cells_have_no_mean_left():
    cells = regionstats.centred(np.random.default_rng(0).random((2, 3, 7)))
    assert np.allclose(cells.mean(1), 0) and np.allclose(cells.mean(2), 0)


@pytest.mark.parametrize(
    ("rows", "said"),
    [([(0.1, 0.2), (0.0001, 1)], "supported"), ([(-0.2, -0.1)], "contradicted"), ([(0.1, 0.2), (-0.1, 0.2)], "undecided"),
     ([(np.nan, np.nan)], "undecided"), ([], "undecided")],
)  # fmt: skip
def test_verdicts(rows, said):
    assert regionstats.verdict(pd.DataFrame(rows, columns=["low", "high"], dtype=float)) == said
