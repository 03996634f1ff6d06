"""Attacks: a linear model with a known optimum, and the checks of Carlini et al. (2019)."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.attack_targets import SIZE, SPEC, fitted, network, some_clips
from torch import nn

from deepfake_uncertainty.datasets.tracks import Track
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study.robustness import attacks, clips
from deepfake_uncertainty.training.predict import Fitted
from deepfake_uncertainty.uncertainty.bayes import VariationalPosterior


class Linear(nn.Module):
    """Logits (0, w x + b) of pixels x (N, 3, 8, 8)."""

    def __init__(self, seed=0, bias=0.0, scale=1.0):
        super().__init__()
        self.weight = nn.Parameter(
            scale * torch.randn(3 * SIZE**2, generator=torch.Generator().manual_seed(seed))
        )
        self.bias = bias

    def forward(self, x):
        odds = x.flatten(1) @ self.weight + self.bias
        return torch.stack([torch.zeros_like(odds), odds], 1)


@pytest.fixture(autouse=True)
def small_detector(monkeypatch):
    monkeypatch.setitem(registry.DETECTORS.specs(), "small", SPEC)


def attack(model, chosen, how, strength, seed=0):
    """Return the clips `chosen` attacked at one strength."""
    return attacks.attack_clips(model, "small", chosen, how, [strength], seed)[strength]


def loss(model, found, chosen):
    with torch.no_grad():
        logits = model(torch.from_numpy(found.inputs))[None]
    return attacks.GOALS["error"](logits, torch.as_tensor(chosen.index["label"].to_numpy())).numpy()


def own_labels(model, chosen):
    """Return the clips with the network's own decisions as labels: accuracy 1 before the attack."""
    with torch.no_grad():
        decided = model(torch.from_numpy(chosen.pixels[:, 0])).argmax(1).numpy()
    return clips.Clips(chosen.tracks, chosen.index.assign(label=decided))


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 1000), strength=st.floats(0.1, 20))
def test_fgsm_is_the_optimum_of_a_linear_model(seed, strength):
    # Away from 0 and 1 the log odds move by epsilon |w|_1, towards the wrong class, and no point of
    # the ball does more.
    chosen, model = some_clips(4, seed=seed), Linear(seed)
    odds = lambda x: torch.from_numpy(x).flatten(1) @ model.weight.detach()  # noqa: E731
    for name in ("FGSM", "PGD"):
        standard = attacks.standard_attacks(10, 1)[name]
        found = attack(fitted(model), chosen, standard, strength, seed)
        moved = (odds(found.inputs) - odds(chosen.pixels[:, 0])).numpy()
        optimum = strength / 255 * model.weight.abs().sum().item()
        assert moved == pytest.approx(np.where(chosen.index["label"], -optimum, optimum), rel=1e-3)


@pytest.mark.parametrize("name", list(attacks.standard_attacks(5, 2)))
@pytest.mark.parametrize("goal", list(attacks.GOALS))
def test_the_ball_the_walls_and_strength_0(name, goal):
    chosen = some_clips(frames=2)
    chosen.tracks[0].crops[:] = 255
    chosen.tracks[1].crops[:] = 0
    used = replace(attacks.standard_attacks(5, 2)[name], goal=goal)
    for method in ("deterministic", "mc_dropout", "bnn"):
        model = VariationalPosterior(network()) if method == "bnn" else network()
        found = attacks.attack_clips(fitted(model, method), "small", chosen, used, [0, 0.4, 3], 0)
        for strength, one in found.items():
            change = np.abs(one.inputs.reshape(chosen.pixels.shape) - chosen.pixels).max()
            assert change <= strength / 255 + 1e-6
            assert one.inputs.min() >= 0
            assert one.inputs.max() <= 1
            assert one.pictures.dtype == np.uint8
        assert (found[0].pictures == np.stack([track.crops for track in chosen.tracks])).all()
        # Less than half a level does not survive rounding.
        assert (found[0.4].pictures == found[0].pictures).all()
        assert (found[3].pictures != found[0].pictures).any()


def test_success_grows_with_strength_and_is_complete_without_bound():
    model, strengths = network(), [0, 1, 4, 16, 64, 255]
    chosen = own_labels(model.eval(), some_clips(40))
    pgd = attacks.standard_attacks(20, 1)["PGD"]
    found = attacks.attack_clips(fitted(model), "small", chosen, pgd, strengths, 0)
    losses = [loss(model, one, chosen) for one in found.values()]
    wrong = [(value > np.log(2)).mean() for value in losses]
    assert wrong[0] == 0 and wrong[-1] == 1 and (np.diff(wrong) >= 0).all()
    assert (np.diff([value.mean() for value in losses]) > 0).all()


def test_pgd_is_no_worse_than_fgsm_and_both_beat_noise():
    model = network(3).eval()
    chosen = own_labels(model, some_clips(40))
    mean = {
        name: loss(model, attack(fitted(model), chosen, one, 24), chosen).mean()
        for name, one in attacks.standard_attacks(20, 1).items()
    }
    assert mean["PGD"] >= mean["FGSM"] - 1e-3 > mean["noise"]


