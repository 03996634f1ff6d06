"""The renderer: geometry, optics, pulse, sensor and clips against values computed by hand."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from deepfake_uncertainty.benchmark.renderer import (
    camera,
    face_texture,
    head,
    mesh,
    performance,
    render,
    shading,
    skin,
)
from deepfake_uncertainty.errors import InputError


@pytest.fixture(scope="module")
def clip():
    return render.render_clip(3, 11, n_frames=6)


def test_clip_has_the_promised_shapes_and_truth(clip):
    truth, names = clip.truth, clip.truth["landmark_names"]
    assert clip.frames.shape == (6, 128, 128, 3) and clip.frames.dtype == np.uint8
    assert truth["pulse"].shape == (6,) and truth["landmarks"].shape == (6, len(names), 2)
    assert truth["face_mask"].shape == (6, 128, 128) and truth["visible"].shape == (6, len(names))
    assert json.loads(json.dumps(truth["parameters"]))["fps"] == 25.0


def test_same_arguments_give_the_same_bytes_and_others_do_not(clip):
    again = render.render_clip(3, 11, n_frames=6)
    assert np.array_equal(clip.frames, again.frames)
    assert not np.array_equal(clip.frames, render.render_clip(4, 11, n_frames=6).frames)


def test_face_is_where_the_landmarks_are(clip):
    names, points = clip.truth["landmark_names"], clip.truth["landmarks"]
    for k in range(len(points)):
        x, y = np.rint(points[k, names.index("nose_tip")]).astype(int)
        assert clip.truth["face_mask"][k, y, x]
    height = points[:, names.index("chin"), 1] - points[:, names.index("brow_inner_left"), 1]
    assert np.all((height > 40) & (height < 80))
    assert np.all(points[:, names.index("eye_left"), 0] < points[:, names.index("eye_right"), 0])


def test_every_tone_occurs_once_in_six_people():
    clips = [render.render_clip(k, 5, n_frames=1, size=32) for k in range(6)]
    tones = [clip.truth["parameters"]["tone"] for clip in clips]
    assert sorted(tones) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    "bad", [{"n_frames": 0}, {"size": 8}, {"fps": 0.0}, {"number": -1}, {"seed": -1}]
)
def test_bad_arguments_are_refused(bad):
    with pytest.raises(InputError, match="render_clip"):
        render.render_clip(**{"number": 0, "seed": 0, **bad})


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1))
def test_rotation_is_a_rotation(yaw, pitch, roll):
    turn = mesh.rotation(yaw, pitch, roll)
    assert np.allclose(turn @ turn.T, np.eye(3)) and np.linalg.det(turn) == pytest.approx(1)


def test_projection_of_the_centre_and_of_one_head_radius():
    points = mesh.project(np.array([[0.0, 0, 0], [1, 0, 0], [1, 0, 2.5]]), (0, 0), 100, 30.0)
    assert np.allclose(points, [[50, 48, 0], [80, 48, 0], [110, 48, -2.5]])


def test_nearest_triangle_hides_the_other():
    far = np.array([[0, 0, 1], [7, 0, 1], [0, 7, 1]], np.float32)
    near = np.array([[0, 0, 0], [3, 0, 0], [0, 3, 0]], np.float32)
    triangles = np.array([[0, 1, 2], [3, 4, 5]], np.int32)
    index, weights = mesh.rasterise(np.concatenate([far, near]), triangles, 8)
    assert index[0, 0] == 1 and index[4, 2] == 0 and index[7, 7] == -1
    assert weights[0, 0] == pytest.approx([1, 0])
    flipped, _ = mesh.rasterise(far, np.array([[0, 2, 1]], np.int32), 8)
    assert np.all(flipped == -1)


def test_bilinear_sample_by_hand():
    one, out = np.float32([[0, 1], [2, 3]]), np.zeros(5, np.float32)
    shading.sample(np.stack([one, one + 1, one, one, 2 * one], -1), 0.5, 0.25, out)
    assert out[0] == pytest.approx(0.5 + 2 * 0.25)
    assert out == pytest.approx([1, 2, 1, 1, 2])


def test_expression_leaves_the_skull_and_opens_the_mouth():
    moves = head.expressions(dict(height=1.0))
    _, v = head.grid()
    assert np.abs(moves[0][v < 0.3]).max() < 1e-3
    assert moves[0, ..., 1].max() == pytest.approx(0.17, rel=0.05)


@given(st.floats(0, 2), st.floats(0, 1))
def test_skin_darkens_with_pigment_and_blood_absorbs_green_most(melanin, blood):
    here = skin.optics(melanin, blood)
    assert np.all(here > 0) and np.all(here <= skin.DERMIS)
    loss = np.log(here) - np.log(skin.optics(melanin, blood + 0.1))
    assert np.argmax(loss) == 1 and loss == pytest.approx(0.1 * skin.HAEMOGLOBIN)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6))
def test_pulse_has_the_rate_it_says(seed):
    wave, rate = performance.pulse(np.random.default_rng(seed), 1000, 25.0)
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(1000), 16000))
    assert 48 < rate < 113
    assert 60 * 25 * np.argmax(spectrum) / 16000 == pytest.approx(rate, abs=3)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.integers(1, 200))
def test_performance_is_within_its_ranges(seed, n):
    act = performance.perform(np.random.default_rng(seed), n, 25.0)
    assert act["blink"].min() >= 0 and act["blink"].max() <= 1 and act["pose"].shape == (n, 3)
    assert act["expression"].shape == (n, 5) and act["expression"][:, 0].min() >= 0
    assert act["expression"][:, 0].max() <= 1 and np.all(np.isfinite(act["pose"]))


def test_sensor_noise_is_photon_and_read_noise():
    noise = np.random.default_rng(0).standard_normal((200, 200, 3), dtype=np.float32)
    flat, table = np.full((200, 200, 3), 0.25, np.float32), camera.gamma_table()
    out = camera.develop(flat, noise, np.float32(1 / 1000), np.float32(0.01**2), table)
    linear = (out / 255.0) ** 2.2
    assert linear.std() == pytest.approx(np.sqrt(0.25 / 1000 + 0.01**2), rel=0.03)
    still = camera.develop(flat, 0 * noise, np.float32(0), np.float32(0), table)
    assert np.all(still == round(255 * 0.25 ** (1 / 2.2)))


def test_blood_pulse_darkens_green_on_the_face():
    stage = render.Stage(*_person(), 64)
    act = performance.perform(np.random.default_rng(1), 2, 25.0)
    for name in ("pose", "shift", "blink", "expression"):
        act[name][:] = 0
    act["pulse"] = np.float32([-1, 1])
    (low, mask, *_), (high, *_) = stage.shoot(act, 0), stage.shoot(act, 1)
    change = np.log(low[mask].mean(0) / high[mask].mean(0))
    assert 0.001 < change[1] < 0.02 and change[1] > change[2] > change[0] > 0


@pytest.mark.parametrize("tone", [1, 2, 3, 4, 5, 6])
def test_pulse_moves_green_by_about_one_percent_and_one_level(tone):
    act = performance.perform(np.random.default_rng(tone), 144, 25.0)
    for name in ("pose", "shift", "blink", "expression"):
        act[name][:] = 0
    stage = render.Stage(*_person(tone), 64)
    extremes = act["pulse"].argmin(), act["pulse"].argmax()
    (crest, mask, *_), (trough, *_) = (stage.shoot(act, k) for k in extremes)
    images = crest, trough
    crest, trough = (255 * image[mask][:, 1].clip(0, 1) ** camera.GAMMA for image in images)
    assert 0.004 < 1 - trough.mean() / crest.mean() < 0.015
    assert (crest - trough).mean() < 2  # of 255 levels: nobody sees a face blink


def _person(tone=2):
    rngs = {part: np.random.default_rng([0, k]) for k, part in enumerate(render.PARTS)}
    return skin.appearance(rngs["person"], tone, 30.0), head.shape(rngs["person"], 30.0), rngs


def test_look_up_noise_is_standard_normal():
    table = camera.normal_quantiles()
    assert table.mean() == pytest.approx(0, abs=1e-6) and table.std() == pytest.approx(1, abs=1e-6)
    assert np.all(np.diff(table) > 0) and 4 < table[-1] < 4.5
    draws = np.random.default_rng(0).integers(0, 2**16, 400_000, np.uint16)
    noise = camera.normal_deviates(draws, table)
    assert stats.kstest(noise, "norm").pvalue > 0.01
    assert stats.kurtosis(noise) == pytest.approx(0, abs=0.05)


def test_gamma_table_is_within_a_twentieth_of_a_level():
    levels = np.linspace(1e-3, 1, 200_001)  # a thousandth of white is darker than any hair
    exact = 255 * levels**camera.GAMMA
    rounded = camera.gamma_table()[np.int32(levels * 65535 + 0.5)]
    assert np.abs(rounded - exact).max() < 0.5 + 1 / 20


def test_float32_textures_are_those_of_float64(monkeypatch):
    person, _, _ = _person()
    quick = face_texture.make_textures(person, np.random.default_rng(5))

    def smooth(field, sigma):
        return ndimage.gaussian_filter(field.astype(float), sigma)

    monkeypatch.setattr(skin, "smooth", smooth)
    exact = face_texture.make_textures(person, np.random.default_rng(5))
    assert all(np.abs(a - b).max() < 1e-5 for a, b in zip(quick, exact, strict=True))


def test_sparse_coordinates_are_the_dense_ones():
    dense, sparse = head.grid(), head.grid(sparse=True)
    pairs = zip(dense, sparse, strict=True)
    assert all(np.array_equal(a, np.broadcast_to(b, a.shape)) for a, b in pairs)
    bump = np.exp(-(((dense[0] - 0.2) / 0.3) ** 2 + ((dense[1] - 0.1) / 0.4) ** 2) / 2)
    assert np.allclose(head.bump(*sparse, 0.2, 0.1, 0.3, 0.4), bump, rtol=0, atol=1e-15)


def test_kernels_equal_plain_numpy():
    rng, turn = np.random.default_rng(2), mesh.rotation(0.2, -0.1, 0.05).astype(np.float32)
    surface = rng.standard_normal((5, 4, 3), np.float32)
    moves = rng.standard_normal((2, 5, 4, 3), np.float32)
    weights = np.float32([0.3, -0.7])
    wanted = surface + np.tensordot(weights, moves, 1)
    assert np.allclose(mesh.deform(surface, moves, weights), wanted, atol=1e-6)
    points = surface.reshape(-1, 3)
    assert np.allclose(mesh.rotate(points, turn), points @ turn.T, atol=1e-6)


def test_body_moves_by_bilinear_shift_under_the_head():
    rng = np.random.default_rng(3)
    background, body = rng.random((8, 8, 3), np.float32), rng.random((12, 12, 4), np.float32)
    layer = np.zeros((8, 8, 4), np.float32)
    layer[:4] = [0.2, 0.4, 0.6, 1]
    image = shading.compose(background, body, layer, np.float32([0.25, -0.5]))
    moved = ndimage.shift(body, (-0.5, 0.25, 0), order=1)[2:10, 2:10]
    colour, cover = moved[..., :3], moved[..., 3:]
    wanted = background * (1 - cover) + colour * cover
    assert np.allclose(image[4:], wanted[4:], atol=1e-6)
    assert np.allclose(image[:4], [0.2, 0.4, 0.6])
