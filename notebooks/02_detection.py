# %% [markdown]
# # 02 Detection
#
# **Question.** How certain are detectors, by architecture and by task?
#
# Every detector of the registry decides *real or fake* on unseen people. Some of them also decide
# *real, or which generator*, which can be collapsed to real or fake again. These are also tested on
# a data set that they have never seen, in both directions. Each is evaluated as it was trained and
# as a Bayesian network, by frame or window and by video. It would surprise us if a network lost its
# accuracy on the other data set and its uncertainty showed this (claim C3 of the paper: uncertainty
# grows where a detector generalises poorly).
#
# *Reads* by default the embedded benchmark SynthFF and SynthAV, which are not FaceForensics++ and
# FakeAVCeleb. *Writes* `figures/02_*`.

# %%
import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from deepfake_uncertainty.datasets import leakage
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.evaluation import metric_tables, metrics, significance
from deepfake_uncertainty.report import claim_ledger, formatting, plotting, results
from deepfake_uncertainty.study.detection import detector_costs, task_comparison
from deepfake_uncertainty.training import profiles, tasks

# %% tags=["parameters"]
PROFILE = "quick"  # size of the benchmark: quick, full, or paper (real data)
SEED = 0  # seed of the bootstrap, and the first seed of the trainings and their samples
N_SEEDS = None  # trainings of each network, each from its own seed (None: as the profile says)
SAMPLES = None  # T, weight draws of a Bayesian network (None: as the profile says)
RESAMPLES = None  # bootstrap resamples of whole identities (None: as the profile says)
DETECTORS = None  # names of detectors (None: all)
COMPARED = None  # detectors that also do the other tasks (None: as the profile says)
METHODS = None  # uncertainty methods of the compared detectors (None: as the profile says)
MODERN = ["vit_tiny", "frame_transformer"]  # newer ones, which the reviewers asked for

# %% tags=["nbval-ignore-output"]
plotting.use_style()
sizes = profiles.get(PROFILE).override(
    seed=SEED,
    n_seeds=N_SEEDS,
    samples=SAMPLES,
    resamples=RESAMPLES,
    compared=COMPARED,
    task_methods=METHODS,
)
print(f"torch {torch.__version__}, numpy {np.__version__}, pandas {pd.__version__}")

# %% [markdown]
# ## Measures
#
# The measures are the accuracy $A$, the AUROC of $p(\text{fake})$, the expected calibration error
#
# $$\mathrm{ECE} = \sum_b \frac{n_b}{N}\,|\,\mathrm{acc}_b - \mathrm{conf}_b\,|$$
#
# over 15 bins $b$ of the confidence (Guo et al. 2017), and the negative log-likelihood in nats,
# which is $\log 2$ for a coin toss. A worked example with three videos: two are right with a
# confidence of 0.9, and one is wrong with 0.6.

# %%
p, y = np.array([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4]]), np.array([0, 1, 1])
assert np.isclose(metrics.ece(p, y), (2 * 0.1 + 0.6) / 3)
assert np.isclose(metrics.accuracy(p, y), 2 / 3)
print(f"ECE {metrics.ece(p, y):.3f}, NLL {metrics.nll(p, y):.3f} nats")

# %% [markdown]
# ## Data

# %% tags=["nbval-check-output"]
found = [profiles.videos(PROFILE, name)[0] for name in profiles.datasets()]
sets = {videos["dataset"].iloc[0]: videos for videos in found}
for videos in sets.values():
    leakage.check_leakage(videos)
home = next(iter(sets))
both = pd.concat(sets.values())
test = both[both["split"].eq("test")].groupby(["dataset", "generator"], sort=False)
test.agg(videos=("video", "size"), people=("identity", "nunique"))

# %% [markdown]
# ## Every detector: real or fake?
#
# The detectors are trained on the people of one data set and tested on other people of the same
# one. There is one number per video, the mean over its frames or windows. The tables show the mean
# over trainings, with 95 % intervals over people and trainings.

