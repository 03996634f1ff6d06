"""Regions shown and hidden, true masks on crops, and networks that look at a known region."""

from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from deepfake_uncertainty.datasets import masks, tracks, video
from deepfake_uncertainty.datasets.face_regions import REGIONS, region_mask
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.detectors.base import DetectorSpec, Recipe
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.evaluation import occlusion
from deepfake_uncertainty.signals import ppg
from deepfake_uncertainty.study import region_uncertainty
from deepfake_uncertainty.training import methods, predict
from deepfake_uncertainty.training.config import Run

SIZE = 96
RUN = Run("quick", seed=0, T=1)
SPEC = DetectorSpec(
    "frames",
    "Frames",
    None,
    lambda track, n: (
        np.asarray(track.crops[:n]).transpose(0, 3, 1, 2).astype(np.float32) / 255,
        np.arange(min(n, len(track.crops))),
    ),
    1,
    None,
)


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
    return tracks.Track(
        crops, np.stack([landmarks()] * frames), matrices, np.arange(frames) / 25, 25.0, 1
    )


def test_no_pixel_is_of_two_regions_and_none_of_a_hull_is_lost():
    # Every hull overlaps every other.
    points = np.random.default_rng(0).uniform(10, 86, (468, 2)).astype(np.float32)
    count = sum(region_mask(points, name, SIZE).astype(int) for name in REGIONS)
    hulls = np.zeros((SIZE, SIZE), np.uint8)
    for group in (group for groups in REGIONS.values() for group in groups):
        cv2.fillConvexPoly(hulls, cv2.convexHull(np.round(points[group]).astype(np.int32)), 1)
    assert np.array_equal(count, hulls)
    with pytest.raises(KeyError):
        region_mask(points, "ear", SIZE)


@pytest.mark.parametrize("fill", occlusion.FILLS)
def test_painting_over_nothing_or_everything(fill):
    crops = track().crops
    assert np.array_equal(occlusion.occlude_crops(crops, np.zeros(crops.shape[:3]), fill), crops)
    gone = occlusion.occlude_crops(crops, np.ones(crops.shape[:3]), fill)
    assert gone.std() < crops.std() / 5 and abs(gone.mean() - crops.mean()) < 2
    with pytest.raises(InputError, match="unknown fill 'pink'"):
        occlusion.occlude_crops(crops, np.ones(crops.shape[:3]), "pink")


def test_hidden_and_alone_change_the_region_and_the_rest():
    own = track(1)
    x, starts = occlusion.occluded_inputs(own, SPEC, 1, "mean")
    assert x.shape == (len(occlusion.VARIANTS), 1, 3, SIZE, SIZE) and starts.tolist() == [0]
    mouth = region_mask(own.crop_landmarks[0], "mouth", SIZE).astype(np.uint8)
    inside = cv2.erode(mouth, np.ones((3, 3))) > 0
    outside = ~cv2.dilate(mouth, np.ones((13, 13))).astype(bool)
    shown = {name: x[place, 0].mean(0) for place, name in enumerate(occlusion.VARIANTS)}
    whole = shown["whole", "face"]
    assert np.array_equal(shown["hidden", "mouth"][outside], whole[outside])
    assert shown["alone", "mouth"][outside].std() < 0.01 < whole[inside].std()
    assert np.abs(shown["hidden", "mouth"] - whole)[inside].mean() > 0.05


def test_cells_of_ppg_maps_are_each_in_one_region():
    assert sorted(sum(occlusion.CELLS.values(), ())) == list(range(ppg.REGIONS))
    assert set(occlusion.CELLS) == set(REGIONS)


