# %% [markdown]
# # 00 The benchmark: a data card
#
# **Question.** What are the data, what do their ten generators do to a face, and does anything
# reveal the fakes too easily?
#
# SynthFF and SynthAV are rendered by this project. They are written to disk in the layouts of
# FaceForensics++ and FakeAVCeleb. They are *not* those data sets, and nobody in them exists. They
# have what no real data set has: the true pulse, the true landmarks and the true mask of every
# frame. Two results would surprise us: a fake with no pulse at all (Seibold et al. 2025), or a swap
# that still looks like the person in the original video.
#
# *Reads* the embedded benchmark and one trained network. *Writes* `figures/00_*`. *Takes* two
# minutes.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from deepfake_uncertainty.benchmark.generators import catalogue, learned
from deepfake_uncertainty.datasets import leakage
from deepfake_uncertainty.evaluation import confusion, metric_tables
from deepfake_uncertainty.report import formatting, plotting, results
from deepfake_uncertainty.signals import ppg
from deepfake_uncertainty.study.data_card import likeness, probes, residue, sheets, truth
from deepfake_uncertainty.training import profiles, tasks

# %% tags=["parameters"]
PROFILE = "quick"  # size of the benchmark: quick or full
SEED = 0  # seed of the bootstrap
RESAMPLES = None  # bootstrap resamples of whole identities (None: as the profile says)
SHOWN = 4  # number of people on a contact sheet
FRAME = 60  # number of the frame that the contact sheets show
GAIN = 6  # factor that makes the residue visible

# %% tags=["nbval-ignore-output"]
plotting.use_style()
sizes = profiles.get(PROFILE).override(seed=SEED, resamples=RESAMPLES)
print(f"numpy {np.__version__}, pandas {pd.__version__}")

# %% [markdown]
# ## People and videos
#
# Every identity has one real clip and is the target of each generator once. A fake shows target
# `a`, made with source `b`. Both are always in the same split, so no face appears in two splits.
# The videos of SynthAV have sound: the performance that moves the mouth also makes the sound. The
# generator `rtvc` changes the voice alone. Its picture is real, so its videos are left out here;
# the reason is printed.

# %% tags=["nbval-check-output"]
index, skipped = profiles.all_videos(PROFILE)
leakage.check_leakage(index)
generators = list(dict.fromkeys(index["generator"]))
reasons = skipped["reason"].str.replace(r"^.*: ", "", regex=True).unique()
print(f"{len(skipped)} videos left out: {'; '.join(reasons)}")
index.pivot_table(
    index=["dataset", "generator"],
    columns="split",
    values="video",
    aggfunc="count",
    fill_value=0,
    sort=False,
)

# %% [markdown]
# Five of the generators are networks whose weights ship with the project. They were trained on
# people of another rendered world than the benchmark's, from frames and detected landmarks.
# Deepfakes is trained while the benchmark is built, on the clips of its own split.

# %%
cards = {path.stem: learned.read_card(path.stem) for path in sorted(learned.WEIGHTS.glob("*.json"))}
columns = ["identities", "frames", "steps", "seconds", "loss_before", "loss", "seed"]
pd.DataFrame.from_dict(cards, orient="index")[columns]

# %% [markdown]
# ## Contact sheets
#
# There is one column per person of the test split: the real clip, the source of the fakes, then the
# same moment by each generator. All pictures are shown as they lie on disk, after H.264 at c23. Two
# things to look for: swaps bring the source's features, and reenactments move the mouth.

# %%
sets = dict(list(index.groupby("dataset", sort=False)))
for name, videos in sets.items():
    figure, targets = sheets.people_sheet(videos, SHOWN, FRAME)
    numbers = {"targets": targets, "frame": FRAME}
    results.save(figure, f"00_people_{name.lower()}", numbers, PROFILE, SEED)

