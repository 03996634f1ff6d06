# %% [markdown]
# # 10 Your video
#
# **Question.** Is *this* video certainly a deepfake?
#
# Several detectors look at one video, each gives P(fake) with its uncertainty, and a rule of known error rate says *real*, *fake*
# or *cannot tell*. Before that, a guard asks whether the video is like anything the rule was calibrated on: if not, no verdict is
# given. It would surprise us if a detector trained on rendered heads could say anything about a photograph of a person, and it
# would be a fault if it did.
#
# *Reads* the video `VIDEO`, by default a test clip of the embedded benchmark, and the cached trainings of the other notebooks.
# *Writes* `figures/10_your_video`, `10_evidence`, `10_guard`. About two minutes.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from skimage import data

from deepfake_uncertainty import plotting, results
from deepfake_uncertainty.study import one_video, ood, profiles

# %% tags=["parameters"]
PROFILE = "quick"  # size of the benchmark: quick, full, or paper (real data)
VIDEO = ""  # path of a video; "" takes the fake test clip whose name has the smallest hash
DETECTORS = ["resnet18", "fakecatcher"]  # names of the registry
METHOD = "bnn"  # uncertainty method: deterministic, mc_dropout or bnn
ALPHA = 0.2  # share of real, and of fake, videos that may be named wrongly; 0.1 takes 9 real validation videos, quick has 8
RESAMPLES = 1000  # bootstrap draws of whole identities

# %% tags=["nbval-ignore-output"]
plotting.use_style()
sizes = profiles.get(PROFILE)
print(f"numpy {np.__version__}, pandas {pd.__version__}")

# %% [markdown]
# ## When is a video unlike the others?
#
# Each known video $i$ of $K$ people, and the new one, has properties $c$: size of the face, brightness, contrast, sharpness,
# redness, motion, and how far its deep features lie from those of the training videos (Sun et al. 2022). With the mean $m$ and
# the standard deviation $s$ of the logarithm of a property over the videos of everybody else,
#
# $$d_i = \max_c \frac{\left| \log x_{ic} - m_c \right|}{s_c}, \qquad
# p = \frac{1 + \sum_k \text{share of the videos of person } k \text{ with } d_i \ge d_{\text{new}}}{K + 1}$$
#
# is a conformal p-value (Laxhammar and Falkman 2015; Bates et al. 2023): for a new person like the others, $p \le \alpha$ happens
# in about a share $\alpha$ of the videos, whatever the distributions are. People are counted, not videos, since videos of one
# person are alike (Dunn, Wasserman and Ramdas 2023). A case by hand: one face of 90 px among 40 of 30 to 49.5 px, and one of 40.

# %%
known = pd.DataFrame({"size": 30 + np.arange(40) / 2}, index=range(40))
far, near = (ood.compare(known, {"size": size}) for size in (90.0, 40.0))
assert np.isclose(far.p_value, 1 / 41) and near.familiar
print(f"90 px: {far.text()}\n40 px: {near.text()}")

# %% [markdown]
# ## The video and the face in it

# %% tags=["nbval-check-output"]
index, skipped = profiles.videos(PROFILE)
path = VIDEO or one_video.choose(index).path
print(f"{Path(path).name}: {'given' if VIDEO else 'fake by ' + one_video.choose(index).generator}")
index.groupby("split")[["video", "identity"]].agg({"video": "size", "identity": "nunique"})

# %% [markdown]
# ## The answer
#
# Percentiles are among the validation videos: 90 means that the detector was less certain of this video than of 90 % of them.

# %%
found, unable = one_video.reports(path, DETECTORS, METHOD, PROFILE, ALPHA)
for detector, reason in unable.items():
    print(f"{plotting.label(detector)} cannot read it: {reason}")
table = one_video.side_by_side(found)
table

# %% [markdown]
# In words, with what each answer rests on:

# %%
for report in found.values():
    print(report.text().split("\n start")[0] + "\n")  # without its table of windows

# %% [markdown]
# ## The faces, and P(fake) over time
#
# A decision is taken on the mean over the clip: in the grey band it is *cannot tell*. Look for windows that disagree: a mean that
# hides them is no certainty.

# %%
figure = plt.figure(figsize=(7, 2.2 + 2.1 * len(found)), layout="constrained")
axes = figure.subplots(1 + len(found), 1, height_ratios=[0.8] + [1.4] * len(found))
one_video.strip(axes[0], path)
for ax, report in zip(axes[1:], found.values(), strict=True):
    one_video.timeline(ax, report)
numbers = {name: report.as_json() for name, report in found.items()}
said = " and ".join(f"'{report.decision}' by {plotting.label(name)}" for name, report in found.items())
base = found[next(iter(found))]
odd = sum(not report.familiarity.familiar for report in found.values())
answer = (f"{Path(path).name} is {said}, each at an error rate of at most {100 * ALPHA:g} % calibrated on {base.rule.n_real} "
          f"real and {base.rule.n_fake} fake videos; {odd} of {len(found)} detectors call it unlike what they know.")  # fmt: skip
