# %% [markdown]
# # 06 Pixel uncertainty
#
# **Question.** Where exactly is the uncertainty, and does its location identify the generator of a
# video?
#
# The paper draws the gradient of the predictive uncertainty with respect to the pixels, and sees
# patterns that differ by generator. This is its claim C5: pixel maps of uncertainty show patterns
# that belong to a generator. Here such maps are compared with the true masks. There are several
# references: Grad-CAM, the plain gradient, two maps that are made without a network, and the maps
# of a network whose parameters are shuffled. It would surprise us if an uncertainty map found the
# manipulation better than a blob in the middle of the crop.
#
# *Reads* by default the embedded benchmark SynthFF, which is not FaceForensics++. *Writes*
# `figures/06_mean_maps`, `06_localisation`, `06_sanity`, `06_patterns`. *Takes* about two minutes
# on two cores in quick, once the network is trained.

# %%
import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from deepfake_uncertainty.datasets import leakage
from deepfake_uncertainty.report import claim_ledger, formatting, plotting, results
from deepfake_uncertainty.study.pixel_uncertainty import localization, patterns
from deepfake_uncertainty.training import predict, profiles
from deepfake_uncertainty.uncertainty import maps
from deepfake_uncertainty.uncertainty.measures import measures

# %% tags=["parameters"]
PROFILE = "quick"  # size of the benchmark: quick, full, or paper (real data)
SEED = 0  # seed of the trainings, the draws, the noise and the bootstrap
SAMPLES = 3  # T, fixed weight or mask draws that the gradient passes through
COPIES = 4  # K, noisy copies per frame (SmoothGrad)
FRAMES = 1  # number of frames per test video
PEOPLE = 3  # number of identities in the sanity check
RESAMPLES = None  # bootstrap resamples, five times the permutations (None: as the profile says)
DETECTOR = "resnet18"  # name of a detector of single pictures
METHOD = "bnn"  # name of the uncertainty method

# %% tags=["nbval-ignore-output"]
plotting.use_style()
sizes = profiles.get(PROFILE).override(seed=SEED, resamples=RESAMPLES)
SHARES = (0, 0.1, 0.5, 1)
names = {
    "relative": "total, relative",
    "gradient": "plain gradient",
    "grad_cam": "Grad-CAM",
    "centre": "centre (control)",
    "edges": "edges (control)",
}
print(f"torch {torch.__version__}, numpy {np.__version__}, pandas {pd.__version__}")

# %% [markdown]
# ## The map
#
# Let $p_t(x)$ be $T$ fixed draws of a stochastic network and $U$ the total uncertainty $H(\bar p)$
# or its epistemic part. Let $\epsilon_k$ be Gaussian noise of a tenth of the picture's range. The
# map at pixel $i$ is
#
# $$M_i = \Big\lVert \frac1K \sum_{k=1}^{K}
# \frac{\partial U}{\partial x_i}(x + \epsilon_k) \Big\rVert_2$$
#
# over the colours (SmoothGrad, Smilkov et al. 2017). It shows where a small change of the picture
# would change the uncertainty. It does not show where the picture is uncertain. The draws stay the
# same for all frames, so the gradient passes through every draw.

# %%
logits = torch.tensor([[[2.0, -1.0]], [[-0.5, 0.5]]])
ours, reference = maps.measures(logits), measures(logits.softmax(-1).numpy())
assert all(np.isclose(ours[name].item(), reference[name][0], atol=1e-6) for name in reference)
pd.DataFrame({name: [value.item()] for name, value in ours.items()}).round(3)

# %% [markdown]
# ## Data

# %%
index, skipped = profiles.videos(PROFILE)
leakage.check_leakage(index)
data = localization.test_frames(index, DETECTOR, FRAMES)
left_out = len(skipped) + len(data.rows.attrs["skipped"])
print(f"{left_out} videos skipped; {len(data.x)} frames, {data.rows['masked'].sum()} masks known")
data.rows.groupby("generator", sort=False)[["identity"]].nunique()

