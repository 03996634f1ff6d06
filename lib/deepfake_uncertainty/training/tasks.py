"""The tasks of the study: what each network is trained on, and on which videos it is tested.

Detectors and methods are given by their names.
"""

from collections.abc import Iterable

import pandas as pd

from deepfake_uncertainty.datasets import leakage
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.training import predict
from deepfake_uncertainty.training.config import Run, Settings
from deepfake_uncertainty.training.predict import Samples

CONTROL = "none"  # no generator is left out: the same short training on all generators
Sampled = dict[tuple[str, str], dict[int, Samples]]  # {(detector, method): {seed: Samples}}


def sample_all(
    index: pd.DataFrame, detectors: Iterable[str], methods: Iterable[str], runs: Iterable[Run]
) -> Sampled:
    """Return {(detector, method): {seed: Samples}} of the test rows of `index`.

    There is one entry per run; the seeds of the runs must differ. Networks and samples that are in
    the cache are read from there.
    """
    return {
        (detector, method): {
            run.seed: predict.samples_for(detector, method, index, run).of_split("test")
            for run in runs
        }
        for detector in detectors
        for method in methods
    }


def source_settings(index: pd.DataFrame) -> Settings:
    """Return Settings whose classes are the generators of an index, 'real' first."""
    names = list(dict.fromkeys(index["generator"]))
    return Settings(classes=("real", *(name for name in names if name != "real")))


def sample_sources(detector: str, method: str, index: pd.DataFrame, run: Run) -> Samples:
    """Return Samples of the test videos of `index` by a detector that names their generator."""
    test = index[index["split"].eq("test")]
    return predict.samples_for(detector, method, index, run, test, source_settings(index))


def cross_dataset(
    trained: pd.DataFrame,
    tested: pd.DataFrame,
    detectors: Iterable[str],
    methods: Iterable[str],
    runs: Iterable[Run],
) -> Sampled:
    """Return {(detector, method): {seed: Samples}} of the test rows of the index `tested`.

    The networks are trained on the index `trained`. Raises InputError when both are of the same
    data set: `sample_all` is for that.
    """
    if set(trained["dataset"]) & set(tested["dataset"]):
        raise InputError(
            "a cross-data-set test needs two data sets: one to train on and another to test on"
        )
    test = tested[tested["split"].eq("test")]
    return {
        (detector, method): {
            run.seed: predict.samples_for(detector, method, trained, run, on=test) for run in runs
        }
        for detector in detectors
        for method in methods
    }


def without_generator(index: pd.DataFrame, generator: str) -> pd.DataFrame:
    """Return `index` without the training and validation videos of a generator and its relatives.

    The test split stays complete, and CONTROL leaves nothing out. Raises InputError for a generator
    that is not in the index.
    """
    if generator == CONTROL:
        return index
    unseen = leakage.held_out(index, generator)
    return index[~unseen | index["split"].eq("test").to_numpy()].reset_index(drop=True)


def generators(index: pd.DataFrame) -> list[str]:
    """Return the names of the generators of fakes in an index, in the order of its rows."""
    return [name for name in dict.fromkeys(index["generator"]) if name != "real"]


def sample_leave_one_out(
    index: pd.DataFrame,
    detectors: Iterable[str],
    method: str,
    runs: Iterable[Run],
    epoch_fraction: float,
) -> dict[tuple[str, str], dict[int, Samples]]:
    """Return {(generator left out, detector): {seed: Samples}} of the splits val and test.

    CONTROL comes first, then every generator. All networks, also those of the control, are trained
    for the fraction `epoch_fraction` of the epochs of their recipe, in (0, 1].
    """
    settings = Settings(epoch_fraction=epoch_fraction)
    found = {}
    for detector in detectors:
        for name in (CONTROL, *generators(index)):
            kept = without_generator(index, name)
            found[name, detector] = {
                run.seed: predict.samples_for(detector, method, kept, run, settings=settings)
                for run in runs
            }
    return found
