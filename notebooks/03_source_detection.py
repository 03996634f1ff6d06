# %% [markdown]
# # 03 Source detection
#
# **Question.** Which generator made it, and does uncertainty alone know?
#
# First, networks that are told to name the generator. Then the study's claim C4: that the *uncertainty* of a detector says which
# generator made a video. Networks that only ever learnt *real or fake* are asked for their uncertainty on people they have never
# seen, and a classifier that sees these few numbers, and nothing else, has to name the generator. It would surprise us if that
# worked no better than the detector's score itself.
#
# *Reads* by default the embedded benchmark SynthFF and SynthAV, which are not FaceForensics++ and FakeAVCeleb. *Writes*
# `figures/03_*`.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import sklearn

from deepfake_uncertainty import plotting, results
from deepfake_uncertainty.datasets import leakage
from deepfake_uncertainty.study import claims, evaluate, manifold, predict, profiles, regions, sources

# %% tags=["parameters"]
PROFILE = "quick"  # size of the benchmark: quick, full, or paper (real data)
SEED = 0  # of the bootstrap, and the first of the trainings and their samples
TRAININGS = 1  # of each network, from as many seeds
SAMPLES = 10  # T, weight or mask draws of a stochastic network
RESAMPLES = 1000  # bootstrap draws of whole identities
PERMUTATIONS = 200  # arrangements in which the generators of a person's videos change places
DETECTORS = ["resnet18", "fakecatcher"]  # names of the registry: told to name the generator, and asked for their uncertainty
METHODS = ["mc_dropout", "bnn"]  # stochastic methods whose uncertainty is asked for; the last one by region too
REGION_SAMPLES = 2  # T, draws for each region
STARTS = [0, 1, 2]  # seeds of the picture's start
NEIGHBOURS = 5  # of a video, when pictures are compared

# %% tags=["nbval-ignore-output"]
plotting.use_style()
print(f"scikit-learn {sklearn.__version__}, numpy {np.__version__}, pandas {pd.__version__}")

# %% [markdown]
# ## Measure
#
# The balanced accuracy is the mean over classes of the share of a class that is named rightly: 1 / C by guessing, whatever the
# classes weigh. By hand: three of four real videos and none of one fake.

# %%
by_hand = sources.balanced_accuracy([0, 0, 0, 1, 0], [0, 0, 0, 0, 1])
assert np.isclose(by_hand, (3 / 4 + 0) / 2)
float(by_hand)

# %% [markdown]
# ## Data

# %% tags=["nbval-check-output"]
index, skipped = profiles.all_videos(PROFILE)
leakage.check_leakage(index)
classes = sources.settings(index).classes
print(f"{len(skipped)} videos skipped; {len(classes)} classes, chance {1 / len(classes):.2f}")
index.pivot_table(index=["dataset", "generator"], columns="split", values="video", aggfunc="count")

# %% [markdown]
# ## Networks that are told
#
# One class a generator, over both data sets, on unseen people. Rows sum to one.

# %%
seeds = range(SEED, SEED + TRAININGS)
named = {name: {seed: sources.samples_for(name, "deterministic", index, seed, SAMPLES) for seed in seeds} for name in DETECTORS}
confused = {name: sources.confusion(samples, classes, SEED, RESAMPLES) for name, samples in named.items()}
recalls = pd.concat({name: table for name, (_, table) in confused.items()}, names=["detector"])
kin = pd.concat({name: sources.kinship(shares) for name, (shares, _) in confused.items()}, names=["detector"])
recalls.xs("balanced accuracy", level="name").rename(index=plotting.label).round(2)

# %%
figure, axes = plt.subplots(1, len(DETECTORS), figsize=(max(7, 3 * len(DETECTORS)), 4.2), sharey=True, squeeze=False)
count = recalls["n"].loc[DETECTORS[0]]
for ax, (name, (shares, _)) in zip(axes[0], confused.items(), strict=True):
    sns.heatmap(shares, vmin=0, vmax=1, cmap="Blues", annot=100 * shares, fmt=".0f", annot_kws={"size": 5}, cbar=False, ax=ax)
    ax.set(title=f"{plotting.label(name)}: % of the row", xlabel="taken for", ylabel="")
