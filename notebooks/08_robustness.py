# %% [markdown]
# # 08 Robustness
#
# **Question.** What can an attacker or a codec do to a detector, and does its uncertainty show it?
#
# Gradient attacks break networks. The paper claims that uncertainty is higher under gradient
# attacks (its claim C7): it should be higher for attacked than for clean videos. The attacks here
# know the weights and the posterior, but not the draws that decide. They change the pixels of the
# tracked face; for FakeCatcher the gradient passes through the PPG map. It would surprise us if
# the uncertainty were higher under a strong attack. Such an attack does not stop at the decision
# boundary, where a network is uncertain. It goes on to where the network is certain of the wrong
# class.
#
# *Reads* by default the embedded benchmark SynthFF, which is not FaceForensics++. *Writes*
# `figures/08_accuracy`, `08_noticed`, `08_goals`, `08_transfer`, `08_corruptions`, `08_claims`.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from deepfake_uncertainty.datasets import leakage
from deepfake_uncertainty.detectors import registry
from deepfake_uncertainty.report import claim_ledger, formatting, plotting, results
from deepfake_uncertainty.study.robustness import attacks, clips, corruptions, figures, sweeps
from deepfake_uncertainty.training import profiles

# %% tags=["parameters"]
PROFILE = "quick"  # size of the benchmark: quick, full, or paper (real data)
SEED = 0  # seed of the trainings, the attacks, the samples and the bootstrap
SAMPLES = 5  # T, draws that decide
PEOPLE = 3  # test identities that are attacked, one clip per video of theirs (None: all)
STRENGTHS = [0, 0.5, 2]  # largest change of a pixel, of 255, for detectors of single pictures
GOAL_STRENGTH = 2  # the same for transfer and for attacks on the uncertainty
SIGNAL_STRENGTHS = [0, 2]  # the same for detectors of signals, whose clips are many frames
STEPS = 5  # S, steps of PGD
DRAWS = 2  # K, draws per step of the attack with expectation
ALPHA = 0.2  # error rate of the rule; 0.1 needs nine real validation videos, quick has eight
RESAMPLES = None  # bootstrap resamples of whole identities (None: as the profile says)
DETECTORS = ["resnet18", "fakecatcher"]  # names of attacked detectors, which need a gradient
METHODS = ["deterministic", "bnn"]  # uncertainty methods of detectors of single pictures
SIGNAL_METHODS = ["deterministic", "bnn"]  # the same for detectors of signals
TARGETS = ["resnet18", "fakecatcher"]  # detectors that a transfer is tested on (None: all)

# %% tags=["nbval-ignore-output"]
plotting.use_style()
sizes = profiles.get(PROFILE).override(seed=SEED, resamples=RESAMPLES)
run = sizes.run().with_samples(SAMPLES)
print(f"torch {torch.__version__}, numpy {np.__version__}, pandas {pd.__version__}")

# %% [markdown]
# ## Attacks
#
# Let $L$ be the cross-entropy of the true class, $P$ the projection on $\{x' : \lVert x' - x
# \rVert_\infty \le \epsilon\} \cap [0, 1]^d$, and $p_k$ the network of draw $k$:
#
# $$\text{FGSM}: x' = P\big(x + \epsilon\,\mathrm{sign}\,\nabla_x L\big)$$
#
# $$\text{PGD}: x_{s+1} = P\Big(x_s + \tfrac{2.5\,\epsilon}{S}\,\mathrm{sign}\,
# \nabla_x \tfrac1K \sum_{k=1}^{K} L(p_k(x_s))\Big)$$
#
# PGD starts at random and takes $S$ steps, with fresh draws at each. PGD has $K = 1$. EOT-PGD, the
# expectation over draws (Athalye et al. 2018), has more. *noise* is $\pm\epsilon$ at random and
# uses no network.
#
# A worked example: for a linear network FGSM changes the log odds by $\epsilon \lVert w \rVert_1$,
# and no other point of the ball changes them more.

# %%
w, x = torch.tensor([1.0, -2.0, 0.5]), torch.full((1, 3), 0.5)
attacked = attacks.fgsm(lambda x, step: w.expand_as(x), x, [0.1])
assert torch.allclose((attacked - x) @ w, 0.1 * w.abs().sum())
pd.DataFrame({"w": w, "x": x[0], "attacked": attacked[0]}).round(3)

# %% [markdown]
# ## Data
#
# There is one clip per test video: a frame for detectors of single pictures, a window for those of
# signals. The decision rule is calibrated on one clip per validation video.

