"""The executed notebooks as a small static site: an index, a page per notebook, and one more.

The one more is the page of the engine that draws the samples.

The pages have no scripts and load nothing from a network.
"""

import re
import shutil
import sys
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from deepfake_uncertainty import files, paths
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.report import notebooks, results, texmath

if TYPE_CHECKING:
    from nbformat import NotebookNode

TITLE = "Is it certainly a deepfake?"
ABOUT = (
    "A companion to <cite>Is It Certainly a Deepfake? Reliability Analysis in Detection &amp; "
    "Generation Ecosystem</cite>. Each notebook asks one question; its answer is "
    "computed from its results."
)
ENGINE = Path(__file__).parents[1] / "uncertainty" / "README.md"
STYLE = """
body { max-width: 52rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b; }
body { font: 1rem/1.5 system-ui, sans-serif; }
h1, h2, h3 { line-height: 1.2; } img { max-width: 100%; height: auto; } a { color: #005a9c; }
pre { overflow-x: auto; font-size: 0.82rem; line-height: 1.35; }
.highlight pre { background: #f5f5f2; padding: 0.6rem; }
.output_subarea pre { white-space: pre-wrap; margin: 0.4rem 0; }
.output_subarea pre { border-left: 3px solid #ccc; padding-left: 0.7rem; }
.output_html { overflow-x: auto; } table { border-collapse: collapse; font-size: 0.82rem; }
th, td { padding: 0.15rem 0.6rem; text-align: right; border-bottom: 1px solid #ddd; }
main th, main td { text-align: left; }
.prompt, .anchor-link { display: none; }
math[display="block"] { margin: 0.8rem 0; overflow-x: auto; }
article { border-top: 1px solid #ccc; padding: 0.5rem 0 1.2rem; } .answer { font-weight: 600; }
"""
PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><link rel="stylesheet" href="style.css"></head>
<body>
{body}
</body>
</html>
"""


def build(folder: Path) -> list[Path]:
    """Write the site to `folder`; return the index, the pages of notebooks and that of the engine.

    The previous content of `folder` is replaced. Raises InputError when no notebook was executed.
    """
    pairs = [source.with_suffix(".ipynb") for source in notebooks.scripts()]
    executed = [path for path in pairs if path.is_file()]
    if not executed:
        raise InputError("no executed notebook yet: run ./run_all.sh first")
    with files.atomic_path(folder) as temporary:
        temporary.mkdir()
        (temporary / "style.css").write_text(STYLE.lstrip() + _code_style())
        entries = []
        for path in executed:
            notebook = notebooks.read(path)
            (temporary / f"{path.stem}.html").write_text(page(notebook, path.stem))
            entries.append(_entry(notebook, path.stem, temporary))
        (temporary / "engine.html").write_text(engine_page())
        link = '<p><a href="engine.html">The engine: many samples of any network</a></p>'
        body = "\n".join([f"<h1>{TITLE}</h1>\n<p>{ABOUT}</p>", *entries, link])
        (temporary / "index.html").write_text(PAGE.format(title=TITLE, body=body))
    names = "index", *(path.stem for path in executed), "engine"
    return [folder / f"{name}.html" for name in names]


def page(notebook: "NotebookNode", stem: str) -> str:
    """Return an executed notebook as an HTML page.

    Equations become MathML. Links to other notebooks become links to their pages.
    """
    from nbconvert import HTMLExporter

    _describe_figures(notebook)
    # The head of the full template loads scripts from networks; `basic` has no head.
    exporter = HTMLExporter(template_name="basic", filters={"markdown2html": _markdown})
    body, _ = exporter.from_notebook_node(notebook)
    # Tables and plots bring scripts for live notebooks; a static page needs none.
    body = re.sub(r"<script\b.*?</script>", "", body, flags=re.DOTALL)
    body = re.sub(r'href="(?:\./)?([\w-]+)\.ipynb(#[^"]*)?"', r'href="\1.html\2"', body)
    return PAGE.format(
        title=escape(heading(notebook) or stem),
        body=f'<p><a href="index.html">{TITLE}</a></p>\n{body}',
    )


def engine_page() -> str:
    """Return the page of the engine as HTML."""
    text = ENGINE.read_text()
    body = f'<p><a href="index.html">{TITLE}</a></p>\n<main>{_markdown(text)}</main>'
    return PAGE.format(title=escape(text.partition("\n")[0].removeprefix("# ")), body=body)


def _markdown(source: str) -> str:
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def block_math(self, body):
            return _equation(body, True)

        def inline_math(self, body):
            return _equation(body, False)

    renderer = Renderer(escape=False, exclude_anchor_links=True)
    return MarkdownWithMath(renderer=renderer).render(source)


def _equation(tex: str, block: bool) -> str:
    """Return an equation as MathML; one that cannot be converted stays TeX, with a message."""
    try:
        return texmath.mathml(" ".join(tex.split()), block)
    except InputError as error:
        print(f"shown as TeX: {error}", file=sys.stderr)
        return f"<code>{escape(tex)}</code>"


def _code_style() -> str:
    from pygments.formatters import HtmlFormatter

    return HtmlFormatter(style="friendly").get_style_defs(".highlight") + "\n"


def heading(notebook: "NotebookNode") -> str:
    """Return the text of the notebook's first heading, '' without one."""
    return _first(notebook, re.compile(r"^# +(.+)$", re.MULTILINE))