axes[0, 0].set_ylabel("made by")
axes[0, 0].set_yticklabels([f"{name} ({count[name]:.0f})" for name in classes])
results.save(figure, "03_confusion", {"recalls": recalls, "kinship": kin}, PROFILE, SEED);

# %% [markdown]
# A hybrid shares a tool with its relatives (*fsgan-wav2lip* with *fsgan* and *wav2lip*). What are fakes taken for?

# %%
kin.groupby("detector", sort=False).mean().rename(index=plotting.label).round(2)

# %% [markdown]
# ## Uncertainty alone
#
# A detector that learnt *real or fake* gives every video three numbers for each stochastic method: total, aleatoric and
# epistemic uncertainty. A kernel ridge classifier learns from them, cross-fitted: whoever is in a fold is in no other.
# It never sees training videos of the detectors, on which a network is certain for another reason: it has learnt them by heart.
# *By region* adds the same of the face with one region hidden, and of each region alone (notebook 05), in one frame or window.
#
# Three controls see as much or less: softmax response (one number a method), the class probabilities, and, for what a person
# gives away, arrangements in which the generators of each person's videos have changed places (*shuffled*).

# %%
videos, _ = profiles.videos(PROFILE)
sets, pairs = {}, [(name, method) for name in DETECTORS for method in METHODS]
for seed in seeds:
    asked = {f"{name} {method}": predict.samples_for(name, method, videos, seed, SAMPLES) for name, method in pairs}
    parts = {name: regions.measured(name, METHODS[-1], videos, seed, REGION_SAMPLES, 1, ["blur"], splits=["val", "test"])["blur"]
             for name in DETECTORS}  # fmt: skip
    sets[seed] = manifold.every_kind(asked, parts)
told = manifold.compare(sets, videos, SEED, RESAMPLES, PERMUTATIONS)
table = manifold.table(told)
table.round(3)

# %% [markdown]
# The same among fakes only: real against fake is what the detectors learnt, the name of the generator is not.

# %%
fakes = {seed: {kind: part[part.index.get_level_values("generator") != "real"] for kind, part in features.items()}
         for seed, features in sets.items()}  # fmt: skip
among = manifold.compare(fakes, videos, SEED, RESAMPLES, PERMUTATIONS)
both = pd.concat({"with real": table, "fakes only": manifold.table(among)}, names=["among"])
both.round(3)

# %% [markdown]
# Dots with 95 % intervals over people; the grey band is what 95 % of the shuffled arrangements give. A claim needs the interval
# of *uncertainty* above the band, and to be more than the score it should be above *probabilities*.

# %%
figure, axes = plt.subplots(1, 2, figsize=(7, 2.1), sharey=True)
for ax, (part, found) in zip(axes, {"with real": told, "fakes only": among}.items(), strict=True):
    rows = both.loc[part]
    plotting.intervals(ax, rows.drop(columns="n").rename_axis("name").reset_index())
    for place, one in enumerate(found.values()):
        ax.fill_betweenx([place - 0.3, place + 0.3], *np.percentile(one.shuffled, [2.5, 97.5]), color="0.85", zorder=0)
    ax.set(xlabel="balanced accuracy", title=f"{part} (n = {rows['n'].iloc[0]} videos, {rows['classes'].iloc[0]} classes)")
row = both.loc[("with real", "uncertainty")]
answer = (f"From uncertainty alone the generator is named with a balanced accuracy of {row.value:.2f} [{row.low:.2f}, "
          f"{row.high:.2f}], of {row.classes:.0f} classes; shuffled, {row.chance:.2f} (p = {row.p:.3f}).")  # fmt: skip
results.save(figure, "03_uncertainty_alone", {"told": both}, PROFILE, SEED, answer);

# %% [markdown]
# ## The manifold, drawn
#
# t-SNE (van der Maaten and Hinton 2008) of the uncertainty features, by their ranks. It draws islands in noise too: before
# looking, see whether two starts agree on who is whose neighbour, and whether neighbours *in the features* share their generator.

# %%
features = sets[SEED]["uncertainty"]
drawn = manifold.embed(features, STARTS)
steady = manifold.stability(features, drawn, NEIGHBOURS)
steady.round(2)

