"""Pixel maps: gradients known in closed form, fixed draws, Grad-CAM, shuffled parameters."""

import numpy as np
import pytest
import torch
from support.small_world import RECIPE, SPEC
from torch import nn

from deepfake_uncertainty.detectors.base import Classifier
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.training import methods
from deepfake_uncertainty.training.methods import base
from deepfake_uncertainty.training.predict import Fitted
from deepfake_uncertainty.uncertainty import laplace, maps
from deepfake_uncertainty.uncertainty.bayes import VariationalPosterior
from deepfake_uncertainty.uncertainty.measures import measures
from deepfake_uncertainty.uncertainty.temperature import TemperatureScaled

MOUTH = slice(10, 13), slice(5, 11)


class Looks(nn.Module):
    """A network with logits (0, w times the sum over one patch): it sees nothing else."""

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
    return Fitted(SPEC, methods.get(method), RECIPE, 0, model, "key", [])


def draws(model, T, method="deterministic"):
    return fitted(model, method).draws(T)


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
    missing = base.Method.draws  # the default, which raises InputError
    assert all(spec.draws is not missing for spec in methods.METHODS.specs().values())


def test_draws_are_those_that_are_sampled():
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Tanh(), nn.Flatten())
    network = Classifier(features, 392, 2, 0.3).eval()
    x = torch.rand(4, 3, 16, 16)
    models = {
        "temperature": TemperatureScaled(network),
        "mc_dropout": network,
        "laplace": laplace(network, x, torch.arange(4) % 2),
        "bnn": VariationalPosterior(network),
        "ensemble": nn.ModuleList([network, network]),
    }
    for method, model in models.items():
        found = torch.stack([draw(x) for draw in draws(model, 2, method)]).softmax(-1)
        sampled = methods.get(method).sample(model, [x], 2, fitted(model, method).seed, SPEC)
        assert np.allclose(found.detach(), sampled, atol=1e-5), method


@pytest.mark.parametrize("method", ["deterministic", "mc_dropout", "bnn"])
def test_a_network_that_sees_the_mouth_has_its_map_there(method):
    model = Looks(dropout=0.5)
    model = VariationalPosterior(model) if method == "bnn" else model
    outputs = maps.uncertainty(draws(model, 4, method))
    found = maps.smooth_grad(outputs, images(), copies=3)
    total = maps.magnitude(found["total"])
    assert outside(total).abs().max() == 0 and (total[:, *MOUTH].amax((1, 2)) > 0).all()
    has_epistemic = (maps.magnitude(found["epistemic"]).amax((1, 2)) > 1e-6).all()
    assert has_epistemic == (method != "deterministic")


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

    def total(x):
        return {"total": maps.measures(network(x)[None])["total"]}

    slope = maps.gradients(total, x)["total"]
    step = torch.zeros_like(x)
    step[0, 1, 4, 9] = 1e-5
    ends = [total(x + sign * step)["total"].item() for sign in (1, -1)]
    assert slope[0, 1, 4, 9].item() == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-4)
    assert outputs(x.double())["total"].shape == (1,)


def test_a_saturated_network_has_a_gradient_all_the_same():
    slope = maps.gradients(maps.uncertainty([Looks(5.0)], ("total",)), images(1) + 0.05)["total"]
    assert torch.isfinite(slope).all() and slope[0, :, *MOUTH].abs().max() > 0


def test_draws_are_fixed_and_differ():
    x, models = images(), {"mc_dropout": Looks(dropout=0.5), "bnn": VariationalPosterior(Looks())}
    for method, model in models.items():
        first, second = (draws(model, 2, method) for _ in range(2))
        assert torch.equal(first[0](x), second[0](x))
        assert not torch.equal(first[0](x), first[1](x))
    assert len(draws(Looks(), 5)) == 1


def test_draws_leave_the_network_and_the_random_state_alone():
    model, x = Looks(dropout=0.5).eval(), images()
    before = torch.random.get_rng_state()
    draws(model, 1, "mc_dropout")[0](x)
    assert not model.drop.training and torch.equal(before, torch.random.get_rng_state())


NO_DRAWS = base.Method("none", "None", base.build_network, base.fit_network, base.sample_once)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: NO_DRAWS.draws(Looks(), 2, 0), "no differentiable draws"),
        (lambda: draws(Looks(), 0), "T is 0"),
        (lambda: draws(Looks(), 2, "mc_dropout")[0](images()), "has none"),
        (lambda: maps.uncertainty([Looks()], ("doubt",)), "unknown measures doubt"),
        (lambda: maps.smooth_grad(maps.uncertainty([Looks()]), images(), 0), "at least one copy"),
        (lambda: maps.gradients(maps.uncertainty([Looks(float("nan"))]), images()), "not finite"),
        (lambda: maps.shuffle_parameters(Looks(), 1.5), "share is 1.5"),
        (lambda: maps.grad_cam([Looks()], Looks(), images()), "convolutional"),
    ],
)
def test_what_has_no_map_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


def conv(weight=1.0):
    """Return a Classifier with one channel, bright where the picture is.

    Its logit of fake is `weight` times the mean of the channel.
    """
    features = nn.Sequential(
        nn.Conv2d(3, 1, 1, bias=False), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
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
    expected = ((1 - p[0]) / p[0]).log().item()
    assert maps.fake_log_odds(logits).item() == pytest.approx(expected, abs=1e-6)


def test_shuffling_goes_from_the_output_backwards_and_keeps_the_values():
    network = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4))
    half = maps.shuffle_parameters(network, 0.5, 1)
    assert torch.equal(half[0].weight, network[0].weight)
    assert not torch.equal(half[1].weight, network[1].weight)
    before, after = (model[1].weight.flatten().sort().values for model in (network, half))
    assert torch.equal(before, after)
    same = maps.shuffle_parameters(network, 0)
    pairs = zip(same.parameters(), network.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_shuffling_a_posterior_moves_mean_and_spread_together():
    def pairs(posterior):
        mean, rho = posterior.mean[0].flatten(), posterior.rho[0].flatten()
        return set(zip(mean.tolist(), rho.tolist(), strict=True))

    posterior = VariationalPosterior(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    )
    shuffled = maps.shuffle_parameters(posterior, 1, 0)
    assert not torch.equal(shuffled.mean[0], posterior.mean[0])
    assert pairs(shuffled) == pairs(posterior)


def test_smoothing_repeats_and_without_noise_is_the_plain_gradient():
    outputs = maps.uncertainty([Looks()], ("total",))
    x = images()
    first, second = (maps.smooth_grad(outputs, x, 3, seed=4)["total"] for _ in range(2))
    assert torch.equal(first, second)
    plain = maps.gradients(outputs, x)["total"]
    assert np.allclose(maps.smooth_grad(outputs, x, 2, spread=0.0)["total"], plain, atol=1e-7)
