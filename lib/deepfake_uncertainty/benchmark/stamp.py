"""The stamp of an embedded benchmark: what it was built with, and whether to its end."""

import json
from pathlib import Path

STAMPS = {"SynthFF": "synthff.json", "SynthAV": "synthav.json"}


def read_stamp(root, dataset="SynthFF"):
    """Return what the stamp of a benchmark says, {} when it is absent or damaged."""
    try:
        return dict(json.loads((Path(root) / STAMPS[dataset]).read_text()))
    except (OSError, ValueError, TypeError):
        return {}
