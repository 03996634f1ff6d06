# %% [markdown]
# # 03 Source detection
#
# **Question.** Which generator made a video, and does uncertainty alone identify it?
#
# First come networks trained to name the generator. Then comes claim C4 of the paper: uncertainty
# alone identifies the generator. Here the networks are trained on *real or fake* only. Their
# uncertainty is measured on people that they have never seen. A classifier that sees these few
# numbers, and nothing else, has to name the generator. It would surprise us if that worked no
# better than with the detector's score itself.
#
# *Reads* by default the embedded benchmark SynthFF and SynthAV, which are not FaceForensics++ and
# FakeAVCeleb. *Writes* `figures/03_*`.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import sklearn

from deepfake_uncertainty.datasets import leakage
from deepfake_uncertainty.evaluation import confusion, metric_tables, occlusion
from deepfake_uncertainty.report import claim_ledger, formatting, plotting, results
from deepfake_uncertainty.study import source_detection
from deepfake_uncertainty.training import predict, profiles, tasks

# %% tags=["parameters"]
PROFILE = "quick"  # size of the benchmark: quick, full, or paper (real data)
SEED = 0  # seed of the bootstrap, and the first seed of the trainings and their samples
N_SEEDS = None  # trainings of each network, each from its own seed (None: as the profile says)
SAMPLES = None  # T, weight or mask draws of a stochastic network (None: as the profile says)
RESAMPLES = None  # bootstrap resamples of whole identities (None: as the profile says)
PERMUTATIONS = 200  # permutations of the generators among the videos of each person
DETECTORS = None  # names of detectors (None: those that the profile compares)
METHODS = ["mc_dropout", "bnn"]  # uncertainty methods; the last one also serves the regions
REGION_SAMPLES = 2  # T, weight or mask draws per region
STARTS = [0, 1, 2]  # seeds of the random starts of t-SNE
NEIGHBOURS = 5  # number of nearest neighbours per video, to compare embeddings

# %% tags=["nbval-ignore-output"]
plotting.use_style()
sizes = profiles.get(PROFILE).override(
    seed=SEED,
    n_seeds=N_SEEDS,
    samples=SAMPLES,
    resamples=RESAMPLES,
    compared=DETECTORS,
)
print(f"scikit-learn {sklearn.__version__}, numpy {np.__version__}, pandas {pd.__version__}")

# %% [markdown]
# ## Measure
#
# The balanced accuracy is the mean over classes of the share of a class that is named correctly.
# Guessing gives 1 / C, whatever the sizes of the C classes. A worked example: three of four real
# videos are right, and the one fake is not.

# %%
by_hand = confusion.balanced_accuracy([0, 0, 0, 1, 0], [0, 0, 0, 0, 1])
assert np.isclose(by_hand, (3 / 4 + 0) / 2)
float(by_hand)

# %% [markdown]
# ## Data

# %% tags=["nbval-check-output"]
index, skipped = profiles.all_videos(PROFILE)
leakage.check_leakage(index)
classes = tasks.source_settings(index).classes
print(f"{len(skipped)} videos skipped; {len(classes)} classes, chance {1 / len(classes):.2f}")
index.pivot_table(index=["dataset", "generator"], columns="split", values="video", aggfunc="count")

# %% [markdown]
# ## Networks trained to name the generator
#
# There is one class per generator, over both data sets, and one for real. The test is on unseen
# people.

# %%
named = {
    name: {run.seed: tasks.sample_sources(name, "deterministic", index, run) for run in sizes.runs}
    for name in sizes.compared
}
confused = {
    name: confusion.confusion_matrix(samples, classes, SEED, sizes.resamples)
    for name, samples in named.items()
}

# %%
recalls = pd.concat({name: table for name, (_, table) in confused.items()}, names=["detector"])
groups = {name: confusion.confusion_groups(shares) for name, (shares, _) in confused.items()}
kin = pd.concat(groups, names=["detector"])
recalls.xs("balanced accuracy", level="name").rename(index=plotting.label).round(2)

# %% [markdown]
# Each row of the next figure sums to 100 %.

# %%
columns = len(sizes.compared)
size, count = (max(7, 3 * columns), 4.2), recalls["n"].loc[sizes.compared[0]]
scale = {"vmin": 0, "vmax": 1, "cmap": "Blues", "cbar": False}
figure, axes = plt.subplots(1, columns, figsize=size, sharey=True, squeeze=False)
for ax, (name, (shares, _)) in zip(axes[0], confused.items(), strict=True):
    sns.heatmap(shares, annot=100 * shares, fmt=".0f", annot_kws={"size": 5}, ax=ax, **scale)
    ax.set(title=f"{plotting.label(name)}: % of the row", xlabel="named", ylabel="")
