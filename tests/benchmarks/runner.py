"""Runs benchmark entries, ours and a peer by turns, and writes `figures/benchmarks.json` (times: they never repeat)."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from deepfake_uncertainty import files, paths


@dataclass(frozen=True)
class Entry:
    """One comparison: `ours()` against `call()` of `peer`, each the work of `units` and `peer_units`.

    `bar` is the least ratio peer / ours, or, where `against` is empty, the most seconds a unit. A named peer that is not
    installed has no call: the bar is then neither held nor missed.
    """

    name: str
    ours: Callable
    against: str = ""
    peer: Callable | None = None
    bar: float | None = None
    units: float = 1
    peer_units: float = 1
    threads: int = 1


def measure(entry, repeats=5):
    """Return the row {name, ours_s, peer, peer_s, ratio, bar, holds} of an entry: medians in seconds a unit.

    One thread is timed by its processor time, which neighbours on the machine disturb least; more by the clock.
    """
    torch.set_num_threads(entry.threads)
    clock = time.process_time if entry.threads == 1 else time.perf_counter
    calls = [call for call in (entry.ours, entry.peer) if call]
    times = [[] for _ in calls]
    for k in range(repeats + 1):
        for call, taken in zip(calls, times, strict=True):
            start = clock()
            call()
            if k:  # The first call warms up.
                taken.append(clock() - start)
    ours = statistics.median(times[0]) / entry.units
    peer = statistics.median(times[1]) / entry.peer_units if entry.peer else None
    ratio = peer / ours if entry.peer else None
    reached = ours <= entry.bar if entry.bar and not entry.against else ratio and entry.bar and ratio >= entry.bar
    return dict(name=entry.name, ours_s=ours, peer=entry.against if entry.peer else None, peer_s=peer, ratio=ratio,
                bar=entry.bar, holds=reached if isinstance(reached, bool) else None)  # fmt: skip


def line(row):
    """Return a row of `measure` as a line of the printed table."""
    if "gib" in row:
        return f"{row['name']:64s} {row['gib']:10.3f} GiB {'holds' if row['holds'] else 'FAILS'} (bar {row['bar']:g})"
    peer = f"{row['peer_s'] * 1e3:10.3f} ms {row['ratio']:7.1f} x  {row['peer']}" if row["peer"] else ""
    bar = {True: "holds", False: "FAILS", None: "-"}[row["holds"]] + (f" (bar {row['bar']:g})" if row["bar"] else "")
    return f"{row['name']:64s} {row['ours_s'] * 1e3:10.3f} ms  {bar:18s} {peer}".rstrip()


def run(entries, path=None, repeats=5):
    """Measure and print `entries` one by one and return their rows; keep them in `path`, if given, after each."""
    rows = []
    for entry in entries:
        rows.append(entry.measure(repeats) if hasattr(entry, "measure") else measure(entry, repeats))
        print(line(rows[-1]), flush=True)
        if path:
            files.write_json(path, rows)  # the next entry may take minutes
    return rows


def main(themes, small=False):
    """Run all themes into `figures/benchmarks.json`; `small` runs each once at toy size and writes nothing."""
    entries = (entry for theme in themes for entry in theme.entries(small))
    run(entries, None if small else paths.FIGURES / "benchmarks.json", 1 if small else 5)