# %%
names = DETECTORS or list(registry.names())
binary = tasks.sample_all(sets[home], names, ["deterministic"], sizes.runs)
table = significance.seed_tables(binary, SEED, sizes.resamples).droplevel("method")
shown = formatting.format_intervals(table, ["accuracy", "auroc", "ece", "nll"])
shown.rename(index=plotting.label)

# %% [markdown]
# The next table shows the cost of each detector: trainable parameters, seconds of training (when it
# was trained), and inputs per second (now, with as many threads as its recipe says). Times are
# those of the machine that ran this, and never repeat.

# %% tags=["nbval-ignore-output"]
costs = detector_costs.cost_table(sets[home], names, sizes.run())
headings = {
    "frames": "frames per input",
    "train_s": "training (s)",
    "inputs_per_s": "inputs per second",
}
costs.set_index("label").round({"train_s": 0, "inputs_per_s": 0}).rename(columns=headings)

# %% [markdown]
# The dotted line of the accuracy is that of a constant answer, the more frequent class. A detector
# whose accuracy is no higher has learnt the share of fakes and nothing else.

# %%
majority = task_comparison.majority_accuracy(sets[home])
guesses = {"auroc": ("AUROC of p(fake)", 0.5), "accuracy": ("accuracy", majority)}
count = int(sets[home]["split"].eq("test").sum())
best = table.xs("auroc", level="metric").sort_values("value").iloc[-1]
answer = (
    f"The best of {len(names)} detectors is {plotting.label(best.name)}: AUROC {best.value:.2f} "
    f"[{best.low:.2f}, {best.high:.2f}] on unseen people of {home}."
)

# %%
figure, axes = plt.subplots(1, 2, figsize=(7, 0.32 * len(names) + 1.0), sharey=True)
for ax, (metric, (name, guess)) in zip(axes, guesses.items(), strict=True):
    plotting.intervals(ax, table.xs(metric, level="metric").rename_axis("name").reset_index())
    ax.axvline(guess, color="0.5", linestyle=":", zorder=0)
    ax.set(xlabel=f"{name} (n = {count} videos)")
found = {"video": table, "parameters": costs["parameters"], "majority": majority}
results.save(figure, "02_detectors", found, PROFILE, SEED, answer)

# %% [markdown]
# The next table shows the AUROC by generator, against the real videos. Is there a generator that no
# detector finds, or one that all detectors find?

# %%
families = significance.seed_tables_by_generator(binary, SEED, sizes.resamples).droplevel("method")
shown = formatting.format_intervals(families, ["auroc"])["auroc"]
shown.drop("real", level="generator").unstack("generator")

# %% [markdown]
# ## By task
#
# *Real or fake* is the task above, for each data set by itself. *Generators* is one network trained
# to name every generator of both data sets. *Collapsed* is the same network, with the probabilities
# of its generators added up to fake. A row *A to B* was trained on data set A and tested on B.

# %%
generators = task_comparison.sample_generators(
    pd.concat(sets.values(), ignore_index=True), sizes.compared, sizes.task_methods, sizes.runs
)
sampled = {}
for name, videos in sets.items():
    sampled[f"{name}, real or fake"] = tasks.sample_all(
        videos, sizes.compared, sizes.task_methods, sizes.runs
    )
    sampled[f"{name}, generators"] = generators[name]
    sampled[f"{name}, generators, collapsed"] = {
        key: task_comparison.to_binary(samples) for key, samples in generators[name].items()
    }

# %%
directions = list(itertools.permutations(sets, 2))
for trained, tested in directions:
    sampled[f"{trained} to {tested}"] = tasks.cross_dataset(
        sets[trained], sets[tested], sizes.compared, sizes.task_methods, sizes.runs
    )
by_task = task_comparison.task_tables(sampled, SEED, sizes.resamples)
formatting.format_intervals(by_task, ["accuracy", "auroc", "ece", "total_mean", "epistemic_mean"])