# %% tags=["nbval-check-output"]
index, skipped = profiles.videos(PROFILE)
leakage.check_leakage(index)
few = clips.first_identities(index, PEOPLE)
chosen = {name: clips.load_clips(few, name) for name in DETECTORS}
counted = ", ".join(f"{name}: {len(part.tracks)} clips" for name, part in chosen.items())
print(f"{len(skipped)} videos skipped; {counted}")
rows = next(iter(chosen.values())).index
rows.groupby("generator", sort=False)[["video", "identity"]].nunique()

# %%
pictures = [name for name in DETECTORS if registry.get(name).window == 1]
methods = {name: METHODS if name in pictures else SIGNAL_METHODS for name in DETECTORS}
targets = {}
for name in DETECTORS:
    for method in methods[name]:
        target = sweeps.make_target(index, name, method, chosen[name], run, ALPHA)
        targets[name, method] = target
counts = {key: len(target.clips.tracks) for key, target in targets.items()}
rules = {key: [one.rule.reals_below, one.rule.fakes_above] for key, one in targets.items()}
pd.DataFrame(rules, ["real up to p(fake)", "fake from p(fake)"]).T.round(3)

# %% [markdown]
# ## Does the accuracy fall?
#
# The table shows every attack at every strength. A strength of 0.5 of 255 is half a level of an
# 8-bit picture. The network sees it here unrounded.

# %%
common = attacks.standard_attacks(STEPS, DRAWS)
swept_parts = []
for single, strengths in ((True, STRENGTHS), (False, SIGNAL_STRENGTHS)):
    part = [target for (name, _), target in targets.items() if (name in pictures) == single]
    if part:
        tables = sweeps.attack_sweep(part, common, strengths, SEED, SAMPLES, sizes.resamples)
        swept_parts.append(tables)
swept, rounded = (pd.concat(tables) for tables in zip(*swept_parts, strict=True))
formatting.format_intervals(swept, ["accuracy", "attack_success_rate"])

# %% [markdown]
# Look for the grey line, which should stay flat (noise is harmless), and for the order of the
# others. Bars are 95 % intervals over identities.

# %%
worst = sweeps.strongest_attack(swept)
key = next(iter(counts))
strength = worst.loc[key].index.get_level_values("strength").max()
hit = worst.loc[(*key, strength, "accuracy")]
shown = worst.loc[(*key, strength, "total_attack_auroc")]
answer = (
    f"At {strength:g}/255 the accuracy of {plotting.label(key[0])}, {plotting.label(key[1])}, is "
    f"{hit.value:.2f} [{hit.low:.2f}, {hit.high:.2f}]; its total uncertainty tells attacked from "
    f"clean videos with an AUROC of {shown.value:.2f} [{shown.low:.2f}, {shown.high:.2f}]."
)

# %%
figure = figures.accuracy_figure(swept, counts)
results.save(figure, "08_accuracy", {"sweep": swept, "n": counts}, PROFILE, SEED, answer)

# %% [markdown]
# ## Does the uncertainty show an attack?
#
# The upper row shows the AUROC of each measure for attacked clips against the same clips clean,
# under the strongest attack (EOT-PGD, or PGD for a network of one draw). At 1 the measure separates
# all attacked clips from clean ones, and at 0.5 none. *Below 0.5 attacked clips look more certain
# than clean ones*. The lower row shows two shares of the attacked clips: those that the rule leaves
# as *cannot tell*, and those that it decides wrongly.

# %%
figure = figures.detection_figure(worst, counts)
results.save(figure, "08_noticed", {"strongest": worst, "n": counts}, PROFILE, SEED)

# %% [markdown]
# Does the uncertainty of attacked clips predict the errors on them? The table shows the failure
# AUROC of each measure. Where all decisions are wrong it is not defined.

# %%
scores = ["softmax", "total", "aleatoric", "epistemic"]
failures = formatting.format_intervals(worst, [f"{score}_failure_auroc" for score in scores])
failures.set_axis(scores, axis=1).replace("nan [nan, nan]", "not defined")

# %% [markdown]
# ## An attack on the uncertainty itself
#
# The attacker may want certainty more than an error. There are three further goals, all with
# expectation and at one strength:
#
# * *certain* lowers $H(\bar p)$ and does not change the decision.
# * *certain error* raises $L$ until the decision is wrong, and lowers $H(\bar p)$ from then on.
# * *uncertain* raises $H(\bar p)$: the people who review undecided videos receive too many of them.

