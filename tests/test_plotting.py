"""Figures: labels with units, colours told apart, no density below zero."""

import matplotlib.colors as colors
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from deepfake_uncertainty import plotting
from deepfake_uncertainty.errors import InputError


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


@pytest.mark.parametrize("group", ["DETECTORS", "METHODS", "GENERATORS", "OUTCOMES", "TRAININGS", "VERDICTS"])
def test_colours_of_a_group_differ_in_greyscale(group):
    levels = np.sort([lightness(color) for color in getattr(plotting, group).values()])
    assert np.diff(levels).min() > 6


def test_an_unknown_name_has_no_colour():
    with pytest.raises(InputError, match="no colour for 'x'"):
        plotting.color("x")


def test_wilson_is_scipys():
    reference = binomtest(7, 20).proportion_ci(method="wilson")
    assert np.allclose(plotting.wilson(7 / 20, 20, z=1.959964), reference, atol=1e-6)


def test_reliability_diagram_by_hand(ax):
    assert plotting.reliability_diagram(ax, [0.55, 0.58, 0.95, 1.0], [True, False, True, True], name="mc_dropout") is ax
    points = ax.containers[0].lines[0]
    assert np.allclose(points.get_xdata(), [0.565, 0.975])
    assert np.allclose(points.get_ydata(), [0.5, 1.0])
    assert "probability" in ax.get_xlabel() and ax.containers[0].get_label() == "MC dropout (n = 4)"


def test_risk_coverage_returns_its_axes(ax):
    plotting.risk_coverage(ax, [0.5, 1.0], [0.0, 0.25], "bnn", n=2)
    assert ax.get_xlim() == (0, 1) and ax.get_ylim()[1] > 0.25
    assert "coverage" in ax.get_xlabel() and ax.lines[0].get_label() == "Bayesian network (n = 2)"


def test_coverage_draws_each_group_with_its_splits(ax):
    keys = pd.MultiIndex.from_product([[0.1, 0.3], ["fake", "Deepfakes"]], names=["alpha", "group"])
    frame = pd.DataFrame({"coverage": [0.9, 0.6, 0.7, 0.5], "low": [0.8, 0.5, 0.6, 0.55], "high": [1.0, 0.7, 0.8, 0.6],
                          "theory_low": 0.6, "theory_high": 0.95, "n": [40, 8, 40, 8]}, keys)  # fmt: skip
    assert plotting.coverage(ax, frame) is ax
    assert ax.get_xlabel() == "promised coverage (1 - alpha)" and ax.get_ylabel() == "coverage (fraction whose class fits)"
    labels = ax.get_legend_handles_labels()[1]
    assert labels == ["theory, fake", "fake (n = 40)", "Deepfakes (n = 8)"]
    fake, family = (container.lines[0] for container in ax.containers)
    assert fake.get_xdata() == pytest.approx([0.697, 0.897]) and fake.get_ydata() == pytest.approx([0.7, 0.9])
    assert family.get_color() == plotting.color("Deepfakes") and family.get_ydata() == pytest.approx([0.5, 0.6])
    assert ax.lines[0].get_xydata().tolist() == [[0, 0], [1, 1]]


def test_density_has_unit_mass_and_none_below_zero(ax):
    values = np.random.default_rng(0).exponential(0.1, 400).clip(0, 0.69)
    plotting.densities(ax, {"right": values, "wrong": values[:3]})
    grid, height = ax.lines[0].get_data()
    assert grid.min() == 0 and height.min() >= 0 and ax.get_xlim()[0] == 0 and ax.get_ylim()[0] == 0
    assert np.trapezoid(height, grid) == pytest.approx(1, abs=0.02)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["right (n = 400)", "wrong (n = 3)"]
    assert "nats" in ax.get_xlabel()


def test_density_of_constant_and_empty_groups(ax):
    plotting.densities(ax, {"right": np.zeros(9), "wrong": []})
    assert ax.get_xlim() == (0, 1)


def test_negative_uncertainty_is_refused(ax):
    with pytest.raises(ValueError, match="negative"):
        plotting.densities(ax, {"right": [-0.2, 0.1]})


def test_intervals_lists_the_first_row_on_top(ax):
    rows = {"name": ["bnn", "mc_dropout"], "value": [0.7, 0.6], "low": [0.6, 0.5], "high": [0.8, 0.7]}
    plotting.intervals(ax, pd.DataFrame(rows))
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
