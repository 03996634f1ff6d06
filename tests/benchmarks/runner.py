"""Run benchmark entries, ours and a peer in turns, and write `figures/benchmarks.json`.

The file holds times, so it differs from run to run.
"""

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from deepfake_uncertainty import files, paths


@dataclass(frozen=True)
class Entry:
    """One comparison of `ours()` with `peer()`.

    against: the name of the peer. units, peer_units: how many units of work one call does. bar:
    the smallest wanted ratio peer / ours, or, without a peer's name, the largest wanted time per
    unit in s. threads: of PyTorch. A named peer that is not installed has no function; the bar is
    then neither held nor missed. floor: a function that does only what cannot be left out; share:
    the smallest wanted ratio floor / ours, which takes the place of the bar.
    """

    name: str
    ours: Callable
    against: str = ""
    peer: Callable | None = None
    bar: float | None = None
    units: float = 1
    peer_units: float = 1
    threads: int = 1
    floor: Callable | None = None
    share: float | None = None


def measure(entry: Entry, repeats: int = 5) -> dict[str, Any]:
    """Return the row of an entry: {name, ours_s, peer, peer_s, ratio, bar, holds, share, ...}.

    Times are medians in seconds per unit. One thread is measured in processor time, which other
    processes disturb least; several threads are measured in clock time.
    """
    torch.set_num_threads(entry.threads)
    clock = time.process_time if entry.threads == 1 else time.perf_counter
    calls = {"ours": entry.ours, "peer": entry.peer, "floor": entry.floor}
    times: dict[str, list[float]] = {name: [] for name, call in calls.items() if call}
    for k in range(repeats + 1):
        for name, taken in times.items():
            start = clock()
            calls[name]()
            if k:  # the first call warms up
                taken.append(clock() - start)
    median = {name: statistics.median(taken) for name, taken in times.items()}
    ours = median["ours"] / entry.units
    peer = median["peer"] / entry.peer_units if entry.peer else None
    ratio = None if peer is None else peer / ours
    # Side by side in each round, so that a busy moment is in both.
    rounds = zip(times.get("floor", ()), times["ours"], strict=False)
    shares = [floor / own for floor, own in rounds]
    share = statistics.median(shares) if shares else None
    name = entry.against if entry.peer else None
    row = dict(name=entry.name, ours_s=ours, peer=name, peer_s=peer, ratio=ratio, bar=entry.bar)
    row |= dict(floor_s=median.get("floor"), share=share, wanted_share=entry.share)
    return row | dict(holds=_holds(entry, ours, ratio, share))


def _holds(entry: Entry, ours: float, ratio: float | None, share: float | None) -> bool | None:
    """Return whether an entry reaches its bar, None without a bar or without a peer to compare."""
    if entry.share and share:
        return share >= entry.share
    if not entry.bar:
        return None
    if not entry.against:
        return ours <= entry.bar
    return None if ratio is None else ratio >= entry.bar


def line(row: dict[str, Any]) -> str:
    """Return a row of `measure` as a line of the printed table."""
    verdict = {True: "holds", False: "FAILS", None: "-"}[row["holds"]]
    bar = f"{verdict} (bar {row['bar']:g})" if row["bar"] else verdict
    if row.get("share"):
        bar = f"{row['share']:.2f} of its floor, {verdict} (bar {row['wanted_share'] or 0:g})"
    if "gib" in row:
        return f"{row['name']:64s} {row['gib']:10.3f} GiB {bar}"
    peer = ""
    if row["peer"]:
        peer = f"{row['peer_s'] * 1e3:10.3f} ms {row['ratio']:7.1f} x  {row['peer']}"
    return f"{row['name']:64s} {row['ours_s'] * 1e3:10.3f} ms  {bar:36s} {peer}".rstrip()


def run(entries: Iterable, path: Path | None = None, repeats: int = 5) -> list[dict[str, Any]]:
    """Measure and print `entries` one by one and return their rows.

    The rows are written to `path`, if given, after each entry.
    """
    rows = []
    for entry in entries:
        own = getattr(entry, "measure", None)  # memory is measured in another manner than time
        rows.append(own(repeats) if own else measure(entry, repeats))
        print(line(rows[-1]), flush=True)
        if path:
            files.write_json(path, rows)  # the next entry may take minutes
    return rows


def main(themes: Iterable[ModuleType], small: bool = False) -> None:
    """Run all themes and write `figures/benchmarks.json`.

    With `small`, each entry runs once at toy size and nothing is written.
    """
    entries = (entry for theme in themes for entry in theme.entries(small))
    run(entries, None if small else paths.FIGURES / "benchmarks.json", 1 if small else 5)
