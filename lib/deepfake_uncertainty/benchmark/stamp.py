"""The stamp of an embedded benchmark: the parameters of its build, and whether it finished."""

import json
from pathlib import Path
from typing import Any

STAMPS = {"SynthFF": "synthff.json", "SynthAV": "synthav.json"}


def read_stamp(root: str | Path, dataset: str = "SynthFF") -> dict[str, Any]:
    """Return the content of a benchmark's stamp, {} when it is absent or damaged."""
    try:
        return dict(json.loads((Path(root) / STAMPS[dataset]).read_text()))
    except (OSError, ValueError, TypeError):
        return {}
