"""The command line: build the benchmark, check and track videos, train a detector, analyze a video."""

import argparse
import logging
import os
import sys
import tempfile
from pathlib import Path

from deepfake_uncertainty import files
from deepfake_uncertainty.errors import InputError


def _build(options):
    from deepfake_uncertainty.benchmark import build, synthav, synthff
    from deepfake_uncertainty.study import profiles

    profile = profiles.get(options.profile)
    if not profile.identities:
        raise InputError(f"profile {profile.name} reads real data, there is nothing to build: use quick or full")
    for plan in (synthff.SynthFF, synthav.SynthAV):
        size = profile.benchmark(plan.DATASET)
        root = build.build(plan(profiles.embedded(profile.name, plan.DATASET), **size), options.jobs)
        print(f"{plan.DATASET}: {size['identities']} identities in {os.path.relpath(root)}")


def _tell_skipped(skipped):
    for path, reason in skipped:
        print(f"skipped {path}: {reason}", file=sys.stderr)


def _check(options):
    from deepfake_uncertainty.datasets import leakage
    from deepfake_uncertainty.study import profiles

    index, absent = profiles.all_videos(options.profile)
    leakage.check_leakage(index)
    _tell_skipped(absent.itertuples(index=False, name=None))
    by = ["dataset", "generator"]
    print(index.pivot_table(index=by, columns="split", values="video", aggfunc="count", fill_value=0, sort=False).to_string())
    print(f"{len(index)} videos of {', '.join(index['dataset'].unique())}; {len(absent)} skipped")


def _track(options):
    from deepfake_uncertainty.datasets import tracks
    from deepfake_uncertainty.study import profiles

    index, absent = profiles.all_videos(options.profile)
    skipped = [*absent.itertuples(index=False, name=None), *tracks.load_all(index["path"], options.jobs)]
    _tell_skipped(skipped)
    print(f"face tracks of {len(index) + len(absent)} videos; {len(skipped)} skipped")


def _train(options):
    from deepfake_uncertainty.study import profiles, trainings

    profile = profiles.get(options.profile)
    seed = profile.seed if options.seed is None else options.seed
    job = trainings.Job(options.task, options.detector, tuple(options.methods), seed)
    found = trainings.run(job, profile)
    # Several trainings of a job may leave out the same video.
    skipped = trainings.left_out(job, profile) + [pair for samples in found for pair in samples.index.attrs.get("skipped", [])]
    skipped = list(dict.fromkeys(map(tuple, skipped)))
    _tell_skipped(skipped)
    for samples in found:
        count, rows = samples.probabilities.shape[:2]
        print(f"{job.name}: {count} samples of {rows} rows; {len(skipped)} videos skipped")


def _analyze(options):
    from deepfake_uncertainty.study import analysis

    figure = options.figure or Path(f"{options.video.stem}-analysis.png")
    analysis.check_figure(figure)
    for path in filter(None, (figure, options.json)):
        _check_writable(path)
    report = analysis.analyze(options.video, options.detector, options.method, options.profile, options.alpha)
    analysis.draw(report, figure)
    if options.json:
        files.write_json(options.json, report.as_json())
    print(report.text())
    print(f"figure: {figure}")


def _check_writable(path):
    """Try now what would otherwise fail after minutes of training."""
    if path.is_dir():
        raise InputError(f"{path} is a folder: give the name of a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror}): give another place") from error


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all others are."""

    def error(self, message):
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def _jobs(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of processes above zero")
    return int(text)


def _seed(text):
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of zero or more")
    return int(text)


def parser():
    """Return the argument parser."""
    top = _Parser(prog="python -m deepfake_uncertainty", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="render the embedded benchmark, SynthFF and SynthAV")
    build.set_defaults(run=_build)
    check = commands.add_parser("check", help="count the videos of the data and name those that cannot be used")
    check.set_defaults(run=_check)
    track = commands.add_parser("track", help="find and align the faces of all videos, once")
    track.set_defaults(run=_track)
    for command in (build, track):
        command.add_argument("--jobs", type=_jobs, default=2, help="processes")
    train = commands.add_parser("train", help="train a detector, or load it, and sample it on the data")
    train.add_argument("detector")
    train.add_argument("methods", metavar="METHOD", nargs="+")
    train.add_argument("--task", default="binary", help="binary, sources (generators), across (data sets) or unseen")
    train.add_argument("--seed", type=_seed, help="of the training and its samples (default: the profile's)")
    train.set_defaults(run=_train)
    analyze = commands.add_parser("analyze", help="is this video certainly a deepfake?")
    analyze.add_argument("video", type=Path)
    analyze.add_argument("--detector", default="resnet18")
    analyze.add_argument("--method", default="bnn")
    analyze.add_argument("--alpha", type=float, default=0.1, help="error rate of the decision")
    analyze.add_argument("--json", type=Path, help="write the report here as JSON")
    analyze.add_argument("--figure", type=Path, help="write the figure here (default: VIDEO-analysis.png)")
    analyze.set_defaults(run=_analyze)
    for command in (build, check, track, train, analyze):
        command.add_argument("--profile", default="quick", help="quick, full or paper")
    return top


def _line(text):
    return " ".join(str(text).split())


def main(arguments=None):
    """Run one command; bad input gives one line on standard error and exit code 2, an interruption 130."""
    options = parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("deepfake_uncertainty").setLevel(logging.INFO)
    try:
        options.run(options)
    except InputError as error:
        print(f"error: {_line(error)}", file=sys.stderr)
        return 2
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{_line(error.strerror or error)}; check the path and the disk", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: what was finished is kept, and a rerun goes on from there", file=sys.stderr)
        return 130
    return 0
