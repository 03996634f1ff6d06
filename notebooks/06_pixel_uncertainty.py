# %% [markdown]
# # 06 Pixel uncertainty
#
# **Question.** Where exactly is the uncertainty, and does the place say which generator made the video?
#
# The paper draws the gradient of the predictive uncertainty to the pixels and sees patterns that differ by generator (its
# claim C5). Here such maps are held against the true masks, beside Grad-CAM, the plain gradient, and two maps that have seen
# no network; and against the maps of a network whose parameters are shuffled. It would surprise us if an uncertainty map
# found the manipulation better than a blob in the middle of the crop.
#
# *Reads* by default the embedded benchmark SynthFF, which is not FaceForensics++. *Writes* `figures/06_mean_maps`,
# `06_localisation`, `06_sanity`, `06_patterns`. *Takes* about two minutes of two cores in quick once the network is trained.

# %%
import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from deepfake_uncertainty import plotting, results
from deepfake_uncertainty.datasets import leakage
from deepfake_uncertainty.study import claims, comparison, localise, patterns, predict, profiles, regionstats
from deepfake_uncertainty.uncertainty import maps
from deepfake_uncertainty.uncertainty.measures import measures

# %% tags=["parameters"]
PROFILE = "quick"  # size of the benchmark: quick, full, or paper (real data)
SEED = 0  # of the trainings, the draws, the noise and the bootstrap
SAMPLES = 3  # T, fixed weight or mask draws that the gradient goes through
COPIES = 4  # noisy copies of a frame (SmoothGrad)
FRAMES = 1  # frames of each test video
PEOPLE = 3  # identities of the sanity check
RESAMPLES = 1000  # bootstrap draws of whole identities, and five times the permutations
DETECTOR = "resnet18"  # name of the registry, of a detector of single pictures
METHOD = "bnn"  # uncertainty method

# %% tags=["nbval-ignore-output"]
plotting.use_style()
SHARES = (0, 0.1, 0.5, 1)
names = {"relative": "total, relative", "gradient": "plain gradient", "grad_cam": "Grad-CAM",
         "centre": "centre (control)", "edges": "edges (control)"}  # fmt: skip
print(f"torch {torch.__version__}, numpy {np.__version__}, pandas {pd.__version__}")

# %% [markdown]
# ## The map
#
# With $T$ fixed draws $p_t(x)$ of a stochastic network, $U$ the total uncertainty $H(\bar p)$ or the epistemic part of it,
# and Gaussian noise $\epsilon_k$ of a tenth of the picture's range, the map of pixel $i$ is
#
# $$M_i = \Big\lVert \frac1K \sum_{k=1}^{K} \frac{\partial U}{\partial x_i}(x + \epsilon_k) \Big\rVert_2$$
#
# over the colours (SmoothGrad, Smilkov et al. 2017). It says where a small change of the picture would change the
# uncertainty, not where the picture is uncertain. The draws stay the same for all frames, so that the gradient passes through
# every one.

# %%
logits = torch.tensor([[[2.0, -1.0]], [[-0.5, 0.5]]])
ours, theirs = maps.measures(logits), measures(logits.softmax(-1).numpy())
assert all(np.isclose(ours[name].item(), theirs[name][0], atol=1e-6) for name in theirs)
pd.DataFrame({name: [value.item()] for name, value in ours.items()}).round(3)

# %% [markdown]
# ## Data

# %%
index, skipped = profiles.videos(PROFILE)
leakage.check_leakage(index)
data = localise.frames(index, DETECTOR, FRAMES)
left_out = len(skipped) + len(data.rows.attrs["skipped"])
print(f"{left_out} videos skipped; {len(data.x)} frames, {data.rows['masked'].sum()} masks known")
data.rows.groupby("generator", sort=False)[["identity"]].nunique()

# %%
fitted = predict.fitted(DETECTOR, METHOD, index, SEED)
found = localise.uncertainty_maps(fitted, data.x, SAMPLES, COPIES)
found["relative"] = localise.relative(found["total"], data.rows)
found |= localise.reference_maps(fitted, data.x, SAMPLES)

# %% [markdown]
# ## Mean maps on the canonical face
#
# Faces are aligned, so that maps may be averaged pixel by pixel; each is scaled to a mean of 1 first. Above, the mean face;
# then the mean mask; then the mean map of the total and of the epistemic uncertainty (bright: a change there moves the
# uncertainty most). Look for a row whose maps differ from column to column as the masks do, and for a grid: the strides of a
# network leave one in its gradients, whatever it has learnt. The *relative* map below is divided by the mean map of the real
# videos, so that what is the same in every face is taken out.

# %%
generators = list(pd.unique(data.rows["generator"]))
face = {name: data.x[data.rows["generator"].eq(name)].mean(0).transpose(1, 2, 0) for name in generators}
mask = {name: data.painted[data.rows["generator"].eq(name)].mean(0) for name in generators}
drawn = {"mean face": face, "mean mask": mask} | {name: patterns.mean_maps(found[name], data.rows)
                                                  for name in ("total", "epistemic")}  # fmt: skip
