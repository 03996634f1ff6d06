"""The executed notebooks as a small static site: an index and one page each, without scripts or anything from a network."""

import re
import shutil
import sys
from html import escape
from pathlib import Path

from deepfake_uncertainty import files, notebook, paths, results, texmath
from deepfake_uncertainty.errors import InputError

TITLE = "Is it certainly a deepfake?"
ABOUT = ("A companion to <cite>Is It Certainly a Deepfake? Reliability Analysis in Detection &amp; Generation Ecosystem</cite>. "
         "Each notebook asks one question; its answer is computed from its results.")
STYLE = """
body { max-width: 52rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif; color: #1b1b1b; }
h1, h2, h3 { line-height: 1.2; } img { max-width: 100%; height: auto; } a { color: #005a9c; }
pre { overflow-x: auto; font-size: 0.82rem; line-height: 1.35; } .highlight pre { background: #f5f5f2; padding: 0.6rem; }
.output_subarea pre { white-space: pre-wrap; margin: 0.4rem 0; border-left: 3px solid #ccc; padding-left: 0.7rem; }
.output_html { overflow-x: auto; } table { border-collapse: collapse; font-size: 0.82rem; }
th, td { padding: 0.15rem 0.6rem; text-align: right; border-bottom: 1px solid #ddd; }
.prompt, .anchor-link { display: none; } math[display="block"] { margin: 0.8rem 0; overflow-x: auto; }
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


def build(folder):
    """Write the site of all executed notebooks to `folder` (index.html, one page each, their figures); return the pages.

    What was in `folder` is replaced. Raises InputError when no notebook was executed.
    """
    executed = [source.with_suffix(".ipynb") for source in notebook.sources() if source.with_suffix(".ipynb").is_file()]
    if not executed:
        raise InputError("no executed notebook yet: run ./run_all.sh first")
    with files.whole(folder) as temporary:
        temporary.mkdir()
        (temporary / "style.css").write_text(STYLE.lstrip() + _code_style())
        entries = []
        for path in executed:
            found = notebook.read(path)
            (temporary / f"{path.stem}.html").write_text(page(found, path.stem))
            entries.append(_entry(found, path.stem, temporary))
        body = "\n".join([f"<h1>{TITLE}</h1>\n<p>{ABOUT}</p>", *entries])
        (temporary / "index.html").write_text(PAGE.format(title=TITLE, body=body))
    return [folder / "index.html", *(folder / f"{path.stem}.html" for path in executed)]


def page(found, stem):
    """Return an executed notebook as an HTML page: equations as MathML, links to other notebooks as links to their pages."""
    from nbconvert import HTMLExporter

    _describe_figures(found)
    # The template's own head asks networks for scripts; `basic` has none.
    exporter = HTMLExporter(template_name="basic", filters={"markdown2html": _markdown})
    body, _ = exporter.from_notebook_node(found)
    # The script of tables and plots in a live notebook; nothing of a page of ours needs one.
    body = re.sub(r"<script\b.*?</script>", "", body, flags=re.DOTALL)
    body = re.sub(r'href="(?:\./)?([\w-]+)\.ipynb(#[^"]*)?"', r'href="\1.html\2"', body)
    return PAGE.format(title=escape(heading(found) or stem), body=f'<p><a href="index.html">{TITLE}</a></p>\n{body}')


def _markdown(source):
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def block_math(self, body):
            return _equation(body, True)

        def inline_math(self, body):
            return _equation(body, False)

    return MarkdownWithMath(renderer=Renderer(escape=False, exclude_anchor_links=True)).render(source)


def _equation(tex, block):
    """Return an equation as MathML; one that we cannot read stands as its TeX, and the command says which."""
    try:
        return texmath.mathml(" ".join(tex.split()), block)
    except InputError as error:
        print(f"shown as TeX: {error}", file=sys.stderr)
        return f"<code>{escape(tex)}</code>"


def _code_style():
    from pygments.formatters import HtmlFormatter

    return HtmlFormatter(style="friendly").get_style_defs(".highlight") + "\n"


def heading(found):
    """Return the text of the notebook's first heading, '' without one."""
    return _first(found, r"^# +(.+)$")


def question(found):
    """Return the sentence after **Question.** in the notebook, '' without one."""
    return " ".join(_first(found, r"\*\*Question\.\*\*(.+?)(?:\n\s*\n|\Z)").split())


def _first(found, pattern):
    text = "\n\n".join(cell.source for cell in found.cells if cell.cell_type == "markdown")
    match = re.search(pattern, text, flags=re.MULTILINE | re.DOTALL if "Question" in pattern else re.MULTILINE)
    # Emphasis and code marks have no place in a title.
    return re.sub(r"[*`]", "", match.group(1)).strip() if match else ""


def _describe_figures(found):
    """Give every picture an alternative text: the name it was saved under, and the heading and the words that lead to it."""
    title = lead = ""
    for cell in found.cells:
        if cell.cell_type == "markdown":
            title = (re.findall(r"^#+ +(.+)$", cell.source, flags=re.MULTILINE) or [title])[-1]
            words = [part for part in re.split(r"\n\s*\n", cell.source) if not part.startswith("#")]
            lead = " ".join(words[-1].split()) if words else ""
            continue
        name = re.search(r'results\.save\(\w+, f?"([^"]+)"', cell.source)
        text = ". ".join(part for part in (f"Figure {name.group(1)}" if name else "Figure", title, lead) if part)
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.metadata["image/png"] = output.metadata.get("image/png", {}) | {"alt": text}


def _entry(found, stem, folder):
    """Return the index's entry of a notebook, its figure copied beside the pages."""
    name, answer = results.answer(stem)
    title, asked = escape(heading(found) or stem), escape(question(found))
    parts = [f'<article><h2><a href="{stem}.html">{title}</a></h2>', f"<p>{asked}</p>"]
    parts.append(f'<p class="answer">{escape(answer)}</p>' if answer else "<p>No answer stored yet.</p>")
    if name:
        (folder / "figures").mkdir(exist_ok=True)
        shutil.copy(paths.FIGURES / f"{name}.png", folder / "figures")
        parts.append(f'<p><a href="{stem}.html"><img src="figures/{name}.png" alt="Figure {name}. {asked}"></a></p>')
    return "\n".join([*parts, "</article>"])


def main():
    """Command line: write the site to site/ in the project."""
    try:
        pages = build(paths.PROJECT / "site")
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{len(pages)} pages in site/: open site/{Path(pages[0]).name}, also offline")
    return 0


if __name__ == "__main__":
    sys.exit(main())
