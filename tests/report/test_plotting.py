"""Figures: labels with units, colours told apart, no density below zero."""

import dataclasses

import matplotlib.colors as colors
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from deepfake_uncertainty.benchmark.generators import catalogue
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.report import plotting
from deepfake_uncertainty.training import methods


@pytest.fixture
def ax():
    plotting.use_style()
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def lightness(color):
    """CIE L* of a colour, 0 to 100."""
    rgb = np.array(colors.to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    y = linear @ [0.2126, 0.7152, 0.0722]
    return 116 * np.cbrt(y) - 16 if y > 0.008856 else 903.3 * y


def colors_of(registry):
    return {spec.name: spec.color for spec in registry.specs().values() if spec.color}


GROUPS = {
    "detectors": lambda: colors_of(registry.DETECTORS),
    "methods": lambda: colors_of(methods.METHODS),
    "generators": lambda: plotting.REAL | colors_of(catalogue.FAMILIES),
    "outcomes": lambda: plotting.OUTCOMES,
    "seen": lambda: plotting.SEEN,
    "verdicts": lambda: plotting.VERDICTS,
}


@pytest.mark.parametrize("group", GROUPS)
def test_colours_of_a_group_differ_in_greyscale(group):
    levels = np.sort([lightness(color) for color in GROUPS[group]().values()])
    assert np.diff(levels).min() > 6


def test_every_built_in_detector_and_method_has_a_fixed_colour_and_a_label():
    for specs in (registry.DETECTORS.specs(), methods.METHODS.specs()):
        for spec in specs.values():
            assert plotting.color(spec.name) == spec.color == plotting.fixed_colors()[spec.name]
            assert plotting.label(spec.name) == spec.label


@pytest.fixture
def plugin(monkeypatch):
    """A detector of somebody else, without a colour."""
    spec = dataclasses.replace(registry.get("resnet18"), name="theirs", label="Theirs", color=None)
    monkeypatch.setitem(registry.DETECTORS.specs(), "theirs", spec)
    return spec


def test_a_detector_without_a_colour_gets_one_and_keeps_it(plugin, ax):
    given = plotting.color("theirs")
    assert colors.is_color_like(given) and given == plotting.color("theirs")
    assert given not in plotting.fixed_colors().values()
    plotting.risk_coverage(ax, [0.5, 1.0], [0.0, 0.25], "theirs")
    assert ax.lines[0].get_color() == given and ax.lines[0].get_label() == "Theirs"


def test_the_colour_of_a_name_is_the_same_in_every_process(monkeypatch):
    monkeypatch.setattr(plotting, "fixed_colors", lambda: {"a": "#000000"})
    assert plotting.color("theirs") == "#d936d9"


def test_spare_colours_are_far_from_all_fixed_ones():
    fixed = np.array([colors.to_rgb(value) for value in plotting.fixed_colors().values()])
    given = {plotting.color(f"plugin {k}") for k in range(300)}
    gaps = [np.linalg.norm(fixed - colors.to_rgb(value), axis=1).min() for value in given]
    assert min(gaps) > 0.15 and len(given) > 10


def test_a_colour_of_a_plugin_is_used(plugin, monkeypatch):
    spec = dataclasses.replace(plugin, color="#123456")
    monkeypatch.setitem(registry.DETECTORS.specs(), "theirs", spec)
    assert plotting.color("theirs") == "#123456"


def test_labels_come_from_the_specs_and_other_names_stand_for_themselves(plugin):
    assert plotting.label("theirs") == "Theirs" and plotting.label("bnn") == "Bayesian network"
    assert plotting.label("total") == "total: H(mean p)" and plotting.label("x") == "x"
    assert plotting.spec_of("theirs") is plugin and plotting.spec_of("x") is None


def test_a_name_without_a_fixed_colour_is_drawn_in_grey(ax):
    plotting.risk_coverage(ax, [0.5, 1.0], [0.0, 0.25], "x")
    assert ax.lines[0].get_color() == "0.35" and ax.lines[0].get_label() == "x"


def test_wilson_is_scipys():
    reference = binomtest(7, 20).proportion_ci(method="wilson")
    assert np.allclose(plotting.wilson(7 / 20, 20, z=1.959964), reference, atol=1e-6)


def test_reliability_diagram_by_hand(ax):
    confidence, correct = [0.55, 0.58, 0.95, 1.0], [True, False, True, True]
    assert plotting.reliability_diagram(ax, confidence, correct, name="mc_dropout") is ax
    points = ax.containers[0].lines[0]
    assert np.allclose(points.get_xdata(), [0.565, 0.975])
    assert np.allclose(points.get_ydata(), [0.5, 1.0])
    assert "probability" in ax.get_xlabel() and ax.containers[0].get_label() == "MC dropout (n = 4)"


def test_risk_coverage_returns_its_axes(ax):
    plotting.risk_coverage(ax, [0.5, 1.0], [0.0, 0.25], "bnn", n=2)
    assert ax.get_xlim() == (0, 1) and ax.get_ylim()[1] > 0.25
    assert "coverage" in ax.get_xlabel() and ax.lines[0].get_label() == "Bayesian network (n = 2)"


def test_density_has_unit_mass_and_none_below_zero(ax):
    values = np.random.default_rng(0).exponential(0.1, 400).clip(0, 0.69)
    plotting.densities(ax, {"right": values, "wrong": values[:3]})
    grid, height = ax.lines[0].get_data()
    assert grid.min() == 0 and height.min() >= 0 and ax.get_xlim()[0] == 0 and ax.get_ylim()[0] == 0
    assert np.trapezoid(height, grid) == pytest.approx(1, abs=0.02)
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["right (n = 400)", "wrong (n = 3)"]
    assert "nats" in ax.get_xlabel()


def test_density_of_constant_and_empty_groups(ax):
    plotting.densities(ax, {"right": np.zeros(9), "wrong": []})
    assert ax.get_xlim() == (0, 1)


def test_negative_uncertainty_is_refused(ax):
    with pytest.raises(ValueError, match="negative"):
        plotting.densities(ax, {"right": [-0.2, 0.1]})


def test_intervals_lists_the_first_row_on_top(ax):
    rows = [("bnn", 0.7, 0.6, 0.8), ("mc_dropout", 0.6, 0.5, 0.7)]
    plotting.intervals(ax, pd.DataFrame(rows, columns=["name", "value", "low", "high"]))
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["Bayesian network", "MC dropout"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


def test_grouped_intervals_give_each_name_its_own_height_and_one_legend_entry(ax):
    index = pd.MultiIndex.from_product([["a", "b"], ["deterministic", "bnn"]])
    frame = pd.DataFrame({"value": [0.5, 0.6, 0.7, np.nan], "low": 0.4, "high": 0.8}, index)
    plotting.grouped_intervals(ax, frame)
    heights = [line.get_ydata() for line in ax.lines]
    np.testing.assert_allclose(np.ravel(heights), [-0.175, 0.825, 0.175, 1.175])
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "b"]
    assert ax.get_legend_handles_labels()[1] == ["deterministic", "Bayesian network"]
