# %% [markdown]
# # 07 Ablations
#
# **Question.** What depends on our choices?
#
# One choice is varied at a time, and all others stay those of the study: the number of samples, the
# rate and the place of the dropout, the width of the prior, the start of the posterior (MOPED), the
# number of training people, and the magnification and the window of the motion. With profile `full`
# there are also the compression of the tested videos, the size of the crops, and pretraining. It
# would surprise us if a choice that is usually copied from a paper changed the accuracy more than
# the number of training people does.
#
# *Reads* by default the embedded benchmark SynthFF, which is not FaceForensics++. *Writes*
# `figures/07_*`.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from deepfake_uncertainty.datasets import leakage
from deepfake_uncertainty.report import formatting, plotting, results
from deepfake_uncertainty.study import ablations
from deepfake_uncertainty.training import profiles
from deepfake_uncertainty.uncertainty.measures import measures

# %% tags=["parameters"]
PROFILE = "quick"  # size of the benchmark: quick, full, or paper (real data)
SEED = 0  # seed of the trainings, the samples and the bootstrap
RESAMPLES = None  # bootstrap resamples of whole identities (None: as the profile says)
DETECTOR = "motion_phase"  # name of the varied detector: it learns the task, and quickly
SAMPLES = [1, 2, 5, 10]  # T, draws of a stochastic network
RATES = [0.2, 0.5]  # dropout rates
PLACES = ["head", "last_stage", "every_stage"]  # places of the dropout
PRIORS = [0.03, 0.1]  # standard deviations of the prior
DELTAS = [0.1, 0.3]  # starts of the posterior: standard deviation divided by |weight|
SHARES = [0.5, 1.0]  # shares of the training people
FACTORS = [1, 5]  # factors of the magnification
WINDOWS = [8, 16]  # frames per input
COMPRESSIONS = []  # compressions of the tested videos: c0, c23, c40; quick has c23 only
PICTURE = "resnet18"  # name of the detector of pictures whose crops vary in size
CROPS = []  # sides of the crops in px, usually 64; minutes each, so none in quick
PRETRAINED = []  # True, False: EfficientNet-lite0 starts from ImageNet weights or not; minutes

# %% tags=["nbval-ignore-output"]
plotting.use_style()
sizes = profiles.get(PROFILE).override(seed=SEED, resamples=RESAMPLES)
print(f"torch {torch.__version__}, numpy {np.__version__}, pandas {pd.__version__}")

# %% [markdown]
# ## The effect of T on the measures
#
# The epistemic part is $H(\bar p) - \overline{H(p)}$ with $\bar p$ the mean of T samples. With few
# samples $\bar p$ is close to each of its own samples, so the estimate is too low. For T = 1 it is
# zero by definition. A worked example with a network that gives 0.1 or 0.9:

# %%
draws = np.array([0.1, 0.9] * 25)[:, None]
draws = np.stack([draws, 1 - draws], -1)
by_hand = {T: measures(draws[:T])["epistemic"].item() for T in (1, 2, 50)}
assert by_hand[1] == 0 and np.isclose(by_hand[2], by_hand[50])
by_hand

# %% [markdown]
# ## Data
#
# The number of training people for each share of them:

# %% tags=["nbval-check-output"]
index, skipped = profiles.videos(PROFILE)
leakage.check_leakage(index)
people = {}
for share in SHARES:
    kept = ablations.with_identity_share(index, share)
    people[share] = kept.loc[kept["split"].eq("train"), "identity"].nunique()
pd.Series(people, name="people")

# %% [markdown]
# ## Every choice, one at a time
#
# All numbers are per video. Intervals are 95 % bootstrap intervals over the identities of the test
# videos. A difference between two settings that is smaller than their intervals is no reason to
# prefer one. *size* is that of the crops of `PICTURE`, and *pretrained* is of EfficientNet-lite0;
# all other choices are of `DETECTOR`.

# %%
settings = {"dropout": RATES, "placement": PLACES, "prior_std": PRIORS, "delta": DELTAS}
T, kinds = max(SAMPLES), {"factor": (FACTORS, 5), "window": (WINDOWS, 16)}
variants = ablations.all_variants(DETECTOR, T, SHARES, kinds, **settings)
variants += ablations.compression_variants(COMPRESSIONS, DETECTOR, "bnn", T)
variants += ablations.input_variants("size", CROPS, PICTURE, "deterministic", 1, 64)
network = "efficientnet_lite0"
variants += ablations.network_variants("pretrained", PRETRAINED, network, "deterministic", 1, True)

