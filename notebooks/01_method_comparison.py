# %% [markdown]
# # 01 Method comparison
#
# **Question.** Detectors of two kinds, several ways to be uncertain: which one knows when it is wrong?
#
# ResNet18 reads single frames and has no idea of a body; FakeCatcher reads the pulse of 32 regions of the face; Motion, in
# profile `full`, what moves in it. Each is used as it was trained (deterministic), with its temperature scaled on the validation
# people, with Monte Carlo dropout, as a Bayesian neural network, with a Laplace approximation of its last layer, and in profile
# `full` as an ensemble of five. It would surprise us if any uncertainty measure ranked errors clearly better than plain softmax
# response, which costs one pass and no theory.
#
# *Reads* by default the embedded benchmark SynthFF, which is not FaceForensics++: its numbers do not speak of real footage.
# *Writes* `figures/01_method_comparison`, `01_densities`, `01_densities_by_generator`, `01_reliability`, `01_risk_coverage`.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from deepfake_uncertainty import plotting, results
from deepfake_uncertainty.datasets import leakage
from deepfake_uncertainty.study import claims, comparison, profiles
from deepfake_uncertainty.uncertainty.measures import measures

# %% tags=["parameters"]
PROFILE = "quick"  # size of the benchmark: quick, full, or paper (real data)
SEED = 0  # of the bootstrap, and the first of the trainings and their samples
TRAININGS = 1  # of each network, from as many seeds
SAMPLES = 10  # T, weight or mask draws of a stochastic network
RESAMPLES = 1000  # bootstrap draws of whole identities
DETECTORS = ["resnet18", "fakecatcher"]  # names of the registry
METHODS = ["deterministic", "temperature", "mc_dropout", "bnn", "laplace"]  # uncertainty methods

# %% tags=["nbval-ignore-output"]
plotting.use_style()
print(f"torch {torch.__version__}, numpy {np.__version__}, pandas {pd.__version__}")

# %% [markdown]
# ## Measures
#
# A stochastic network gives $T$ probability vectors $p_1 \dots p_T$ for one input. With $H(p) = -\sum_c p_c \log p_c$ in nats
# and $\bar p$ their mean,
#
# $$\underbrace{H(\bar p)}_{\text{total}} = \underbrace{\tfrac1T\sum_t H(p_t)}_{\text{aleatoric}} +
# \underbrace{\mathrm{MI}}_{\text{epistemic}}$$
#
# (Depeweg et al. 2018). Softmax response is $1 - \max_c \bar p_c$. A deterministic network has $T = 1$ and no epistemic part.
#
# For a video, $p_t$ is the mean over its frames or windows, so that their disagreement counts as aleatoric. A weight draw of a
# Bayesian network serves all frames, but MC dropout draws a mask for each: the mean takes part of their spread away, and its
# epistemic values are smaller by construction.

# %%
by_hand = measures([[[1.0, 0.0]], [[0.0, 1.0]]])
assert np.isclose(by_hand["epistemic"], np.log(2)).all()
pd.DataFrame(by_hand).round(3)

# %% [markdown]
# ## Data
#
# Train, validation and test share no identity, neither as target nor as source of a fake.

# %% tags=["nbval-check-output"]
index, skipped = profiles.videos(PROFILE)
leakage.check_leakage(index)
fakes = index.loc[index["split"].eq("test"), "generator"].ne("real").mean()
print(f"{len(skipped)} videos skipped; always saying 'fake' would be right for {fakes:.2f} of the test videos")
index.pivot_table(index="generator", columns="split", values="video", aggfunc="count")

# %% [markdown]
# ## Results
#
# Trainings come from the cache, or run now. Every video's score is the mean over its frames or windows. A value is the mean
# over trainings; its 95 % bootstrap interval is over the identities of the test videos and over trainings (McCarthy and Snowden
# 1985), with one training over identities alone.

# %%
seeds = range(SEED, SEED + TRAININGS)
sampled = comparison.sample_all(index, DETECTORS, METHODS, seeds, SAMPLES, PROFILE)
table = comparison.tables(sampled, SEED, RESAMPLES)
families = comparison.tables_by_generator(sampled, SEED, RESAMPLES)

# %%
comparison.readable(table, ["accuracy", "auroc", "nll", "brier", "ece"])

# %% [markdown]
# Does the uncertainty predict failure? The AUROC of each score against the errors (0.5: no better than chance), with softmax
# response first.

