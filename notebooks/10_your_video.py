# %% [markdown]
# # 10 Your video
#
# **Question.** Is *this* video certainly a deepfake?
#
# Several detectors analyse one video. Each gives P(fake) with its uncertainty, and a rule of known
# error rate decides *real*, *fake* or *cannot tell*. Before that, a familiarity check tests whether
# the video is like those that the rule was calibrated on. If not, there is no verdict. It would
# surprise us if a detector trained on rendered heads could say anything about a photograph of a
# person, and it would be a fault if it did.
#
# *Reads* the video `VIDEO`, by default a test clip of the embedded benchmark, and the cached
# trainings of the other notebooks. *Writes* `figures/10_your_video`, `10_evidence`, `10_guard`.
# *Takes* about two minutes.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from skimage import data

from deepfake_uncertainty.report import formatting, plotting, results
from deepfake_uncertainty.study.your_video import familiarity_check, panel
from deepfake_uncertainty.training import profiles

# %% tags=["parameters"]
PROFILE = "quick"  # size of the benchmark: quick, full, or paper (real data)
VIDEO = ""  # path of a video; "" takes the fake test clip whose name has the smallest hash
DETECTORS = ["resnet18", "fakecatcher"]  # names of detectors
METHOD = "bnn"  # name of the uncertainty method: deterministic, mc_dropout or bnn
ALPHA = 0.2  # error rate for real and for fake videos; 0.1 needs 9 real videos, quick has 8
RESAMPLES = None  # bootstrap resamples of whole identities (None: as the profile says)

# %% tags=["nbval-ignore-output"]
plotting.use_style()
sizes = profiles.get(PROFILE).override(resamples=RESAMPLES)
print(f"numpy {np.__version__}, pandas {pd.__version__}")

# %% [markdown]
# ## When is a video unlike the others?
#
# Each known video $i$ of $K$ people, and the new one, has properties $c$: size of the face,
# brightness, contrast, sharpness, redness, motion, and the distance of its deep features from those
# of the training videos (Sun et al. 2022). Let $m$ be the mean and $s$ the standard deviation of
# the logarithm of a property over the videos of all other people. Then
#
# $$d_i = \max_c \frac{\left| \log x_{ic} - m_c \right|}{s_c}, \qquad
# p = \frac{1 + \sum_k \text{share of the videos of person } k
# \text{ with } d_i \ge d_{\text{new}}}{K + 1}$$
#
# is a conformal p-value (Laxhammar and Falkman 2015; Bates et al. 2023). For a new person like the
# others, $p \le \alpha$ happens in about a share $\alpha$ of the videos, for any distribution.
# People are counted, not videos, since videos of one person are alike (Dunn, Wasserman and Ramdas
# 2023). A worked example: the known videos are 40 with faces of 30 to 49.5 px; one new face has 90
# px, and another has 40 px.

# %%
known = pd.DataFrame({"size": 30 + np.arange(40) / 2}, index=range(40))
far, near = (familiarity_check.compare_properties(known, {"size": size}) for size in (90.0, 40.0))
assert np.isclose(far.p_value, 1 / 41) and near.familiar
print(f"90 px: {far.text()}\n40 px: {near.text()}")

# %% [markdown]
# ## The video and the data

# %% tags=["nbval-check-output"]
index, skipped = profiles.videos(PROFILE)
path, origin = VIDEO, "given"
if not VIDEO:
    example = panel.example_video(index)
    path, origin = example.path, f"fake by {example.generator}"
print(f"{Path(path).name}: {origin}")
index.groupby("split")[["video", "identity"]].agg({"video": "size", "identity": "nunique"})

# %% [markdown]
# ## The answer
#
# Percentiles are among the validation videos. A percentile of 90 means that the detector was less
# certain of this video than of 90 % of them.

# %%
found, unable = panel.analyze_with_each(path, DETECTORS, METHOD, PROFILE, ALPHA)
for detector, reason in unable.items():
    print(f"{plotting.label(detector)} cannot read it: {reason}")
panel.report_table(found)

# %% [markdown]
# The same in words, with the basis of each answer:

# %%
for report in found.values():
    print(report.text().split("\n start")[0] + "\n")  # without its table of windows

# %% [markdown]
# ## The faces, and P(fake) over time
#
# The decision is based on the mean over the clip. In the grey band it is *cannot tell*. Look for
# windows that disagree: a mean that hides them does not show certainty.

# %%
parts = [f"'{report.decision}' by {plotting.label(name)}" for name, report in found.items()]
rule = next(iter(found.values())).rule
unlike = sum(not report.familiarity.familiar for report in found.values())
answer = (
    f"The answer for {Path(path).name} is {' and '.join(parts)}, each with an error rate of at "
    f"most {100 * ALPHA:g} %, calibrated on {rule.n_real} real and {rule.n_fake} fake videos; "
    f"{unlike} of {len(found)} detectors find it unlike the videos that they know."
)

# %%
figure = plt.figure(figsize=(7, 2.2 + 2.1 * len(found)), layout="constrained")
axes = figure.subplots(1 + len(found), 1, height_ratios=[0.8] + [1.4] * len(found))
panel.draw_face_strip(axes[0], path)
for ax, report in zip(axes[1:], found.values(), strict=True):
    panel.draw_timeline(ax, report)
numbers = {name: report.as_json() for name, report in found.items()}
results.save(figure, "10_your_video", numbers, PROFILE, sizes.seed, answer=answer)

