# %% [markdown]
# # 09 Claims
#
# **Question.** Which claims of the study hold here?
#
# Every notebook before this one wrote the statistics that bear on a claim into a sidecar; nothing is computed here but verdicts.
# A statistic is defined so that the claim says *above the bound*: **supported** when its whole 95 % interval lies above,
# **contradicted** when it lies below, **undecided** otherwise. C1 to C7 are claims of the study, Q1 to Q7 what its reviewers
# asked. It would surprise us if all of them held.
#
# *Reads* `figures/*_claims.json` and no data. *Writes* `figures/09_claims`. *Takes* seconds.

# %%
import pandas as pd

from deepfake_uncertainty import plotting, results
from deepfake_uncertainty.study import claims

# %% tags=["parameters"]
PROFILE = "quick"  # whose sidecars are read: quick, full or paper
SEED = 0  # of the runs that wrote them

# %% tags=["nbval-ignore-output"]
plotting.use_style()
print(f"pandas {pd.__version__}")

# %% [markdown]
# ## The rule, by hand

# %%
assert claims.verdict(0.1, 0.3, 0) == "supported" and claims.verdict(-0.3, -0.1, 0) == "contradicted"
assert claims.verdict(-0.1, 0.3, 0) == "undecided"
claims.verdict(-0.1, 0.3, 0)

# %% [markdown]
# ## The ledger
#
# One row a statistic. `bound` is what the claim says it exceeds, `n` the videos (or pairs) that it rests on.

# %%
table = claims.ledger(PROFILE)
text = table.apply(lambda row: f"{row.value:.2f} [{row.low:.2f}, {row.high:.2f}]", axis=1)
columns = ["claim", "statistic", "data", "detector", "estimate", "bound", "n", "notebook", "verdict"]
shown = table.assign(estimate=text, bound=table["bound"].map("{:g}".format))[columns]
pd.set_option("display.max_rows", None, "display.max_colwidth", None)
shown.reset_index(drop=True)

# %% [markdown]
# ## Verdicts
#
# How many statistics support, contradict, or leave a claim undecided. A claim is *mixed* when some of its statistics say yes and
# others no: then it depends on the detector, the data or the measure.

# %%
verdicts = claims.summary(table)
verdicts

# %% [markdown]
# The distance of each statistic from its bound. Rows are not of one unit (nats, AUROC, correlations, shares), so it is counted in
# arms of the 95 % interval, the arm that points to the bound: beyond the dotted lines the bound lies outside of the interval.

# %%
figure = claims.draw(table)
alike = [f"{word}: {', '.join(part.index)}" for word, part in verdicts.groupby("overall")]
answer = f"Of the study's claims (C) and its reviewers' questions (Q), by {len(table)} statistics, {'; '.join(alike)}."
results.save(figure, "09_claims", {"rows": table, "verdicts": verdicts}, PROFILE, SEED, answer);

# %% [markdown]
# ## Beside what was published
#
# On FaceForensics++ and FakeAVCeleb, by the study and its authors' other work. The embedded benchmark is neither, so these are
# beside the rows above and are not compared with them.

# %%
claims.published()

# %% [markdown]
# ## The check most likely to overturn this
#
# Many intervals at 95 % each: by chance alone one in forty would lie wholly above its bound, and one in forty below. How many do?

# %%
decided = table["verdict"].ne("undecided")
expected = 0.05 * len(table)
print(f"{decided.sum()} of {len(table)} statistics are decided; by chance alone about {expected:.1f} would be")

# %% [markdown]
# ## Reading
#
# Read from the sidecar.

# %%
read = results.frame("09_claims", "verdicts", ["index"], PROFILE)
for name, row in read.iterrows():
    counts = f"{row.supported} support it, {row.contradicted} contradict it, {row.undecided} undecided"
    print(f"{name}, {row.claim}: {row.overall} ({counts})")

# %% [markdown]
# ## Summary
#
# A claim that holds on rendered people need not hold on real ones, and one that fails here may hold there; what carries over is
# the way of testing it. The same notebooks on real data sets (`--data-root`) write the same ledger.
#
# **Limits**: few test people in quick, so that *undecided* is the honest word for much; one world of rendered people.
#
# References: Kose et al. 2025 (claims); their reviews. Next: [10 Your video](10_your_video.ipynb).