# %%
scores = ["softmax", "total", "aleatoric", "epistemic"]
comparison.readable(table, [f"{score}_failure_auroc" for score in scores]).set_axis(scores, axis=1)

# %% [markdown]
# The same as an area under the generalised risk-coverage curve (AUGRC, Traub et al. 2024; lower is better), which also counts
# how often the network is wrong at all:

# %%
comparison.readable(table, [f"{score}_augrc" for score in scores]).set_axis(scores, axis=1)

# %% [markdown]
# By generator (AUROC against the real videos):

# %%
comparison.readable(families, ["auroc"])["auroc"].drop("real", level="generator").unstack("generator")

# %% [markdown]
# ## Accuracy and ranking with their intervals
#
# Left, how well P(fake) tells fake videos from real ones; right, how well softmax response tells the videos that are decided
# wrongly from those decided rightly. With this few test identities, only gaps larger than the bars mean anything. The dotted
# line is chance.

# %%
figure, axes = plt.subplots(len(DETECTORS), 2, figsize=(7, (0.25 * len(METHODS) + 0.75) * len(DETECTORS) + 0.4), sharex=True)
shown = {"auroc": "fake from real", "softmax_failure_auroc": "wrong from right"}
for row, detector in zip(np.atleast_2d(axes), DETECTORS, strict=True):
    for ax, (metric, title) in zip(row, shown.items(), strict=True):
        chosen = table.xs((detector, metric), level=("detector", "metric")).rename_axis("name").reset_index()
        plotting.intervals(ax, chosen).set(title=f"{plotting.label(detector)}: {title}", xlim=(0, 1.02))
        ax.axvline(0.5, color="0.6", linestyle=":", zorder=0)
        ax.set_xlabel(f"AUROC (n = {index['split'].eq('test').sum()} videos)")
several = [key for key, trained in sampled.items() if len(trained[SEED].probabilities) > 1]  # those with an epistemic part
gains = table.xs("epistemic_gain", level="metric").loc[several]
answer = (f"Epistemic uncertainty ranks the errors better than softmax response in {gains['low'].gt(0).sum()} of {len(gains)} "
          f"networks with several samples and worse in {gains['high'].lt(0).sum()}, by the 95 % interval.")  # fmt: skip
numbers = {"video": table, "by_generator": families}
results.save(figure, "01_method_comparison", numbers, PROFILE, SEED, answer=answer);

# %% [markdown]
# ## How the measures are spread, right against wrong
#
# A useful measure puts the wrong frames to the right of the right ones.

# %%
figure, axes = plt.subplots(len(DETECTORS), 3, figsize=(9, 2.4 * len(DETECTORS)), squeeze=False)
spread = {}
for row, detector in zip(axes, DETECTORS, strict=True):
    frames = comparison.windows(sampled[detector, "bnn"])
    for ax, score in zip(row, scores[1:], strict=True):
        groups = {"right": frames.loc[frames["right"], score], "wrong": frames.loc[~frames["right"], score]}
        plotting.densities(ax, groups, f"{plotting.label(score)} (nats)")
        ax.set_title(f"{plotting.label(detector)}, BNN")
        spread[f"{detector}/{score}"] = comparison.sizes(groups)
results.save(figure, "01_densities", spread, PROFILE, SEED);

# %% [markdown]
# The same by generator: is one family harder to be sure about? A density that sits on the real videos' says that the network's
# certainty knows nothing of that family.

# %%
figure, axes = plt.subplots(len(DETECTORS), 3, figsize=(9, 2.4 * len(DETECTORS)), squeeze=False)
by_family = {}
for row, detector in zip(axes, DETECTORS, strict=True):
    frames = comparison.windows(sampled[detector, "bnn"])
    for ax, score in zip(row, scores[1:], strict=True):
        groups = {name: part[score] for name, part in frames.groupby("generator", sort=False)}
        plotting.densities(ax, groups, f"{plotting.label(score)} (nats)")
        ax.set_title(f"{plotting.label(detector)}, BNN")
        ax.get_legend().remove()
        by_family[f"{detector}/{score}"] = comparison.sizes(groups)
    row[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
results.save(figure, "01_densities_by_generator", by_family, PROFILE, SEED);

# %% [markdown]
# ## Calibration
#
# Accuracy against confidence in bins of frames or windows, of the first training; on the diagonal, a confidence of 0.8 is right
# 80 % of the time.

# %%
figure, axes = plt.subplots(1, len(DETECTORS), figsize=(min(9, 3.6 * len(DETECTORS)), 4.4), squeeze=False)
for ax, detector in zip(axes[0], DETECTORS, strict=True):
    for method in METHODS:
        frames = comparison.windows(sampled[detector, method][SEED])
        plotting.reliability_diagram(ax, frames["confidence"], frames["right"], name=method)
    ax.set(title=plotting.label(detector), xlim=(0.45, 1.02))
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize=7)
results.save(figure, "01_reliability", table.xs("ece", level="metric"), PROFILE, SEED);

