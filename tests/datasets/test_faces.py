"""Detection, landmarks against the truth of the renderer, tracking, alignment, the track cache."""

import cv2
import numpy as np
import pytest
from facenet_pytorch import MTCNN
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.transform import SimilarityTransform

from deepfake_uncertainty import paths
from deepfake_uncertainty.benchmark.renderer.render import render_clip
from deepfake_uncertainty.datasets import faces, tracks, video
from deepfake_uncertainty.errors import InputError

# Landmarks of the mesh for points that the renderer names.
NAMED = {
    "eye_outer_left": 33,
    "eye_outer_right": 263,
    "mouth_left": 61,
    "mouth_right": 291,
    "nose_tip": 4,
}


@pytest.fixture(scope="module")
def mesh():
    return faces.FaceMesh()


@pytest.fixture(scope="module")
def clips():
    return [render_clip(number, 0, n_frames=24) for number in range(3)]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    return tmp_path / "cache" / "tracks"


def test_anchors_are_the_cells_of_both_grids():
    anchors = faces._anchors()
    assert anchors.shape == (896, 2)
    np.testing.assert_allclose(
        anchors[[0, 1, 2, 32]], [[1 / 32] * 2, [1 / 32] * 2, [3 / 32, 1 / 32], [1 / 32, 3 / 32]]
    )
    np.testing.assert_allclose(anchors[512:518], np.full((6, 2), 1 / 16))


def test_landmarks_agree_with_the_renderer(mesh, clips):
    for clip in clips:
        landmarks, found, n_faces = mesh.track(clip.frames)
        assert landmarks.shape == (24, 468, 2) and landmarks.dtype == np.float32
        assert found.all() and n_faces == 1
        names = list(clip.truth["landmark_names"])
        truth = clip.truth["landmarks"][:, [names.index(name) for name in NAMED]]
        eyes = np.linalg.norm(truth[:, 0] - truth[:, 1], axis=1).mean()
        error = np.linalg.norm(landmarks[:, list(NAMED.values())] - truth, axis=2).mean()
        assert error < 0.12 * eyes


def test_detection_agrees_with_mtcnn(mesh, clips):
    mtcnn = MTCNN(keep_all=False, device="cpu")
    frame = cv2.resize(clips[0].frames[0], (256, 256), interpolation=cv2.INTER_CUBIC)
    boxes, _, points = mtcnn.detect(frame, landmarks=True)
    ours = mesh.detect(frame)[0]
    eyes = points[0][:2][np.argsort(points[0][:2, 0])]
    assert np.abs(ours[2:4] - eyes).max() < 0.1 * (boxes[0][2] - boxes[0][0])


def test_largest_of_two_faces_is_followed(mesh, clips):
    small = cv2.resize(clips[1].frames[0], (96, 96), interpolation=cv2.INTER_AREA)
    frame = np.full((128, 256, 3), 90, np.uint8)
    frame[16:112, 10:106] = small
    frame[:, 128:] = clips[0].frames[0]
    landmarks, _, n_faces = mesh.track([frame] * 3)
    assert n_faces == 2 and landmarks[..., 0].mean() > 128


def test_small_face_in_a_large_frame_is_found(mesh, clips):
    frame = np.full((540, 960, 3), 90, np.uint8)
    frame[300:428, 600:728] = clips[0].frames[0]
    expected = mesh.track(clips[0].frames[:1])[0][0] + [600, 300]
    assert np.abs(mesh.track([frame])[0][0] - expected).max() < 6


def test_tracking_commutes_with_translation(mesh, clips):
    still = cv2.copyMakeBorder(clips[0].frames[0], 40, 40, 40, 40, cv2.BORDER_REPLICATE)
    moved = [np.roll(still, (i, 2 * i), (0, 1)) for i in range(8)]
    landmarks = mesh.track(moved)[0]
    offset = np.arange(8)[:, None] * [2, 1]
    np.testing.assert_allclose(landmarks.mean(1) - landmarks[0].mean(0), offset, atol=0.8)


def test_lost_frames_are_interpolated_when_few(mesh, clips):
    frames = clips[0].frames.copy()
    frames[[0, 9]] = 0
    landmarks, found, _ = mesh.track(frames)
    assert np.flatnonzero(~found).tolist() == [0, 9]
    np.testing.assert_allclose(landmarks[9], (landmarks[8] + landmarks[10]) / 2, atol=1e-4)
    np.testing.assert_array_equal(landmarks[0], landmarks[1])


def test_no_face_or_too_few_is_an_error(mesh, clips):
    frames = clips[0].frames.copy()
    frames[5:12] = 0
    with pytest.raises(InputError, match="17 of 24"):
        mesh.track(frames)
    with pytest.raises(InputError, match="no face"):
        mesh.track(np.random.default_rng(0).integers(0, 255, (3, 64, 64, 3), dtype=np.uint8))
    with pytest.raises(InputError, match="no face"):
        mesh.track([])


def test_turned_face_comes_out_upright(mesh, clips):
    frame = clips[0].frames[0]
    turn = cv2.getRotationMatrix2D((63.5, 63.5), 25, 1)
    turned = cv2.warpAffine(frame, turn, (128, 128), borderMode=cv2.BORDER_REPLICATE)
    landmarks = mesh.track([turned] * 4)[0]
    _, matrices = faces.align([turned] * 4, landmarks)
    eyes = faces._apply(matrices, landmarks)[0, list(faces.EYE_CORNERS)]
    assert abs(np.degrees(np.arctan2(*(eyes[1] - eyes[0])[::-1]))) < 5