axes[0, 0].set_ylabel("made by")
axes[0, 0].set_yticklabels([f"{name} ({count[name]:.0f})" for name in classes])
results.save(figure, "03_confusion", {"recalls": recalls, "kinship": kin}, PROFILE, SEED)

# %% [markdown]
# A hybrid generator shares a tool with its relatives (*fsgan-wav2lip* with *fsgan* and *wav2lip*).
# The next table shows which classes the networks name for the fakes.

# %%
kin.groupby("detector", sort=False).mean().rename(index=plotting.label).round(2)

# %% [markdown]
# ## Uncertainty alone
#
# A detector trained on *real or fake* gives three numbers per video and stochastic method: total,
# aleatoric and epistemic uncertainty. A kernel ridge classifier learns from these numbers with
# cross-fitting: no person is in two folds. It never sees training videos of the detectors. On these
# a network is certain for another reason: it has memorised them. *By region* adds the same numbers
# for the face with one region hidden, and for each region alone (notebook 05), in one frame or
# window.
#
# There are three controls: softmax response (one number per method), the class probabilities, and
# *shuffled*. The last shows what a person reveals: the generators are permuted among the videos of
# each person.

# %%
videos, _ = profiles.videos(PROFILE)
sets, pairs = {}, [(name, method) for name in sizes.compared for method in METHODS]
splits = ["val", "test"]
for run in sizes.runs:
    sampled = {
        f"{name} {method}": predict.samples_for(name, method, videos, run) for name, method in pairs
    }
    few, parts = run.with_samples(REGION_SAMPLES), {}
    for name in sizes.compared:
        tables = occlusion.occlusion_table(name, METHODS[-1], videos, few, 1, ["blur"], splits)
        parts[name] = tables["blur"]
    sets[run.seed] = source_detection.feature_sets(sampled, parts)

# %%
with_real = source_detection.compare_features(sets, videos, SEED, sizes.resamples, PERMUTATIONS)
table = source_detection.permutation_table(with_real)
table.round(3)

# %% [markdown]
# The same among fakes only. The detectors were trained to separate real from fake, but not to name
# the generator.

# %%
fakes = {}
for seed, features in sets.items():
    fakes[seed] = {
        kind: part[part.index.get_level_values("generator") != "real"]
        for kind, part in features.items()
    }
fakes_only = source_detection.compare_features(fakes, videos, SEED, sizes.resamples, PERMUTATIONS)
tests = {"with real": with_real, "fakes only": fakes_only}
tables = {"with real": table, "fakes only": source_detection.permutation_table(fakes_only)}
both = pd.concat(tables, names=["among"])
both.round(3)

# %% [markdown]
# Dots are balanced accuracies with 95 % intervals over people. The grey band contains 95 % of the
# shuffled permutations. Claim C4, that uncertainty alone identifies the generator, needs the
# interval of *uncertainty* above the band. To show more than the score does, it should also lie
# above *probabilities*.

# %%
row = both.loc[("with real", "uncertainty")]
answer = (
    "From uncertainty alone a classifier names the generator with a balanced accuracy of "
    f"{row.value:.2f} [{row.low:.2f}, {row.high:.2f}] over {row.classes:.0f} classes; "
    f"with shuffled generators it is {row.chance:.2f} (p = {row.p:.3f})."
)

# %%
figure, axes = plt.subplots(1, 2, figsize=(7, 2.1), sharey=True)
for ax, (part, tested) in zip(axes, tests.items(), strict=True):
    rows = both.loc[part]
    plotting.intervals(ax, rows.drop(columns="n").rename_axis("name").reset_index())
    for place, test in enumerate(tested.values()):
        band = np.percentile(test.shuffled, [2.5, 97.5])
        ax.fill_betweenx([place - 0.3, place + 0.3], *band, color="0.85", zorder=0)
    counts = f"n = {rows['n'].iloc[0]} videos, {rows['classes'].iloc[0]} classes"
    ax.set(xlabel="balanced accuracy", title=f"{part} ({counts})")
results.save(figure, "03_uncertainty_alone", {"told": both}, PROFILE, SEED, answer)

# %% [markdown]
# ## The uncertainty manifold
#
# The next figure is a t-SNE embedding (van der Maaten and Hinton 2008) of the ranks of the
# uncertainty features. t-SNE shows islands in noise too. Two checks come first: do two random
# starts agree on the nearest neighbours of each video, and do neighbours *in the features* share
# their generator?

# %%
features = sets[SEED]["uncertainty"]
drawn = source_detection.embed(features, STARTS)
steady = source_detection.embedding_stability(features, drawn, NEIGHBOURS)
steady.round(2)

