"""Folders of images as videos: the order of their frames, bad images, and the key of a folder."""

import numpy as np
import pytest
from support import small_layouts as layouts
from support.small_layouts import put

from deepfake_uncertainty import files
from deepfake_uncertainty.datasets import video
from deepfake_uncertainty.errors import InputError


def test_folders_of_images_are_read_in_the_order_of_their_numbers(tmp_path):
    layouts.images(tmp_path / "a", ["2.png", "10.png", "11.JPG", ".hidden.png"])
    layouts.images(tmp_path / "b", ["x.png", "y.png"])
    (tmp_path / "a/notes.txt").touch()
    frames, times = video.decode(tmp_path / "a")
    assert frames.shape == (3, 16, 16, 3) and frames[:, 0, 0, 0].tolist() == [0, 10, 20]
    np.testing.assert_allclose(times, [0, 8 / 25, 9 / 25])
    assert len(video.decode(tmp_path / "a", max_frames=2)[0]) == 2
    np.testing.assert_allclose(video.decode(tmp_path / "b")[1], [0, 1 / 25])
    assert video.header(tmp_path / "b") == (25, 2)
    (tmp_path / "b/y.png").write_bytes((tmp_path / "b/y.png").read_bytes()[:60])
    with pytest.raises(InputError, match=r"y\.png is not a readable image"):
        video.decode(tmp_path / "b")
    (tmp_path / "b/y.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"y\.png is not a readable image"):
        video.decode(tmp_path / "b")
    (tmp_path / "c/1.png").mkdir(parents=True)
    with pytest.raises(InputError, match="nor a folder of images"):
        video.header(tmp_path / "c")


def test_digest_of_a_folder_holds_names_and_bytes(tmp_path):
    seen = set()
    for name, byte in (("0.png", b"1"), ("0.png", b"2"), ("1.png", b"2"), ("b/2.png", b"")):
        put(tmp_path / name, byte)
        seen.add(files.digest(tmp_path))
    (tmp_path / "1.png").rename(tmp_path / "3.png")
    assert len(seen | {files.digest(tmp_path)}) == 5
    assert files.digest(tmp_path) == files.digest(tmp_path)