# %%
goals = {goal: attacks.Attack(goal, STEPS, DRAWS) for goal in attacks.GOALS}
aimed_at = [targets[name, METHODS[-1]] for name in pictures]
levels = [0, GOAL_STRENGTH]
aimed, _ = sweeps.attack_sweep(aimed_at, goals, levels, SEED, SAMPLES, sizes.resamples)
columns = ["accuracy", "total_mean", "epistemic_mean"]
columns += ["abstention_rate", "wrong_decision_rate", "total_attack_auroc"]
formatting.format_intervals(aimed, columns)

# %%
panels = {
    "total_mean": "mean total uncertainty (nats)",
    "abstention_rate": "share of cannot tell",
    "wrong_decision_rate": "share decided wrongly",
}
attacked = aimed.xs(GOAL_STRENGTH, level="strength").droplevel(["detector", "method"])
figure, axes = plt.subplots(1, 3, figsize=(7, 2.2), sharey=True)
for ax, (metric, name) in zip(axes, panels.items(), strict=True):
    clean = aimed.xs((0, metric), level=("strength", "metric"))["value"].iloc[0]
    plotting.intervals(ax, attacked.xs(metric, level="metric").rename_axis("name").reset_index())
    ax.axvline(clean, color="0.6", linestyle=":", zorder=0)
    ax.set_xlabel(name, fontsize=8)
    ax.set_xlim(left=0)
axes[0].set_ylabel(f"goal (n = {sum(len(target.clips.tracks) for target in aimed_at)})")
results.save(figure, "08_goals", {"goals": aimed, "strength": GOAL_STRENGTH}, PROFILE, SEED)

# %% [markdown]
# The dotted line is the clean value.
#
# ## Does an attack transfer?
#
# An attacker who does not know the detector attacks another one. The attack is FGSM, as single
# steps transfer best (Kurakin et al. 2017). It changes every frame of a clip that is as long as the
# longest attacked window. The clip is rounded to 8-bit pictures and read by each detector with its
# own preprocessing. Detectors that are attacked themselves are also tested as a Bayesian network.

# %%
length = max(registry.get(name).window for name in DETECTORS)
longest = next(name for name in DETECTORS if registry.get(name).window == length)
names = TARGETS or sweeps.detectors_for_length(length)
readers = {}
for name in names:
    for method in ("deterministic", "bnn") if name in DETECTORS else ("deterministic",):
        reader = sweeps.make_target(index, name, method, chosen[longest], run, ALPHA)
        readers[name, method] = reader
sources = [readers[name, "deterministic"] for name in names if name in DETECTORS]

# %%
transfer = sweeps.transfer_table(
    sources, list(readers.values()), common["FGSM"], GOAL_STRENGTH, SEED, SAMPLES, sizes.resamples
)
figure = figures.transfer_figure(transfer)
numbers = {"transfer": transfer, "strength": GOAL_STRENGTH}
results.save(figure, "08_transfer", numbers, PROFILE, SEED)

# %% [markdown]
# ## Corruptions
#
# Corruptions happen without an attacker. They change the tracked crops (96 px), before the
# preprocessing of a detector. Their effect on the detection of the face is not measured. The table
# shows the parameter of each filter at severities 1 to 5:

# %%
rows = {kind: [*map(str, values), unit] for kind, (values, unit) in corruptions.PARAMETERS.items()}
pd.DataFrame(rows, [*map(str, corruptions.SEVERITIES[1:]), "parameter"]).T

# %%
ends = (METHODS[0], METHODS[-1])
corrupted = {key: target for key, target in targets.items() if key[1] in ends}
kinds, severities = corruptions.PARAMETERS, corruptions.SEVERITIES
harmed = sweeps.corruption_table(
    list(corrupted.values()), kinds, severities, SEED, SAMPLES, sizes.resamples
)

# %%
shown = {key: counts[key] for key in corrupted}
figure = figures.severity_figure(harmed, shown)
results.save(figure, "08_corruptions", {"corruptions": harmed, "n": shown}, PROFILE, SEED)

# %% [markdown]
# A good detector would decide *cannot tell* where its accuracy falls. The table shows accuracy,
# abstention and wrong decisions at severity 5:

# %%
strongest = harmed.xs(5, level="severity")
formatting.format_intervals(strongest, ["accuracy", "abstention_rate", "wrong_decision_rate"])

# %% [markdown]
# ## Is the attack sound?
#
# Carlini et al. (2019) list what an evaluation must show before its numbers mean anything. Each
# entry below is computed from the tables above. *no* is a warning about the attack, not a finding
# about the detector.

# %%
sweeps.attack_checks(swept, list(targets.values()), common, SEED, SAMPLES)

