# %% [markdown]
# # 00 The benchmark: a data card
#
# **Question.** What are the data, what do their ten generators do to a face, and does anything give them away too easily?
#
# SynthFF and SynthAV are rendered by this project and written to disk in the layouts of FaceForensics++ and FakeAVCeleb; they
# are *not* those data sets, and nobody in them exists. They have what no real set has: the true pulse, the true landmarks and
# the true mask of every frame. It would surprise us if a fake had no pulse at all (Seibold et al. 2025), or if a swap still
# looked like the person whose video it was made from.
#
# *Reads* the embedded benchmark and one trained network. *Writes* `figures/00_*`. *Takes* two minutes.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from deepfake_uncertainty import plotting, results
from deepfake_uncertainty.benchmark import truth
from deepfake_uncertainty.benchmark.generators import learned, registry
from deepfake_uncertainty.datasets import leakage
from deepfake_uncertainty.signals import ppg
from deepfake_uncertainty.study import comparison, evaluate, likeness, probes, profiles, residue, sheets, sources

# %% tags=["parameters"]
PROFILE = "quick"  # size of the benchmark: quick or full
SEED = 0  # of the bootstrap
RESAMPLES = 1000  # bootstrap draws of whole identities
SHOWN = 4  # people on a contact sheet
FRAME = 60  # frame that the contact sheets show
GAIN = 6  # of the residue, so that it can be seen

# %% tags=["nbval-ignore-output"]
plotting.use_style()
print(f"numpy {np.__version__}, pandas {pd.__version__}")

# %% [markdown]
# ## Who is in it
#
# Every identity has one real clip, and is once the target of each generator. A fake shows target `a` made with source `b`; the
# two are always of one split, so that no split has seen a face of another. In SynthAV the mouth is heard: the sound comes from
# the performance that moves it. `rtvc` changes the voice alone; its picture is real, so it is left out here, with its reason.

# %% tags=["nbval-check-output"]
index, skipped = profiles.all_videos(PROFILE)
leakage.check_leakage(index)
generators = list(dict.fromkeys(index["generator"]))
print(f"{len(skipped)} videos left out: {'; '.join(skipped['reason'].str.replace(r'^.*: ', '', regex=True).unique())}")
by = ["dataset", "generator"]
index.pivot_table(index=by, columns="split", values="video", aggfunc="count", fill_value=0, sort=False)

# %% [markdown]
# Five of the generators are networks whose weights ship with the project. They learnt from people of another world than the
# benchmark's, on frames and found landmarks; Deepfakes learns from its own cast while the benchmark is built.

# %%
cards = {path.stem: learned.card(path.stem) for path in sorted(learned.WEIGHTS.glob("*.json"))}
pd.DataFrame.from_dict(cards, orient="index")[["identities", "frames", "steps", "seconds", "loss_before", "loss", "seed"]]

# %% [markdown]
# ## People and fakes
#
# One column a person of the test split: the real clip, the source of the fakes, the same moment by each generator. Everything
# is shown as it lies on disk, after H.264 at c23. Look twice: swaps bring the source's features, reenactments move the mouth.


# %%
sets = dict(list(index.groupby("dataset", sort=False)))
for name, videos in sets.items():
    figure, targets = sheets.people(videos, SHOWN, FRAME)
    results.save(figure, f"00_people_{name.lower()}", {"targets": targets, "frame": FRAME}, PROFILE, SEED)

# %% [markdown]
# ## What a generator leaves
#
# `coverage` is the share of the frame that is painted, `inside` the mean change there against the target's own clip, encoded the
# same way, in grey levels of 255, `outside_db` the PSNR elsewhere (medians over videos, 95 % bootstrap intervals over
# identities). Outside of what it paints a fake should be its target up to the encoder; the bar is 38 dB.

# %%
left = residue.table(index)
print(f"{len(left.attrs['skipped'])} fakes without mask or target left out")
traces = evaluate.medians(left, "generator", ["coverage", "inside", "outside_db"], SEED, RESAMPLES)
comparison.readable(traces, ["coverage", "inside", "outside_db"])

# %% [markdown]
# The residue of one person is the fake less the target, amplified about grey; below it the mask of the pixels that were painted.


# %%
figure = sheets.residues(sets, FRAME, GAIN)
results.save(figure, "00_residue", {"frame": FRAME, "gain": GAIN, "traces": traces}, PROFILE, SEED);

# %% [markdown]
# The spectrum of the face, fake less real, in decibels: below zero a generator has smoothed away what the camera recorded. Each
# line is the mean over the videos of a generator of the difference to the target's own clip.

