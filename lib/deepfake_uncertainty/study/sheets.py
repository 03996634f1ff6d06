"""Contact sheets: people, what generators make of them, and what that leaves in the picture."""

import matplotlib.pyplot as plt
import numpy as np

from deepfake_uncertainty.datasets import video
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.study import residue


def _show(ax, picture):
    ax.imshow(picture, cmap="gray")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _broken(name):
    return name.replace("-", "-\n")


def people(videos, count, frame):
    """Return (figure, targets): one column a person of the test split, rows the target, the source and every generator.

    `videos` is the index of one data set, `frame` the number of the frame shown. Raises InputError without test people.
    """
    real = videos[videos["generator"].eq("real")].set_index("target")
    targets = list(real.index[real["split"].eq("test")][:count])
    if not targets:
        raise InputError("no real video in the test split to show: check the splits of the data set")
    families = list(dict.fromkeys(videos["generator"]))[1:]
    names = ["target", "source", *families]
    figure, axes = plt.subplots(len(names), len(targets), figsize=(1.1 * len(targets), 1.1 * len(names)), squeeze=False)
    for column, target in zip(axes.T, targets, strict=True):
        clips = videos[videos["target"].eq(target)].set_index("generator")
        shown = [real.path[target], real.path[clips.source[families[0]]], *clips.path[families]]
        for ax, path in zip(column, shown, strict=True):
            _show(ax, video.decode(path, max_frames=frame + 1)[0][-1])
    for ax, name in zip(axes[:, 0], names, strict=True):
        ax.set_ylabel(_broken(name), fontsize=7)
    return figure, targets


def residues(sets, frame, gain):
    """Return a figure of one test person of each data set {name: index}: fake, residue x gain about grey, mask, a column each
    generator."""
    parts = [_residues(videos, frame, gain) for videos in sets.values()]
    width = max(len(columns) for columns in parts)
    figure, axes = plt.subplots(3 * len(parts), width, figsize=(1.24 * width, 3.9 * len(parts)), squeeze=False)
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


def _residues(videos, frame, gain):
    """Return {generator: (fake, amplified residue, mask)} of the second test person of an index."""
    target = videos.loc[videos["split"].eq("test") & videos["generator"].eq("real"), "target"].iloc[:2].iloc[-1]
    rows = {row.generator: row for row in videos[videos["target"].eq(target)].itertuples(index=False)}
    found = {}
    for name in [name for name in rows if name != "real"]:
        fake, real, painted = (part[-1] for part in residue.read(rows[name], rows["real"], frame + 1))
        change = np.clip(128 + gain * (fake.astype(float) - real), 0, 255).astype(np.uint8)
        found[name] = fake, change, painted
    return found
