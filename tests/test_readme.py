"""The README says what the committed results say."""

import re
import subprocess

import pytest

from deepfake_uncertainty import paths
from deepfake_uncertainty.report import notebooks, results
from deepfake_uncertainty.training import profiles

README = (paths.PROJECT / "README.md").read_text()


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)\)", README))))
def test_links_and_pictures_are_there(link):
    assert (paths.PROJECT / link).is_file()


def test_its_pictures_are_those_of_profile_full():
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)
    assert len(pictures) > 1 and all(one.startswith("figures/full/") for one in pictures)


@pytest.fixture
def committed():
    call = ["git", "status", "--porcelain", "--", "figures/full"]
    if subprocess.run(call, cwd=paths.PROJECT, capture_output=True, text=True, check=False).stdout:
        pytest.skip(
            "figures/full are of a run on this machine: the README speaks of those committed"
        )


@pytest.mark.parametrize("stem", [source.stem for source in notebooks.scripts()])
def test_answers_are_those_of_the_sidecars(committed, stem):
    _, answer = results.answer(stem, "full")
    assert answer and f"[{stem[:2]}](notebooks/{stem}.ipynb) | {answer} |" in README


def test_what_it_says_around_the_answers_holds(committed):
    full, text = profiles.get("full"), " ".join(README.split())
    recalls = results.load_table("03_confusion", "recalls", ["detector", "name"], "full")
    tested = recalls["n"].loc[full.compared[0]]
    people = f"{full.identities} rendered people in SynthFF and {full.av_identities} in SynthAV"
    counts = f"{tested['Deepfakes']:.0f} and {tested['faceswap']:.0f} are test people"
    assert f"{people}, of whom {counts}" in text
    assert full.n_seeds == 3 and "three trainings of each network in 01 to 04" in text
    verdicts = results.load_table("09_claims", "verdicts", ["index"], "full")
    rows = results.load_table("09_claims", "rows", ["verdict"], "full")
    undecided = (rows.index == "undecided").mean()
    assert undecided > 0.5 and "Most single statistics are undecided" in text
    assert verdicts.loc["Q1", "supported"] == 0 and "In no comparison" in text
    assert verdicts.loc["C7", "overall"] == "contradicted"
    assert "become *more* certain, not less (claim C7)" in text
    assert "Motion" in results.answer("02_detection", "full")[1]
    assert "The motion detector has the highest AUROC" in text
