# %% [markdown]
# # 01 Method comparison
#
# **Question.** There are detectors of two kinds and several uncertainty methods: which uncertainty
# shows when a detector is wrong?
#
# ResNet18 reads single frames and knows nothing of the body. FakeCatcher reads the pulse of 32
# regions of the face. In profile `full` there is also Motion, which reads the motion of the face.
# Each detector is used with several methods: as it was trained (deterministic), with its
# temperature scaled on the validation people, with Monte Carlo dropout, as a Bayesian neural
# network, and with a Laplace approximation of its last layer. In profile `full` there is also an
# ensemble of five. It would surprise us if any uncertainty measure ranked errors clearly better
# than plain softmax response, which needs one forward pass and no theory.
#
# *Reads* by default the embedded benchmark SynthFF, which is not FaceForensics++: its numbers say
# nothing about real footage. *Writes* `figures/01_method_comparison`, `01_densities`,
# `01_densities_by_generator`, `01_reliability`, `01_risk_coverage`.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from deepfake_uncertainty.datasets import leakage
from deepfake_uncertainty.evaluation import significance
from deepfake_uncertainty.report import claim_ledger, formatting, plotting, results
from deepfake_uncertainty.study import method_comparison
from deepfake_uncertainty.training import profiles, tasks
from deepfake_uncertainty.uncertainty.measures import measures

# %% tags=["parameters"]
PROFILE = "quick"  # size of the benchmark: quick, full, or paper (real data)
SEED = 0  # seed of the bootstrap, and the first seed of the trainings and their samples
N_SEEDS = None  # trainings of each network, each from its own seed (None: as the profile says)
SAMPLES = None  # T, weight or mask draws of a stochastic network (None: as the profile says)
RESAMPLES = None  # bootstrap resamples of whole identities (None: as the profile says)
DETECTORS = None  # names of detectors (None: those that the profile compares)
METHODS = None  # names of uncertainty methods (None: as the profile says)

# %% tags=["nbval-ignore-output"]
plotting.use_style()
sizes = profiles.get(PROFILE).override(
    seed=SEED,
    n_seeds=N_SEEDS,
    samples=SAMPLES,
    resamples=RESAMPLES,
    compared=DETECTORS,
    methods=METHODS,
)
print(f"torch {torch.__version__}, numpy {np.__version__}, pandas {pd.__version__}")

# %% [markdown]
# ## Measures
#
# A stochastic network gives $T$ probability vectors $p_1 \dots p_T$ for one input. With
# $H(p) = -\sum_c p_c \log p_c$ in nats and $\bar p$ their mean,
#
# $$\underbrace{H(\bar p)}_{\text{total}} = \underbrace{\tfrac1T\sum_t H(p_t)}_{\text{aleatoric}} +
# \underbrace{\mathrm{MI}}_{\text{epistemic}}$$
#
# (Depeweg et al. 2018). Softmax response is $1 - \max_c \bar p_c$. A deterministic network has
# $T = 1$ and no epistemic part.
#
# For a video, $p_t$ is the mean over its frames or windows, so their disagreement counts as
# aleatoric. One weight draw of a Bayesian network serves all frames, and all frames of a video
# share the masks of MC dropout. A mask for each frame would be averaged away within the video.

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
print(f"{len(skipped)} videos skipped")
print(f"the constant answer 'fake' would be right for {fakes:.2f} of the test videos")
index.pivot_table(index="generator", columns="split", values="video", aggfunc="count")

# %% [markdown]
# ## Results
#
# Trainings come from the cache, or run now. The score of a video is the mean over its frames or
# windows. A value is the mean over trainings. Its 95 % bootstrap interval is over the identities of
# the test videos and over trainings (McCarthy and Snowden 1985); with one training it is over
# identities alone.

# %%
sampled = tasks.sample_all(index, sizes.compared, sizes.methods, sizes.runs)
table = significance.seed_tables(sampled, SEED, sizes.resamples)
families = significance.seed_tables_by_generator(sampled, SEED, sizes.resamples)

# %%
formatting.format_intervals(table, ["accuracy", "auroc", "nll", "brier", "ece"])

# %% [markdown]
# Does the uncertainty predict failure? The table shows the AUROC of each score for the errors (0.5:
# no better than chance), with softmax response first.

# %%
scores = ["softmax", "total", "aleatoric", "epistemic"]
failures = formatting.format_intervals(table, [f"{score}_failure_auroc" for score in scores])
failures.set_axis(scores, axis=1)

# %% [markdown]
# The next table shows the area under the generalised risk-coverage curve (AUGRC, Traub et al. 2024;
# lower is better). It also counts how often the network is wrong at all.

