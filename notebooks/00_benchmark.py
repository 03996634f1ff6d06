# %% [markdown]
# # 00 The benchmark
#
# **Question.** What are the data, and how much of the pulse survives each generator?
#
# SynthFF is rendered by this project and written to disk in the layout of FaceForensics++; it is *not* FaceForensics++. It has
# what no real set has: the true pulse, the true landmarks and the true mask of every frame. It would surprise us if a fake had
# no pulse at all: fakes can inherit the pulse of the driving video (Seibold et al. 2025).
#
# *Reads* the embedded benchmark. *Writes* `figures/00_people`, `00_pulse_wave`, `00_pulse`, `00_probes`. *Takes* half a minute.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from deepfake_uncertainty import plotting, results
from deepfake_uncertainty.benchmark import truth
from deepfake_uncertainty.datasets import leakage, video
from deepfake_uncertainty.signals import ppg
from deepfake_uncertainty.study import comparison, evaluate, probes, profiles

# %% tags=["parameters"]
PROFILE = "quick"  # size of the benchmark: quick or full
SEED = 0  # of the bootstrap
RESAMPLES = 1000  # bootstrap draws of whole identities
SHOWN = 6  # people on the contact sheet
FRAME = 60  # frame that the contact sheet shows

# %% tags=["nbval-ignore-output"]
plotting.use_style()
root = profiles.root(PROFILE)
print(f"numpy {np.__version__}, pandas {pd.__version__}")

# %% [markdown]
# ## Who is in it
#
# Every identity has one real clip, and is once the target of each generator. A fake `a_b` shows target `a` made with source
# `b`; target and source are always of one split, so that no split has seen a face of another.

# %% tags=["nbval-check-output"]
index, skipped = profiles.videos(PROFILE)
leakage.check_leakage(index)
generators = list(dict.fromkeys(index["generator"]))
print(f"{len(skipped)} videos skipped")
index.pivot_table(index="generator", columns="split", values="video", aggfunc="count")

# %% [markdown]
# ## People, fakes and masks
#
# One column a person of the test split: the real clip, the source of the fakes, the same moment by each generator, and the
# pixels that the last generator painted. Everything is shown as it lies on disk, after H.264 at c23. Look twice.

# %%
targets = list(index.loc[index["split"].eq("test") & index["generator"].eq("real"), "target"].iloc[:SHOWN])
names = ["target", "source", *generators[1:], "mask"]
figure, axes = plt.subplots(len(names), SHOWN, figsize=(1.15 * SHOWN, 1.15 * len(names)))
real = index[index["generator"].eq("real")].set_index("target")["path"]
for column, target in zip(axes.T, targets, strict=True):
    clips = index[index["target"].eq(target)].set_index("generator")
    last = clips.loc[generators[-1]]
    files = [real[target], real[last.source], *clips.loc[generators[1:], "path"], last.mask_path]
    for ax, path in zip(column, files, strict=True):
        ax.imshow(video.decode(path, max_frames=FRAME + 1)[0][FRAME])
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    column[0].set_title(f"{target}")
for ax, name in zip(axes[:, 0], names, strict=True):
    ax.set_ylabel(name)
results.save(figure, "00_people", {"targets": targets, "frame": FRAME}, PROFILE, SEED);

# %% [markdown]
# ## How a pulse is found
#
# Blood absorbs green light, so a heartbeat darkens the skin by about one part in a hundred. CHROM (de Haan and Jeanne 2013)
# takes the mean skin colour $R, G, B$, each divided by its own mean, forms the chrominances $X = 3R - 2G$ and
# $Y = 1.5R + G - 1.5B$ of their parts between 0.7 and 4 Hz, and in overlapping windows of 1.6 s returns
#
# $$S = X - \frac{\sigma_X}{\sigma_Y}\,Y,$$
#
# in which specular light, equal in both, cancels. The heart rate is the peak of the spectrum of $S$. A case by hand, 72
# beats/min:

# %%
time = np.arange(144) / 25
beat = np.sin(2 * np.pi * 72 / 60 * time)
skin = np.stack([150 + 0.2 * beat, 110 + 0.8 * beat, 90 + 0 * beat], 1)
rate, _ = ppg.heart_rate(ppg.chrom(skin, 25.0), 25.0)
assert abs(rate - 72) < 1
print(f"{rate:.1f} beats/min found")

# %% [markdown]
# One real clip of the benchmark: the wave that the renderer knows (true) and what the pipeline reads from the encoded video.
# Every step from the video on is what a real video would go through.

# %%
example = index[index["generator"].eq("real") & index["split"].eq("test")].iloc[0]
wave, fps = truth.found_wave(example.path)
known = truth.load(root, example.target)
waves = {"true": known["pulse"][: len(wave)], "CHROM, c23": wave}

# %%
figure, ax = plt.subplots(figsize=(6.5, 2.2))
for (name, signal), color in zip(waves.items(), ("#333333", "#D55E00"), strict=True):
    ax.plot(np.arange(len(signal)) / fps, (signal - signal.mean()) / signal.std(), color=color, label=name)
ax.set(xlabel="time (s)", ylabel="pulse (std)", title=f"clip {example.video}, tone {known['parameters']['tone']}")
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
results.save(figure, "00_pulse_wave", {"video": example.video} | waves, PROFILE, SEED);