# %% [markdown]
# Look for the rows *A to B*: the AUROC falls towards one half where the training on one data set is
# of no use on the other.

# %%
columns = len(sizes.compared)
chosen = [name for name in sampled if not name.endswith("generators")]
size = (7, 0.42 * len(chosen) + 0.8)
figure, axes = plt.subplots(1, columns, figsize=size, sharey=True, sharex=True, squeeze=False)
for ax, detector in zip(axes[0], sizes.compared, strict=True):
    rows = by_task.xs((detector, "auroc"), level=("detector", "metric"))
    plotting.grouped_intervals(ax, rows.loc[chosen])
    ax.axvline(0.5, color="0.5", linestyle=":", zorder=0)
    ax.set(title=plotting.label(detector), xlabel="AUROC of p(fake)")
legend = axes[0, 0].get_legend_handles_labels()
figure.legend(*legend, loc="outside lower center", ncols=len(sizes.task_methods))
results.save(figure, "02_tasks", {"video": by_task}, PROFILE, SEED)

# %% [markdown]
# ## Does the uncertainty grow on unfamiliar data?
#
# The next table shows the change of each measure from the people of the own data set to those of
# the other (nats, except for accuracy and AUROC), with the interval of the difference. Claim C3,
# that uncertainty grows where a detector generalises poorly, needs lower accuracy and higher
# uncertainty.

# %%
shifts = {}
for trained, tested in directions:
    task = f"{trained} to {tested}"
    for key, far in sampled[task].items():
        near = sampled[f"{trained}, real or fake"][key]
        shifts[task, *key] = task_comparison.metric_shift(near, far, SEED, sizes.resamples)
shifts = pd.concat(shifts, names=["task", "detector", "method"])
shown = ["accuracy", "auroc", "total_mean", "aleatoric_mean", "epistemic_mean"]
formatting.format_intervals(shifts, shown)

# %% [markdown]
# ## By frame or by video?
#
# The mean over the frames of a video averages out random errors. The gap between the two levels
# shows how much.

# %%
levels = {
    level: significance.seed_tables(binary, SEED, sizes.resamples, level).droplevel("method")
    for level in ("window", "video")
}
levels = pd.concat(levels, names=["level"])
shown = formatting.format_intervals(levels, ["accuracy", "auroc", "ece"])
shown.unstack("level")[["auroc", "ece"]]

# %% [markdown]
# ## The check most likely to overturn this
#
# Do the detectors differ at all? The table shows the difference of AUROC to the best one, on the
# same resamples of the same videos, corrected for the number of comparisons (Holm).

# %%
by_name = {name: samples for (name, _), samples in binary.items()}
against = task_comparison.difference_to_best(by_name, "auroc", SEED, sizes.resamples)
against.rename(index=plotting.label).round(3)

# %% [markdown]
# ## Evidence for the claims
#
# All statistics are on the same resamples of the test people. Each is defined so that the claim
# says that it is above zero. *Blind* detectors read pixels, *biological* ones read pulse or motion.
#
# * C1: blind detectors lose more accuracy than biological ones when they are made Bayesian.
# * C2: biological detectors are better calibrated than blind ones.
# * C3: uncertainty grows where a detector generalises poorly (here the other data set).
# * Q3: deciding by video is more accurate than by frame.
# * Q4: a vision transformer or a video-level model does better than the older detectors (here than
#   their mean).
#
# A detector at chance has no accuracy to lose: where one is compared, C1 means little. Resamples
# repeat videos, which makes their ECE larger, so the interval of an ECE may lie above its value.

# %%
compared, last = sampled[f"{home}, real or fake"], sizes.task_methods[-1]
drawn = {
    key: significance.pooled_values(samples, SEED, sizes.resamples)
    for key, samples in {**binary, **compared}.items()
}
cost = {
    name: drawn[name, "deterministic"]["accuracy"] - drawn[name, last]["accuracy"]
    for name in sizes.compared
}
gap = {name: drawn[name, "deterministic"]["ece"] for name in names}