# %% [markdown]
# ## What a generator changes
#
# Each fake is compared with the target's own clip, encoded the same way. *Share painted* is the
# share of the frame that is painted. *Change inside* is the mean absolute change there, in grey
# levels of 255. *PSNR outside* is that of the rest of the frame. All are medians over videos with
# 95 % bootstrap intervals over identities. Outside the painted area a fake should equal its target,
# except for the encoder; the requirement is 38 dB.

# %%
compared = residue.residue_table(index)
print(f"{len(compared.attrs['skipped'])} fakes without mask or target left out")
traces = metric_tables.group_medians(
    compared, "generator", ["coverage", "inside", "outside_db"], SEED, sizes.resamples
)
headings = {
    "coverage": "share painted",
    "inside": "change inside (of 255)",
    "outside_db": "PSNR outside (dB)",
}
formatting.format_intervals(traces, headings).rename(columns=headings)

# %% [markdown]
# The residue of one person is the fake minus the target, amplified around grey. Below it is the
# mask of the pixels that were painted.

# %%
figure = sheets.residue_sheet(sets, FRAME, GAIN)
numbers = {"frame": FRAME, "gain": GAIN, "traces": traces}
results.save(figure, "00_residue", numbers, PROFILE, SEED)

# %% [markdown]
# The next figure shows the power spectrum of the face, fake minus real, in decibels. Below zero, a
# generator has smoothed away what the camera recorded. Each line is the mean over the videos of one
# generator of the difference to the target's own clip.

# %%
spectra = residue.relative_to_targets(residue.spectra(index))

# %%
figure, axes = plt.subplots(1, 2, figsize=(7, 3.2), sharey=True)
drawn = {}
for ax, (dataset, part) in zip(axes, spectra.groupby("dataset", sort=False), strict=True):
    for name, lines in part.groupby("generator", sort=False):
        mean = lines.drop(columns=residue.KEY).mean()
        frequency, label = mean.index.astype(float), f"{name} (n = {len(lines)})"
        ax.plot(frequency, mean, color=plotting.color(name), label=label)
        drawn[name] = mean.to_numpy()
    ax.axhline(0, color="0.5", linestyle=":", zorder=0)
    ax.set(title=dataset, xlabel="spatial frequency (cycles/px)")
    ax.legend(fontsize=6, loc="lower left")
axes[0].set(ylabel="power relative to the target (dB)", ylim=(-14, 1.5))
results.save(figure, "00_spectra", drawn, PROFILE, SEED)

# %% [markdown]
# ## Whose face is it?
#
# A small embedding network is trained on the real clips. Its inputs are grey, from the brows to the
# chin, so it sees neither hair nor skin tone. The *shift* is the position of a fake on the line
# from its target (0) to its source (1). A swap with a shift of zero would be a defect; a
# reenactment should stay at zero.

# %%
shifts = likeness.identity_shift(index, SEED)
places = metric_tables.group_medians(shifts, "generator", ["moved"], SEED, sizes.resamples)

# %%
figure, ax = plt.subplots(figsize=(5, 2.8))
plotting.intervals(ax, places.xs("moved", level="metric").rename_axis("name").reset_index())
for place, style in ((0, "-"), (1, ":")):
    ax.axvline(place, color="0.5", linestyle=style, zorder=0)
ax.set(xlabel="shift: 0 is the target, 1 is the source", xlim=(-0.3, 1.15))
results.save(figure, "00_likeness", {"moved": places}, PROFILE, SEED)

# %% [markdown]
# ## How accurate are the landmarks?
#
# The landmarks of the face pipeline are compared with the true ones. The error is in percent of the
# distance between the eyes. It is shown by the yaw of the head and by skin tone (1 lightest, 6
# darkest). The two meshes differ by a constant offset per landmark, which is subtracted.

# %%
found = pd.concat(
    [truth.landmarks(videos, profiles.root(PROFILE, name)) for name, videos in sets.items()]
)
edges, bands = [0, 5, 10, 15, 90], ["0-5°", "5-10°", "10-15°", "over 15°"]
yaw = pd.cut(found["yaw"].abs(), edges, include_lowest=True, labels=bands)
found = found.assign(error=100 * found["error"], turned=yaw)
key = ["dataset", "generator", "video", "identity", "tone"]