# %%
figure, axes = plt.subplots(1, 2, figsize=(7, 3.2))
generator = features.index.get_level_values("generator")
marks = dict(zip(dict.fromkeys(generator), "osD^vP*X<>h", strict=False))
for ax, start in zip(axes, STARTS, strict=False):
    for name, mark in marks.items():
        points, label = drawn[start][generator == name], f"{name} (n = {(generator == name).sum()})"
        look = {"marker": mark, "color": plotting.color(name), "alpha": 0.8, "linewidth": 0}
        ax.scatter(*points.T, s=12, label=label, **look)
    ax.set(title=f"start {start}", xticks=[], yticks=[], xlabel="t-SNE 1 (no unit)")
axes[0].set_ylabel("t-SNE 2 (no unit)")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
stability = steady.rename_axis("what").to_frame()
results.save(figure, "03_manifold", {"stability": stability}, PROFILE, SEED)

# %% [markdown]
# ## The check most likely to overturn this
#
# Does the uncertainty identify the generator, or the score that it is computed from? The table
# shows differences of balanced accuracy on the same resamples.

# %%
gaps = {}
for part, tested in tests.items():
    for kind in [kind for kind in tested if kind != "uncertainty"]:
        difference = tested["uncertainty"].drawn - tested[kind].drawn
        gaps[f"uncertainty less {kind}, {part}"] = metric_tables.interval(difference)
gaps = pd.DataFrame(gaps, index=["value", "low", "high"]).T
results.write_sidecar("03_differences", {"gaps": gaps}, PROFILE, SEED)
gaps.round(3)

# %% [markdown]
# ## Evidence for the claims
#
# C4 says that uncertainty alone identifies the generator. Its statistics are the balanced accuracy
# of uncertainty features less the mean of the shuffled permutations, and less that of the score.

# %%
labels = " and ".join(map(plotting.label, sizes.compared))
about = {"data": ", ".join(videos["dataset"].unique()), "detector": labels}
rows = []
for part, tested in tests.items():
    for kind in ("uncertainty", source_detection.REGIONAL):
        test = tested[kind]
        above = metric_tables.interval(test.drawn - test.shuffled.mean())
        what = f"balanced accuracy of {kind} minus shuffled, {part}"
        rows.append(claim_ledger.claim_row("C4", what, above, n=test.n, **about))
    gap = gaps.loc[f"uncertainty less probabilities, {part}"]
    what = f"balanced accuracy less that of p(fake), {part}"
    rows.append(claim_ledger.claim_row("C4", what, gap, n=test.n, **about))
shown = ["claim", "statistic", "value", "low", "high", "verdict"]
claim_ledger.write_claims("03", rows, PROFILE, SEED)[shown].round(3)

# %% [markdown]
# ## Reading
#
# Every number below is read from the sidecars of the figures.

# %%
read = results.load_table("03_confusion", "recalls", ["detector", "name"], PROFILE)
for name, row in read.xs("balanced accuracy", level="name").iterrows():
    verdict = "above chance" if row.low > row.chance else "not shown to be above chance"
    text = f"balanced accuracy {formatting.interval_text(row)}, chance {row.chance:.2f}"
    print(f"{plotting.label(name)}, trained to name the generator: {text}: {verdict}")

# %%
read = results.load_table("03_uncertainty_alone", "told", ["among", "features"], PROFILE)
for (part, kind), row in read.iterrows():
    text = f"balanced accuracy {formatting.interval_text(row)}"
    print(f"{kind}, {part}: {text}, shuffled {row.chance:.2f}, p = {row.p:.3f}")

# %%
share = results.load_table("03_manifold", "stability", ["what"], PROFILE)["share"]
print(f"two starts share {share['overlap']:.2f} of the neighbours")
print(f"two unrelated embeddings would share {share['chance of overlap']:.2f}")
print(f"{share['same generator']:.2f} of the neighbours in the features have the same generator")
print(f"among all other videos the share is {share['chance of same generator']:.2f}")

# %% [markdown]
# ## Summary
#
# The verdicts above are those of the run shown. A classifier above the shuffled band has
# information about the generator. Where it does no better than the class probabilities, this
# information is how fake a video looks, and the uncertainty adds nothing.
#
# **Limits**: there are few test people in quick. Regions are measured in one frame or window per
# video. There is one classifier, with the defaults of its library.
#
# References: Depeweg et al. 2018; van der Maaten and Hinton 2008; Venna and Kaski 2001; Ojala and
# Garriga 2010. Next: [04 Leave one out](04_leave_one_out.ipynb).
