"""The embedded benchmark's generators: warps, retrieval, and what they may touch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepfake_uncertainty.benchmark import render
from deepfake_uncertainty.benchmark.generators import aligned, base, deepfakes, face2face, learned, registry, texture, wav2lip
from deepfake_uncertainty.datasets import faces
from deepfake_uncertainty.errors import InputError


def mesh(rng, frames=12, opening=0.0):
    """A 468-point face in 64 x 64 px, swaying a little: random points, with the named ones where a face has them.

    `opening` is that of the mouth, px, one number or one a frame.
    """
    points = rng.uniform(16, 48, (468, 2))
    angle = np.linspace(0, 2 * np.pi, len(base.OVAL), endpoint=False) - np.pi / 2
    points[base.OVAL] = 32 + np.stack([20 * np.cos(angle), 26 * np.sin(angle)], 1)
    angle = np.linspace(0, 2 * np.pi, len(base.LIPS), endpoint=False) + np.pi
    points[base.LIPS] = [32, 45] + np.stack([7 * np.cos(angle), 3 * np.sin(angle)], 1)
    for eye, x in zip(aligned.EYES, (24, 40), strict=True):
        points[eye] = [x, 26] + np.array([[-4, 0], [-2, -2], [2, -2], [4, 0], [2, 2], [-2, 2]])
    points[base.BROWS] = np.stack([np.linspace(18, 46, 10), np.full(10, 20.0)], 1)
    points[13], points[14] = [32, 44.5], [32, 45.5]
    moving = points + np.sin(np.arange(frames) / 3)[:, None, None]
    moving[:, 14, 1] += opening
    return moving.astype(np.float32)


def drawn(landmarks, skin):
    """Frames uint8 (F, 64, 64, 3): a face of colour `skin` with dark eyes and a dark open mouth where the landmarks say."""
    frames = np.full((len(landmarks), 64, 64, 3), 90.0)
    for frame, points in zip(frames, landmarks, strict=True):
        mouth = points[[61, 13, 291, 14]]
        for part, colour in ((points[base.OVAL], skin), *((points[eye], 40) for eye in aligned.EYES), (mouth, 10)):
            frame[base.polygon(part, frame.shape) > 0] = colour
    return np.uint8(frames)


@pytest.fixture
def pair(tmp_path):
    clips = []
    for identity, skin in enumerate([(200, 160, 140), (120, 80, 60)]):
        rng = np.random.default_rng(identity)
        truth = tmp_path / "truth" / f"{identity:03d}.json"
        truth.parent.mkdir(exist_ok=True)
        truth.write_text("{}")
        landmarks = mesh(rng, 24, opening=4 + 4 * np.sin(np.arange(24) / (3 - identity)))
        sound = rng.uniform(-0.1, 0.1, 24 * 640).astype(np.float32)
        clips.append(base.footage(identity, drawn(landmarks, skin), landmarks, np.arange(24) != 3, truth, sound))
    return clips


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    clips = pair.__wrapped__(tmp_path_factory.mktemp("pair"))
    return deepfakes.train(clips, seed=0, steps=150, batch=8)


def test_warp_of_a_shift_moves_pixels_and_covers_the_triangles():
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    corners = np.array([[2, 2], [12, 2], [2, 12], [12, 12]], float)
    moved, covered = base.warp(image, corners, corners + [3, 4], base.triangulate(corners))
    assert covered.sum() == 11 * 11 and covered[6:17, 5:16].all()
    np.testing.assert_array_equal(moved[6:17, 5:16], image[2:13, 2:13])


def test_degenerate_triangle_covers_nothing():
    points = np.array([[1, 1], [2, 2], [3, 3]], float)
    _, covered = base.warp(np.zeros((8, 8, 3), np.uint8), points, points, np.array([[0, 1, 2]], np.int32))
    assert not covered.any()


@given(angle=st.floats(-3, 3), scale=st.floats(0.2, 5), shift=st.floats(-20, 20))
@settings(max_examples=30, deadline=None)
def test_the_mean_face_is_that_of_frame_0_however_the_head_turns(angle, scale, shift):
    points = np.random.default_rng(0).normal(size=(468, 2))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = base.apply(np.column_stack([turn, [shift, -shift]]), points)
    np.testing.assert_allclose(base.mean_face(np.stack([points, moved])), points, atol=1e-9)


def test_retrieval_equals_exhaustive_search():
    from itertools import product

    rng = np.random.default_rng(1)
    wanted, offered, jump = rng.random((4, 2)), rng.random((5, 2)), 0.3

    def cost(path):
        cuts = sum(b != a + 1 for a, b in zip(path, path[1:], strict=False))
        return sum(np.linalg.norm(wanted[t] - offered[g]) for t, g in enumerate(path)) + jump * cuts

    best = min(product(range(5), repeat=4), key=cost)
    assert cost(base.retrieve(wanted, offered, jump)) == pytest.approx(cost(best))


def test_footage_fills_gaps_with_the_nearest_found_frame(tmp_path):
    landmarks = np.repeat(np.array([0, 99, 99, 8, 8, 8, 8], np.float32), 468 * 2).reshape(7, 468, 2)
    found = np.array([1, 0, 0, 1, 1, 1, 1], bool)
    clip = base.footage(0, None, landmarks, found, tmp_path / "x")
    assert 0 <= clip.landmarks.min() and clip.landmarks.max() <= 8
    with pytest.raises(InputError, match="no face"):
        base.footage(0, np.zeros(7), landmarks, ~found & found, tmp_path / "x")


def test_match_colour_gives_the_reference_mean():
    rng = np.random.default_rng(0)
    dark, light = rng.integers(60, 90, (16, 16, 3), dtype=np.uint8), rng.integers(140, 170, (16, 16, 3), dtype=np.uint8)
    everywhere = np.ones((16, 16), bool)
    assert np.abs(base.match_colour(dark, light, everywhere).mean((0, 1)) - light.mean((0, 1))).max() < 1.5


@pytest.mark.parametrize("family", [*registry.FF, *registry.AV])
def test_generators_change_only_what_the_mask_says_and_repeat_themselves(family, pair, learnt):
    network = learnt[0] if family == "Deepfakes" else None
    (frames, mask), (again, _) = (registry.generate(family, *pair, np.random.default_rng(0), network) for _ in range(2))
    assert frames.shape == pair[1].frames.shape and mask.shape == frames.shape[:3]
    changed = (frames != pair[1].frames).any(-1)
    assert changed.any() and not changed[~mask].any()
    assert not mask[3].any(), "a frame without a face stays as it is"
    np.testing.assert_array_equal(frames, again)


@pytest.mark.parametrize("family", [*registry.FF, *registry.AV])
def test_generators_refuse_clips_without_truth(family, pair, learnt):
    pair[0].truth.unlink()
    with pytest.raises(InputError, match="own clips only"):
        registry.generate(family, *pair, np.random.default_rng(0), learnt[0])


def test_generators_refuse_strangers_silence_and_unknown_names(pair, learnt):
    with pytest.raises(InputError, match="no Deepfakes decoder"):
        deepfakes.generate(replace(pair[1], identity=7), pair[0], np.random.default_rng(0), learnt[0])
    with pytest.raises(InputError, match="has no sound"):
        registry.generate("wav2lip", replace(pair[0], sound=None), pair[1], np.random.default_rng(0))
    with pytest.raises(InputError, match="unknown generator 'magic'"):
        registry.generate("fsgan-magic", *pair, np.random.default_rng(0))
    pair[0].truth.unlink()
    with pytest.raises(InputError, match="own clips only"):
        deepfakes.train(pair, seed=0, steps=1)


def test_deepfakes_mouth_follows_the_target_and_skin_is_the_source(pair, learnt):
    decoded = deepfakes.decode(learnt[0], pair[1], identity=0).astype(float)
    darkness = -decoded[:, 40:58, 22:42].mean((1, 2, 3))
    opening = pair[1].landmarks[:, 14, 1] - pair[1].landmarks[:, 13, 1]
    assert np.corrcoef(darkness, opening)[0, 1] > 0.8
    assert np.abs(np.median(decoded[:, 30:36, 20:44], (0, 1, 2)) - [200, 160, 140]).max() < 12


def test_deepfakes_training_repeats_itself_and_says_when_it_failed(pair, monkeypatch):
    with pytest.raises(InputError, match="did not learn in 1 steps"):
        deepfakes.train(pair, seed=0, steps=1, batch=2)
    monkeypatch.setattr(deepfakes, "LEARNT", 9.0)
    (one, card), (two, _) = (deepfakes.train(pair, seed=3, steps=2, batch=2) for _ in range(2))
    assert card["identities"] == [0, 1] and card["frames"] == 46 and card["steps"] == 2 and card["seed"] == 3
    for name, weights in one.state_dict().items():
        assert torch.equal(weights, two.state_dict()[name]), name


def test_normalised_landmarks_do_not_move_with_the_head():
    still, _ = face2face.normalise(mesh(np.random.default_rng(1), opening=1))
    np.testing.assert_allclose(still.std(0), 0, atol=1e-3)


def test_shipped_weights_are_small_and_have_cards():
    found = sorted(learned.WEIGHTS.glob("*.safetensors"))
    assert len(found) == 5
    sizes = [path.stat().st_size for path in found]
    assert max(sizes) < 2e6 and sum(sizes) < 12e6
    for path in found:
        card = learned.card(path.stem)
        assert {"identities", "frames", "steps", "seconds", "loss", "loss_before", "seed", "world"} <= set(card)
        assert card["loss"] < 0.5 * card["loss_before"] and card["seconds"] < 600


def test_missing_or_foreign_weights_are_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(learned, "WEIGHTS", tmp_path)
    with pytest.raises(InputError, match="missing or does not fit"):
        learned.shipped("wav2lip", lambda: wav2lip.Network())  # a new function: what is loaded already stays loaded
    (tmp_path / "wav2lip.safetensors").write_bytes(b"not weights")
    with pytest.raises(InputError, match="missing or does not fit"):
        learned.shipped("wav2lip", lambda: wav2lip.Network())


def test_a_texture_sampled_where_it_was_unwrapped_is_the_face(pair):
    clip = aligned.align(pair[0])
    chart = clip.points[8]
    sheet = texture.unwrap(clip, [8], chart)[0]
    face, covered = texture.sample(sheet, chart, clip.points[8])
    assert covered.mean() > 0.3
    assert np.abs(face[covered].astype(int) - clip.faces[8][covered]).mean() < 3


def test_alignment_is_undone_by_pasting(pair):
    clip = aligned.align(pair[1])
    frames, mask = aligned.paste(pair[1], clip.faces, clip.maps, None, 0.1)
    inside = mask & (np.indices(mask.shape[1:]).min(0) > 12)
    assert np.abs(frames.astype(int) - pair[1].frames)[inside].mean() < 12


def test_relighting_brings_the_mean_inside_to_the_target():
    faces, like = torch.rand(2, 3, 64, 64), 0.5 * torch.rand(2, 3, 64, 64)
    where = torch.zeros(2, 1, 64, 64)
    where[..., 16:48, 16:48] = 1
    lit = learned.relight(faces, like, where)
    torch.testing.assert_close(lit[..., 16:48, 16:48].mean((2, 3)), like[..., 16:48, 16:48].mean((2, 3)), rtol=1e-3, atol=1e-4)


def test_a_small_training_learns_and_repeats_itself():
    def run():
        torch.manual_seed(0)
        network = learned.UNet(3, 3, widths=(4, 8))
        batch = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
        return network, learned.descend(network, lambda rng: (network(batch) - batch).abs().mean(), 40, 0)[1]

    (one, loss), (two, _) = run(), run()
    assert loss < 0.3
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_the_painted_mouth_follows_what_is_heard_and_not_what_was_there():
    mesh, clips = faces.FaceMesh(), []
    for number in range(2):
        clip = render.render_clip(number, 3, n_frames=64)
        landmarks, found, _ = mesh.track(clip.frames)
        footage = base.footage(number, clip.frames, landmarks, found, "", clip.truth["sound"])
        clips.append((footage, clip.truth["expression"][:, 0]))
    (source, heard), (target, own) = clips
    face = aligned.align(target)
    maps = wav2lip.hidden(face, face.faces[0])
    columns = torch.from_numpy(wav2lip.columns(source.sound, 25.0, len(own)))
    made = learned.image(learned.run(learned.shipped(wav2lip.NAME, wav2lip.Network), maps, columns))
    inside = base.polygon(base.enlarge(face.points.mean(0)[base.LIPS], 1.3), (64, 64)) > 0
    darkness = -made.mean(-1)[:, inside].min(1)
    assert np.corrcoef(darkness, heard)[0, 1] > 0.5
    assert abs(np.corrcoef(darkness, own)[0, 1]) < 0.4
