# %% [markdown]
# # 07 Ablations
#
# **Question.** What depends on our choices?
#
# Number of samples, rate and place of the dropout, width of the prior, start of the posterior (MOPED), number of training people,
# magnification and window of the motion; with profile `full` also compression of the tested videos, size of the crops and
# pretraining: one is varied at a time, all others stay those of the study. It would surprise us if a choice that is usually
# copied from a paper moved the accuracy more than the number of training people does.
#
# *Reads* by default the embedded benchmark SynthFF, which is not FaceForensics++. *Writes* `figures/07_*`.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from deepfake_uncertainty import plotting, results
from deepfake_uncertainty.datasets import leakage
from deepfake_uncertainty.study import ablations, comparison, profiles
from deepfake_uncertainty.uncertainty.measures import measures

# %% tags=["parameters"]
PROFILE = "quick"  # size of the benchmark: quick, full, or paper (real data)
SEED = 0  # of the trainings, the samples and the bootstrap
RESAMPLES = 1000  # bootstrap draws of whole identities
DETECTOR = "motion_phase"  # whose choices are varied: one that learns the task, and quickly
SAMPLES = [1, 2, 5, 10]  # T, draws of a stochastic network
RATES = [0.2, 0.5]  # dropout
PLACES = ["head", "last_stage", "every_stage"]  # where the dropout stands
PRIORS = [0.03, 0.1]  # standard deviation of the prior
DELTAS = [0.1, 0.3]  # start of the posterior: standard deviation over |weight|
SHARES = [0.5, 1.0]  # of the training people
FACTORS = [1, 5]  # of the magnification
WINDOWS = [8, 16]  # frames of an input
COMPRESSIONS = []  # of the tested videos, c0, c23 and c40: quick has c23 only
PICTURE = "resnet18"  # a detector of pictures, for the size of its crops
CROPS = []  # their sides in px, 64 is usual: minutes each, none in quick
PRETRAINED = []  # whether EfficientNet-lite0 starts from ImageNet's weights, True or False: minutes, none in quick

# %% tags=["nbval-ignore-output"]
plotting.use_style()
print(f"torch {torch.__version__}, numpy {np.__version__}, pandas {pd.__version__}")

# %% [markdown]
# ## What T does to the measures
#
# The epistemic part is $H(\bar p) - \overline{H(p)}$ with $\bar p$ the mean of T samples. With few samples $\bar p$ follows its
# own samples, so the estimate is too low, and for T = 1 it is zero by definition. By hand, a network that says 0.1 or 0.9:

# %%
draws = np.array([0.1, 0.9] * 25)[:, None]
draws = np.stack([draws, 1 - draws], -1)
by_hand = {T: measures(draws[:T])["epistemic"].item() for T in (1, 2, 50)}
assert by_hand[1] == 0 and np.isclose(by_hand[2], by_hand[50])
by_hand

# %% [markdown]
# ## Data

# %% tags=["nbval-check-output"]
index, skipped = profiles.videos(PROFILE)
leakage.check_leakage(index)
kept = {share: ablations.fewer_people(index, share) for share in SHARES}
pd.Series({share: rows.loc[rows["split"].eq("train"), "identity"].nunique() for share, rows in kept.items()}, name="people")

# %% [markdown]
# ## Every choice, one at a time
#
# Video level; intervals are 95 % bootstrap intervals over the identities of the test videos. A difference between two settings
# that is smaller than their intervals is no reason to prefer one. *size* is that of the crops of `PICTURE`, *pretrained* is of
# EfficientNet-lite0; all others are of `DETECTOR`.

# %%
settings = {"dropout": RATES, "placement": PLACES, "prior_std": PRIORS, "delta": DELTAS}
T, kinds = max(SAMPLES), {"factor": (FACTORS, 5), "window": (WINDOWS, 16)}
variants = ablations.variants(DETECTOR, T, SHARES, kinds, **settings)
variants += ablations.compressions(COMPRESSIONS, DETECTOR, "bnn", T)
variants += ablations.inputs("size", CROPS, PICTURE, "deterministic", 1, 64)
variants += ablations.networks("pretrained", PRETRAINED, "efficientnet_lite0", "deterministic", 1, True)
compressed = {name: profiles.videos(PROFILE, compression=name)[0] for name in COMPRESSIONS if name != "c23"}
sampled = ablations.sample(index, variants, SEED, compressed)
draws = ablations.fewer_samples(sampled["delta", "0.1"], SAMPLES)
table = ablations.tables(sampled | draws, SEED, RESAMPLES)
comparison.readable(table, ["accuracy", "auroc", "ece", "epistemic_mean", "epistemic_failure_auroc"])