# %%
compressed = {
    name: profiles.videos(PROFILE, compression=name)[0] for name in COMPRESSIONS if name != "c23"
}
sampled = ablations.sample_variants(index, variants, sizes.run(), compressed)
first = ablations.first_samples(sampled["delta", "0.1"], SAMPLES)
table = ablations.variant_tables(sampled | first, SEED, sizes.resamples)
shown = ["accuracy", "auroc", "ece", "epistemic_mean", "epistemic_failure_auroc"]
formatting.format_intervals(table, shown)

# %% [markdown]
# Look for a choice whose intervals do not overlap. An asterisk marks the usual value.

# %%
choices = list(dict.fromkeys(table.index.get_level_values("choice")))
metrics = {"auroc": "AUROC of p(fake)", "ece": "ECE", "epistemic_mean": "epistemic (nats)"}
rows = [table.loc[choice].index.get_level_values("setting").nunique() for choice in choices]
height = 0.22 * sum(rows) + 0.3 * len(choices) + 0.5
own = table.drop(["size", "pretrained"], level="choice", errors="ignore")
auroc = own.xs("auroc", level="metric")["value"]
spread = auroc.groupby("choice").agg(np.ptp).sort_values()
answer = (
    f"For {plotting.label(DETECTOR)}, the AUROC changes most with {spread.index[-1]} (by "
    f"{spread.iloc[-1]:.2f}) and least with {spread.index[0]} (by {spread.iloc[0]:.2f})."
)

# %%
layout = {"figsize": (7, height), "sharex": "col", "gridspec_kw": {"height_ratios": rows}}
figure, axes = plt.subplots(len(choices), 3, **layout)
for line, choice in zip(axes, choices, strict=True):
    labels = ablations.setting_labels(variants, choice)
    for ax, metric in zip(line, metrics, strict=True):
        part = table.xs((choice, metric), level=("choice", "metric")).rename(index=labels)
        plotting.intervals(ax, part.rename_axis("name").reset_index())
    line[0].set_ylabel(plotting.label(choice), rotation=0, ha="right", va="center")
    for ax in line[1:]:
        ax.set_yticklabels([])
for ax, title in zip(axes[-1], metrics.values(), strict=True):
    ax.set_xlabel(title)
results.save(figure, "07_ablations", {"video": table}, PROFILE, SEED, answer)

# %% [markdown]
# ## The check most likely to overturn this
#
# Do two settings differ at all? The table shows the difference of AUROC to the usual setting, on
# the same resamples of the same videos, corrected for the number of comparisons (Holm). n is the
# number of videos compared. Where a setting has fewer videos than the others, no face could be
# tracked in the rest; the figure shows such a setting on the remaining videos.

# %%
against = ablations.difference_to_default(sampled, variants, "auroc", SEED, sizes.resamples)
results.write_sidecar("07_differences", {"auroc": against}, PROFILE, SEED)
against.astype(float).round(3)

# %% [markdown]
# ## Reading
#
# Every number below is read from the sidecars.

# %%
numbers = results.load_table("07_ablations", "video", ["choice", "setting", "metric"], PROFILE)
for choice, part in numbers.xs("auroc", level="metric").groupby("choice", sort=False):
    width = (part["high"] - part["low"]).median()
    auroc = f"AUROC {part['value'].min():.2f} to {part['value'].max():.2f}"
    print(f"{choice}: {auroc}; the median width of an interval is {width:.2f}")

# %%
differences = results.load_table("07_differences", "auroc", ["choice", "setting"], PROFILE)
different = differences[differences["p_holm"] < 0.05]
count = f"{len(different)} of {len(differences)}"
print(f"{count} settings differ from the usual one after correction")
for (choice, setting), row in different.iterrows():
    interval = f"{row.value:+.3f} [{row.low:+.3f}, {row.high:+.3f}]"
    print(f"{choice} {setting}: {interval}, p = {row.p_holm:.3f}")

# %% [markdown]
# ## Summary
#
# The verdicts above are those of the run shown. Where the settings of a choice do not differ after
# correction, the choice makes no measurable difference at this size of data. This does not show
# that it has no effect.
#
# **Limits**: there is one detector, with one seed and few test people in quick. One choice is
# varied at a time, so the effect of two together is not measured. Compression is varied where the
# benchmark is built in c0 and c40, which quick is not.
#
# References: Gal and Ghahramani 2016; Krishnan et al. 2020; Blundell et al. 2015; Wadhwa et al.
# 2013; Holm 1979. Next: [08 Robustness](08_robustness.ipynb).
