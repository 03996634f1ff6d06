"""Two sidecars of one result, compared number by number: the committed one and one on disk.

An estimate with its interval is one number. It is 'equal' when value and interval are the same,
'within' when the new value lies in the committed interval, else 'outside'. A number without an
interval is 'within' when it agrees to three significant digits. Texts are equal or outside.
A number that is committed and not found is 'missing'. Rows are found by their names, in any order.

All of a sidecar's numbers are compared. Measured times are in none of them: they are in
benchmarks.json and in the table of costs of notebook 02, which has no sidecar.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from deepfake_uncertainty.report import claim_ledger

VERDICTS = ("verdict", "overall", "decision", "familiar")
# Numbers that tell rows apart where their texts do not.
LEVELS = ("severity", "share", "start", "strength", "tone")
CONTENT = ("name", "profile", "numbers", "answer")  # the other fields say how it was computed
Place = tuple[Any, ...]  # keys and names of rows, from the outside in


@dataclass(frozen=True)
class Entry:
    """A number or a text of a sidecar, with the ends of its interval where it has one."""

    value: Any
    low: float | None = None
    high: float | None = None


@dataclass
class Outcome:
    """The comparison of one or more sidecars.

    counts: how many numbers are equal, within, outside, missing and new (on disk only). verdicts:
    how many there are; turned: a line for each that differs or is missing.
    """

    counts: Counter[str] = field(default_factory=Counter)
    verdicts: int = 0
    turned: list[str] = field(default_factory=list)

    def __iadd__(self, other: "Outcome") -> "Outcome":
        self.counts.update(other.counts)
        self.verdicts += other.verdicts
        self.turned += other.turned
        return self


def compare(committed: dict[str, Any], found: dict[str, Any] | None) -> Outcome:
    """Return the comparison of a committed sidecar with the one found on disk, None for none."""
    old = dict(entries(committed["numbers"]))
    new = dict(entries(found["numbers"])) if found else {}
    outcome = Outcome()
    for place, entry in old.items():
        if place[-1] in VERDICTS:
            outcome.verdicts += 1
            if new.get(place) != entry:
                now = new[place].value if place in new else "missing"
                outcome.turned.append(f"{_text(place)}: {now} (committed: {entry.value})")
        elif entry.value is not None or new.get(place) != entry:
            outcome.counts[judge(entry, new.get(place))] += 1
    outcome.counts["new"] = len(new.keys() - old.keys())
    return outcome


def judge(committed: Entry, found: Entry | None) -> str:
    """Return 'equal', 'within', 'outside' or 'missing' for a number found; None when it is not."""
    if found is None:
        return "missing"
    if found == committed:
        return "equal"
    old, new = committed.value, found.value
    if not (_is_number(old) and _is_number(new)):
        return "outside"
    if committed.low is not None and committed.high is not None:
        return "within" if committed.low <= new <= committed.high else "outside"
    return "within" if _agree(old, new) else "outside"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _agree(old: float, new: float) -> bool:
    """Return True when two numbers differ by less than half of the third significant digit."""
    if old == 0:
        return new == 0
    return abs(new - old) <= 0.5 * 10.0 ** (math.floor(math.log10(abs(old))) - 2)


def entries(node: Any, place: Place = ()) -> Iterator[tuple[Place, Entry]]:
    """Yield (place, entry) of all numbers, texts and verdicts of a sidecar's numbers."""
    if isinstance(node, dict):
        yield from _of_dict(node, place)
    elif isinstance(node, list) and node and all(isinstance(row, dict) for row in node):
        seen: Counter[Place] = Counter()
        for row, names in _named(node):
            key = tuple(names.values())
            rest = {name: item for name, item in row.items() if name not in names}
            yield from _of_dict(rest, (*place, key, seen[key]))
            seen[key] += 1
    elif isinstance(node, list):
        for number, item in enumerate(node):
            yield from entries(item, (*place, number))
    else:
        yield place, Entry(node)


def _named(rows: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return (row, its fields that name it): its texts, and its levels where texts repeat."""
    texts = [
        {name: item for name, item in row.items() if isinstance(item, str) and name not in VERDICTS}
        for row in rows
    ]
    if len({tuple(names.values()) for names in texts}) < len(rows):
        for row, names in zip(rows, texts, strict=True):
            names.update({name: row[name] for name in LEVELS if name in row})
    return list(zip(rows, texts, strict=True))


def _of_dict(node: dict[str, Any], place: Place) -> Iterator[tuple[Place, Entry]]:
    """Yield the entries of a dict; an estimate and its interval are one."""
    taken: set[str] = set()
    # Next to a deviation the ends are the range of known videos, not an interval of the value.
    if {"value", "low", "high"} <= node.keys() and "deviation" not in node:
        taken = {"value", "low", "high"}
        yield (*place, "value"), Entry(node["value"], node["low"], node["high"])
    elif "p_fake" in node and isinstance(node.get("spread"), list):
        taken = {"p_fake", "spread"}
        yield (*place, "p_fake"), Entry(node["p_fake"], *node["spread"])
    if {"low", "high", "bound"} <= node.keys() and "verdict" not in node:
        low, high = (math.nan if node[end] is None else node[end] for end in ("low", "high"))
        yield (*place, "verdict"), Entry(claim_ledger.verdict(low, high, node["bound"]))
    for key, item in node.items():
        if key not in taken:
            yield from entries(item, (*place, key))


def _text(place: Place) -> str:
    """Return the names of a place, without its last key and without counts of equal names."""
    words = [word for part in place[:-1] for word in (part if isinstance(part, tuple) else (part,))]
    return ", ".join(str(word) for word in words if isinstance(word, str) and word)