# %%
formatting.format_intervals(table, [f"{score}_augrc" for score in scores]).set_axis(scores, axis=1)

# %% [markdown]
# By generator (AUROC against the real videos):

# %%
by_generator = formatting.format_intervals(families, ["auroc"])["auroc"]
by_generator.drop("real", level="generator").unstack("generator")

# %% [markdown]
# ## Accuracy and ranking with their intervals
#
# Left: how well P(fake) separates fake videos from real ones. Right: how well softmax response
# separates the videos that are decided wrongly from those decided rightly. With so few test
# identities, only gaps larger than the bars mean anything. The dotted line is chance.

# %%
several = [key for key, trained in sampled.items() if len(trained[SEED].probabilities) > 1]
gains = table.xs("epistemic_gain", level="metric").loc[several]  # networks with an epistemic part
answer = (
    "Epistemic uncertainty ranks the errors better than softmax response in "
    f"{gains['low'].gt(0).sum()} of {len(gains)} networks with several samples and worse in "
    f"{gains['high'].lt(0).sum()}, by the 95 % interval."
)
panels = {"auroc": "fake from real", "softmax_failure_auroc": "wrong from right"}
n_test = int(index["split"].eq("test").sum())

# %%
height = (0.25 * len(sizes.methods) + 0.75) * len(sizes.compared) + 0.4
layout = {"figsize": (7, height), "sharex": True, "squeeze": False}
figure, axes = plt.subplots(len(sizes.compared), 2, **layout)
for row, detector in zip(axes, sizes.compared, strict=True):
    for ax, (metric, title) in zip(row, panels.items(), strict=True):
        chosen = table.xs((detector, metric), level=("detector", "metric")).rename_axis("name")
        plotting.intervals(ax, chosen.reset_index())
        ax.set(title=f"{plotting.label(detector)}: {title}", xlim=(0, 1.02))
        ax.axvline(0.5, color="0.6", linestyle=":", zorder=0)
        ax.set_xlabel(f"AUROC (n = {n_test} videos)")
numbers = {"video": table, "by_generator": families}
results.save(figure, "01_method_comparison", numbers, PROFILE, SEED, answer=answer)

# %% [markdown]
# ## Uncertainty of right and of wrong decisions
#
# A useful measure gives wrong frames higher values than right ones: their density lies further to
# the right.

# %%
shape, size = (len(sizes.compared), 3), (9, 2.4 * len(sizes.compared))
figure, axes = plt.subplots(*shape, figsize=size, squeeze=False)
shown = "bnn" if "bnn" in sizes.methods else sizes.methods[-1]
spread = {}
for row, detector in zip(axes, sizes.compared, strict=True):
    frames = method_comparison.window_scores(sampled[detector, shown])
    right, wrong = frames[frames["right"]], frames[~frames["right"]]
    for ax, score in zip(row, scores[1:], strict=True):
        groups = {"right": right[score], "wrong": wrong[score]}
        plotting.densities(ax, groups, f"{plotting.label(score)} (nats)")
        ax.set_title(f"{plotting.label(detector)}, {plotting.label(shown)}")
        spread[f"{detector}/{score}"] = method_comparison.group_sizes(groups)
results.save(figure, "01_densities", spread, PROFILE, SEED)

# %% [markdown]
# The same by generator: is the network less certain about one of them? Where the density of a
# generator equals that of the real videos, the certainty of the network does not depend on that
# generator.

# %%
figure, axes = plt.subplots(*shape, figsize=size, squeeze=False)
by_family = {}
for row, detector in zip(axes, sizes.compared, strict=True):
    frames = method_comparison.window_scores(sampled[detector, shown])
    for ax, score in zip(row, scores[1:], strict=True):
        groups = {name: part[score] for name, part in frames.groupby("generator", sort=False)}
        plotting.densities(ax, groups, f"{plotting.label(score)} (nats)")
        ax.set_title(f"{plotting.label(detector)}, {plotting.label(shown)}")
        ax.get_legend().remove()
        by_family[f"{detector}/{score}"] = method_comparison.group_sizes(groups)
    row[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
results.save(figure, "01_densities_by_generator", by_family, PROFILE, SEED)

# %% [markdown]
# ## Calibration
#
# The figure shows accuracy against confidence in bins of frames or windows, for the first training.
# On the diagonal, a confidence of 0.8 is right 80 % of the time.

# %%
columns, width = len(sizes.compared), min(9, 3.6 * len(sizes.compared))
figure, axes = plt.subplots(1, columns, figsize=(width, 4.4), squeeze=False)
for ax, detector in zip(axes[0], sizes.compared, strict=True):
    for method in sizes.methods:
        frames = method_comparison.window_scores(sampled[detector, method][SEED])
        plotting.reliability_diagram(ax, frames["confidence"], frames["right"], name=method)
    ax.set(title=plotting.label(detector), xlim=(0.45, 1.02))
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize=7)
results.save(figure, "01_reliability", table.xs("ece", level="metric"), PROFILE, SEED)