# %%
clips = found.groupby(["turned", *key], as_index=False, observed=True)["error"].mean()
clips = clips.sort_values("turned").astype({"turned": str})
by_yaw = metric_tables.group_medians(clips, "turned", ["error"], SEED, sizes.resamples)
whole = found.groupby(key, as_index=False)["error"].mean().sort_values("tone")
by_tone = metric_tables.group_medians(whole, "tone", ["error"], SEED, sizes.resamples)

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.3))
for ax, table in ((left, by_yaw), (right, by_tone.rename(index="tone {}".format, level="tone"))):
    plotting.intervals(ax, table.xs("error", level="metric").rename_axis("name").reset_index())
    ax.set(xlabel="landmark error (% of the eyes' distance)", xlim=(0, None))
left.set_title("by yaw")
right.set_title("by skin tone")
results.save(figure, "00_landmarks", {"by_yaw": by_yaw, "by_tone": by_tone}, PROFILE, SEED)

# %% [markdown]
# ## How the pulse is measured
#
# Blood absorbs green light, so a heartbeat darkens the skin by about one part in a hundred. CHROM
# (de Haan and Jeanne 2013) takes the mean skin colour $R, G, B$, each divided by its own mean. From
# the parts of these between 0.7 and 4 Hz it forms the chrominances $X = 3R - 2G$ and
# $Y = 1.5R + G - 1.5B$. In overlapping windows of 1.6 s it returns
#
# $$S = X - \frac{\sigma_X}{\sigma_Y}\,Y.$$
#
# Specular light is equal in both chrominances and cancels in $S$. The heart rate is the peak of the
# spectrum of $S$. A worked example, with 72 beats/min:

# %%
time = np.arange(128) / 25
beat = np.sin(2 * np.pi * 72 / 60 * time)
skin = np.stack([150 + 0.2 * beat, 110 + 0.8 * beat, 90 + 0 * beat], 1)
rate, _ = ppg.heart_rate(ppg.chrom(skin, 25.0), 25.0)
assert abs(rate - 72) < 1
print(f"{rate:.1f} beats/min found")

# %% [markdown]
# The next figure shows one real clip of the benchmark: the wave that the renderer knows (true) and
# the wave that the pipeline reads from the encoded video. From the video on, every step is the same
# as for a real video.

# %%
example = index[index["generator"].eq("real") & index["split"].eq("test")].iloc[0]
wave, fps = truth.found_wave(example.path)
known = truth.load(profiles.root(PROFILE, example.dataset), example.target)
waves = {"true": known["pulse"][: len(wave)], "CHROM, c23": wave}

# %%
figure, ax = plt.subplots(figsize=(6.5, 2.2))
for (name, signal), color in zip(waves.items(), ("#333333", "#D55E00"), strict=True):
    standardised = (signal - signal.mean()) / signal.std()
    ax.plot(np.arange(len(signal)) / fps, standardised, color=color, label=name)
ax.set(xlabel="time (s)", ylabel="pulse (standard deviations)")
ax.set_title(f"clip {example.video}, tone {known['parameters']['tone']}")
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
results.save(figure, "00_pulse_wave", {"video": example.video} | waves, PROFILE, SEED)

# %% [markdown]
# ## True and measured pulse
#
# Every video of the benchmark is measured. For a fake, the truth is the pulse of its *target*, the
# person whose video was manipulated. *Chance* is the check most likely to overturn what follows: it
# is the error when the rate found for another person is taken. A generator whose error is near its
# chance level leaves no readable pulse. All are medians over videos with 95 % bootstrap intervals
# over identities.

# %%
pulses = pd.concat(
    [truth.pulse(videos, profiles.root(PROFILE, name)) for name, videos in sets.items()]
)
columns = ["error_bpm", "chance_bpm", "coherence", "snr_db"]
headings = {
    "error_bpm": "error (beats/min)",
    "chance_bpm": "chance (beats/min)",
    "snr_db": "SNR (dB)",
}
by_generator = metric_tables.group_medians(pulses, "generator", columns, SEED, sizes.resamples)
formatting.format_intervals(by_generator, columns).rename(columns=headings)