# %%
spectra = residue.against_targets(residue.spectra(index))
figure, axes = plt.subplots(1, 2, figsize=(7, 3.2), sharey=True)
drawn = {}
for ax, (dataset, part) in zip(axes, spectra.groupby("dataset", sort=False), strict=True):
    for name, lines in part.groupby("generator", sort=False):
        mean = lines.drop(columns=residue.KEY).mean()
        ax.plot(mean.index.astype(float), mean, color=plotting.color(name), label=f"{name} (n = {len(lines)})")
        drawn[name] = mean.to_numpy()
    ax.axhline(0, color="0.5", linestyle=":", zorder=0)
    ax.set(title=dataset, xlabel="spatial frequency (cycles/px)")
    ax.legend(fontsize=6, loc="lower left")
axes[0].set(ylabel="power against the target (dB)", ylim=(-14, 1.5))
results.save(figure, "00_spectra", drawn, PROFILE, SEED);

# %% [markdown]
# ## Whose face is it?
#
# A small embedding is trained on the real clips (grey, brows to chin: neither hair nor skin tone can tell). `moved` is how far a
# fake has gone from its target (0) to its source (1). A swap that does not move would be a defect; a reenactment should stay.

# %%
moved = likeness.table(index, SEED)
places = evaluate.medians(moved, "generator", ["moved"], SEED, RESAMPLES)
figure, ax = plt.subplots(figsize=(5, 2.8))
plotting.intervals(ax, places.xs("moved", level="metric").rename_axis("name").reset_index())
for place, style in ((0, "-"), (1, ":")):
    ax.axvline(place, color="0.5", linestyle=style, zorder=0)
ax.set(xlabel="likeness: 0 the target, 1 the source", xlim=(-0.3, 1.15))
results.save(figure, "00_likeness", {"moved": places}, PROFILE, SEED);

# %% [markdown]
# ## How well is a face found?
#
# Landmarks of the face pipeline against the truth, in percent of the distance of the eyes, by how far the head is turned and by
# skin tone (1 lightest, 6 darkest). A constant offset of each landmark, in which the two meshes differ, is taken out.

# %%
found = pd.concat([truth.landmarks(videos, profiles.root(PROFILE, name)) for name, videos in sets.items()])
yaw = pd.cut(found["yaw"].abs(), [0, 5, 10, 15, 90], include_lowest=True, labels=["0-5°", "5-10°", "10-15°", "over 15°"])
found = found.assign(error=100 * found["error"], turned=yaw)
key = ["dataset", "generator", "video", "identity", "tone"]
clips = found.groupby(["turned", *key], as_index=False, observed=True)["error"].mean()
by_yaw = evaluate.medians(clips.sort_values("turned").astype({"turned": str}), "turned", ["error"], SEED, RESAMPLES)
whole = found.groupby(key, as_index=False)["error"].mean()
by_tone = evaluate.medians(whole.sort_values("tone"), "tone", ["error"], SEED, RESAMPLES)

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.3))
for ax, table in ((left, by_yaw), (right, by_tone.rename(index="tone {}".format, level="tone"))):
    plotting.intervals(ax, table.xs("error", level="metric").rename_axis("name").reset_index())
    ax.set(xlabel="landmark error (% of the eyes' distance)", xlim=(0, None))
left.set_title("by yaw")
right.set_title("by skin tone")
results.save(figure, "00_landmarks", {"by_yaw": by_yaw, "by_tone": by_tone}, PROFILE, SEED);

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
time = np.arange(128) / 25
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
known = truth.load(profiles.root(PROFILE, example.dataset), example.target)
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
found = pd.concat([truth.pulse(videos, profiles.root(PROFILE, name)) for name, videos in sets.items()])
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
figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3))
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
# chance), within each data set. Real and fake clips come from the same masters through one encoding each. What a probe still
# finds must be explained by the manipulation itself: a network of 64 x 64 pixels smooths noise away, which also saves bits; faces
# taken from the frames of another clip, or from a network that guesses, make landmarks jump; a swap moves the face's colour. In
# SynthAV few identities are tested: there a single column may stand far from 0.5, on either side, by chance.

# %%
tables = [probes.table(videos, SEED, RESAMPLES).rename(index={"all": f"all of {name}"}, level="generator")
          for name, videos in probes.features(index).groupby("dataset", sort=False)]  # fmt: skip
probed = pd.concat(tables)
comparison.readable(probed.assign(metric="auroc").set_index("metric", append=True), ["auroc"])["auroc"].unstack(sort=False)

# %%
figure, ax = plt.subplots(figsize=(7, 3.2))
told = probed["value"].unstack(sort=False)
sns.heatmap(told, vmin=0.2, vmax=0.8, center=0.5, cmap="vlag", annot=True, fmt=".2f", annot_kws={"size": 6}, ax=ax,
            cbar_kws={"label": "AUROC"})  # fmt: skip