# %% [markdown]
# ## Selective prediction
#
# A *risk-coverage curve* answers: if only the most certain share of videos is decided, how often is the decision wrong? It
# should fall to the left. A flat curve means that the uncertainty does not know about the errors. n are the test videos, and the
# curve is of those of every training.

# %%
figure, axes = plt.subplots(1, len(DETECTORS), figsize=(min(9, 3.6 * len(DETECTORS)), 4), squeeze=False)
for ax, detector in zip(axes[0], DETECTORS, strict=True):
    for method in METHODS:
        curve = comparison.risk_curve(sampled[detector, method], "total")
        plotting.risk_coverage(ax, curve.coverage, curve.risk, method, n=len(curve.risk) // TRAININGS)
    ax.set_title(plotting.label(detector))
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize=7)
results.save(figure, "01_risk_coverage", table.filter(like="aurc", axis=0), PROFILE, SEED);

# %% [markdown]
# ## Reading
#
# The sentences below take their numbers from the sidecar.

# %%
numbers = results.frame("01_method_comparison", "video", ["detector", "method", "metric"], PROFILE)
for (detector, method), row in numbers.xs("auroc", level="metric").iterrows():
    name = f"{plotting.label(detector)}, {plotting.label(method)}"
    print(f"{name}: AUROC {row.value:.2f} [{row.low:.2f}, {row.high:.2f}]")

# %%
own = results.frame("01_method_comparison", "by_generator", ["method", "metric", "detector", "generator"], PROFILE)
for (detector, generator), row in own.loc[("deterministic", "auroc")].dropna().iterrows():
    verdict = "told from real" if row.low > 0.5 else "not told from real"
    print(f"{plotting.label(detector)}, {generator}: {row.value:.2f} [{row.low:.2f}, {row.high:.2f}]: {verdict}")

# %% [markdown]
# ## The check most likely to overturn this
#
# Does epistemic uncertainty predict errors better than softmax response? The two are correlated, so their difference is taken
# on the same resamples: a gain counts only if its interval lies above zero. Two comparisons are left out, because they cannot
# fail: with two classes the total uncertainty is a rising function of softmax response and ranks alike, and a network of one
# sample has no epistemic part.

# %%
stochastic = pd.concat({key: table.loc[key] for key in several}, names=["detector", "method"])
comparison.readable(stochastic, ["aleatoric_gain", "epistemic_gain"])

# %%
for (detector, method), row in numbers.xs("epistemic_gain", level="metric").loc[several].iterrows():
    verdict = "a gain" if row.low > 0 else "a loss" if row.high < 0 else "no difference shown"
    name = f"{plotting.label(detector)}, {plotting.label(method)}"
    print(f"{name}: {row.value:+.2f} [{row.low:+.2f}, {row.high:+.2f}]: {verdict}")

# %%
told, who = int(index["split"].eq("test").sum()), plotting.label
rows = [claims.row("Q1", f"failure AUROC, {score} less softmax response", stochastic.loc[detector, method, f"{score}_gain"],
                   data=", ".join(index["dataset"].unique()), detector=f"{who(detector)}, {who(method)}", n=told)
        for detector, method in dict.fromkeys(stochastic.index.droplevel("metric")) for score in ("aleatoric", "epistemic")]
claims.write("01", rows, PROFILE, SEED)[["claim", "statistic", "detector", "value", "low", "high", "verdict"]].round(3)

# %% [markdown]
# ## Summary
#
# The verdicts above are those of the run shown. On SynthFF, a FakeCatcher at chance is consistent with notebook 00: the fakes
# keep the pulse of their target, so that nothing is missing from them.
#
# **Limits**: one training in quick, few test identities, networks trained from scratch on small crops; on SynthFF rendered
# heads, from which nothing transfers to real footage.
#
# References: Guo et al. 2017; Gal and Ghahramani 2016; Blundell et al. 2015; Krishnan et al. 2020; Daxberger et al. 2021;
# Lakshminarayanan et al. 2017; Depeweg et al. 2018; McCarthy and Snowden 1985; Traub et al. 2024.