# %% [markdown]
# ## The evidence
#
# The figure shows the most suspicious window of each detector. Left: its input, which is a picture,
# or a map for detectors of signals over time, whose rows are places on the face. Middle: the
# gradient of the entropy $H(p)$ of the trained network with respect to the input. Right: P(fake)
# when a region of the face is hidden as in notebook 05: blurred, or in a map of pulses replaced by
# the mean of all places. A bar far left of the dashed line names a region that the verdict depends
# on.

# %%
layout = {"figsize": (7, 2.4 * len(found)), "squeeze": False, "layout": "constrained"}
figure, axes = plt.subplots(len(found), 3, **layout)
for row, report in zip(axes, found.values(), strict=True):
    panel.draw_evidence(row, report)
regions = {name: report.regions for name, report in found.items()}
results.save(figure, "10_evidence", regions, PROFILE, sizes.seed)

# %% [markdown]
# ## How often is such an answer wrong?
#
# The promised error rate holds for new videos like the validation videos. It is checked here on the
# test videos, which show other people. The table shows shares of videos with 95 % bootstrap
# intervals over people. `unlike` is the false alarm rate of the familiarity check, which should be
# near its own α.

# %%
record = panel.test_error_rates(index, DETECTORS, METHOD, sizes.run(), ALPHA, sizes.resamples)
record.apply(formatting.interval_text, axis=1).unstack("metric", sort=False)

# %% [markdown]
# ## The check most likely to overturn this
#
# A familiarity check that accepts every video has no false alarms either. So a photograph of a real
# person is made into a clip that sways by a few pixels, and analysed. The figure shows every
# property of the familiarity check, in units in which the known videos have a mean of 0 and a
# standard deviation of 1.

# %%
with tempfile.TemporaryDirectory() as folder:
    real = Path(folder) / "photograph.mp4"
    panel.write_swaying_photo(real, data.astronaut()[:400, 50:450])
    real_found, _ = panel.analyze_with_each(real, DETECTORS, METHOD, PROFILE, ALPHA)
for name, report in real_found.items():
    decision = f"{report.decision}, P(fake) {report.p_fake:.2f}"
    print(f"{plotting.label(name)}: {decision}; {report.familiarity.text()}")

# %%
size = (3.6 * len(found), 2.8)
layout = {"figsize": size, "sharey": True, "squeeze": False, "layout": "constrained"}
shown = {"this video": (found, "o", "right"), "photograph": (real_found, "X", "wrong")}
guards = {name: report.familiarity.as_json() for name, report in real_found.items()}

# %%
figure, axes = plt.subplots(1, len(found), **layout)
for ax, name in zip(axes[0], found, strict=True):
    for label, (reports, marker, color) in shown.items():
        if name in reports:
            guard = reports[name].familiarity
            places, text = list(guard.checks.index), f"{label}: p = {guard.p_value:.2f}"
            look = {"color": plotting.color(color), "label": text}
            ax.plot(guard.checks["deviation"], places, marker, **look)
    ax.axvspan(-2, 2, color="0.92", zorder=0)
    ax.set_title(f"{plotting.label(name)} (n = {guard.n} videos)")
    ax.set_xlabel("standard deviations of the log")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2))
numbers = {"test": record, "photograph": guards}
results.save(figure, "10_guard", numbers, PROFILE, sizes.seed)

# %% [markdown]
# ## Reading
#
# The sentences below take their numbers from the sidecars.

# %%
for name, read in results.load("10_your_video", PROFILE)["numbers"].items():
    decision = f"{read['decision']}, P(fake) {read['p_fake']:.2f}"
    print(f"{plotting.label(name)}: {decision}; trained on {read['trained_on']}")

# %%
rates = results.load_table("10_guard", "test", ["detector", "metric"], PROFILE)
for (name, metric), row in rates.iterrows():
    limit = ALPHA if metric.startswith("error") else None
    limit = familiarity_check.ALPHA if metric == "unlike" else limit
    verdict = "" if limit is None else f": consistent with {limit:g}"
    verdict = f": above {limit:g}" if limit is not None and row.low > limit else verdict
    text = f"{formatting.interval_text(row)} (n = {row.n:.0f})"
    print(f"{plotting.label(name)}, {metric}: {text}{verdict}")

# %%
for name, read in results.load("10_guard", PROFILE)["numbers"]["photograph"].items():
    verdict = f"refused: {', '.join(read['reasons'])}"
    verdict = "accepted as familiar: the check fails here" if read["familiar"] else verdict
    print(f"{plotting.label(name)}, a photograph of a person: p = {read['p_value']:.2f}, {verdict}")

# %% [markdown]
# ## Summary
#
# An answer is a decision with its error rate, or no decision. It holds for videos like those
# calibrated on, and the familiarity check says which are not. With networks trained on SynthFF
# these are nearly all videos from real cameras: *cannot tell* is then the only honest answer.
#
# **Limits**: the familiarity check sees only what its properties measure. A video that differs in
# none of them passes, whoever made it. A new generator in a familiar clip is not detected by it.
# With few people a p-value is coarse. "Fake" is relative to the generators trained on, and "real"
# is no proof of authenticity. The gradient is that of the deterministic network.
#
# References: Vovk et al. 2005; Laxhammar and Falkman 2015; Sun et al. 2022; Bates et al. 2023; Dunn
# et al. 2023; Simonyan et al. 2014. Back to: [01 Method comparison](01_method_comparison.ipynb).
