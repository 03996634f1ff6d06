"""From the TeX of equations to MathML, which browsers draw without a script from a network.

It covers the commands that the notebooks use.
"""

import re
from html import escape
from typing import NoReturn

from deepfake_uncertainty.errors import InputError

TOKEN = re.compile(r"\\[a-zA-Z]+\*?|\\.|[0-9]+(?:\.[0-9]+)?|\S")
GREEK = (
    "alpha beta gamma delta epsilon theta lambda mu pi rho sigma tau phi omega "
    "Delta Sigma Phi Omega ell partial nabla"
)
LETTERS = dict(zip(GREEK.split(), "αβγδϵθλμπρστϕωΔΣΦΩℓ∂∇", strict=True))
OPERATORS = {
    "sum": "∑", "prod": "∏", "int": "∫", "mid": "∣", "cdot": "⋅", "times": "×",
    "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠", "neq": "≠",
    "approx": "≈", "sim": "∼", "propto": "∝", "equiv": "≡", "ll": "≪", "gg": "≫",
    "in": "∈", "to": "→", "dots": "…", "ldots": "…", "cdots": "⋯",
    "infty": "∞", "pm": "±", "parallel": "∥", "|": "∥", "lVert": "∥", "rVert": "∥", "vert": "|",
    "{": "{", "}": "}", "%": "%", "_": "_",
    "lfloor": "⌊", "rfloor": "⌋", "lceil": "⌈", "rceil": "⌉",
    "forall": "∀", "exists": "∃", "land": "∧", "circ": "∘", "odot": "⊙", "star": "⋆",
    "subset": "⊂", "cup": "∪", "cap": "∩", "setminus": "∖",
    "quad": "\u2003", "qquad": "\u2003\u2003", ",": "\u2009", ";": "\u2005", ":": "\u2005",
    "!": "", " ": " ",
}  # fmt: skip
FUNCTIONS = "log exp max min arg sup inf Pr sin cos tan det ln lim argmax argmin".split()
ACCENTS = {
    "bar": "¯", "hat": "^", "tilde": "~", "vec": "→", "dot": "˙", "overline": "¯", "widehat": "^",
}  # fmt: skip
STYLED = {
    "mathrm": "normal", "mathbf": "bold", "mathbb": "double-struck", "mathcal": "script",
    "boldsymbol": "bold", "operatorname": "normal",
}  # fmt: skip
IGNORED = "big", "Big", "bigl", "bigr", "Bigl", "Bigr", "displaystyle", "limits"
LIMITS = {"∑", "∏", "max", "min", "sup", "inf", "lim", "argmax", "argmin"}


def mathml(tex: str, block: bool = False) -> str:
    """Return TeX as one <math> element; raises InputError for a command that is not known here."""
    tokens = _Tokens(tex)
    body = _row(tokens, None)
    display = ' display="block"' if block else ""
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML"{display}>{body}</math>'


class _Tokens:
    """The tokens of an equation, read one after the other."""

    def __init__(self, tex: str) -> None:
        self.tex, self.spans, self.place = tex, list(TOKEN.finditer(tex)), 0

    def peek(self) -> str | None:
        return self.spans[self.place].group() if self.place < len(self.spans) else None

    def next(self) -> str:
        token = self.peek()
        if token is None:
            self.fail("ends where something is missing: complete it")
        self.place += 1
        return token

    def digit(self) -> str:
        """Return the first digit of the next token, and leave the rest of it."""
        span = self.spans[self.place]
        rest = list(TOKEN.finditer(self.tex, span.start() + 1, span.end()))
        self.spans[self.place : self.place + 1] = rest
        return span.group()[0]

    def raw(self) -> str:
        """Return the text of the next {group} unchanged, with its spaces."""
        if self.next() != "{":
            self.fail("needs a {group} after a command of text: add it")
        start = self.spans[self.place - 1].end()
        while self.next() != "}":
            pass
        return self.tex[start : self.spans[self.place - 1].start()]

    def fail(self, problem: str) -> NoReturn:
        raise InputError(f"the equation '{self.tex}' {problem}")