# %%
fitted = predict.fitted(DETECTOR, METHOD, index, sizes.run())
found = localization.uncertainty_maps(fitted, data.x, SAMPLES, COPIES)
found["relative"] = localization.relative_maps(found["total"], data.rows)
found |= localization.reference_maps(fitted, data.x, SAMPLES)

# %% [markdown]
# ## Mean maps on the canonical face
#
# Faces are aligned, so maps may be averaged pixel by pixel. Each map is first scaled to a mean of
# one. The rows show the mean face, the mean mask, and the mean maps of the total and of the
# epistemic uncertainty. Where a map is bright, a change of the picture changes the uncertainty
# most. Look for a row whose maps differ between columns as the masks do. Look also for a grid: the
# strides of a network leave one in its gradients, whatever it has learnt. The *relative* map below
# is divided by the mean map of the real videos, which removes what is the same in every face.

# %%
generators = list(pd.unique(data.rows["generator"]))
chosen = {name: data.rows["generator"].eq(name) for name in generators}
face = {name: data.x[rows].mean(0).transpose(1, 2, 0) for name, rows in chosen.items()}
mask = {name: data.painted[rows].mean(0) for name, rows in chosen.items()}
drawn = {"mean face": face, "mean mask": mask}
drawn |= {name: patterns.mean_maps(found[name], data.rows) for name in ("total", "epistemic")}
units = {"mean mask": "share", "total": "x mean", "epistemic": "x mean"}
counts = {name: data.rows.loc[rows, "video"].nunique() for name, rows in chosen.items()}
spread = {
    kind: {
        name: {"n": int(chosen[name].sum()), "largest": pictures[name].max()} for name in generators
    }
    for kind, pictures in drawn.items()
}

# %%
size = (7, 1.25 * len(drawn))
figure, axes = plt.subplots(len(drawn), len(generators), figsize=size)
for row, (kind, pictures) in zip(axes, drawn.items(), strict=True):
    shown = [pictures[name] for name in generators]
    top = 1 if kind.startswith("mean") else np.percentile(shown, 99.5)
    for ax, picture in zip(row, shown, strict=True):
        image = ax.imshow(picture, vmin=0, vmax=top, cmap="cividis")
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
    row[0].set_ylabel(kind)
    if kind != "mean face":
        figure.colorbar(image, ax=list(row), fraction=0.02, label=units[kind])
for ax, name in zip(axes[0], generators, strict=True):
    ax.set_title(f"{name}\n(n = {counts[name]})", fontsize=7)
results.save(figure, "06_mean_maps", spread, PROFILE, SEED)

# %% [markdown]
# ## Localisation
#
# *AUROC* is that of the map over the pixels of a frame, painted against not painted (0.5: no better
# than chance). *Hit* is the pointing game: the share of frames whose brightest pixel lies in the
# mask. A random point hits as often as the mask is large (*area*). *Gain* is the AUROC minus that
# of the blob in the middle, on the same resamples.

# %%
scored = localization.localization_scores(found, data)
table = localization.localization_table(scored, SEED, sizes.resamples)
formatting.format_intervals(table.xs("all", level="generator"), ["auroc", "gain", "hit", "area"])

# %%
formatting.format_intervals(table, ["auroc"])["auroc"].unstack("generator", sort=False)

# %%
area, gain = table.loc[("total", "all", "auroc")], table.loc[("total", "all", "gain")]
answer = (
    "The map of total uncertainty finds the manipulated pixels with an AUROC of "
    f"{area.value:.2f} [{area.low:.2f}, {area.high:.2f}]; the difference to a blob in the middle "
    f"of the face is {gain.value:+.2f}."
)
panels = {"auroc": "AUROC over pixels", "hit": "pointing game (share of hits)"}

# %%
figure, axes = plt.subplots(1, 2, figsize=(7, 3), sharey=True)
for ax, (metric, title) in zip(axes, panels.items(), strict=True):
    rows = table.xs(("all", metric), level=("generator", "metric")).rename_axis("name")
    plotting.intervals(ax, rows.rename(index=names).reset_index())
    ax.set(xlim=(0, 1.02), xlabel=title)