def test_expectation_over_draws_beats_one_draw_of_a_noisy_network():
    posterior = VariationalPosterior(network(1), prior_std=1.0, delta=2.0)
    model = fitted(posterior, "bnn")
    chosen = some_clips(30)
    y = chosen.index["label"].to_numpy()
    mean = {}
    for draws in (1, 16):
        found = attack(model, chosen, attacks.Attack(steps=3, draws=draws), 8)
        mean[draws] = -np.log(model.sample(found.inputs, 200).mean(0)[np.arange(len(y)), y]).mean()
    assert mean[16] > mean[1]


def test_the_attacker_does_not_know_the_draws_that_decide(monkeypatch):
    seen, draws = [], Fitted.draws

    def watched(model, T, seed):
        seen.append(seed)
        return draws(model, T, seed)

    monkeypatch.setattr(Fitted, "draws", watched)
    attack(fitted(network(), "mc_dropout"), some_clips(2), attacks.Attack(steps=4, draws=2), 1)
    assert len(set(seen)) == 4 and fitted(network()).seed not in seen


def test_goals_by_hand():
    logits = torch.tensor([[[0.0, 2.0], [0.0, 2.0]], [[0.0, 2.0], [0.0, 2.0]]])
    y = torch.tensor([1, 0])
    p = 1 / (1 + np.exp(-2.0))
    entropy = -p * np.log(p) - (1 - p) * np.log(1 - p)
    found = {name: goal(logits, y).numpy() for name, goal in attacks.GOALS.items()}
    assert found["error"] == pytest.approx([-np.log(p), -np.log(1 - p)], abs=1e-6)
    assert found["uncertain"] == pytest.approx([entropy] * 2, abs=1e-6)
    assert found["certain"] == pytest.approx([-entropy] * 2)
    # The first is right still, the second wrong already.
    assert found["certain error"] == pytest.approx([-np.log(p), -entropy], abs=1e-6)


def test_goals_move_the_entropy_their_way():
    model, chosen = network(2).eval(), some_clips(20)
    entropy = {}
    for goal in ("certain", "uncertain"):
        towards = attacks.Attack(goal, steps=10)
        found = attacks.attack_clips(fitted(model), "small", chosen, towards, [0, 12], 0)
        with torch.no_grad():
            entropy[goal] = [
                attacks.maps.measures(model(torch.from_numpy(one.inputs))[None])["total"]
                for one in found.values()
            ]
    assert (entropy["certain"][1] < entropy["certain"][0]).all()
    assert (entropy["uncertain"][1] >= entropy["uncertain"][0]).all()


def test_parts_do_not_change_the_gradient_steps(monkeypatch):
    fgsm, model = attacks.standard_attacks(5, 1)["FGSM"], fitted(network())
    whole = attack(model, some_clips(7), fgsm, 2)
    monkeypatch.setattr(attacks, "FRAMES", 2)
    assert np.allclose(attack(model, some_clips(7), fgsm, 2).inputs, whole.inputs)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: attacks.Attack("fame"), "unknown goal 'fame'"),
        (lambda: attacks.Attack(steps=-1), "0 or more steps"),
        (lambda: attacks.Attack(draws=0), "a draw or more"),
        (lambda: attack(fitted(network()), some_clips(2), attacks.Attack(), 300), r"in \[0, 255\]"),
        (lambda: clips.differentiable_preprocessing("motion_phase"), "no differentiable way"),
    ],
)
def test_bad_input_is_refused(call, said):
    with pytest.raises(InputError, match=said):
        call()


@pytest.mark.parametrize("size", [64, 80, 96, 150])
def test_preprocessing_of_pictures_is_that_of_opencv_but_for_rounding(size):
    crops = np.random.default_rng(size).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    track = Track(crops, None, None, np.arange(3) / 25, 25.0, 1)
    pixels = torch.from_numpy(crops.transpose(0, 3, 1, 2).astype(np.float32) / 255)
    for name in clips.attackable_detectors():
        if registry.get(name).window == 1 and name != "small":
            theirs, _ = registry.get(name).inputs(track, 3)
            ours = clips.differentiable_preprocessing(name)(track)(pixels).numpy()
            assert np.abs(ours - theirs).max() <= 0.51 / 255


def test_every_detector_that_can_be_attacked_has_the_shape_of_its_inputs():
    assert {"resnet18", "fakecatcher"} <= set(clips.attackable_detectors())
    for name in clips.attackable_detectors():
        spec = registry.get(name)
        rng = np.random.default_rng(0)
        crops = rng.integers(0, 256, (spec.window, 96, 96, 3), dtype=np.uint8)
        landmarks = rng.uniform(10, 86, (spec.window, 468, 2)).astype(np.float32)
        matrices = np.tile(np.eye(2, 3, dtype=np.float32), (spec.window, 1, 1))
        track = Track(crops, landmarks, matrices, np.arange(spec.window) / 25, 25.0, 1)
        own, _ = spec.inputs(track, 1)
        pixels = torch.from_numpy(crops.transpose(0, 3, 1, 2).astype(np.float32) / 255)
        ours = clips.differentiable_preprocessing(name)(track)(pixels.requires_grad_())
        assert ours.shape[1:] == own.shape[1:] and ours.requires_grad
        assert np.abs(ours.detach().numpy()[: len(own)] - own).max() < 3e-3