@pytest.mark.parametrize("size", [64, 96])
def test_brows_to_chin_fill_the_crop(mesh, clips, size):
    for clip in clips:
        landmarks = mesh.track(clip.frames)[0]
        crops, matrices = faces.align(clip.frames, landmarks, size)
        assert crops.shape == (24, size, size, 3) and crops.dtype == np.uint8
        assert matrices.dtype == np.float32
        inside = faces._apply(matrices, landmarks)
        assert 0.7 < (inside[:, 152, 1] - inside[:, 105, 1]).mean() / size < 0.9
        assert abs(inside[:, [33, 263], 0].mean() / size - 0.5) < 0.06


@settings(max_examples=50, deadline=None)
@given(st.floats(0.1, 8), st.floats(-3, 3), st.floats(-200, 200), st.floats(-200, 200))
def test_similarity_undoes_any_similarity_and_agrees_with_skimage(scale, angle, x, y):
    target = faces.template(96)
    points = SimilarityTransform(scale=scale, rotation=angle, translation=(x, y))(target)
    found = faces.similarity(points[None], target)
    np.testing.assert_allclose(faces._apply(found, points[None])[0], target, atol=1e-6)
    noisy = points + np.random.default_rng(0).normal(0, scale, points.shape)
    reference = SimilarityTransform.from_estimate(noisy, target).params[:2]
    np.testing.assert_allclose(faces.similarity(noisy[None], target)[0], reference, atol=1e-6)


def test_shrinking_averages_instead_of_aliasing():
    fine = np.tile(np.array([[0, 255], [255, 0]], np.uint8)[..., None], (100, 100, 3))
    matrix = np.array([[0.25, 0, -0.375], [0, 0.25, -0.375]], np.float32)
    assert np.abs(faces._warp(fine, matrix, 50).astype(int) - 127).max() <= 2
    ramp = np.repeat(np.arange(200, dtype=np.uint8)[None, :, None], 200, 0).repeat(3, 2)
    shrunk = faces._warp(ramp, matrix, 50)[25, 5:45, 0]
    np.testing.assert_allclose(shrunk, 4 * np.arange(5, 45) + 1.5, atol=1)


def test_track_is_cached_and_rebuilt_when_damaged(cache, clips, tmp_path, monkeypatch, caplog):
    video.encode(tmp_path / "a.mp4", clips[0].frames[:8], 25)
    track = tracks.load(tmp_path / "a.mp4")
    assert track.crops.shape == (8, 96, 96, 3) and track.fps == 25 and track.n_faces == 1
    assert isinstance(track.crops, np.memmap) and len(list(cache.iterdir())) == 1
    expected = faces._apply(track.matrices, track.landmarks)
    np.testing.assert_allclose(track.crop_landmarks, expected, atol=1e-4)
    crops = np.array(track.crops)
    folder = next(cache.iterdir())
    for name, damage in (("crops.npy", b"\x93NUMPY"), ("meta.json", b"{"), ("landmarks.npy", b"")):
        (folder / name).write_bytes(damage)
        np.testing.assert_array_equal(tracks.load(tmp_path / "a.mp4").crops, crops)
    (folder / "times.npy").unlink()
    assert len(tracks.load(tmp_path / "a.mp4").times) == 8
    warnings = [" is damaged and is made again: " in record.message for record in caplog.records]
    assert warnings == [True] * 4
    monkeypatch.setattr(tracks, "_build", None)
    tracks.load(tmp_path / "a.mp4")


def test_key_holds_content_size_and_length(cache, clips, tmp_path):
    video.encode(tmp_path / "a.mp4", clips[0].frames[:6], 25)
    (tmp_path / "copy.mp4").write_bytes((tmp_path / "a.mp4").read_bytes())
    video.encode(tmp_path / "b.mp4", clips[1].frames[:6], 25)
    tracks.load(tmp_path / "a.mp4")
    tracks.load(tmp_path / "copy.mp4")
    assert len(list(cache.iterdir())) == 1
    assert len(tracks.load(tmp_path / "a.mp4", max_frames=3).crops) == 3
    assert tracks.load(tmp_path / "a.mp4", size=64).crops.shape[1:3] == (64, 64)
    tracks.load(tmp_path / "b.mp4")
    assert len(list(cache.iterdir())) == 4


@pytest.mark.slow
def test_many_videos_are_tracked_at_once_and_bad_ones_listed(clips, tmp_path, monkeypatch):
    # Workers are new processes: they know the cache from the environment.
    monkeypatch.setenv("DEEPFAKE_UNCERTAINTY_HOME", str(tmp_path))
    monkeypatch.setattr(paths, "CACHE", tmp_path / ".cache")
    for number, clip in enumerate(clips):
        video.encode(tmp_path / f"{number}.mp4", clip.frames[:4], 25)
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    videos = [tmp_path / name for name in ("0.mp4", "bad.mp4", "1.mp4", "2.mp4")]
    for _ in range(2):
        [(path, reason)] = tracks.load_all(videos, jobs=2)
        assert path == str(tmp_path / "bad.mp4") and "bad.mp4" in reason
        assert len(list((tmp_path / ".cache" / "tracks").iterdir())) == 3
    monkeypatch.setattr(tracks, "_build", None)
    assert len(tracks.load(videos[0]).crops) == 4


def test_bad_videos_leave_nothing_in_the_cache(cache, clips, tmp_path, monkeypatch):
    video.encode(tmp_path / "grey.mp4", np.full((4, 64, 64, 3), 128, np.uint8))
    with pytest.raises(InputError, match=r"grey\.mp4.*no face"):
        tracks.load(tmp_path / "grey.mp4")
    video.encode(tmp_path / "a.mp4", clips[0].frames[:4])

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(InputError, match="disk full"):
        tracks.load(tmp_path / "a.mp4")
    assert not cache.exists() or not list(cache.iterdir())
