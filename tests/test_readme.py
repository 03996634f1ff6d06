"""The README says what the committed results say."""

import re
import subprocess

import pytest

from deepfake_uncertainty import notebook, paths, results

README = (paths.PROJECT / "README.md").read_text()


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)\)", README))))
def test_links_and_pictures_are_there(link):
    assert (paths.PROJECT / link).is_file()


def test_its_pictures_are_those_of_profile_full():
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)
    assert len(pictures) > 1 and all(one.startswith("figures/full/") for one in pictures)


@pytest.mark.parametrize("stem", [source.stem for source in notebook.sources()])
def test_answers_are_those_of_the_sidecars(stem):
    call = ["git", "status", "--porcelain", "--", "figures/full"]
    if subprocess.run(call, cwd=paths.PROJECT, capture_output=True, text=True, check=False).stdout:
        pytest.skip("figures/full are of a run on this machine: the README speaks of those committed")
    _, answer = results.answer(stem, "full")
    assert answer and f"[{stem[:2]}](notebooks/{stem}.ipynb) | {answer} |" in README
