"""PPG maps in PyTorch against those in NumPy and SciPy; their gradient against differences."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.ppg_faces import flat_face, region_traces

from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.signals import ppg, ppg_gradient


@settings(max_examples=15, deadline=None)
@given(
    bpm=st.floats(50, 200),
    fps=st.sampled_from([15.0, 25.0, 29.97, 50.0]),
    n=st.sampled_from([64, 90, 128]),
)
def test_map_is_that_of_numpy(bpm, fps, n):
    if n < 2 * np.ceil(ppg.CHROM_SECONDS * fps / 2):
        return
    traces = region_traces(n=n, bpm=bpm, fps=fps)
    ours = ppg_gradient.ppg_map(torch.from_numpy(traces), fps).numpy()
    assert np.abs(ours - ppg.ppg_map(traces, fps, n)).max() < 1e-5


@pytest.mark.parametrize("size", [48, 96, 130])
def test_colour_means_are_those_of_numpy(size):
    rng = np.random.default_rng(size)
    crops = rng.integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    landmarks = (flat_face() + rng.normal(0, 3, (3, 468, 2))) * size / 96  # some outside the crop
    pixels = torch.from_numpy(crops.transpose(0, 3, 1, 2).astype(np.float32))
    ours = ppg_gradient.region_traces(pixels, ppg_gradient.cell_points(landmarks, size)).numpy()
    # Of 255; both add in float32.
    assert np.abs(ours - ppg.region_traces(crops, landmarks)).max() < 1e-3


def test_a_still_region_among_others_has_an_empty_row_and_no_nan():
    traces = region_traces()
    traces[:, 7] = 100.0
    x = torch.from_numpy(traces).requires_grad_()
    found = ppg_gradient.ppg_map(x, 25.0)
    found.sum().backward()
    expected = ppg.ppg_map(traces, 25.0, 64)
    assert np.abs(found.detach().numpy() - expected)[7].max() < 1e-5
    assert torch.isfinite(x.grad).all()


def test_gradient_is_that_of_differences():
    x = torch.from_numpy(region_traces()).requires_grad_()
    weights = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))

    def value(traces):
        return (ppg_gradient.ppg_map(traces, 25.0).double() * weights).sum()

    value(x).backward()
    towards = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    step = 1e-3
    with torch.no_grad():
        difference = (value(x + step * towards) - value(x - step * towards)) / (2 * step)
    assert difference.item() == pytest.approx((x.grad * towards).sum().item(), rel=1e-2)


def test_landmarks_that_are_none_are_refused():
    with pytest.raises(InputError, match="finite"):
        ppg_gradient.cell_points(np.full((2, 468, 2), np.nan), 96)