# %% [markdown]
# ## The check most likely to overturn this
#
# An attack must survive being stored as a picture. The table shows the same attacks, rounded to 8
# bits and read with the detector's own preprocessing. A change of half a level is lost in the
# rounding, unless it moves a pixel to the next level.

# %%
both = pd.concat({"unrounded": worst, "8 bits": sweeps.strongest_attack(rounded)}, names=["as"])
formatting.format_intervals(both, ["accuracy"])["accuracy"].unstack("as", sort=False)

# %% [markdown]
# ## Evidence for the claims
#
# C7 says that uncertainty is higher under gradient attacks: the AUROC of a measure, attacked
# against clean, lies above 0.5. There is one row per strength, detector and measure, under the
# strongest attack.

# %%
data, rows = ", ".join(index["dataset"].unique()), []
above_zero = worst[worst.index.get_level_values("strength") > 0]
for (detector, method, strength, metric), row in above_zero.iterrows():
    measures = ["total"] if method == "deterministic" else ["total", "epistemic"]
    for measure in [name for name in measures if metric == f"{name}_attack_auroc"]:
        label = f"{plotting.label(detector)}, {plotting.label(method)}"
        about = {"data": data, "detector": label, "n": counts[detector, method]}
        what = f"AUROC of {measure}, attacked at {strength:g}/255 against clean"
        rows.append(claim_ledger.claim_row("C7", what, row, 0.5, **about))
shown = ["statistic", "detector", "value", "low", "high", "verdict"]
claim_ledger.write_claims("08", rows, PROFILE, SEED)[shown].round(2)

# %% [markdown]
# ## Reading
#
# Every number below is read from the sidecars of the figures.

# %%
keys = ["detector", "method", "strength", "metric"]
read = results.load_table("08_noticed", "strongest", keys, PROFILE)
attacked = read[read.index.get_level_values("strength") > 0]
for (detector, method, strength), rows in attacked.groupby(keys[:3], sort=False):
    by_metric = rows.droplevel(keys[:3])
    auroc, accuracy = by_metric.loc["total_attack_auroc"], by_metric.loc["accuracy"]
    verdict = "inverted, attacked clips look more certain"
    verdict = verdict if auroc.high < 0.5 else "no difference shown"
    verdict = "attacked clips look less certain" if auroc.low > 0.5 else verdict
    name = f"{plotting.label(detector)}, {plotting.label(method)}, {strength:g}/255"
    text = f"AUROC of total uncertainty {formatting.interval_text(auroc)}"
    print(f"{name}: accuracy {formatting.interval_text(accuracy)}, {text}: {verdict}")

# %%
keys = ["source", "detector", "method", "metric"]
read = results.load_table("08_transfer", "transfer", keys, PROFILE)
success = read.xs("attack_success_rate", level="metric")
for (source, detector, method), row in success.iterrows():
    if source not in (detector, "noise"):
        noise = success.loc[("noise", detector, method)]
        verdict = "more than noise" if row.low > noise.high else "not shown to exceed noise"
        shown_to = f"{plotting.label(detector)}, {plotting.label(method)}"
        text = f"made against {plotting.label(source)}, shown to {shown_to}"
        print(f"{text}: success rate {formatting.interval_text(row)}: {verdict}")

# %%
keys = ["detector", "method", "kind", "severity", "metric"]
read = results.load_table("08_corruptions", "corruptions", keys, PROFILE)
strongest = read.xs((5, "total_attack_auroc"), level=("severity", "metric"))
for (detector, method, kind), row in strongest.iterrows():
    verdict = "look less certain" if row.low > 0.5 else None
    verdict = "look more certain (inverted)" if row.high < 0.5 else verdict
    if verdict:
        name = f"{plotting.label(detector)}, {plotting.label(method)}, {kind} at severity 5"
        print(f"{name}: corrupted clips {verdict}, AUROC {formatting.interval_text(row)}")

# %% [markdown]
# ## Summary
#
# The verdicts above are those of the run shown. Where a measure is inverted under attack,
# abstention by that measure sends the clean videos to a person and accepts the attacked ones.
#
# **Limits**: there are few test people in quick. The attacks change tracked crops, not the whole
# frame, and there is no H.264 after the attack. The heads are rendered. An attacker with more steps
# or draws can only do better.
#
# References: Goodfellow et al. 2015; Kurakin et al. 2017; Madry et al. 2018; Athalye et al. 2018;
# Carlini et al. 2019; Hendrycks and Dietterich 2019; Vovk et al. 2005. Next: [09
# Claims](09_claims.ipynb).
