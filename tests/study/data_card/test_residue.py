"""Residue of a generator: PSNR, spectra and likeness by hand."""

import numpy as np
import pandas as pd
import pytest
from skimage.metrics import peak_signal_noise_ratio
from support.small_world import load_track, write_root

from deepfake_uncertainty import paths
from deepfake_uncertainty.datasets import tracks, video
from deepfake_uncertainty.datasets.layouts import faceforensics
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study.data_card import likeness, residue, truth


def test_psnr_is_that_of_scikit_image_and_counts_only_the_given_pixels():
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 256, (2, 3, 8, 8, 3)).astype(np.uint8)
    everywhere = np.ones(one.shape[:3], bool)
    expected = peak_signal_noise_ratio(one, other, data_range=255)
    assert residue.psnr(one, other, everywhere) == pytest.approx(expected, abs=1e-3)
    other[:, :, :4] = one[:, :, :4]
    left = np.zeros_like(everywhere)
    left[:, :, :4] = True
    assert residue.psnr(one, other, left) == np.inf
    assert np.isnan(residue.psnr(one, other, ~everywhere))


@pytest.mark.parametrize("ring", [3, 10, 20])
def test_a_wave_has_its_power_in_the_ring_of_its_frequency(ring):
    x = np.arange(96)
    wave = np.sin(2 * np.pi * x * (ring + 0.5) / (2 * residue.RADII))
    spectrum = residue.radial_spectrum(np.tile(wave, (2, 96, 1)))
    assert spectrum.argmax() == ring and spectrum[ring] > 0.4 * spectrum.sum()


def test_white_noise_is_flat_and_keeps_its_variance():
    crops = np.random.default_rng(0).normal(100, 3, (60, 96, 96))
    assert np.allclose(residue.radial_spectrum(crops)[1:], 9, rtol=0.15)


def test_fakes_are_compared_with_their_own_target():
    powers = pd.DataFrame(
        {
            "dataset": "D",
            "generator": ["real", "A", "real", "A", "A"],
            "video": list("abcde"),
            "identity": ["1", "1", "2", "2", "3"],
            "split": "test",
            "0.010": [1.0, 5, 2, 7, 9],
        }
    )
    against = residue.relative_to_targets(powers)
    assert against["0.010"].tolist() == [4, 5] and against["video"].tolist() == ["b", "d"]


def test_table_reads_mask_and_target(tmp_path):
    rng = np.random.default_rng(0)
    real = rng.integers(60, 70, (6, 32, 32, 3)).astype(np.uint8)
    fake, mask = real.copy(), np.zeros((6, 32, 32, 3), np.uint8)
    fake[:, 8:24, 8:24] += 50
    mask[:, 8:24, 8:24] = 255
    files = {name: str(tmp_path / f"{name}.mp4") for name in ("real", "fake", "mask")}
    for name, frames in zip(files, (real, fake, mask), strict=True):
        video.encode(files[name], frames, 25, 0)
    of_real = dict(generator="real", video="0", path=files["real"], mask_path="")
    of_fake = dict(generator="A", video="0_1", path=files["fake"], mask_path=files["mask"])
    index = pd.DataFrame([of_real, of_fake])
    index = index.assign(dataset="D", target="0", identity="0", split="test")
    orphan = index.iloc[1:].assign(target="1")
    found = residue.residue_table(pd.concat([index, orphan]))
    assert len(found) == 1 and "no real clip" in found.attrs["skipped"][0][1]
    row = found.iloc[0]
    assert row["coverage"] == pytest.approx(0.25, abs=0.01)
    assert row["inside"] == pytest.approx(50, abs=3)
    assert row["outside_db"] > 38
    with pytest.raises(InputError, match="has no mask"):
        residue.read_pair(index.iloc[0], index.iloc[0])


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setattr(tracks, "load", load_track)
    monkeypatch.setattr(paths, "CACHE", tmp_path / ".cache")
    return faceforensics.index(write_root(tmp_path / "root"))[0]


def test_likeness_puts_the_target_at_zero_and_a_copy_of_the_source_at_one(world, monkeypatch):
    rng = np.random.default_rng(0)
    looks = {
        name: rng.normal(size=(1, 48, 48)).astype(np.float32)
        for name in sorted(world["target"].unique())
    }

    def faces(path, count, part=(0, 1)):
        row = world[world["path"].eq(str(path))].iloc[0]
        look = looks[row["source"] or row["target"]]  # every fake is a perfect swap
        faces = [look + rng.normal(0, 0.05, look.shape) for _ in range(count)]
        return np.stack(faces).astype(np.float32)

    monkeypatch.setattr(likeness, "face_crops", faces)
    moved = likeness.identity_shift(world).groupby("generator")["moved"].median()
    assert abs(moved["real"]) < 0.1 and abs(moved["A"] - 1) < 0.1


def test_likeness_leaves_out_a_video_without_a_track(world, monkeypatch):
    lost = world["path"].iloc[-1]

    def load(path):
        if path == lost:
            raise InputError("no face found")
        return load_track(path)

    monkeypatch.setattr(tracks, "load", load)
    order = list(world["path"])

    def faces(path, count, part=(0, 1)):
        rng = np.random.default_rng(order.index(path))
        return rng.random((count, 1, 48, 48), np.float32)

    monkeypatch.setattr(likeness, "face_crops", faces)
    found = likeness.identity_shift(world)
    assert found.attrs["skipped"] == [(lost, "no face found")] and np.isfinite(found["moved"]).all()
    # Only the lost fake named the source of its target.
    assert set(world["video"]) - set(found["video"]) == {"007_006", "007"}


def test_likeness_needs_real_clips(world):
    with pytest.raises(InputError, match="at least two persons"):
        likeness.identity_shift(world[world["generator"].eq("A")])


def test_landmark_error_is_zero_for_a_constant_offset_and_counts_the_rest(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    names = list(truth.MESH)
    points = np.zeros((4, len(names), 2), np.float32)
    points[:, 1, 0] = 20  # the eyes are 20 px apart
    found = np.zeros((4, 468, 2), np.float32)
    offset = rng.normal(size=(1, len(names), 2)).astype(np.float32)
    found[:, list(truth.MESH.values())] = points + offset
    found[3, truth.MESH["chin"], 1] += 5
    known = {
        "landmark_names": np.array(names),
        "landmarks": points,
        "visible": np.ones(points.shape[:2], bool),
        "pose": np.radians([[0, 0, 0], [5, 0, 0], [-9, 0, 0], [20, 0, 0]]),
        "parameters": {"tone": 2},
    }
    known["visible"][0, 4] = False
    monkeypatch.setattr(truth, "load", lambda root, identity: known)
    monkeypatch.setattr(tracks, "load", lambda path: tracks.Track(None, found, None, None, 25.0, 1))
    key = dict(dataset="D", generator="real", video="0", target="0", identity="0", split="test")
    index = pd.DataFrame([key | {"path": "x"}])
    table = truth.landmarks(index, tmp_path)
    assert table["yaw"].tolist() == pytest.approx([0, 5, -9, 20]) and table["tone"].eq(2).all()
    np.testing.assert_allclose(table["error"], [0, 0, 0, 5 / 20 / len(names)], atol=1e-5)
