"""Any data set that the project knows, as one index: the layout of its folder says which adapter reads it."""

from deepfake_uncertainty.datasets import faceforensics, fakeavceleb, records
from deepfake_uncertainty.errors import InputError

ADAPTERS = {"FaceForensics++": faceforensics, "FakeAVCeleb": fakeavceleb}


def index(root, compression="c23", dataset=None):
    """Return (videos, skipped) of a data set: a frame of one row a video, and a frame of `path, reason` for the others.

    Columns of videos: dataset, generator ('real' or the family), video, target, source ('' for real), identity (of the
    target), split, path, mask_path ('' without masks), fps in frames/s, n_frames. `compression` is that of
    FaceForensics++; `dataset` overrides the name. One bad video is skipped with its reason. Raises InputError for a folder
    that is missing, empty, or laid out like none of the known sets.
    """
    listed = records.present(root)
    for adapter in ADAPTERS.values():
        if adapter.fits(root):
            return adapter.index(root, compression, dataset)
    layouts = "; ".join(f"{name}: {adapter.LAYOUT}" for name, adapter in ADAPTERS.items())
    raise InputError(f"{root} is laid out like no data set that is known ({layouts}); found {listed}")