# %% [markdown]
# ## The truth against what the pipeline finds
#
# Every video of the benchmark. For a fake, the truth is the pulse of its *target*, the person whose video was manipulated.
# `chance_bpm` is the check most likely to overturn what follows: the error when the rate found for somebody else is taken. A
# generator whose error is near its chance leaves no readable pulse. Medians over videos, 95 % bootstrap intervals over
# identities.

# %%
found = truth.pulse(index, root)
columns = ["error_bpm", "chance_bpm", "coherence", "snr_db"]
by_generator = evaluate.medians(found, "generator", columns, SEED, RESAMPLES)
comparison.readable(by_generator, columns)

# %% [markdown]
# By skin tone (1 lightest, 6 darkest), real clips only; melanin takes the light that would carry the pulse.

# %%
real = found[found["generator"].eq("real")].sort_values("tone")
by_tone = evaluate.medians(real, "tone", columns, SEED, RESAMPLES)
comparison.readable(by_tone, columns)

# %% [markdown]
# Look for two things: whether the fakes lose the pulse (left), and whether a darker skin hides it (right). Points are medians
# over n videos, bars the 95 % intervals, the dotted line the median error of chance on real clips.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.5))
errors = by_generator.xs("error_bpm", level="metric").rename_axis("name").reset_index()
plotting.intervals(left, errors).set_title("by generator")
tones = by_tone.xs("error_bpm", level="metric").rename(index="tone {}".format).rename_axis("name").reset_index()
plotting.intervals(right, tones).set_title("real, by skin tone")
for ax in (left, right):
    ax.axvline(real["chance_bpm"].median(), color="0.5", linestyle=":", zorder=0)
    ax.set(xlabel="error of the heart rate (beats/min)", xlim=(0, None))
results.save(figure, "00_pulse", {"by_generator": by_generator, "by_tone": by_tone}, PROFILE, SEED);

# %% [markdown]
# ## Is there a shortcut?
#
# A benchmark is worth nothing if something other than the manipulation tells its fakes. Each probe is a logistic regression on
# one simple property of a video, fitted to the train split and scored on the unseen identities of the test split (AUROC; 0.5 is
# chance). Real and fake clips come from the same masters through one encoding each. What a probe still finds must be explained by
# the manipulation itself: a decoder of few pixels smooths noise away, and faces taken from another clip make landmarks jump.

# %%
probed = probes.table(probes.features(index), SEED, RESAMPLES)
comparison.readable(probed.assign(metric="auroc").set_index("metric", append=True), ["auroc"])["auroc"].unstack(sort=False)

# %%
against = list(probed.index.unique("generator"))
figure, axes = plt.subplots(1, len(against), figsize=(2.1 * len(against), 2.6), sharey=True)
for ax, name in zip(axes, against, strict=True):
    chosen = probed.xs(name, level="generator").rename_axis("name").reset_index()
    plotting.intervals(ax, chosen).set(title=f"{name} fakes" if name == "all" else name, xlabel="AUROC", xlim=(0.25, 1.02))
    ax.axvline(0.5, color="0.5", linestyle=":", zorder=0)
results.save(figure, "00_probes", probed, PROFILE, SEED);

# %% [markdown]
# ## Reading
#
# Every number below is read from the sidecar of the figure.

# %%
numbers = results.frame("00_pulse", "by_generator", ["generator", "metric"])
for name in generators:
    error, guess = numbers.loc[(name, "error_bpm")], numbers.loc[(name, "chance_bpm"), "value"]
    verdict = "readable" if error.high < guess else "not told from chance"
    text = "{}: error {:.1f} [{:.1f}, {:.1f}] beats/min, chance {:.1f}: {} (n = {:.0f})"
    print(text.format(name, error.value, error.low, error.high, guess, verdict, error.n))

# %%
tones = results.frame("00_pulse", "by_tone", ["tone", "metric"]).xs("error_bpm", level="metric")
for tone, error in tones.iterrows():
    print(f"tone {tone}: error {error.value:.1f} [{error.low:.1f}, {error.high:.1f}] beats/min (n = {error.n:.0f})")

# %%
told = results.frame("00_probes", None, ["probe", "generator"])
for (probe, generator), row in told[told["low"] > 0.6].iterrows():
    print(f"{probe} tells {generator}: AUROC {row.value:.2f} [{row.low:.2f}, {row.high:.2f}]")

# %% [markdown]
# ## Summary
#
# The data are people that do not exist, their fakes by three families, and the truth about each. Where a fake keeps the pulse
# of its target, a detector that looks for a missing pulse has nothing to find; where real clips lose theirs to skin tone or to
# the codec, it will call real people fake. The pulse moves about the same share of the green in every tone, so in a darker
# picture it is a smaller part of a grey level, and the codec rounds it away; this is not equalised here. No single property tells
# all fakes, but all of them together tell many: a detector of pixels has to beat *that* row, not chance.
#
# **Limits**: rendered skin, one camera model, one encoder setting; clips are short, so a heart rate is known to a few beats/min.
#
# References: Rössler et al. 2019 (layout and families); de Haan and Jeanne 2013; Ciftci, Demir and Yin 2020; Seibold et al.
# 2025. Next: [01 Method comparison](01_method_comparison.ipynb).