# %% [markdown]
# The same by skin tone (1 lightest, 6 darkest), for real clips only. Melanin absorbs the light that
# would carry the pulse.

# %%
real = pulses[pulses["generator"].eq("real")].sort_values("tone")
by_tone = metric_tables.group_medians(real, "tone", columns, SEED, sizes.resamples)
formatting.format_intervals(by_tone, columns).rename(columns=headings)

# %% [markdown]
# Two things to look for: whether the fakes lose the pulse (left), and whether a darker skin hides
# it (right). Points are medians over n videos and bars are 95 % intervals. The dotted line is the
# median error by chance on real clips.

# %%
errors = by_generator.xs("error_bpm", level="metric").rename_axis("name").reset_index()
tones = by_tone.xs("error_bpm", level="metric").rename(index="tone {}".format)

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3))
plotting.intervals(left, errors).set_title("by generator")
plotting.intervals(right, tones.rename_axis("name").reset_index()).set_title("real, by skin tone")
for ax in (left, right):
    ax.axvline(real["chance_bpm"].median(), color="0.5", linestyle=":", zorder=0)
    ax.set(xlabel="error of the heart rate (beats/min)", xlim=(0, None))
results.save(figure, "00_pulse", {"by_generator": by_generator, "by_tone": by_tone}, PROFILE, SEED)

# %% [markdown]
# ## Is there a shortcut?
#
# A benchmark is worth nothing if something other than the manipulation reveals its fakes. Each
# probe is a logistic regression on one simple property of a video. It is fitted to the train split
# and scored on the unseen identities of the test split, within each data set (AUROC; 0.5 is
# chance). Real and fake clips come from the same masters through one encoding each. What a probe
# still finds must be explained by the manipulation itself:
#
# * A network of 64 x 64 pixels smooths noise away, which also saves bits.
# * Landmarks jump in faces taken from the frames of another clip, or made by a network that
#   estimates them.
# * A swap changes the colour of the face.
#
# Few identities of SynthAV are tested. There a single column may lie far from 0.5 by chance, on
# either side.

# %%
features = probes.probe_features(index).groupby("dataset", sort=False)
tables = {name: probes.probe_auroc(videos, SEED, sizes.resamples) for name, videos in features}
probed = pd.concat(
    table.rename(index={"all": f"all of {name}"}, level="generator")
    for name, table in tables.items()
)
probed.apply(formatting.interval_text, axis=1).unstack(sort=False)

# %%
in_cells = {"annot": True, "fmt": ".2f", "annot_kws": {"size": 6}}
scale = {"vmin": 0.2, "vmax": 0.8, "center": 0.5, "cmap": "vlag", "cbar_kws": {"label": "AUROC"}}
figure, ax = plt.subplots(figsize=(7, 3.2))
sns.heatmap(probed["value"].unstack(sort=False), ax=ax, **in_cells, **scale)
ax.set(xlabel="", ylabel="")
ticks = [name.get_text().replace("-", "-\n") for name in ax.get_xticklabels()]
ax.set_xticklabels(ticks, rotation=45, ha="right")
results.save(figure, "00_probes", probed, PROFILE, SEED)

# %% [markdown]
# ## Which generator was it?
#
# A ResNet18 names the generators of both data sets, with one class each, on unseen identities. A
# useful benchmark should give a result clearly above chance and clearly below perfect. Each row
# sums to one. The last step of a hybrid generator is wav2lip, as its name says.