# %% [markdown]
# ## Selective prediction
#
# A *risk-coverage curve* shows how often the decision is wrong if only the most certain share of
# the videos is decided. It should fall to the left. A flat curve means that the uncertainty is
# unrelated to the errors. The curve contains the test videos of every training; n is the number of
# test videos.

# %%
figure, axes = plt.subplots(1, columns, figsize=(width, 4), squeeze=False)
for ax, detector in zip(axes[0], sizes.compared, strict=True):
    for method in sizes.methods:
        curve = method_comparison.risk_curve(sampled[detector, method], "total")
        count = len(curve.risk) // sizes.n_seeds
        plotting.risk_coverage(ax, curve.coverage, curve.risk, method, n=count)
    ax.set_title(plotting.label(detector))
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize=7)
results.save(figure, "01_risk_coverage", table.filter(like="aurc", axis=0), PROFILE, SEED)

# %% [markdown]
# ## Reading
#
# The sentences below take their numbers from the sidecar.

# %%
keys = ["detector", "method", "metric"]
numbers = results.load_table("01_method_comparison", "video", keys, PROFILE)
for (detector, method), row in numbers.xs("auroc", level="metric").iterrows():
    name = f"{plotting.label(detector)}, {plotting.label(method)}"
    print(f"{name}: AUROC {formatting.interval_text(row)}")

# %%
keys = ["method", "metric", "detector", "generator"]
own = results.load_table("01_method_comparison", "by_generator", keys, PROFILE)
for (detector, generator), row in own.loc[("deterministic", "auroc")].dropna().iterrows():
    verdict = "above chance" if row.low > 0.5 else "not shown to be above chance"
    name = f"{plotting.label(detector)}, {generator}"
    print(f"{name}: AUROC against real {formatting.interval_text(row)}: {verdict}")

# %% [markdown]
# ## The check most likely to overturn this
#
# Does epistemic uncertainty predict errors better than softmax response? The two are correlated, so
# their difference is taken on the same resamples. A gain counts only if its interval lies above
# zero. Two comparisons are left out, because they cannot fail. With two classes the total
# uncertainty is a rising function of softmax response, so both rank alike. A network of one sample
# has no epistemic part.

# %%
stochastic = pd.concat({key: table.loc[key] for key in several}, names=["detector", "method"])
formatting.format_intervals(stochastic, ["aleatoric_gain", "epistemic_gain"])

# %%
for (detector, method), row in numbers.xs("epistemic_gain", level="metric").loc[several].iterrows():
    verdict = "a gain" if row.low > 0 else "a loss" if row.high < 0 else "no difference shown"
    name = f"{plotting.label(detector)}, {plotting.label(method)}"
    print(f"{name}: {row.value:+.2f} [{row.low:+.2f}, {row.high:+.2f}]: {verdict}")

# %% [markdown]
# ## Evidence for the claims
#
# The rows below bear on question Q1: uncertainty measures predict failure better than softmax
# response.

# %%
rows, data = [], ", ".join(index["dataset"].unique())
for detector, method in dict.fromkeys(stochastic.index.droplevel("metric")):
    name = f"{plotting.label(detector)}, {plotting.label(method)}"
    for score in ("aleatoric", "epistemic"):
        gain = stochastic.loc[detector, method, f"{score}_gain"]
        what = f"failure AUROC, {score} minus softmax response"
        rows.append(claim_ledger.claim_row("Q1", what, gain, data=data, detector=name, n=n_test))
shown = ["claim", "statistic", "detector", "value", "low", "high", "verdict"]
claim_ledger.write_claims("01", rows, PROFILE, SEED)[shown].round(3)

# %% [markdown]
# ## Summary
#
# The verdicts above are those of the run shown. On SynthFF, a FakeCatcher at chance is consistent
# with notebook 00: the fakes keep the pulse of their target, so nothing is missing from them.
#
# **Limits**: there is one training in quick, and there are few test identities. The networks are
# trained from scratch on small crops. The heads of SynthFF are rendered, and nothing transfers from
# them to real footage.
#
# References: Guo et al. 2017; Gal and Ghahramani 2016; Blundell et al. 2015; Krishnan et al. 2020;
# Daxberger et al. 2021; Lakshminarayanan et al. 2017; Depeweg et al. 2018; McCarthy and Snowden
# 1985; Traub et al. 2024. Next: [02 Detection](02_detection.ipynb).
