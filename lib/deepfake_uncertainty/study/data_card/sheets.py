"""Contact sheets: people, their fakes, and the residue that a generator leaves in the picture."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deepfake_uncertainty.datasets import video
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study.data_card import residue


def _show(ax: Axes, picture: np.ndarray) -> None:
    ax.imshow(picture, cmap="gray")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _broken(name: str) -> str:
    """Return the name of a generator with a line break after each hyphen."""
    return name.replace("-", "-\n")


def people_sheet(videos: pd.DataFrame, count: int, frame: int) -> tuple[Figure, list[str]]:
    """Return (figure, targets): one column per person of the test split, `count` at most.

    The rows are the target, the source and every generator. `videos` is the index of one data set;
    `frame` is the number of the frame that is shown. Raises InputError without test people.
    """
    real = videos[videos["generator"].eq("real")].set_index("target")
    targets = list(real.index[real["split"].eq("test")][:count])
    if not targets:
        raise InputError(
            "no real video in the test split to show: check the splits of the data set"
        )
    generators = list(dict.fromkeys(videos["generator"]))[1:]
    names = ["target", "source", *generators]
    size = 1.1 * len(targets), 1.1 * len(names)
    figure, axes = plt.subplots(len(names), len(targets), figsize=size, squeeze=False)
    for column, target in zip(axes.T, targets, strict=True):
        clips = videos[videos["target"].eq(target)].set_index("generator")
        source = real.path[clips.source[generators[0]]]
        shown = [real.path[target], source, *clips.path[generators]]
        for ax, path in zip(column, shown, strict=True):
            _show(ax, video.decode(path, max_frames=frame + 1)[0][-1])
    for ax, name in zip(axes[:, 0], names, strict=True):
        ax.set_ylabel(_broken(name), fontsize=7)
    return figure, targets


def residue_sheet(sets: Mapping[str, pd.DataFrame], frame: int, gain: float) -> Figure:
    """Return a figure of one test person of each data set {name: index}.

    There is one column per generator. The rows per data set are the fake, its residue times `gain`
    about grey, and the mask.
    """
    parts = [_residues(videos, frame, gain) for videos in sets.values()]
    width = max(len(columns) for columns in parts)
    size = 1.24 * width, 3.9 * len(parts)
    figure, axes = plt.subplots(3 * len(parts), width, figsize=size, squeeze=False)
    for rows, columns in zip(axes.reshape(len(parts), 3, width), parts, strict=True):
        for ax, name in zip(rows[:, 0], ["fake", f"residue x {gain}", "mask"], strict=True):
            ax.set_ylabel(name)
        for column, (name, pictures) in zip(rows.T, columns.items(), strict=False):
            for ax, picture in zip(column, pictures, strict=True):
                _show(ax, picture)
            column[0].set_title(_broken(name), fontsize=7)
        for ax in rows[:, len(columns) :].flat:
            ax.set_axis_off()
    return figure


def _residues(
    videos: pd.DataFrame, frame: int, gain: float
) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return {generator: (fake, amplified residue, mask)} of the second test person of an index."""
    real_test = videos["split"].eq("test") & videos["generator"].eq("real")
    target = videos.loc[real_test, "target"].iloc[:2].iloc[-1]
    clips = videos[videos["target"].eq(target)]
    rows = {row.generator: row for row in clips.itertuples(index=False)}
    pictures = {}
    for name in [name for name in rows if name != "real"]:
        pair = residue.read_pair(rows[name], rows["real"], frame + 1)
        fake, real, painted = (part[-1] for part in pair)
        change = np.clip(128 + gain * (fake.astype(float) - real), 0, 255).astype(np.uint8)
        pictures[name] = fake, change, painted
    return pictures
