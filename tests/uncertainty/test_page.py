"""The page of the engine: its examples run, its tables are those of the code and the results."""

import inspect
import re

import pytest
from uncertainty import comparison

from deepfake_uncertainty import uncertainty
from deepfake_uncertainty.report import results

TEXT = comparison.PAGE.read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_the_examples_are_short():
    assert len(BLOCKS) == 5 and all(len(block.splitlines()) <= 10 for block in BLOCKS)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_the_examples_run_and_give_probabilities_or_measures(number):
    found = {}
    exec(compile(BLOCKS[number], f"example {number}", "exec"), found)
    last = found.get("probabilities", found.get("found"))
    if isinstance(last, uncertainty.Prediction):
        last, known = last
        assert set(known) == {"total", "aleatoric", "epistemic"}
    if isinstance(last, dict):
        assert all((values >= 0).all() and values.max() > 0 for values in last.values())
    else:
        assert abs(last.sum(-1) - 1).max() < 1e-5 and last.std(0).max() > 0


def test_it_names_all_of_the_interface():
    for name in uncertainty.__all__:
        assert re.search(rf"^\| `{name}\b", TEXT, re.MULTILINE), name
    options = [
        name
        for name, one in inspect.signature(uncertainty.sample).parameters.items()
        if one.kind is one.KEYWORD_ONLY
    ]
    assert re.findall(r"^\| `(\w+)` \| ", TEXT.partition("| option of")[2], re.MULTILINE) == options


def test_its_table_is_that_of_the_results():
    assert comparison.page_with(results.load(comparison.NAME)["numbers"]) == TEXT