axes[0].axvline(0.5, color="0.6", linestyle=":", zorder=0)
axes[1].axvline(table.loc[("total", "all", "area"), "value"], color="0.6", linestyle=":", zorder=0)
results.save(figure, "06_localisation", table, PROFILE, SEED, answer)

# %% [markdown]
# The dotted lines are chance: 0.5, and the mean share of the crop that is painted.
#
# ## Sanity check: do the maps depend on the training?
#
# The entries of the network's tensors are shuffled, from the output backwards (Adebayo et al.
# 2018). At a share of 0 the network is unchanged, but the noise and the draws are new: this is the
# highest similarity that two maps of one network can have. From there, the similarity must fall to
# zero if the map depends on what was learnt.

# %%
few = localization.first_identities(data, PEOPLE)
left = localization.randomization_check(fitted, few, SAMPLES, COPIES, SHARES, SEED, sizes.resamples)
formatting.format_intervals(left, ["rank", "ssim", "relative"])

# %%
looks = {  # label, line style and colour of each metric
    "rank": ("rank correlation", "-o", "k"),
    "ssim": ("SSIM", "--s", "0.6"),
    "relative": ("rank correlation, relative", ":^", "0.3"),
}

# %%
figure, ax = plt.subplots(figsize=(3.4, 2.4))
for metric, (text, style, color) in looks.items():
    part = left.xs(metric, level="metric")
    bars = np.maximum(0, [part["value"] - part["low"], part["high"] - part["value"]])
    look = {"fmt": style, "color": color, "label": f"{text} (n = {part['n'].iloc[0]} videos)"}
    ax.errorbar(part.index, part["value"], bars, markersize=4, capsize=2, **look)
ax.set(xlabel="share of parameters shuffled, last first", ylim=(-0.2, 1.5))
ax.set_ylabel("similarity to the trained map")
ax.set_yticks(np.arange(0, 1.1, 0.25))
ax.legend(loc="upper right")
results.save(figure, "06_sanity", left, PROFILE, SEED)

# %% [markdown]
# ## Are the patterns generator-specific?
#
# The map of a video, on a grid of 16 x 16, is assigned to the generator whose mean map it
# correlates with most. The means leave out the person of the video. Chance is the same with the
# generators permuted within each person. The check most likely to overturn a success is among the
# rows: the edges of the picture itself, and the map of the network with all of its parameters
# shuffled. If these do as well, the map shows the picture, not the uncertainty.

# %%
shuffled = dataclasses.replace(fitted, model=maps.shuffle_parameters(fitted.model, 1, SEED))
kinds = {name: found[name] for name in ("total", "epistemic", "gradient", "grad_cam", "edges")}
kinds["shuffled"] = localization.uncertainty_maps(shuffled, data.x, SAMPLES, 1, ("total",))["total"]
identified = patterns.generator_accuracy_table(
    kinds, data.rows, SEED, sizes.resamples, sizes.resamples // 5
)
identified.astype(float).round(3)

# %%
labels = names | {"shuffled": "total, parameters shuffled (control)"}
counts = f"n = {identified['n'].iloc[0]}, {identified['classes'].iloc[0]} classes"
figure, ax = plt.subplots(figsize=(6.4, 2.4))
rows = identified.rename_axis("name").rename(index=labels).reset_index()
plotting.intervals(ax, rows.drop(columns="n"))
ax.axvline(identified["chance"].mean(), color="0.6", linestyle=":", zorder=0)
ax.set(xlim=(0, 1), xlabel=f"share of videos whose generator is named correctly ({counts})")
results.save(figure, "06_patterns", identified, PROFILE, SEED)

# %% [markdown]
# ## Reading
#
# The sentences below take their numbers from the sidecars.

