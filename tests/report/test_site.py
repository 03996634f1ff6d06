"""The static site: pages that stand by themselves, and equations without a script."""

import re
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import nbformat
import pytest
from bs4 import BeautifulSoup

from deepfake_uncertainty import paths
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.report import notebooks, results, site, texmath

MATH = "{http://www.w3.org/1998/Math/MathML}"
FIRST = r"""# 03 A *tiny* notebook

**Question.** Is $a < b$,
or not?

See [the next](04_next.ipynb#part) and [the paper](https://arxiv.org/abs/2509.17550).

$$H(\bar p) = -\sum_c \bar p_c \log \bar p_c$$
"""
SAVING = 'results.save(figure, "03_tiny", {}, PROFILE, SEED);'


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A project with one executed notebook, a script without one, and a figure with an answer."""
    for name, folder in (("NOTEBOOKS", "notebooks"), ("FIGURES", "figures")):
        monkeypatch.setattr(paths, name, tmp_path / folder)
        (tmp_path / folder).mkdir()
    for stem in ("03_tiny", "04_next"):
        (paths.NOTEBOOKS / f"{stem}.py").write_text("# %%\n")
    figure, ax = plt.subplots(figsize=(1, 1))
    results.save(figure, "03_tiny", {"n": 3}, "quick", 0, answer="There are 3,\n and a < b.")
    results.save(figure, "03_also", {"n": 3}, "quick", 0)
    plt.close(figure)
    png = nbformat.v4.new_output("display_data", {"image/png": "aGVsbG8="})
    script = nbformat.v4.new_output(
        "display_data",
        {"text/html": '<div>t</div><script src="https://cdn.example/x.js"></script>'},
    )
    cells = [
        nbformat.v4.new_markdown_cell(FIRST),
        nbformat.v4.new_markdown_cell("## A part\n\nLook for the gap."),
        nbformat.v4.new_code_cell(SAVING, outputs=[png, script], execution_count=1),
    ]
    notebooks.write(nbformat.v4.new_notebook(cells=cells), paths.NOTEBOOKS / "03_tiny.ipynb")
    return tmp_path


def soup(path):
    return BeautifulSoup(path.read_text(), "html.parser")


def test_the_index_has_question_answer_and_figure(house):
    written = site.build(house / "site")
    assert [path.name for path in written] == ["index.html", "03_tiny.html", "engine.html"]
    index = soup(written[0])
    assert index.find("h2").a["href"] == "03_tiny.html"
    assert index.find("h2").text == "03 A tiny notebook"
    assert index.select_one(".answer").text == "There are 3, and a < b."
    assert "Is $a < b$, or not?" in index.text and "*" not in index.find("h2").text
    image = index.find("img")
    shown = (house / "site" / image["src"]).read_bytes()
    assert shown == (paths.FIGURES / "03_tiny.png").read_bytes() and image["alt"]


def test_a_page_asks_for_nothing_outside_and_its_links_lead_somewhere(house):
    page = soup(site.build(house / "site")[1])
    assert not page.find_all(["script", "iframe", "object"])
    loaded = [
        *(tag["src"] for tag in page.select("[src]")),
        *(tag["href"] for tag in page.select("link")),
    ]
    assert sorted(source[:10] for source in loaded) == ["data:image", "style.css"]
    links = [tag["href"] for tag in page.select("a")]
    assert {"04_next.html#part", "https://arxiv.org/abs/2509.17550", "index.html"} <= set(links)
    assert not re.search(r"@import|url\(", (house / "site" / "style.css").read_text())


def test_the_page_of_the_engine_stands_by_itself(house):
    page = soup(site.build(house / "site")[2])
    assert page.find("title").text == page.find("h1").text
    assert page.find("h1").text.startswith("The engine") and not page.find_all(["script", "img"])
    assert len(page.select("table")) == 5 and len(page.select(".highlight pre")) == 5
    assert "#" not in page.find("h2").text and "```" not in page.text
    links = {tag["href"] for tag in page.select("a")}
    assert links == {"index.html"}
    assert soup(house / "site" / "index.html").find("a", href="engine.html")


def test_figures_are_described_by_name_heading_and_lead(house):
    page = soup(site.build(house / "site")[1])
    assert page.find("img")["alt"] == "Figure 03_tiny. A part. Look for the gap."


def test_equations_are_mathml(house):
    page = soup(site.build(house / "site")[1])
    assert len(page.find_all("math")) == 2 and page.select_one('math[display="block"] munder')
    assert "$" not in page.text.replace(SAVING, "")


def test_an_equation_that_cannot_be_read_stands_as_tex_and_is_told(capsys):
    assert site._equation(r"\foo < 1", False) == r"<code>\foo &lt; 1</code>"
    assert r"'\foo', which texmath.py does not know" in capsys.readouterr().err


def test_without_notebooks_or_with_two_answers_it_says_so(house):
    figure, ax = plt.subplots(figsize=(1, 1))
    results.save(figure, "03_zwei", {}, "quick", 0, answer="Another.")
    plt.close(figure)
    with pytest.raises(InputError, match="03_tiny, 03_zwei all carry an answer"):
        site.build(house / "site")
    assert not (house / "site").exists()
    (paths.NOTEBOOKS / "03_tiny.ipynb").unlink()
    with pytest.raises(InputError, match="no executed notebook"):
        site.build(house / "site")


def test_a_notebook_without_an_answer_has_its_first_figure(house):
    assert results.answer("03_tiny") == ("03_tiny", "There are 3, and a < b.")
    (paths.FIGURES / "03_tiny.json").unlink()
    assert results.answer("03_tiny") == ("03_also", None)
    assert results.answer("04_next") == (None, None)
    assert "No answer stored yet" in soup(site.build(house / "site")[0]).text


def shape(tex):
    """Return MathML as nested lists of tags and texts, without the rows that only group."""

    def of(node):
        children = [of(child) for child in node]
        tag = node.tag.removeprefix(MATH)
        return [tag, *children] if children else [tag, node.text or ""]

    return of(ElementTree.fromstring(texmath.mathml(tex)))[1]


def test_equations_by_hand():
    assert shape("x_c^2") == ["mrow", ["msubsup", ["mi", "x"], ["mi", "c"], ["mn", "2"]]]
    half, power = ["mfrac", ["mn", "1"], ["mn", "2"]], ["msup", ["mi", "x"], ["mn", "1"]]
    assert shape(r"\tfrac12x^12") == ["mrow", half, power, ["mn", "2"]]
    assert shape(r"\sqrt{\alpha}") == ["mrow", ["msqrt", ["mrow", ["mi", "α"]]]]
    assert shape("a-1.5") == ["mrow", ["mi", "a"], ["mo", "−"], ["mn", "1.5"]]
    assert shape(r"\text{a b}") == ["mrow", ["mtext", "a\u00a0b"]]
    assert shape(r"\sum_t p") == ["mrow", ["munder", ["mo", "∑"], ["mi", "t"]], ["mi", "p"]]
    brace = ["munder", ["munder", ["mrow", ["mi", "x"]], ["mo", "⏟"]], ["mrow", ["mtext", "total"]]]
    assert shape(r"\underbrace{x}_{\text{total}}") == ["mrow", brace]
    fenced = ["mrow", ["mo", "|"], ["mrow", ["mi", "x"]], ["mo", "|"]]
    assert shape(r"\left| x \right|") == ["mrow", fenced]


@pytest.mark.parametrize(
    "tex", [r"\foo", "{x", "x}", r"\frac{1}", "x_", r"\text x", r"\left( x", r"x \right)"]
)
def test_bad_equations_are_refused(tex):
    with pytest.raises(InputError, match="the equation"):
        texmath.mathml(tex)


def test_every_equation_of_our_notebooks_can_be_read():
    import jupytext

    text = "\n\n".join(
        cell.source
        for source in notebooks.scripts()
        for cell in jupytext.read(source).cells
        if cell.cell_type == "markdown"
    )
    equations = re.findall(r"\$\$(.+?)\$\$|\$([^$\n]+)\$", text, flags=re.DOTALL)
    assert equations
    for block, inline in equations:
        ElementTree.fromstring(texmath.mathml(block or inline))