figure, axes = plt.subplots(len(drawn), len(generators), figsize=(7, 1.25 * len(drawn)))
for row, (kind, pictures) in zip(axes, drawn.items(), strict=True):
    for ax, name in zip(row, generators, strict=True):
        top = 1 if kind.startswith("mean") else np.percentile([pictures[g] for g in generators], 99.5)
        shown = ax.imshow(pictures[name], vmin=0, vmax=top, cmap="cividis")
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
    row[0].set_ylabel(kind)
    if kind != "mean face":
        figure.colorbar(shown, ax=list(row), fraction=0.02, label="share" if "mask" in kind else "x mean")
for ax, name in zip(axes[0], generators, strict=True):
    ax.set_title(f"{name}\n(n = {data.rows.loc[data.rows['generator'].eq(name), 'video'].nunique()})", fontsize=7)
spread = {kind: {g: {"n": int((data.rows["generator"] == g).sum()), "largest": pictures[g].max()} for g in generators}
          for kind, pictures in drawn.items()}  # fmt: skip
results.save(figure, "06_mean_maps", spread, PROFILE, SEED);

# %% [markdown]
# ## Localisation
#
# The AUROC of the map over the pixels of a frame, painted against not painted (0.5: no better than chance), and the pointing
# game: does the brightest pixel lie in the mask? A random point does as often as the mask is large (`area`). `gain` is the
# AUROC less that of the blob in the middle, on the same resamples.

# %%
scored = localise.scores(found, data)
table = localise.table(scored, SEED, RESAMPLES)
comparison.readable(table.xs("all", level="generator"), ["auroc", "gain", "hit", "area"])

# %%
comparison.readable(table, ["auroc"])["auroc"].unstack("generator", sort=False)

# %%
figure, axes = plt.subplots(1, 2, figsize=(7, 3), sharey=True)
for ax, (metric, title) in zip(axes, {"auroc": "AUROC over pixels", "hit": "pointing game (share of hits)"}.items(), strict=True):
    rows = table.xs(("all", metric), level=("generator", "metric")).rename_axis("name").rename(index=names).reset_index()
    plotting.intervals(ax, rows)
    ax.set(xlim=(0, 1.02), xlabel=title)
axes[0].axvline(0.5, color="0.6", linestyle=":", zorder=0)
axes[1].axvline(table.loc[("total", "all", "area"), "value"], color="0.6", linestyle=":", zorder=0)
area, gain = table.loc[("total", "all", "auroc")], table.loc[("total", "all", "gain")]
answer = (f"The map of the total uncertainty finds the painted pixels with AUROC {area.value:.2f} [{area.low:.2f}, "
          f"{area.high:.2f}], {gain.value:+.2f} against a blob in the middle of the face.")  # fmt: skip
results.save(figure, "06_localisation", table, PROFILE, SEED, answer);

# %% [markdown]
# The dotted lines are chance: 0.5, and the mean share of the crop that is painted.
#
# ## Sanity: do the maps depend on what was learnt?
#
# The entries of the network's tensors are shuffled, from the output backwards (Adebayo et al. 2018). At 0 the network is
# untouched, but noise and draws are others: that is as alike as two maps of one network can be. A map of what was learnt must
# fall from there to nothing.

# %%
few = localise.subset(data, PEOPLE)
left = localise.sanity(fitted, few, SAMPLES, COPIES, SHARES, SEED, RESAMPLES)
comparison.readable(left, ["rank", "ssim", "relative"])

# %%
figure, ax = plt.subplots(figsize=(3.4, 2.4))
for metric, style in (("rank", "-o"), ("ssim", "--s"), ("relative", ":^")):
    part = left.xs(metric, level="metric")
    bars = np.maximum(0, [part["value"] - part["low"], part["high"] - part["value"]])
    label = {"rank": "rank correlation", "ssim": "SSIM", "relative": "rank correlation, relative"}[metric]
    ax.errorbar(part.index, part["value"], bars, fmt=style, markersize=4, capsize=2,
                color={"rank": "k", "ssim": "0.6", "relative": "0.3"}[metric],
                label=f"{label} (n = {part['n'].iloc[0]} videos)")  # fmt: skip
ax.set(xlabel="share of parameters shuffled, last first", ylabel="likeness to the trained map", ylim=(-0.2, 1.5))
ax.set_yticks(np.arange(0, 1.1, 0.25))
ax.legend(loc="upper right")
results.save(figure, "06_sanity", left, PROFILE, SEED);

# %% [markdown]
# ## Are the patterns generator-specific?
#
# A video's map, on a grid of 16 x 16, is given to the generator whose mean map it correlates with most, its own person being
# left out of the means; chance is the same with the generators permuted within each person. The check most likely to overturn
# a success is among the rows: the picture's own edges, and the map of the network with all of its parameters shuffled. If
# these do as well, the map shows the picture, not the uncertainty.

