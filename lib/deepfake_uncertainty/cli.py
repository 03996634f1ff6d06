"""The command line: build the benchmark, train a detector, analyze a video."""

import argparse
import json
import os
import sys
from pathlib import Path

from deepfake_uncertainty import files
from deepfake_uncertainty.errors import InputError


def _build(options):
    from deepfake_uncertainty.benchmark.build import build
    from deepfake_uncertainty.study import profiles

    profile = profiles.get(options.profile)
    root = build(profiles.root(options.profile), profile.identities, profile.frames, profile.seed, jobs=options.jobs)
    print(f"SynthFF: {profile.identities} identities in {os.path.relpath(root)}")


def _train(options):
    from deepfake_uncertainty.datasets import faceforensics
    from deepfake_uncertainty.study import predict, profiles

    profile = profiles.get(options.profile)
    index, skipped = faceforensics.index(profiles.root(options.profile))
    for row in skipped.itertuples():
        print(f"skipped {row.path}: {row.reason}", file=sys.stderr)
    samples = predict.samples_for(options.detector, options.method, index, profile.seed, profile.samples)
    print(f"{options.detector} {options.method}: {samples.probabilities.shape[0]} samples of {len(samples.index)} rows")


def _analyze(options):
    from deepfake_uncertainty.study import analysis

    report = analysis.analyze(options.video, options.detector, options.method, options.profile, options.alpha)
    figure = options.figure or Path(f"{options.video.stem}-analysis.png")
    analysis.draw(report, figure)
    if options.json:
        files.write_json(options.json, report.as_json())
    print(report.text())
    print(f"figure: {figure}")


def parser():
    """Return the argument parser."""
    top = argparse.ArgumentParser(prog="python -m deepfake_uncertainty", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="render the embedded benchmark, SynthFF")
    build.add_argument("--jobs", type=int, default=2, help="processes")
    build.set_defaults(run=_build)
    train = commands.add_parser("train", help="train a detector, or load it, and sample it on the data")
    train.add_argument("detector")
    train.add_argument("method")
    train.set_defaults(run=_train)
    analyze = commands.add_parser("analyze", help="is this video certainly a deepfake?")
    analyze.add_argument("video", type=Path)
    analyze.add_argument("--detector", default="resnet18")
    analyze.add_argument("--method", default="bnn")
    analyze.add_argument("--alpha", type=float, default=0.1, help="error rate of the decision")
    analyze.add_argument("--json", type=Path, help="write the report here as JSON")
    analyze.add_argument("--figure", type=Path, help="write the figure here (default: VIDEO-analysis.png)")
    analyze.set_defaults(run=_analyze)
    for command in (build, train, analyze):
        command.add_argument("--profile", default="quick", help="quick, full or paper")
    return top


def main(arguments=None):
    """Run one command; bad input gives one line on standard error and exit code 2."""
    options = parser().parse_args(arguments)
    try:
        options.run(options)
    except InputError as error:
        print(f"error: {json.dumps(str(error))[1:-1]}" if "\n" in str(error) else f"error: {error}", file=sys.stderr)
        return 2
    return 0