# %%
keys = ["map", "generator", "metric"]
places = results.load_table("06_localisation", None, keys, PROFILE).xs("all", level="generator")
for name in ("total", "epistemic", "relative"):
    area, gain = places.loc[(name, "auroc")], places.loc[(name, "gain")]
    chance = "above chance" if area.low > 0.5 else "not above chance"
    verdict = "worse than" if gain.high < 0 else "no difference shown to"
    verdict = "better than" if gain.low > 0 else verdict
    difference = f"({gain.value:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}])"
    text = f"AUROC {formatting.interval_text(area)}, {chance}"
    print(f"{name}: {text}; {verdict} a blob in the middle {difference}")

# %%
sane = results.load_table("06_sanity", None, ["metric", "share"], PROFILE)
limit = localization.DESTROYED
for metric, which in {"rank": "map", "relative": "relative map"}.items():
    first, last = sane.loc[(metric, 0)], sane.loc[(metric, 1)]
    verdict = "weakened" if last.high < first.low else "not destroyed"
    verdict = "destroyed" if last.high < limit else verdict
    # A map that two runs of one network do not share cannot be destroyed by shuffling.
    verdict = verdict if first.low > limit else "no verdict, the map does not repeat"
    similarity = f"{first.value:.2f} unchanged, {formatting.interval_text(last)} with all shuffled"
    text = f"rank correlation with the trained {which}: {similarity}"
    print(f"{text}: {verdict} (destroyed: below {limit})")

# %% [markdown]
# Claim C5, that pixel maps of uncertainty show patterns that belong to a generator, is supported
# only if the maps name the generator better than chance *and* better than the controls do.

# %%
identified = results.load_table("06_patterns", None, ["map"], PROFILE)
best = identified.loc[["edges", "shuffled"], "value"].max()
for name in ("total", "epistemic"):
    row, ends = identified.loc[name], identified.loc[[name], ["low", "high"]]
    verdicts = [claim_ledger.joint_verdict(ends - level) for level in (row.chance, best)]
    share = f"share of generators named correctly {formatting.interval_text(row)}"
    chance = f"above chance, {row.chance:.2f} (p = {row.p:.3f}): {verdicts[0]}"
    print(f"C5, {name}: {share}; {chance}; above the best control, {best:.2f}: {verdicts[1]}")

# %%
about = {"data": ", ".join(index["dataset"].unique()), "detector": plotting.label(DETECTOR)}
ends, rows = ["value", "low", "high"], []
for name in ("total", "epistemic"):
    what = f"share of videos whose generator the map of {name} identifies"
    interval, n = identified.loc[name, ends], identified.loc[name, "n"]
    rows.append(claim_ledger.claim_row("C5", what, interval, best, n=n, **about))
for name in ("total", "epistemic"):
    what = f"AUROC of {name} for painted pixels, above a central blob"
    interval, n = places.loc[(name, "gain"), ends], len(data.rows)
    rows.append(claim_ledger.claim_row("C6", what, interval, n=n, **about))
shown = ["claim", "statistic", "value", "low", "high", "bound", "verdict"]
claim_ledger.write_claims("06", rows, PROFILE, SEED)[shown].round(3)

# %% [markdown]
# ## Summary
#
# The verdicts above are those of the run shown. An AUROC above 0.5 is not yet a map of the
# manipulation: faces and masks both lie in the middle of the crop, as the blob shows. What remains
# of a map after its parameters are shuffled is the grid of the network's strides. A mean map of
# pixel gradients must not be read as a pattern of a generator before this grid is removed.
#
# **Limits**: there is one detector of single pictures, with one seed in quick and few draws and
# noisy copies. A gradient is a local property. Masks of whole-face swaps leave little to find.
# Grad-CAM is taken from the deepest layer with at least 7 x 7 positions.
#
# References: Simonyan et al. 2014; Selvaraju et al. 2017; Smilkov et al. 2017; Adebayo et al. 2018;
# Zhang et al. 2018 (pointing game). Next: [07 Ablations](07_ablations.ipynb).
