"""Pixel maps: gradients known in closed form, fixed draws, Grad-CAM, shuffled parameters."""

import numpy as np
import pytest
import torch
from small_world import RECIPE
from torch import nn

from deepfake_uncertainty.detectors.base import Classifier
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import methods
from deepfake_uncertainty.study.predict import Fitted
from deepfake_uncertainty.uncertainty import laplace, maps
from deepfake_uncertainty.uncertainty.bayes import VariationalPosterior
from deepfake_uncertainty.uncertainty.measures import measures
from deepfake_uncertainty.uncertainty.temperature import TemperatureScaled

MOUTH = slice(10, 13), slice(5, 11)


class Looks(nn.Module):
    """Logits (0, w times the sum over one patch of the picture): the network sees nothing else."""

    def __init__(self, weight=1.0, dropout=0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))
        self.drop = nn.Dropout(dropout)

    def forward(self, x):
        seen = self.drop(x[:, :, *MOUTH]).sum((1, 2, 3)) * self.weight
        return torch.stack([torch.zeros_like(seen), seen - 0.3], 1)


def images(n=3, seed=0):
    return torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 0.05


def fitted(model, method="deterministic"):
    return Fitted(method, 0, model, RECIPE, "key", [])


def outside(values):
    kept = values.clone()
    kept[:, *MOUTH] = 0
    return kept


def test_measures_are_those_of_the_study():
    logits = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(1)) * 3
    ours, theirs = maps.measures(logits), measures(logits.softmax(-1).numpy())
    for name, value in theirs.items():
        assert ours[name].numpy() == pytest.approx(value, abs=1e-6)


def test_one_draw_has_no_epistemic_part():
    assert maps.measures(torch.tensor([[[3.0, -2.0]]]))["epistemic"].abs().max() < 1e-7


def test_every_method_of_the_study_has_draws():
    assert set(maps.DRAWS) == set(methods.METHODS)


def test_draws_are_those_that_are_sampled():
    torch.manual_seed(0)
    network = Classifier(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Tanh(), nn.Flatten()), 392, 2, 0.3).eval()
    x = torch.rand(4, 3, 16, 16)
    posterior = laplace.LastLayer(network)
    laplace.fit(posterior, x, torch.arange(4) % 2)
    models = {"temperature": TemperatureScaled(network), "laplace": posterior, "bnn": VariationalPosterior(network),
              "ensemble": nn.ModuleList([network, network])}  # fmt: skip
    for method, model in models.items():
        found = torch.stack([draw(x) for draw in maps.draws(fitted(model, method), 2)]).softmax(-1)
        sampled = methods.get(method).sample(model, [x], 2, fitted(model, method).seed)
        assert np.allclose(found.detach(), sampled, atol=1e-5), method


@pytest.mark.parametrize("method", ["deterministic", "mc_dropout", "bnn"])
def test_a_network_that_sees_the_mouth_has_its_map_there(method):
    model = Looks(dropout=0.5)
    model = VariationalPosterior(model) if method == "bnn" else model
    found = maps.smoothed(maps.uncertainty(maps.draws(fitted(model, method), 4)), images(), copies=3)
    total = maps.magnitude(found["total"])
    assert outside(total).abs().max() == 0 and (total[:, *MOUTH].amax((1, 2)) > 0).all()
    assert (maps.magnitude(found["epistemic"]).amax((1, 2)) > 1e-6).all() == (method != "deterministic")


def test_gradient_of_the_entropy_is_its_closed_form():
    x, weight = images(), 0.7
    found = maps.gradients(maps.uncertainty([Looks(weight)], ("total",)), x)["total"]
    z = weight * x[:, :, *MOUTH].sum((1, 2, 3)) - 0.3
    p = z.sigmoid()
    # d H(sigmoid z) / dz = -z p (1 - p)
    assert torch.allclose(found[:, 0, 11, 7], (-z * p * (1 - p) * weight).detach(), atol=1e-6)


def test_gradient_agrees_with_finite_differences():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 256, 2)).double()
    x, outputs = images(1).double(), maps.uncertainty([lambda x: network(x)], ("total",))
    slope = maps.gradients(lambda x: {"total": maps.measures(network(x)[None])["total"]}, x)["total"]
    step = torch.zeros_like(x)
    step[0, 1, 4, 9] = 1e-5
    ends = [maps.measures(network(x + sign * step)[None])["total"].item() for sign in (1, -1)]
    assert slope[0, 1, 4, 9].item() == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-4)
    assert outputs(x.double())["total"].shape == (1,)