# %%
shuffled = dataclasses.replace(fitted, model=maps.randomised(fitted.model, 1, SEED))
kinds = {name: found[name] for name in ("total", "epistemic", "gradient", "grad_cam", "edges")}
kinds["shuffled"] = localise.uncertainty_maps(shuffled, data.x, SAMPLES, 1, ("total",))["total"]
told = patterns.table(kinds, data.rows, SEED, RESAMPLES, RESAMPLES // 5)
told.astype(float).round(3)

# %%
figure, ax = plt.subplots(figsize=(6.4, 2.4))
labels = names | {"shuffled": "total, parameters shuffled (control)"}
plotting.intervals(ax, told.rename_axis("name").rename(index=labels).reset_index().drop(columns="n"))
ax.axvline(told["chance"].mean(), color="0.6", linestyle=":", zorder=0)
ax.set(xlim=(0, 1), xlabel=f"share of videos told (n = {told['n'].iloc[0]}, {told['classes'].iloc[0]} classes)")
results.save(figure, "06_patterns", told, PROFILE, SEED);

# %% [markdown]
# ## Reading
#
# The sentences below take their numbers from the sidecars.

# %%
places = results.frame("06_localisation", None, ["map", "generator", "metric"], PROFILE).xs("all", level="generator")
for name in ("total", "epistemic", "relative"):
    area, gain = places.loc[(name, "auroc")], places.loc[(name, "gain")]
    found_it = "above chance" if area.low > 0.5 else "not above chance"
    verdict = "better than" if gain.low > 0 else "worse than" if gain.high < 0 else "not told from"
    print(f"{name}: AUROC {area.value:.2f} [{area.low:.2f}, {area.high:.2f}], {found_it}; {verdict} a blob in the middle "
          f"({gain.value:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}])")  # fmt: skip

# %%
sane = results.frame("06_sanity", None, ["metric", "share"], PROFILE)
for metric, which in {"rank": "map", "relative": "relative map"}.items():
    first, last = sane.loc[(metric, 0)], sane.loc[(metric, 1)]
    verdict = "destroyed" if last.high < localise.DESTROYED else "weakened" if last.high < first.low else "not destroyed"
    # What does not even come out twice alike cannot be destroyed.
    verdict = verdict if first.low > localise.DESTROYED else "no verdict, the map does not repeat"
    print(f"rank correlation with the trained {which}: {first.value:.2f} untouched, {last.value:.2f} [{last.low:.2f}, "
          f"{last.high:.2f}] with every parameter shuffled: {verdict} (destroyed: below {localise.DESTROYED})")  # fmt: skip

# %% [markdown]
# C5 is supported only if the maps tell generators better than chance *and* better than the controls do.

# %%
told = results.frame("06_patterns", None, ["map"], PROFILE)
best = told.loc[["edges", "shuffled"], "value"].max()
for name in ("total", "epistemic"):
    row = told.loc[name]
    against = {"chance": row.chance, "the controls": best}
    verdicts = [regionstats.verdict(told.loc[[name], ["low", "high"]] - level) for level in against.values()]
    print(f"C5, {name}: {row.value:.2f} [{row.low:.2f}, {row.high:.2f}]; chance {row.chance:.2f} (p = {row.p:.3f}): "
          f"{verdicts[0]}; best control {best:.2f}: {verdicts[1]}")  # fmt: skip

# %%
who, names_of = {"data": ", ".join(index["dataset"].unique()), "detector": plotting.label(DETECTOR)}, ["value", "low", "high"]
rows = [claims.row("C5", f"videos told by the map of {name}, above the best control", told.loc[name, names_of], best,
                   n=told.loc[name, "n"], **who) for name in ("total", "epistemic")]  # fmt: skip
rows += [claims.row("C6", f"AUROC of {name} for painted pixels, above a central blob",
                    places.loc[(name, "gain"), names_of], n=len(data.rows), **who)
         for name in ("total", "epistemic")]  # fmt: skip
claims.write("06", rows, PROFILE, SEED)[["claim", "statistic", "value", "low", "high", "bound", "verdict"]].round(3)

# %% [markdown]
# ## Summary
#
# The verdicts above are those of the run shown. An AUROC above 0.5 is not yet a map of the manipulation: faces stand in the
# middle of their crops and so do masks, which the blob shows. What shuffled parameters leave of a map is the grid of the
# network's strides: a mean map of pixel gradients must not be read as a pattern of a generator before that is taken out.
#
# **Limits**: one detector of single pictures, one seed in quick, few draws and noisy copies; a gradient is a local property;
# masks of whole-face swaps leave little to find; Grad-CAM is taken from the deepest layer of at least 7 x 7 places.
#
# References: Simonyan et al. 2014; Selvaraju et al. 2017; Smilkov et al. 2017; Adebayo et al. 2018; Zhang et al. 2018
# (pointing game). Next: [07 Ablations](07_ablations.ipynb).