# %%
figure, axes = plt.subplots(1, 2, figsize=(7, 3.2))
generator = features.index.get_level_values("generator")
for ax, start in zip(axes, STARTS, strict=False):
    for name, mark in zip(dict.fromkeys(generator), "osD^vP*X<>h", strict=False):
        ax.scatter(*drawn[start][generator == name].T, s=12, marker=mark, color=plotting.color(name), alpha=0.8, linewidth=0,
                   label=f"{name} (n = {(generator == name).sum()})")  # fmt: skip
    ax.set(title=f"start {start}", xticks=[], yticks=[], xlabel="t-SNE 1 (no unit)")
axes[0].set_ylabel("t-SNE 2 (no unit)")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
results.save(figure, "03_manifold", {"stability": steady.rename_axis("what").to_frame()}, PROFILE, SEED);

# %% [markdown]
# ## The check most likely to overturn this
#
# Is it uncertainty that knows, or the score that it is made of? Differences of balanced accuracy on the same resamples.

# %%
gaps = {f"uncertainty less {kind}, {part}": evaluate.interval(found["uncertainty"].drawn - found[kind].drawn)
        for part, found in {"with real": told, "fakes only": among}.items()
        for kind in found if kind != "uncertainty"}  # fmt: skip
gaps = pd.DataFrame(gaps, index=["value", "low", "high"]).T
results.write_sidecar("03_differences", {"gaps": gaps}, PROFILE, SEED)
gaps.round(3)

# %% [markdown]
# ## What this says of the claims
#
# C4: the balanced accuracy of uncertainty features less the mean of the shuffled arrangements, and less that of the score.

# %%
data, who = ", ".join(videos["dataset"].unique()), " and ".join(map(plotting.label, DETECTORS))
rows = []
for part, found in {"with real": told, "fakes only": among}.items():
    for kind in ("uncertainty", manifold.REGIONAL):
        one = found[kind]
        above = evaluate.interval(one.drawn - one.shuffled.mean())
        what = f"balanced accuracy of {kind} less shuffled, {part}"
        rows.append(claims.row("C4", what, above, data=data, detector=who, n=one.n))
    gap = gaps.loc[f"uncertainty less probabilities, {part}"]
    rows.append(claims.row("C4", f"balanced accuracy less that of p(fake), {part}", gap, data=data, detector=who, n=one.n))
claims.write("03", rows, PROFILE, SEED)[["claim", "statistic", "value", "low", "high", "verdict"]].round(3)

# %% [markdown]
# ## Reading
#
# Every number below is read from the sidecars of the figures.

# %%
read = results.frame("03_confusion", "recalls", ["detector", "name"], PROFILE)
for name, row in read.xs("balanced accuracy", level="name").iterrows():
    verdict = "above chance" if row.low > row.chance else "not told from chance"
    print(f"{plotting.label(name)}, told: {row.value:.2f} [{row.low:.2f}, {row.high:.2f}], chance {row.chance:.2f}: {verdict}")
for (part, kind), row in results.frame("03_uncertainty_alone", "told", ["among", "features"], PROFILE).iterrows():
    print(f"{kind}, {part}: {row.value:.2f} [{row.low:.2f}, {row.high:.2f}], shuffled {row.chance:.2f}, p = {row.p:.3f}")

# %%
stable = results.frame("03_manifold", "stability", ["what"], PROFILE)["share"]
print(f"two pictures share {stable['overlap']:.2f} of the neighbours (unrelated ones {stable['chance of overlap']:.2f}); "
      f"{stable['same generator']:.2f} of the neighbours in the features have the same generator "
      f"(others {stable['chance of same generator']:.2f})")  # fmt: skip

# %% [markdown]
# ## Summary
#
# The verdicts above are those of the run shown. A classifier above the shuffled band knows something of the generator; where it
# does no better than the class probabilities, what it knows is how fake a video looks, and not what the uncertainty adds.
#
# **Limits**: few test people in quick; regions in one frame of a video; one classifier, with the defaults of its library.
#
# References: Depeweg et al. 2018; van der Maaten and Hinton 2008; Venna and Kaski 2001; Ojala and Garriga 2010. Next:
# [04 Leave one out](04_leave_one_out.ipynb).
