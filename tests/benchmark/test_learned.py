"""The trained generators: Deepfakes, what the others share, and the weights in the package."""

import numpy as np
import pytest
import torch

from deepfake_uncertainty.benchmark.generators import (
    aligned,
    base,
    deepfakes,
    deepfakes_training,
    learned,
    wav2lip,
)
from deepfake_uncertainty.benchmark.renderer import render
from deepfake_uncertainty.datasets import faces
from deepfake_uncertainty.errors import InputError

CARD = {"identities", "frames", "steps", "seconds", "loss", "loss_before", "seed", "world"}


def test_deepfakes_mouth_follows_the_target_and_skin_is_the_source(pair, trained):
    decoded = deepfakes.decode(trained[0], pair[1], identity=0).astype(float)
    darkness = -decoded[:, 40:58, 22:42].mean((1, 2, 3))
    opening = pair[1].landmarks[:, 14, 1] - pair[1].landmarks[:, 13, 1]
    assert np.corrcoef(darkness, opening)[0, 1] > 0.8
    assert np.abs(np.median(decoded[:, 30:36, 20:44], (0, 1, 2)) - [200, 160, 140]).max() < 12


def test_deepfakes_training_repeats_itself_and_says_when_it_failed(pair, monkeypatch):
    with pytest.raises(InputError, match="did not learn in 1 steps"):
        deepfakes_training.train(pair, seed=0, steps=1, batch=2)
    monkeypatch.setattr(deepfakes_training, "MAX_MISSED", 9.0)
    (first, card), (again, _) = (
        deepfakes_training.train(pair, seed=3, steps=2, batch=2) for _ in range(2)
    )
    assert card["identities"] == [0, 1] and card["frames"] == 46
    assert card["steps"] == 2 and card["seed"] == 3
    for name, weights in first.state_dict().items():
        assert torch.equal(weights, again.state_dict()[name]), name


def test_shipped_weights_are_small_and_have_cards():
    found = sorted(learned.WEIGHTS.glob("*.safetensors"))
    assert len(found) == 5
    sizes = [path.stat().st_size for path in found]
    assert max(sizes) < 2e6 and sum(sizes) < 12e6
    for path in found:
        card = learned.read_card(path.stem)
        assert CARD <= set(card)
        assert card["loss"] < 0.5 * card["loss_before"] and card["seconds"] < 600


def test_missing_or_foreign_weights_are_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(learned, "WEIGHTS", tmp_path)
    # A new function each time: networks that are loaded already stay loaded.
    with pytest.raises(InputError, match="missing or does not fit"):
        learned.load_weights("wav2lip", lambda: wav2lip.Network())
    (tmp_path / "wav2lip.safetensors").write_bytes(b"not weights")
    with pytest.raises(InputError, match="missing or does not fit"):
        learned.load_weights("wav2lip", lambda: wav2lip.Network())


def test_relighting_brings_the_mean_inside_to_the_target():
    face, like = torch.rand(2, 3, 64, 64), 0.5 * torch.rand(2, 3, 64, 64)
    where = torch.zeros(2, 1, 64, 64)
    where[..., 16:48, 16:48] = 1
    lit = learned.relight(face, like, where)
    inside, wanted = (part[..., 16:48, 16:48].mean((2, 3)) for part in (lit, like))
    torch.testing.assert_close(inside, wanted, rtol=1e-3, atol=1e-4)


def test_a_small_training_learns_and_repeats_itself():
    def run():
        torch.manual_seed(0)
        network = learned.UNet(3, 3, widths=(4, 8))
        batch = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
        _, loss = learned.descend(network, lambda rng: (network(batch) - batch).abs().mean(), 40, 0)
        return network, loss

    (first, loss), (again, _) = run(), run()
    assert loss < 0.3
    pairs = zip(first.parameters(), again.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_the_painted_mouth_follows_what_is_heard_and_not_what_was_there():
    mesh, clips = faces.FaceMesh(), []
    for number in range(2):
        clip = render.render_clip(number, 3, n_frames=64)
        landmarks, found, _ = mesh.track(clip.frames)
        footage = base.footage(number, clip.frames, landmarks, found, "", clip.truth["sound"])
        clips.append((footage, clip.truth["expression"][:, 0]))
    (source, heard), (target, shown) = clips
    face = aligned.align(target)
    maps = wav2lip.hidden(face, face.faces[0])
    sound = torch.from_numpy(wav2lip.spectra(source.sound, 25.0, len(shown)))
    network = learned.load_weights(wav2lip.NAME, wav2lip.Network)
    made = learned.to_images(learned.run(network, maps, sound))
    inside = base.polygon(base.enlarge(face.points.mean(0)[base.LIPS], 1.3), (64, 64)) > 0
    darkness = -made.mean(-1)[:, inside].min(1)
    assert np.corrcoef(darkness, heard)[0, 1] > 0.5
    assert abs(np.corrcoef(darkness, shown)[0, 1]) < 0.4
