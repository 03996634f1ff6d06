"""The report on one video, its text, JSON and figure."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from support import small_world
from support.reports import familiarity, report

from deepfake_uncertainty.datasets import face_regions, video
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.evaluation import decide, occlusion
from deepfake_uncertainty.study.your_video import drawing, explain


def test_json_is_valid_and_whole():
    found = report().as_json()
    again = json.loads(json.dumps(found, allow_nan=False))
    assert again == found and not {"crop", "mask", "x", "sensitive"} & set(found)
    assert found["familiarity"]["familiar"] is True
    assert found["familiarity"]["checks"]["size"]["value"] == 40
    assert found["measures"]["total"] == {"value": 0.5, "percentile": 75.0}
    assert found["regions"]["mouth"]["p_fake"] == 0.4
    counts = {"n_real": 4, "n_fake": 12}
    assert found["rule"] == {"alpha": 0.1, "reals_below": None, "fakes_above": 0.25} | counts
    assert found["windows"][2] == {"start": 1.0, "p_fake": 0.9, "total": 0.5, "epistemic": 0.125}
    values = [found[name] for name in ("decision", "p_fake", "region", "worst")]
    assert values == ["cannot tell", 0.55, "mouth", 2]


def test_text_says_answer_rule_training_and_windows():
    lines = report().text().splitlines()
    answer = (
        "a.mp4: CANNOT TELL, P(fake) 0.55 over the clip; 3 frames by ResNet18, Bayesian network"
    )
    assert lines[0] == answer
    assert lines[1].startswith("like the footage trained and calibrated on (p = ")
    assert lines[2].startswith(
        "rule: at most 10 % of real and of fake videos misclassified, "
        "thresholds from 4 real and 12 fake"
    )
    # No finite threshold: 4 of 9.
    assert lines[2].endswith("; it never says 'fake': that takes 9 real videos at this rate")
    assert "never says" not in report(rule=decide.Rule(0.2, 0.9, 0.25, 4, 12)).text()
    trained_on = (
        "trained on 30 identities of SynthFF (real, A): no evidence about footage unlike it"
    )
    assert lines[3] == trained_on
    assert lines[4] == "most suspicious: 1.0 s, P(fake) 0.90; with the mouth hidden 0.40"
    assert [line.split() for line in lines[6:]] == [
        ["0.00", "0.20", "0.50", "0.12"],
        ["0.50", "0.55", "0.50", "0.12"],
        ["1.00", "0.90", "0.50", "0.12"],
    ]


def test_text_of_a_long_video_shows_a_sample_and_the_worst():
    text = report(100).text()
    assert "17 of 100 shown" in text
    assert "49.50     0.90" in text
    assert len(text.splitlines()) == 5 + 1 + 17 + 1


def test_text_of_one_window_of_several_faces_without_a_region():
    text = report(
        1, n_faces=3, region=None, hidden_p_fake=None, seen="val", detector="fakecatcher", worst=0
    ).text()
    assert "; 1 window by FakeCatcher" in text and "no single region explains it" in text
    assert "3 faces" in text and "largest was analyzed" in text and "in the val split" in text


def test_text_of_an_unfamiliar_video_says_so_and_why():
    line = report(familiarity=familiarity(300.0)).text().splitlines()[1]
    assert line.startswith(
        "unlike anything this was calibrated on (p = 0.02 among 40 videos of 40 people)"
    )
    assert line.endswith(": larger face")


def test_the_sensitivity_is_the_gradient_of_the_entropy():
    torch.manual_seed(0)
    network = small_world.build(2, 0.0)
    x = torch.rand(1, 3, 4, 4)
    found = explain.sensitivity(network, x.numpy())
    assert found.shape == (1, 4, 4) and (found >= 0).all()
    step = torch.zeros_like(x)

    def entropy(x):
        return torch.distributions.Categorical(logits=network.double()(x.double())).entropy().item()

    slopes = []
    for channel in range(3):  # by differences
        step[:] = 0
        step[0, channel, 1, 2] = 1e-4
        slopes.append(abs(entropy(x + step) - entropy(x - step)) / 2e-4)
    assert found[0, 1, 2] == pytest.approx(max(slopes), rel=1e-2)


class Bright:
    """A model by which P(fake) is the brightness of the lower half of a picture."""

    def sample(self, x, T, keys=None):
        p = x[:, :, 16:].mean((1, 2, 3))
        return np.stack([1 - p, p], 1)[None].repeat(T, 0)


def test_the_region_is_the_one_whose_hiding_lowers_p_fake(tmp_path, monkeypatch):
    video.encode(tmp_path / "a.mp4", np.full((8, 32, 32, 3), 100, np.uint8), 8.0)
    track = small_world.load_track(tmp_path / "a.mp4").part(2, 1)
    assert track.crops.shape == (1, 32, 32, 3) and track.times.tolist() == [0.25]
    track.crops[0, 20:28] = 255
    masks = {"forehead": np.s_[:8], "mouth": np.s_[20:28]}

    def mask(points, name, size):
        found = np.zeros((size, size), bool)
        found[masks.get(name, np.s_[:0])] = True
        return found

    monkeypatch.setattr(occlusion, "region_mask", mask)
    # Rows 20 to 27 are 255, the others 100. Hidden, they are blurred, with a soft edge.
    rows, hidden = np.full(32, 100.0), np.zeros(32)
    rows[20:28], hidden[20:28] = 255, 1
    alpha = gaussian_filter1d(hidden, 32 * occlusion.FEATHER, mode="mirror")
    blurred = gaussian_filter1d(rows, 32 * occlusion.BLUR, mode="mirror")
    expected = ((1 - alpha) * rows + alpha * blurred)[16:].mean() / 255
    table = explain.by_region(track, small_world.SPEC, Bright(), 2)
    assert table.index.tolist() == [explain.WHOLE, *face_regions.REGIONS]
    others = table["p_fake"].drop("mouth")
    assert others.to_numpy() == pytest.approx((255 + 100) / 2 / 255, abs=0.01)
    name, p_fake = explain.decisive(table)
    assert name == "mouth" and p_fake == pytest.approx(expected, abs=0.01)
    track.crops[:] = 100  # nothing to hide
    table = explain.by_region(track, small_world.SPEC, Bright(), 2)
    assert explain.decisive(table) == (None, None)


class Pulse:
    """A model by which P(fake) is the mean of the first sub-region of the mouth in a PPG map."""

    def sample(self, x, T, keys=None):
        p = x[:, 0, occlusion.CELLS["mouth"][0]].mean(1)
        return np.stack([1 - p, p], 1)[None].repeat(T, 0)


def test_a_region_of_a_ppg_map_is_hidden_by_the_mean_pulse():
    ppg_map = np.zeros((1, 1, 64, 8), np.float32)
    ppg_map[0, 0, list(occlusion.CELLS["mouth"])] = 0.8
    spec = replace(small_world.SPEC, input_kind="ppg", inputs=lambda track, n: (ppg_map, [0]))
    table = explain.by_region(None, spec, Pulse(), 2)
    assert table["p_fake"].drop("mouth").to_numpy() == pytest.approx(0.8)
    # Four of the 32 sub-regions are 0.8, the others 0.
    assert explain.decisive(table) == ("mouth", pytest.approx(0.1))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"n": 1, "worst": 0, "region": None, "hidden_p_fake": None, "mask": None},
        {"n": 300, "method": "deterministic"},
        {"rule": decide.Rule(0.1, np.inf, -np.inf, 1, 1)},
        {"familiarity": familiarity(300.0)},
    ],
    ids=["few", "one", "many", "no-rule", "unlike"],
)
@pytest.mark.parametrize("suffix", [".png", ".pdf"])
def test_the_figure_is_written(tmp_path, changes, suffix):
    drawing.draw(report(**changes), tmp_path / f"a{suffix}")
    assert (tmp_path / f"a{suffix}").stat().st_size > 5000 and len(list(tmp_path.iterdir())) == 1


def test_a_figure_of_another_format_is_refused(tmp_path):
    with pytest.raises(InputError, match="ends in .png, .pdf or .svg"):
        drawing.draw(report(), tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())