# %%
classes = tasks.source_settings(index).classes
samples = tasks.sample_sources("resnet18", "deterministic", index, sizes.run())
shares, recalls = confusion.confusion_matrix(samples, classes, SEED, sizes.resamples)
balanced, (probe, family) = recalls.loc["balanced accuracy"], probed["value"].idxmax()
people = index.groupby("dataset")["identity"].nunique().sum()
answer = (
    f"On the videos of {people} rendered people, a network names the {len(classes)} sources with a "
    f"balanced accuracy of {balanced.value:.2f} [{balanced.low:.2f}, {balanced.high:.2f}] "
    f"(chance {balanced.chance:.2f}); the best simple probe, {probe} on {family}, has an AUROC of "
    f"{probed['value'].max():.2f}."
)

# %%
scale = {"vmin": 0, "vmax": 1, "cmap": "Blues", "cbar_kws": {"label": "share of the videos"}}
figure, ax = plt.subplots(figsize=(6, 4.6))
sns.heatmap(shares, ax=ax, **in_cells, **scale)
ax.set_yticklabels([f"{name} (n = {recalls.n[name]:.0f})" for name in classes])
numbers = {"shares": shares, "recalls": recalls}
results.save(figure, "00_sources", numbers, PROFILE, SEED, answer=answer)

# %% [markdown]
# ## Reading
#
# Every number below is read from the sidecars of the figures.

# %%
pulse = results.load_table("00_pulse", "by_generator", ["generator", "metric"], PROFILE)
for name in generators:
    error, chance = pulse.loc[(name, "error_bpm")], pulse.loc[(name, "chance_bpm"), "value"]
    verdict = "readable" if error.high < chance else "not shown to differ from chance"
    interval = f"{error.value:.1f} [{error.low:.1f}, {error.high:.1f}]"
    print(f"{name}: error {interval} beats/min, chance {chance:.1f}: {verdict} (n = {error.n:.0f})")

# %%
tones = results.load_table("00_pulse", "by_tone", ["tone", "metric"], PROFILE)
for tone, error in tones.xs("error_bpm", level="metric").iterrows():
    interval = f"{error.value:.1f} [{error.low:.1f}, {error.high:.1f}]"
    print(f"tone {tone}: error {interval} beats/min (n = {error.n:.0f})")

# %% [markdown]
# The probes whose whole interval lies above 0.6:

# %%
probed = results.load_table("00_probes", None, ["probe", "generator"], PROFILE)
for (probe, generator), row in probed[probed["low"] > 0.6].iterrows():
    text = formatting.interval_text(row)
    print(f"{probe}: {generator} against real videos, AUROC {text}")

# %%
places = results.load_table("00_likeness", "moved", ["generator", "metric"], PROFILE)
for name, place in places.xs("moved", level="metric").iterrows():
    kind = "real" if name == "real" else "swap" if name in catalogue.swaps() else "reenactment"
    print(f"{name} ({kind}): shift {formatting.interval_text(place)} (n = {place.n:.0f})")

# %%
row = results.load_table("00_sources", "recalls", ["name"], PROFILE).loc["balanced accuracy"]
text = formatting.interval_text(row)
print(f"source detection: balanced accuracy {text}, chance {row.chance:.2f}")

# %% [markdown]
# ## Summary
#
# The data are people who do not exist, their fakes by ten generators of two data sets, and the
# truth about each of them. Where a fake keeps the pulse of its target, a detector that looks for a
# missing pulse has nothing to find. Where real clips lose their pulse to skin tone or to the codec,
# such a detector will call real people fake. The pulse changes about the same share of the green
# channel in every tone. In a darker picture this is a smaller part of a grey level, and the codec
# rounds it away; this is not equalised here. Generators that paint with a network of 64 x 64 pixels
# smooth the camera's noise away, as the originals did, and the probe of noise finds them. This is
# the manipulation itself: a detector of pixels has to beat *that* row, not chance.
#
# **Limits**: the skin is rendered, with one camera model and one encoder setting. Clips are short,
# so a heart rate is known to a few beats/min. The generators are miniatures of their families,
# trained for minutes.
#
# References: Rössler et al. 2019 (layout and families); de Haan and Jeanne 2013; Ciftci, Demir and
# Yin 2020; Seibold et al. 2025. Next: [01 Method comparison](01_method_comparison.ipynb).
