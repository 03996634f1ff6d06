"""Run all speed benchmarks: `PYTHONPATH=tests python -m benchmarks [--small]`.

A missed bar is printed; it is not an error.
"""

import sys

from benchmarks import (
    commands,
    detectors,
    memory,
    metrics,
    motion,
    pipeline,
    pulse,
    runner,
    sampling,
)

if __name__ == "__main__":
    runner.main(
        (commands, pipeline, pulse, motion, metrics, sampling, memory, detectors),
        small="--small" in sys.argv[1:],
    )