results.save(figure, "10_your_video", numbers, PROFILE, sizes.seed, answer=answer);

# %% [markdown]
# ## What it rests on
#
# Of the most suspicious window of each detector: its input (a picture, or for detectors of signals over time a map, rows are
# places on the face), where the entropy $H(p)$ of the trained network would move if a value moved, and P(fake) when a region of
# the face is covered by the mean colour. A bar far left of the dashed line names the region that the verdict hangs on.

# %%
figure, axes = plt.subplots(len(found), 3, figsize=(7, 2.4 * len(found)), squeeze=False, layout="constrained")
for row, report in zip(axes, found.values(), strict=True):
    one_video.evidence(row, report)
regions = {name: report.regions for name, report in found.items()}
results.save(figure, "10_evidence", regions, PROFILE, sizes.seed);

# %% [markdown]
# ## How often is such an answer wrong?
#
# The promise is about new videos like the validation videos. The test videos, of other people, check it: shares of videos with
# 95 % bootstrap intervals over people. `unlike` is the guard's false alarm rate, which should be near its own α.

# %%
record = one_video.track_record(index, DETECTORS, METHOD, sizes.seed, sizes.samples, ALPHA, RESAMPLES)
text = record.apply(lambda row: f"{row.value:.2f} [{row.low:.2f}, {row.high:.2f}]", axis=1)
text.unstack("metric", sort=False)

# %% [markdown]
# ## The check most likely to overturn this
#
# A guard that calls everything familiar has no false alarms either. So a photograph of a real person is made into a clip that
# sways by a few pixels, and asked about. Every check of the guard is shown, in units in which the known videos have a mean of 0
# and a standard deviation of 1.

# %%
with tempfile.TemporaryDirectory() as folder:
    real = Path(folder) / "photograph.mp4"
    one_video.photograph_clip(real, data.astronaut()[:400, 50:450])
    real_found, _ = one_video.reports(real, DETECTORS, METHOD, PROFILE, ALPHA)
for name, report in real_found.items():
    print(f"{plotting.label(name)}: {report.decision}, P(fake) {report.p_fake:.2f}; {report.familiarity.text()}")

# %%
figure, axes = plt.subplots(1, len(found), figsize=(3.6 * len(found), 2.8), sharey=True, squeeze=False, layout="constrained")
for ax, name in zip(axes[0], found, strict=True):
    clips = {"this video": (found[name], "o", plotting.color("right"))}
    clips |= {"photograph": (real_found[name], "X", plotting.color("wrong"))} if name in real_found else {}
    for label, (report, marker, color) in clips.items():
        checks = report.familiarity.checks
        text = f"{label}: p = {report.familiarity.p_value:.2f}"
        ax.plot(checks["deviation"], list(checks.index), marker, color=color, label=text)
    ax.axvspan(-2, 2, color="0.92", zorder=0)
    ax.set(xlabel="standard deviations of the log", title=f"{plotting.label(name)} (n = {report.familiarity.n} videos)")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2))
guards = {"test": record, "photograph": {name: one.familiarity.as_json() for name, one in real_found.items()}}
results.save(figure, "10_guard", guards, PROFILE, sizes.seed);

# %% [markdown]
# ## Reading
#
# The sentences below take their numbers from the sidecars.

# %%
for name, one in results.load("10_your_video", PROFILE)["numbers"].items():
    print(f"{plotting.label(name)}: {one['decision']}, P(fake) {one['p_fake']:.2f}; trained on {one['trained_on']}")

# %%
rates = results.frame("10_guard", "test", ["detector", "metric"], PROFILE)
for (name, metric), row in rates.iterrows():
    limit = {"unlike": ood.ALPHA}.get(metric, ALPHA if metric.startswith("error") else None)
    verdict = "" if limit is None else f": {'above' if row.low > limit else 'consistent with'} {limit:g}"
    print(f"{plotting.label(name)}, {metric}: {row.value:.2f} [{row.low:.2f}, {row.high:.2f}] (n = {row.n:.0f}){verdict}")

# %%
for name, one in results.load("10_guard", PROFILE)["numbers"]["photograph"].items():
    verdict = "taken for familiar: the guard fails here" if one["familiar"] else f"refused: {', '.join(one['reasons'])}"
    print(f"{plotting.label(name)}, a photograph of a person: p = {one['p_value']:.2f}, {verdict}")

# %% [markdown]
# ## Summary
#
# An answer is a decision with its error rate, or none; it holds for videos like those calibrated on, and the guard says which are
# not. On SynthFF that is nearly every camera's video: *cannot tell* is then the only honest answer.
#
# **Limits**: the guard sees what its checks measure: a video that differs in none of them passes, whoever made it, and a new
# generator inside a familiar clip is not its business. With few people a p-value is coarse. "Fake" is relative to the generators
# trained on, and "real" is no proof of authenticity. The gradient is that of the deterministic network.
#
# References: Vovk et al. 2005; Laxhammar and Falkman 2015; Sun et al. 2022; Bates et al. 2023; Dunn et al. 2023; Simonyan et
# al. 2014. Back to: [01 Method comparison](01_method_comparison.ipynb).
