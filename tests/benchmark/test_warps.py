"""What the generators share: warps, retrieval, colours, footage, and the aligned face."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.small_footage import mesh

from deepfake_uncertainty.benchmark.generators import aligned, base, face2face, texture
from deepfake_uncertainty.errors import InputError


def test_warp_of_a_shift_moves_pixels_and_covers_the_triangles():
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    corners = np.array([[2, 2], [12, 2], [2, 12], [12, 12]], float)
    moved, covered = base.warp(image, corners, corners + [3, 4], base.triangulate(corners))
    assert covered.sum() == 11 * 11 and covered[6:17, 5:16].all()
    np.testing.assert_array_equal(moved[6:17, 5:16], image[2:13, 2:13])


def test_degenerate_triangle_covers_nothing():
    image, points = np.zeros((8, 8, 3), np.uint8), np.array([[1, 1], [2, 2], [3, 3]], float)
    _, covered = base.warp(image, points, points, np.array([[0, 1, 2]], np.int32))
    assert not covered.any()


@given(angle=st.floats(-3, 3), scale=st.floats(0.2, 5), shift=st.floats(-20, 20))
@settings(max_examples=30, deadline=None)
def test_the_mean_face_is_that_of_frame_0_however_the_head_turns(angle, scale, shift):
    points = np.random.default_rng(0).normal(size=(468, 2))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = base.apply(np.column_stack([turn, [shift, -shift]]), points)
    np.testing.assert_allclose(base.mean_face(np.stack([points, moved])), points, atol=1e-9)


def test_retrieval_equals_exhaustive_search():
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
    dark = rng.integers(60, 90, (16, 16, 3), dtype=np.uint8)
    light = rng.integers(140, 170, (16, 16, 3), dtype=np.uint8)
    matched = base.match_colour(dark, light, np.ones((16, 16), bool))
    assert np.abs(matched.mean((0, 1)) - light.mean((0, 1))).max() < 1.5


def test_normalised_landmarks_do_not_move_with_the_head():
    still, _ = face2face.normalise(mesh(np.random.default_rng(1), opening=1))
    np.testing.assert_allclose(still.std(0), 0, atol=1e-3)


def test_a_texture_sampled_where_it_was_unwrapped_is_the_face(pair):
    clip = aligned.align(pair[0])
    chart = clip.points[8]
    unwrapped = texture.unwrap(clip, [8], chart)[0]
    face, covered = texture.sample(unwrapped, chart, clip.points[8])
    assert covered.mean() > 0.3
    assert np.abs(face[covered].astype(int) - clip.faces[8][covered]).mean() < 3


def test_alignment_is_undone_by_pasting(pair):
    clip = aligned.align(pair[1])
    frames, mask = aligned.paste(pair[1], clip.faces, clip.maps, None, 0.1)
    inside = mask & (np.indices(mask.shape[1:]).min(0) > 12)
    assert np.abs(frames.astype(int) - pair[1].frames)[inside].mean() < 12