ax.set(xlabel="", ylabel="")
ax.set_xticklabels([name.get_text().replace("-", "-\n") for name in ax.get_xticklabels()], rotation=45, ha="right")
results.save(figure, "00_probes", probed, PROFILE, SEED);

# %% [markdown]
# ## Which generator was it?
#
# A ResNet18 that tells the generators of both data sets apart, one class each, on unseen identities. Clearly above chance and
# clearly below perfect is what a useful benchmark should give. Rows sum to one; hybrids end in wav2lip, as their names say.

# %%
classes = sources.settings(index).classes
shares, recalls = sources.confusion(sources.samples_for("resnet18", "deterministic", index, SEED, 1), classes, SEED, RESAMPLES)
figure, ax = plt.subplots(figsize=(6, 4.6))
sns.heatmap(shares, vmin=0, vmax=1, cmap="Blues", annot=True, fmt=".2f", annot_kws={"size": 6}, ax=ax,
            cbar_kws={"label": "share of the videos"})  # fmt: skip
ax.set_yticklabels([f"{name} (n = {recalls.n[name]:.0f})" for name in classes])
balanced, (probe, family) = recalls.loc["balanced accuracy"], probed["value"].idxmax()
answer = (f"A network tells the {len(classes)} sources of {index.groupby('dataset')['identity'].nunique().sum()} rendered people "
          f"with a balanced accuracy of {balanced.value:.2f} [{balanced.low:.2f}, {balanced.high:.2f}], chance "
          f"{balanced.chance:.2f}; the best simple probe, {probe} on {family}, has an AUROC of {probed['value'].max():.2f}.")
results.save(figure, "00_sources", {"shares": shares, "recalls": recalls}, PROFILE, SEED, answer=answer);

# %% [markdown]
# ## Reading
#
# Every number below is read from the sidecar of the figure.

# %%
numbers = results.frame("00_pulse", "by_generator", ["generator", "metric"], PROFILE)
for name in generators:
    error, guess = numbers.loc[(name, "error_bpm")], numbers.loc[(name, "chance_bpm"), "value"]
    verdict = "readable" if error.high < guess else "not told from chance"
    text = "{}: error {:.1f} [{:.1f}, {:.1f}] beats/min, chance {:.1f}: {} (n = {:.0f})"
    print(text.format(name, error.value, error.low, error.high, guess, verdict, error.n))

# %%
tones = results.frame("00_pulse", "by_tone", ["tone", "metric"], PROFILE).xs("error_bpm", level="metric")
for tone, error in tones.iterrows():
    print(f"tone {tone}: error {error.value:.1f} [{error.low:.1f}, {error.high:.1f}] beats/min (n = {error.n:.0f})")

# %%
told = results.frame("00_probes", None, ["probe", "generator"], PROFILE)
for (probe, generator), row in told[told["low"] > 0.6].iterrows():  # the whole interval lies above 0.6
    print(f"{probe} tells {generator}: AUROC {row.value:.2f} [{row.low:.2f}, {row.high:.2f}]")

# %%
places = results.frame("00_likeness", "moved", ["generator", "metric"], PROFILE).xs("moved", level="metric")
for name, place in places.iterrows():
    kind = "real" if name == "real" else "swap" if name in registry.SWAPS else "reenactment"
    print(f"{name} ({kind}): moved {place.value:.2f} [{place.low:.2f}, {place.high:.2f}] (n = {place.n:.0f})")

# %%
row = results.frame("00_sources", "recalls", ["name"], PROFILE).loc["balanced accuracy"]
print(f"source detection: balanced accuracy {row.value:.2f} [{row.low:.2f}, {row.high:.2f}], chance {row.chance:.2f}")

# %% [markdown]
# ## Summary
#
# The data are people that do not exist, their fakes by ten generators of two data sets, and the truth about each. Where a fake
# keeps the pulse of its target, a detector that looks for a missing pulse has nothing to find; where real clips lose theirs to
# skin tone or to the codec, it will call real people fake. The pulse moves about the same share of the green in every tone, so in
# a darker picture it is a smaller part of a grey level, and the codec rounds it away; this is not equalised here. Generators that
# paint with a network of 64 x 64 pixels smooth the camera's noise away, as the originals did, and the probe of noise finds them:
# that is the manipulation itself, and a detector of pixels has to beat *that* row, not chance.
#
# **Limits**: rendered skin, one camera model, one encoder setting; clips are short, so a heart rate is known to a few beats/min;
# the generators are miniatures of their families, trained for minutes.
#
# References: Rössler et al. 2019 (layout and families); de Haan and Jeanne 2013; Ciftci, Demir and Yin 2020; Seibold et al.
# 2025. Next: [01 Method comparison](01_method_comparison.ipynb).