# %%
of_home = {"data": home, "n": count}
kinds = {
    "C1": ("accuracy lost when Bayesian, blind minus biological", cost),
    "C2": ("ECE, blind minus biological", gap),
}
rows = []
for claim, (statistic, values) in kinds.items():
    difference = metric_tables.interval(task_comparison.blind_minus_biological(values))
    rows.append(claim_ledger.claim_row(claim, statistic, difference, **of_home))

# %%
for name in names:
    samples, what = binary[name, "deterministic"], "accuracy by video minus by frame"
    window = significance.pooled_values(samples, SEED, sizes.resamples, "window")["accuracy"]
    gain = metric_tables.interval(drawn[name, "deterministic"]["accuracy"] - window)
    label = plotting.label(name)
    rows.append(claim_ledger.claim_row("Q3", what, gain, detector=label, **of_home))

# %%
auroc = {name: drawn[name, "deterministic"]["auroc"] for name in names}
weak = [plotting.label(name) for name in names if metric_tables.interval(auroc[name])[1] <= 0.5]
print(f"At chance (the interval of their AUROC reaches down to 0.5): {', '.join(weak) or 'none'}")

# %%
older = np.mean([auroc[name] for name in names if name not in MODERN], axis=0)
what = "AUROC minus the mean of the older detectors"
for name in [name for name in names if name in MODERN]:
    gain, label = metric_tables.interval(auroc[name] - older), plotting.label(name)
    rows.append(claim_ledger.claim_row("Q4", what, gain, detector=label, **of_home))

# %%
for (task, detector, method), part in shifts.groupby(["task", "detector", "method"], sort=False):
    label = f"{plotting.label(detector)}, {plotting.label(method)}"
    for score in ("total", "epistemic") if method != "deterministic" else ("total",):
        change = part.loc[task, detector, method, f"{score}_mean"]
        what = f"{score}, other data set less own (nats)"
        row = claim_ledger.claim_row("C3", what, change, data=task, detector=label, n=count)
        rows.append(row)
shown = ["claim", "statistic", "data", "detector", "value", "low", "high", "verdict"]
claim_ledger.write_claims("02", rows, PROFILE, SEED)[shown].round(3)

# %% [markdown]
# ## Reading
#
# Every number below is read from the sidecars of the figures.

# %%
numbers = results.load_table("02_detectors", "video", ["detector", "metric"], PROFILE)
ranked = numbers.xs("auroc", level="metric").sort_values("value", ascending=False)
for name, row in ranked.iterrows():
    verdict = "above chance" if row.low > 0.5 else "not shown to be above chance"
    print(f"{plotting.label(name)}: AUROC {formatting.interval_text(row)}, {verdict}")

# %%
keys = ["task", "detector", "method", "metric"]
far = results.load_table("02_tasks", "video", keys, PROFILE).xs("auroc", level="metric")
for (task, detector, method), row in far.iterrows():
    if " to " in task:
        label = f"{task}, {plotting.label(detector)}, {plotting.label(method)}"
        print(f"{label}: AUROC {formatting.interval_text(row)}")

# %% [markdown]
# ## Summary
#
# The verdicts above are those of the run shown. A detector whose uncertainty does not rise on the
# other data set, while its AUROC falls, is inverted there: it is wrong and its uncertainty does not
# show it.
#
# **Limits**: there are few test people in quick. Recipes are per detector and short. All networks
# but one are trained from scratch, on small crops of rendered heads.
#
# References: He et al. 2016; Chollet 2017; Tan and Le 2019; Howard et al. 2019; Dosovitskiy et al.
# 2021; Ciftci, Demir and Yin 2020; Demir and Ciftci 2022; Guo et al. 2017; Holm 1979. Next: [03
# Source detection](03_source_detection.ipynb).
