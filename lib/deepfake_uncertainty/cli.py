"""The command line: build the benchmark, check videos, train a detector, analyze a video."""

import argparse
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NoReturn

from deepfake_uncertainty import devices, files, listing, pins, plugins
from deepfake_uncertainty.errors import InputError

DATA_ROOT = "DEEPFAKE_UNCERTAINTY_DATA_ROOT"


def _build(options: argparse.Namespace) -> None:
    from deepfake_uncertainty.benchmark import build, synthav, synthff
    from deepfake_uncertainty.training import profiles

    profile = profiles.get(options.profile)
    if not profile.identities:
        raise InputError(
            f"profile {profile.name} reads real data, there is nothing to build: use quick or full"
        )
    for plan in (synthff.SynthFF, synthav.SynthAV):
        size = profile.benchmark(plan.DATASET)
        root = build.build(
            plan(profiles.embedded_root(profile.name, plan.DATASET), **size), options.jobs
        )
        print(f"{plan.DATASET}: {size['identities']} identities in {os.path.relpath(root)}")


def _print_skipped(skipped: Iterable[tuple[str, str]]) -> None:
    for path, reason in skipped:
        print(f"skipped {path}: {reason}", file=sys.stderr)


def _check(options: argparse.Namespace) -> None:
    from deepfake_uncertainty.datasets import leakage
    from deepfake_uncertainty.training import profiles

    index, absent = profiles.all_videos(options.profile)
    leakage.check_leakage(index)
    _print_skipped(absent.itertuples(index=False, name=None))
    by = ["dataset", "generator"]
    table = index.pivot_table(
        index=by, columns="split", values="video", aggfunc="count", fill_value=0, sort=False
    )
    print(table.to_string())
    print(f"{len(index)} videos of {', '.join(index['dataset'].unique())}; {len(absent)} skipped")


def _track(options: argparse.Namespace) -> None:
    from deepfake_uncertainty.datasets import tracks
    from deepfake_uncertainty.training import profiles

    index, absent = profiles.all_videos(options.profile)
    skipped = [
        *absent.itertuples(index=False, name=None),
        *tracks.load_all(index["path"], options.jobs),
    ]
    _print_skipped(skipped)
    print(f"face tracks of {len(index) + len(absent)} videos; {len(skipped)} skipped")


def _train(options: argparse.Namespace) -> None:
    from deepfake_uncertainty.training import batch, profiles

    profile = profiles.get(options.profile)
    seed = profile.seed if options.seed is None else options.seed
    job = batch.Job(options.task, options.detector, tuple(options.methods), seed)
    found = batch.run(job, profile)
    # Several trainings of a job may leave out the same video.
    skipped = batch.skipped_videos(job, profile)
    skipped += [
        pair for samples in found.values() for pair in samples.index.attrs.get("skipped", [])
    ]
    skipped = list(dict.fromkeys((path, reason) for path, reason in skipped))
    _print_skipped(skipped)
    for (method, asked), samples in found.items():
        print(
            f"{options.detector}, {method}, {asked}: {_accuracy(samples, seed, profile.resamples)}"
        )
    print(f"{job.name}: {len(skipped)} videos skipped")


def _accuracy(samples, seed: int, resamples: int) -> str:
    """Return AUROC and accuracy of the test videos as text, with 95 % intervals over identities."""
    from deepfake_uncertainty.evaluation import metric_tables
    from deepfake_uncertainty.report import formatting

    test = samples.of_split("test")
    table = metric_tables.metric_table(test.probabilities, test.index, seed, resamples).loc[
        ["auroc", "accuracy"]
    ]
    auroc, accuracy = (formatting.interval_text(row) for row in table.itertuples())
    people = test.index[["dataset", "identity"]].drop_duplicates()
    videos = test.index[["dataset", "generator", "video"]].drop_duplicates()
    count, rows = test.probabilities.shape[:2]
    tested = f"{len(videos)} test videos of {len(people)} people"
    return f"AUROC {auroc}, accuracy {accuracy} ({tested}; {rows} inputs, T = {count})"


def _analyze(options: argparse.Namespace) -> None:
    from deepfake_uncertainty.study.your_video import analysis, drawing

    figure = options.figure or Path(f"{options.video.stem}-analysis.png")
    drawing.check_figure(figure)
    for path in filter(None, (figure, options.json)):
        _check_writable(path)
    report = analysis.analyze(
        options.video, options.detector, options.method, options.profile, options.alpha
    )
    drawing.draw(report, figure)
    if options.json:
        files.write_json(options.json, report.as_json())
    print(report.text())
    print(f"figure: {figure}")


def _retrain(options: argparse.Namespace) -> None:
    import torch

    from deepfake_uncertainty.signals import shipped_networks

    torch.set_num_threads(1)  # the weights must not depend on the number of processors
    for name in options.names or shipped_networks.names():
        print(name, shipped_networks.retrain(name), flush=True)


def _check_writable(path: Path) -> None:
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

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def _jobs(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of processes above zero")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 0 to 2**32 - 1")
    return int(text)