def test_a_saturated_network_has_a_gradient_all_the_same():
    slope = maps.gradients(maps.uncertainty([Looks(5.0)], ("total",)), images(1) + 0.05)["total"]
    assert torch.isfinite(slope).all() and slope[0, :, *MOUTH].abs().max() > 0


def test_draws_are_fixed_and_differ():
    for method, model in (("mc_dropout", Looks(dropout=0.5)), ("bnn", VariationalPosterior(Looks()))):
        one, other = (maps.draws(fitted(model, method), 2) for _ in range(2))
        x = images()
        assert torch.equal(one[0](x), other[0](x)) and not torch.equal(one[0](x), one[1](x))
    assert len(maps.draws(fitted(Looks()), 5)) == 1


def test_draws_leave_the_network_and_the_random_state_alone():
    model, x = Looks(dropout=0.5).eval(), images()
    before = torch.random.get_rng_state()
    maps.draws(fitted(model, "mc_dropout"), 1)[0](x)
    assert not model.drop.training and torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: maps.draws(fitted(Looks(), "magic"), 2), "no differentiable draws"),
        (lambda: maps.draws(fitted(Looks()), 0), "T is 0"),
        (lambda: maps.draws(fitted(Looks(), "mc_dropout"), 2), "has none"),
        (lambda: maps.uncertainty([Looks()], ("doubt",)), "unknown measures doubt"),
        (lambda: maps.smoothed(maps.uncertainty([Looks()]), images(), 0), "at least one copy"),
        (lambda: maps.gradients(maps.uncertainty([Looks(float("nan"))]), images()), "not finite"),
        (lambda: maps.randomised(Looks(), 1.5), "share is 1.5"),
        (lambda: maps.grad_cam([Looks()], Looks(), images()), "convolutional"),
    ],
)
def test_what_has_no_map_is_refused(call, said):
    with pytest.raises(InputError, match=said):
        call()


def conv(weight=1.0):
    """A Classifier whose one channel is bright where the picture is; its logit of fake is `weight` times the mean."""
    features = nn.Sequential(nn.Conv2d(3, 1, 1, bias=False), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = Classifier(features, 1, 2, 0.0).eval()
    with torch.no_grad():
        network.features[0].weight.fill_(1.0)
        network.head[1].weight.copy_(torch.tensor([[0.0], [weight]]))
    return network


def test_grad_cam_is_bright_where_the_evidence_is():
    x = torch.zeros(2, 3, 16, 16)
    x[:, :, *MOUTH] = 1
    cam = maps.grad_cam([network := conv()], network, x)
    assert outside(cam).abs().max() == 0 and (cam[:, *MOUTH] > 0).all()
    # Evidence against a fake is none for it.
    assert maps.grad_cam([network := conv(-1.0)], network, x).abs().max() == 0


def test_margin_is_the_log_odds_of_fake_for_any_number_of_classes():
    logits = torch.tensor([[[1.0, 2.0, 0.5]]])
    p = logits.softmax(-1)[0, 0]
    assert maps.margin(logits).item() == pytest.approx(((1 - p[0]) / p[0]).log().item(), abs=1e-6)


def test_shuffling_goes_from_the_output_backwards_and_keeps_the_values():
    network = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4))
    half = maps.randomised(network, 0.5, 1)
    assert torch.equal(half[0].weight, network[0].weight) and not torch.equal(half[1].weight, network[1].weight)
    assert torch.equal(half[1].weight.flatten().sort().values, network[1].weight.flatten().sort().values)
    same = maps.randomised(network, 0)
    assert all(torch.equal(a, b) for a, b in zip(same.parameters(), network.parameters(), strict=True))


def test_shuffling_a_posterior_moves_mean_and_spread_together():
    posterior = VariationalPosterior(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2)))
    pairs = {(m.item(), r.item()) for m, r in zip(posterior.mean[0].flatten(), posterior.rho[0].flatten(), strict=True)}
    moved = maps.randomised(posterior, 1, 0)
    assert not torch.equal(moved.mean[0], posterior.mean[0])
    assert {(m.item(), r.item()) for m, r in zip(moved.mean[0].flatten(), moved.rho[0].flatten(), strict=True)} == pairs


def test_smoothing_repeats_and_without_noise_is_the_plain_gradient():
    outputs = maps.uncertainty([Looks()], ("total",))
    x = images()
    one, other = (maps.smoothed(outputs, x, 3, seed=4)["total"] for _ in range(2))
    assert torch.equal(one, other)
    plain = maps.gradients(outputs, x)["total"]
    assert np.allclose(maps.smoothed(outputs, x, 2, spread=0.0)["total"], plain, atol=1e-7)