@pytest.mark.parametrize("fill", occlusion.FILLS)
def test_altered_maps_keep_the_other_rows(fill):
    x = np.random.default_rng(0).random((2, 1, 64, 20), np.float32)
    cells = np.array(occlusion.CELLS["nose"])
    rows = np.concatenate([cells, cells + 32])
    hidden, alone = (occlusion.occlude_ppg_map(x, "nose", way, fill) for way in occlusion.WAYS)
    rest = np.setdiff1d(np.arange(64), rows)
    assert np.array_equal(hidden[:, :, rest], x[:, :, rest])
    assert np.array_equal(alone[:, :, rows], x[:, :, rows])
    expected = x[:, 0, :32].mean(1) if fill == "blur" else x[:, 0, :32].mean((1, 2))[:, None]
    assert np.allclose(hidden[:, 0, cells[0]], np.broadcast_to(expected, (2, 20)), atol=1e-6)
    with pytest.raises(InputError, match="unknown fill"):
        occlusion.occlude_ppg_map(x, "nose", "hidden", "pink")


def test_ppg_detectors_are_told_by_their_inputs():
    for name in ("fakecatcher", "fakecatcher128"):
        assert occlusion.uses_ppg_maps(registry.get(name))
    assert not occlusion.uses_ppg_maps(registry.get("resnet18"))
    assert not occlusion.uses_ppg_maps(SPEC)


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
    clip = mask_clip(tmp_path / "m.mp4", region_mask(landmarks(), "mouth", SIZE))
    row = SimpleNamespace(generator="A", mask_path=clip)
    found = occlusion.painted_share(row, own, SPEC, [0, 1])
    assert found["mouth"] > 0.95 and max(found[name] for name in REGIONS if name != "mouth") < 0.05
    bare = occlusion.painted_share(SimpleNamespace(generator="A", mask_path=""), own, SPEC, [0])
    assert np.isnan(list(bare.values())).all()


class Mouth(nn.Module):
    """Logits (0, 20 times the spread of the mouth's pixels): a flat mouth gives 0.5."""

    def forward(self, x):
        mouth = region_mask(landmarks(), "mouth", SIZE).astype(np.uint8)
        mask = torch.from_numpy(cv2.erode(mouth, np.ones((5, 5))) > 0)
        spread = x[..., mask].std((1, 2))
        return torch.stack([torch.zeros_like(spread), 20 * spread], 1)


def row_of(generator, person):
    """Return one row of an index: a test video without a mask."""
    name, person = f"{generator}{person}", f"{person}"
    return {
        "dataset": "D", "generator": generator, "video": name, "identity": person, "target": person,
        "source": "", "split": "test", "path": name, "mask_path": "",
    }  # fmt: skip


def world(monkeypatch):
    index = pd.DataFrame([row_of(name, k) for k in range(3) for name in ("real", "A", "B")])
    recipe = Recipe(1, 8, 0.1, 0.0, 1, 2)
    model = Mouth()
    model.unused = nn.Parameter(torch.zeros(1))
    fitted = predict.Fitted(SPEC, methods.get("deterministic"), recipe, 0, model, "key", [])
    monkeypatch.setattr(predict, "fitted", lambda *_: fitted)
    monkeypatch.setattr(registry, "get", lambda name: SPEC)
    monkeypatch.setattr(tracks, "load", lambda path: track(seed=int(path[-1])))
    return index


def test_a_network_that_looks_at_the_mouth_has_its_score_there(monkeypatch):
    found = occlusion.occlusion_table("any", "deterministic", world(monkeypatch), RUN, 2)["blur"]
    assert len(found) == 9 * len(occlusion.VARIANTS)
    assert found["total"].between(0, np.log(2) + 1e-6).all()
    scores = region_uncertainty.region_uncertainty(found)
    carried = scores.groupby(["way", "region"])["total"].mean()
    # The network is certain by the texture of the mouth: hiding the mouth costs certainty, showing
    # it alone costs none.
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
    found = occlusion.occlusion_table("any", "deterministic", index, RUN, 1, ["mean"])["mean"]
    assert len(found) == len(occlusion.VARIANTS) and len(found.attrs["skipped"]) == 8
    with pytest.raises(InputError, match="no test video"):
        occlusion.occlusion_table("any", "deterministic", index[index["path"] != "A1"], RUN, 1)