def _list(options: argparse.Namespace) -> None:
    print("\n".join([listing.detectors_and_methods(), listing.TASKS, listing.PROFILES]))


# Command: its function, its help, and what lists the names that it takes.
COMMANDS: dict[str, tuple[Callable, str, list[Callable[[], str]]]] = {
    "build": (_build, "render the embedded benchmark, SynthFF and SynthAV", []),
    "check": (_check, "count the videos of the data and name those that cannot be used", []),
    "track": (_track, "find and align the faces of all videos, once", []),
    "train": (
        _train,
        "train a detector, or load it, and sample it on the data",
        [listing.detectors_and_methods, lambda: listing.TASKS],
    ),
    "analyze": (
        _analyze,
        "analyze one video: P(fake), its uncertainty, and the decision real, fake or cannot tell",
        [listing.detectors_and_methods],
    ),
    "list": (_list, "list the detectors, methods, tasks and profiles", []),
    "retrain": (
        _retrain,
        "train shipped networks again and OVERWRITE their weights",
        [listing.shipped_networks],
    ),
}


class _Command(_Parser):
    """A command whose help ends with the names that it takes.

    They are looked up only when help is requested: a plug-in may be slow, or broken.
    """

    lists: list[Callable[[], str]] = []

    def format_help(self) -> str:
        named = [text() for text in self.lists]
        profile = any(action.dest == "profile" for action in self._actions)
        self.epilog = "\n".join([*named, listing.PROFILES] if profile else named)
        return super().format_help()


def parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    top = _Parser(prog="deepfake-uncertainty", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True, parser_class=_Command)
    found = {}
    for name, (run, text, lists) in COMMANDS.items():
        raw = argparse.RawDescriptionHelpFormatter
        found[name] = commands.add_parser(name, help=text, description=text, formatter_class=raw)
        found[name].lists = lists
        found[name].set_defaults(run=run, plugin=[], data_root=None)
    _add_options(found)
    return top


def _add_options(commands: Mapping[str, argparse.ArgumentParser]) -> None:
    for name in ("build", "track"):
        commands[name].add_argument("--jobs", type=_jobs, default=2, help="processes (default: 2)")
    _add_train_options(commands["train"])
    _add_analyze_options(commands["analyze"])
    commands["retrain"].add_argument(
        "names", metavar="NAME", nargs="*", help="of the list below (default: all of them)"
    )
    for name in ("train", "analyze", "list"):
        text = "a .py file with further detectors or methods (may be repeated)"
        commands[name].add_argument("--plugin", action="append", help=text)
    for name in ("train", "analyze"):
        text, chosen = f"for networks (default: ${devices.VARIABLE}, or cpu)", devices.chosen()
        commands[name].add_argument("--device", choices=devices.CHOICES, default=chosen, help=text)
    for name, command in commands.items():
        if name not in ("list", "retrain"):
            text = "name of a profile (default: quick)"
            command.add_argument("--profile", default="quick", help=text)
        if name not in ("build", "retrain", "list"):
            text = f"a data set in place of the embedded benchmark (default: ${DATA_ROOT})"
            command.add_argument("--data-root", type=Path, help=text)


def _add_train_options(train: argparse.ArgumentParser) -> None:
    train.add_argument("detector", help="name of a detector (list below)")
    train.add_argument("methods", metavar="METHOD", nargs="+", help="names of methods (list below)")
    train.add_argument("--task", default="binary", help="name of a task (default: binary)")
    text = "random seed of training and sampling (default: the profile's)"
    train.add_argument("--seed", type=_seed, help=text)


def _add_analyze_options(analyze: argparse.ArgumentParser) -> None:
    analyze.add_argument("video", type=Path, help="a video file with a face")
    text = "name of a detector (default: resnet18)"
    analyze.add_argument("--detector", default="resnet18", help=text)
    analyze.add_argument("--method", default="bnn", help="name of a method (default: bnn)")
    text = "error rate of the decision (default: 0.1; the videos of profile quick allow 0.2)"
    analyze.add_argument("--alpha", type=float, default=0.1, help=text)
    analyze.add_argument("--json", type=Path, help="write the report here as JSON")
    text = "write the figure here (default: VIDEO-analysis.png)"
    analyze.add_argument("--figure", type=Path, help=text)


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code.

    Bad input gives one line on standard error and exit code 2, an interruption 130.
    """
    pins.hold()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("deepfake_uncertainty").setLevel(logging.INFO)
    try:
        options = parser().parse_args(arguments)
        if options.data_root:
            os.environ[DATA_ROOT] = str(options.data_root)
        if "device" in options:
            os.environ[devices.VARIABLE] = options.device
            devices.device_kind()  # a card that is not there is reported now
        for path in options.plugin or []:
            plugins.add_plugin(path)
        options.run(options)
        sys.stdout.flush()
    except InputError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has read enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        text = f"error: {where}{error.strerror or error}; check the path and the disk"
        print(text, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        text = "interrupted: what was finished is kept, and a rerun goes on from there"
        print(text, file=sys.stderr)
        return 130
    return 0