def _row(tokens: _Tokens, end: str | None) -> str:
    """Return the items up to the token `end` (None: the end of the equation) as one <mrow>."""
    items = []
    while tokens.peek() != end:
        if tokens.peek() == "}" or (tokens.peek() == r"\right" and end != r"\right"):
            tokens.fail(f"closes what was not opened: remove '{tokens.peek()}'")
        items.append(_scripted(tokens))
    if end:
        tokens.next()
    return f"<mrow>{''.join(items)}</mrow>"


def _scripted(tokens: _Tokens) -> str:
    """Return an atom with the scripts that follow it."""
    base, parts = _atom(tokens), {}
    while tokens.peek() in ("_", "^", "'"):
        mark = tokens.next()
        parts["^" if mark == "'" else mark] = "<mo>′</mo>" if mark == "'" else _argument(tokens)
    if not parts:
        return base
    has_limits = any(f">{name}<" in base for name in LIMITS)
    below = has_limits or "<munder" in base or ("<mover" in base and "⏞" in base)
    names = ("munder", "mover", "munderover") if below else ("msub", "msup", "msubsup")
    tag = names[2] if len(parts) == 2 else names[0] if "_" in parts else names[1]
    return f"<{tag}>{base}{parts.get('_', '')}{parts.get('^', '')}</{tag}>"


def _argument(tokens: _Tokens) -> str:
    """Return the argument of a script or fraction: a group, a command, or one character.

    Of the number 12 it is the digit 1 only.
    """
    token = tokens.peek()
    if token and token[0].isdigit():
        return f"<mn>{tokens.digit()}</mn>"
    return _atom(tokens)


def _atom(tokens: _Tokens) -> str:
    token = tokens.next()
    if token == "{":
        return _row(tokens, "}")
    if token.startswith("\\"):
        return _command(token[1:], tokens)
    if token[0].isdigit():
        return f"<mn>{token}</mn>"
    if token.isalpha():
        return f"<mi>{token}</mi>"
    sign = escape({"-": "−", "*": "∗", "~": " "}.get(token, token))
    # Brackets grow with their content by default in MathML, but only after \\left in TeX.
    return f'<mo stretchy="false">{sign}</mo>' if token in "()[]|/" else f"<mo>{sign}</mo>"


def _command(name: str, tokens: _Tokens) -> str:
    if name in LETTERS:
        return f"<mi>{LETTERS[name]}</mi>"
    if name in OPERATORS:
        return f"<mo>{escape(OPERATORS[name])}</mo>"
    if name in FUNCTIONS:
        spaces = 'form="prefix" lspace="0.17em" rspace="0.17em" movablelimits="false"'
        return f"<mo {spaces}>{name}</mo>"
    if name in ("text", "textrm", "mbox"):
        # Browsers drop plain spaces at the ends of a text.
        return f"<mtext>{escape(tokens.raw()).replace(' ', chr(160))}</mtext>"
    if name in STYLED:
        return f'<mi mathvariant="{STYLED[name]}">{escape(tokens.raw())}</mi>'
    if name in IGNORED:
        return "<mrow></mrow>"
    return _structure(name, tokens)


def _structure(name: str, tokens: _Tokens) -> str:
    """Return a command that has other expressions as its parts."""
    if name in ("frac", "tfrac", "dfrac"):
        return f"<mfrac>{_argument(tokens)}{_argument(tokens)}</mfrac>"
    if name == "sqrt":
        return f"<msqrt>{_atom(tokens)}</msqrt>"
    if name in ACCENTS:
        return f'<mover accent="true">{_atom(tokens)}<mo>{ACCENTS[name]}</mo></mover>'
    if name in ("underbrace", "overbrace"):
        tag, brace = ("munder", "⏟") if name == "underbrace" else ("mover", "⏞")
        return f'<{tag}>{_atom(tokens)}<mo stretchy="true">{brace}</mo></{tag}>'
    if name == "left":
        opened, inside = _fence(tokens), _row(tokens, r"\right")
        return f"<mrow>{opened}{inside}{_fence(tokens)}</mrow>"
    tokens.fail(f"has '\\{name}', which texmath.py does not know: add it there")


def _fence(tokens: _Tokens) -> str:
    token = tokens.next()
    sign = OPERATORS.get(token[1:], token) if token[0] == "\\" else token.strip(".")
    return f'<mo stretchy="true">{escape(sign)}</mo>'
