# %% [markdown]
# # 09 Claims
#
# **Question.** Which claims of the paper hold here?
#
# Every notebook before this one wrote the statistics that bear on a claim into a sidecar. This
# notebook computes only verdicts. A statistic is defined so that the claim says that it lies *above
# the bound*. It is **supported** when its whole 95 % interval lies above the bound,
# **contradicted** when the interval lies below, and **undecided** otherwise. C1 to C7 are claims of
# the paper. Q1 to Q7 are questions of its reviewers, worded as claims. It would surprise us if all
# of them held.
#
# *Reads* `figures/*_claims.json` and no data. *Writes* `figures/09_claims`. *Takes* seconds.

# %%
import pandas as pd

from deepfake_uncertainty.report import claim_ledger, plotting, results
from deepfake_uncertainty.study import claims

# %% tags=["parameters"]
PROFILE = "quick"  # profile whose sidecars are read: quick, full or paper
SEED = 0  # seed of the runs that wrote them

# %% tags=["nbval-ignore-output"]
plotting.use_style()
print(f"pandas {pd.__version__}")

# %% [markdown]
# ## The rule, by example

# %%
assert claim_ledger.verdict(0.1, 0.3, 0) == "supported"
assert claim_ledger.verdict(-0.3, -0.1, 0) == "contradicted"
assert claim_ledger.verdict(-0.1, 0.3, 0) == "undecided"
claim_ledger.verdict(-0.1, 0.3, 0)

# %% [markdown]
# The claims in words:

# %%
pd.set_option("display.max_rows", None, "display.max_colwidth", None)
pd.Series(claim_ledger.CLAIMS, name="claim").to_frame()

# %% [markdown]
# ## The ledger
#
# There is one row per statistic. `bound` is the value that the claim says it exceeds. `n` is the
# number of videos (or pairs) behind it.

# %%
table = claims.ledger(PROFILE)
text = table.apply(lambda row: f"{row.value:.2f} [{row.low:.2f}, {row.high:.2f}]", axis=1)
shown = table.assign(estimate=text, bound=table["bound"].map("{:g}".format))
columns = ["claim", "statistic", "data", "detector", "estimate", "bound", "n"]
shown[[*columns, "notebook", "verdict"]].reset_index(drop=True)

# %% [markdown]
# ## Verdicts
#
# The table counts the statistics that support a claim, contradict it, or leave it undecided. A
# claim is *mixed* when some of its statistics support it and others contradict it. It then depends
# on the detector, the data or the measure.

# %%
verdicts = claims.claim_summary(table)
verdicts

# %% [markdown]
# The figure shows the distance of each statistic from its bound. The statistics have different
# units (nats, AUROC, correlations, shares). The distance is therefore divided by the length of the
# arm of the 95 % interval that points to the bound. Beyond the dotted lines the bound lies outside
# the interval.

# %%
groups = []
for word, part in verdicts.groupby("overall"):
    named = ", ".join(f"{row.claim} ({name})" for name, row in part.iterrows())
    groups.append(f"{word}: {named}")
answer = f"By {len(table)} statistics, {'; '.join(groups)}."

# %%
figure = claims.ledger_figure(table)
numbers = {"rows": table, "verdicts": verdicts}
results.save(figure, "09_claims", numbers, PROFILE, SEED, answer=answer)

# %% [markdown]
# ## Published results
#
# The next table shows results on FaceForensics++ and FakeAVCeleb, by the paper and by other work of
# its authors. The embedded benchmark is neither of these data sets, so the results are not compared
# with the rows above.

# %%
claims.published()

# %% [markdown]
# ## The check most likely to overturn this
#
# There are many intervals at 95 % each. By chance alone one in forty would lie wholly above its
# bound, and one in forty wholly below. How many do?

# %%
decided, expected = table["verdict"].ne("undecided").sum(), 0.05 * len(table)
print(f"{decided} of {len(table)} statistics are decided")
print(f"by chance alone about {expected:.1f} would be")

# %% [markdown]
# ## Reading
#
# The sentences below take their numbers from the sidecar.

# %%
read = results.load_table("09_claims", "verdicts", ["index"], PROFILE)
for name, row in read.iterrows():
    counts = f"{row.supported} statistics support it, {row.contradicted} contradict it"
    print(f"{name}, {row.claim}: {row.overall} ({counts}, {row.undecided} are undecided)")

# %% [markdown]
# ## Summary
#
# A claim that holds on rendered people need not hold on real ones, and one that fails here may hold
# there. What can be reused is the test of each claim: the same notebooks on real data sets
# (`--data-root`) write the same ledger.
#
# **Limits**: there are few test people in quick, so *undecided* is often the only honest verdict.
# There is one world of rendered people.
#
# References: Kose et al. 2025 (claims); their reviews. Next: [10 Your video](10_your_video.ipynb).