# %% [markdown]
# Look for a choice whose rows do not overlap. The usual value is marked by an asterisk.

# %%
choices = list(dict.fromkeys(table.index.get_level_values("choice")))
metrics = {"auroc": "AUROC of p(fake)", "ece": "ECE", "epistemic_mean": "epistemic (nats)"}
rows = [table.loc[choice].index.get_level_values("setting").nunique() for choice in choices]
figure, axes = plt.subplots(len(choices), 3, figsize=(7, 0.22 * sum(rows) + 0.3 * len(choices) + 0.5), sharex="col",
                            gridspec_kw={"height_ratios": rows})  # fmt: skip
for line, choice in zip(axes, choices, strict=True):
    for ax, metric in zip(line, metrics, strict=True):
        shown = table.xs((choice, metric), level=("choice", "metric")).rename(index=ablations.starred(variants, choice))
        plotting.intervals(ax, shown.rename_axis("name").reset_index())
    line[0].set_ylabel(plotting.label(choice), rotation=0, ha="right", va="center")
    for ax in line[1:]:
        ax.set_yticklabels([])
for ax, title in zip(axes[-1], metrics.values(), strict=True):
    ax.set_xlabel(title)
own = table.drop(["size", "pretrained"], level="choice", errors="ignore").xs("auroc", level="metric")["value"]
spread = own.groupby("choice").agg(np.ptp).sort_values()
answer = (f"For {plotting.label(DETECTOR)} the AUROC moves most with {spread.index[-1]}, by {spread.iloc[-1]:.2f}, and least "
          f"with {spread.index[0]}, by {spread.iloc[0]:.2f}.")  # fmt: skip
results.save(figure, "07_ablations", {"video": table}, PROFILE, SEED, answer);

# %% [markdown]
# ## The check most likely to overturn this
#
# Do two settings differ at all? The difference of AUROC to the usual setting, on the same resamples of the same videos, corrected
# for the number of comparisons (Holm). n are the videos compared: where a setting has fewer than the others, no face could be
# followed in the rest, and the figure shows it on those that are left.

# %%
against = ablations.against_usual(sampled, variants, "auroc", SEED, RESAMPLES)
results.write_sidecar("07_differences", {"auroc": against}, PROFILE, SEED)
against.astype(float).round(3)

# %% [markdown]
# ## Reading

# %%
numbers = results.frame("07_ablations", "video", ["choice", "setting", "metric"], PROFILE)
for choice, part in numbers.xs("auroc", level="metric").groupby("choice", sort=False):
    spread, width = part["value"].max() - part["value"].min(), (part["high"] - part["low"]).median()
    print(f"{choice}: AUROC {part['value'].min():.2f} to {part['value'].max():.2f}; one interval is {width:.2f} wide")

# %%
told = results.frame("07_differences", "auroc", ["choice", "setting"], PROFILE)
shown = told[told["p_holm"] < 0.05]
print(f"{len(shown)} of {len(told)} settings differ from the usual one after correction")
for (choice, setting), row in shown.iterrows():
    print(f"{choice} {setting}: {row.value:+.3f} [{row.low:+.3f}, {row.high:+.3f}], p = {row.p_holm:.3f}")

# %% [markdown]
# ## Summary
#
# The verdicts above are those of the run shown. A choice whose settings do not differ after correction is one that need not be
# argued about at this size of data; it is not shown to be without effect.
#
# **Limits**: one detector, one seed and few test people in quick; one choice at a time, so that what two do together is not seen;
# compression is varied where the benchmark is built in c0 and c40, which quick is not.
#
# References: Gal and Ghahramani 2016; Krishnan et al. 2020; Blundell et al. 2015; Wadhwa et al. 2013; Holm 1979. Next:
# [08 Robustness](08_robustness.ipynb).
