"""The registry of detectors: every spec is complete, and names are checked."""

import dataclasses

import pytest

from deepfake_uncertainty.detectors import base, registry
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.report import plotting


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("resnet18", 11.18),
        ("xception", 20.81),
        ("efficientnet_b4", 17.55),
        ("efficientnet_lite0", 3.37),
        ("mobilenet", 1.52),
        ("vit_tiny", 5.49),
        ("frame_transformer", 2.29),
        ("fakecatcher", 0.06),
    ],
)
def test_parameters_are_those_of_the_papers(name, millions):
    """The published counts without the classes of ImageNet.

    On 64 px the stem of ResNet18 and the positions of ViT have fewer.
    """
    network = registry.get(name).build(2, 0.3)
    assert sum(value.numel() for value in network.parameters()) / 1e6 == pytest.approx(
        millions, abs=0.02
    )


@pytest.mark.parametrize("name", list(registry.DETECTORS))
def test_figures_know_every_detector_as_the_registry_does(name):
    assert plotting.label(name) == registry.get(name).label and plotting.color(name).startswith("#")


def test_registry_lists_its_names():
    with pytest.raises(InputError, match="resnet18, xception, .*, fakecatcher128"):
        registry.get("nope")


@pytest.mark.parametrize("name", list(registry.DETECTORS))
def test_every_spec_is_complete(name):
    spec = registry.get(name)
    assert spec.name == name and spec.label and spec.kind in base.KINDS and spec.window >= 1
    assert spec.input_kind in ("pixels", "ppg") and 2000 < spec.year < 2100
    assert len(spec.color) == 7 and spec.color.startswith("#")
    assert spec.linestyle in ("-", "--", "-.", ":")
    network = spec.build(2, 0.3)
    assert isinstance(network, base.Classifier) and network.head[0].p == 0.3


def test_no_two_detectors_look_alike():
    specs = [registry.get(name) for name in registry.names()]
    assert len({spec.color for spec in specs}) == len({spec.label for spec in specs}) == len(specs)


def test_detectors_are_listed_by_kind_and_year():
    specs = [registry.get(name) for name in registry.names()]
    assert [spec.name for spec in specs][:2] == ["resnet18", "xception"]
    order = [(base.KINDS.index(spec.kind), spec.year) for spec in specs]
    assert order == sorted(order)


# (epochs, batch, rate, decay, variational epochs, inputs per video), and epochs of all but quick
RECIPES = {
    "resnet18": ((10, 32, 1e-3, 1e-2, 3, 4), 10),
    "xception": ((3, 32, 1e-3, 1e-2, 3, 4), 8),
    "efficientnet_b4": ((2, 32, 2e-3, 1e-2, 3, 4), 6),
    "mobilenet": ((8, 32, 3e-3, 1e-2, 2, 8), 12),
    "efficientnet_lite0": ((8, 32, 1e-3, 5e-2, 3, 4), 8),
    "frame_transformer": ((3, 8, 1e-3, 1e-2, 2, 4), 10),
    "vit_tiny": ((8, 32, 5e-4, 5e-2, 3, 4), 24),
    "fakecatcher": ((12, 32, 1e-3, 1e-2, 3, 8), 12),
    "fakecatcher128": ((12, 32, 1e-3, 1e-2, 3, 8), 12),
    "motion_phase": ((12, 32, 1e-3, 5e-2, 3, 8), 12),
    "motion_deep": ((12, 32, 1e-3, 5e-2, 3, 8), 12),
}


@pytest.mark.parametrize("name", list(RECIPES))
def test_recipes_are_those_of_the_study(name):
    spec, (values, full_epochs) = registry.get(name), RECIPES[name]
    blind, lite = spec.kind == "blind", name == "efficientnet_lite0"
    changes = {"flip": blind, "shift": 4 * lite, "colour": 0.2 * lite}
    wanted = base.Recipe(*values, **changes)
    assert spec.recipe == wanted
    full = dataclasses.replace(wanted, epochs=full_epochs)
    assert (spec.full_recipe or spec.recipe) == full


@pytest.mark.parametrize(
    ("change", "message"),
    [({"kind": "magic"}, "use blind or biological"), ({"window": 0}, "give 1 or more")],
)
def test_an_impossible_spec_is_one_line(change, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(registry.get("resnet18"), **change)