def question(notebook: "NotebookNode") -> str:
    """Return the sentence after **Question.** in the notebook, '' without one."""
    pattern = re.compile(r"\*\*Question\.\*\*(.+?)(?:\n\s*\n|\Z)", re.DOTALL)
    return " ".join(_first(notebook, pattern).split())


def _first(notebook: "NotebookNode", pattern: re.Pattern[str]) -> str:
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    match = pattern.search(text)
    # A title has no marks of emphasis or code.
    return re.sub(r"[*`]", "", match.group(1)).strip() if match else ""


def _describe_figures(notebook: "NotebookNode") -> None:
    """Give every picture an alternative text: its name, the heading and the text before it."""
    title = lead = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            title = (re.findall(r"^#+ +(.+)$", cell.source, flags=re.MULTILINE) or [title])[-1]
            words = [part for part in re.split(r"\n\s*\n", cell.source) if not part.startswith("#")]
            lead = " ".join(words[-1].split()) if words else ""
            continue
        name = re.search(r'results\.save\(\w+, f?"([^"]+)"', cell.source)
        figure = f"Figure {name.group(1)}" if name else "Figure"
        text = ". ".join(part for part in (figure, title, lead) if part)
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.metadata["image/png"] = output.metadata.get("image/png", {}) | {"alt": text}


def _entry(notebook: "NotebookNode", stem: str, folder: Path) -> str:
    """Return the entry of a notebook in the index, and copy its figure beside the pages."""
    name, answer = results.answer(stem)
    title, asked = escape(heading(notebook) or stem), escape(question(notebook))
    parts = [f'<article><h2><a href="{stem}.html">{title}</a></h2>', f"<p>{asked}</p>"]
    parts.append(
        f'<p class="answer">{escape(answer)}</p>' if answer else "<p>No answer stored yet.</p>"
    )
    if name:
        (folder / "figures").mkdir(exist_ok=True)
        shutil.copy(paths.FIGURES / f"{name}.png", folder / "figures")
        image = f'<img src="figures/{name}.png" alt="Figure {name}. {asked}">'
        parts.append(f'<p><a href="{stem}.html">{image}</a></p>')
    return "\n".join([*parts, "</article>"])


def main() -> int:
    """Write the site to site/ in the project; return 0, or 2 after one line for bad input."""
    try:
        pages = build(paths.PROJECT / "site")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{len(pages)} pages in site/: open site/{Path(pages[0]).name}, also offline")
    return 0


if __name__ == "__main__":
    sys.exit(main())
