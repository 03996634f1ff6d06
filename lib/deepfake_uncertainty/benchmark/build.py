"""Build the embedded benchmark on disk: SynthFF or SynthAV, as described by a `plan.Plan`.

Real and fake clips are encoded exactly once per compression, from the same uncompressed master
frames, so compression gives no hint about the class. Finished files are kept, so a build that was
interrupted continues where it stopped.
"""

import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from deepfake_uncertainty import cache, files
from deepfake_uncertainty.benchmark import plan as plans
from deepfake_uncertainty.benchmark.generators import base, catalogue
from deepfake_uncertainty.benchmark.renderer import render
from deepfake_uncertainty.benchmark.stamp import STAMPS, read_stamp
from deepfake_uncertainty.datasets import faces, video
from deepfake_uncertainty.errors import InputError

Call = tuple[Callable, tuple]  # a function and its arguments
MASK_CRF = 10


@lru_cache(maxsize=1)
def _mesh() -> faces.FaceMesh:
    return faces.FaceMesh()


def _encode(clips: dict[Path, int], frames: np.ndarray, sound: np.ndarray | None) -> None:
    """Encode those clips of {path: constant rate factor} that do not exist yet."""
    for path, crf in clips.items():
        if not path.exists():
            video.encode(path, frames, plans.FPS, crf, sound)


def make_real(plan: plans.Plan, number: int) -> None:
    """Render an identity and write its truth, its real clips, and its master frames.

    The landmarks that the face tracker finds are stored with the master frames.
    """
    clip = render.render_clip(number, plan.world, plan.n_frames, plans.FPS, sound=plan.SOUND)
    landmarks, found, _ = _mesh().track(clip.frames)
    arrays = {key: np.asarray(value) for key, value in clip.truth.items() if key != "parameters"}
    with files.atomic_path(plan.truth(number)) as temporary:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]  # numpy's stubs
    files.write_json(plan.truth(number).with_suffix(".json"), clip.truth["parameters"])
    _encode(plan.reals(number), clip.frames, clip.truth.get("sound"))
    with files.atomic_path(plan.master(number)) as folder:
        folder.mkdir()
        np.save(folder / "frames.npy", clip.frames)
        np.savez(folder / "found.npz", landmarks=landmarks, found=found)


def load_master(plan: plans.Plan, number: int) -> base.Footage:
    """Return the Footage of an identity that a generator may see.

    These are its master frames, the landmarks found in them, and its sound.
    """
    folder, sound, truth = plan.master(number), None, plan.truth(number)
    if plan.SOUND:
        with np.load(truth, allow_pickle=False) as arrays:
            sound = arrays["sound"]
    frames = np.load(folder / "frames.npy")
    with np.load(folder / "found.npz", allow_pickle=False) as track:
        landmarks, found = track["landmarks"], track["found"]
    return base.footage(number, frames, landmarks, found, truth.with_suffix(".json"), sound)


def train(plan: plans.Plan, split: str) -> None:
    """Train the networks that the plan trains on each split, on the master frames of `split`."""
    numbers = plans.members(split, plan.identities)
    plan.train(split, [load_master(plan, number) for number in numbers])


def make_fake(plan: plans.Plan, family: str, source: int, target: int) -> None:
    """Generate a fake from master frames and write its mask clip, then the fake clips.

    The mask marks the pixels that the generator wrote; a fake with a real picture has none.
    """
    rng = np.random.default_rng([plan.world, catalogue.number(family), source, target])
    footage = load_master(plan, source), load_master(plan, target)
    frames, mask, sound = plan.forge(family, *footage, rng)
    if mask is not None:
        path, picture = plan.mask(family, source, target), mask.astype(np.uint8) * 255
        video.encode(path, picture, plans.FPS, MASK_CRF, preset="veryfast")
    _encode(plan.fakes((family, source, target)), frames, sound)


def source_digest(families: Sequence[str] = ()) -> str:
    """Return a digest of the code and weights that the benchmark's bytes depend on.

    `families` adds the code of generators that come from plug-ins.
    """
    return cache.code_digest("benchmark", *catalogue.functions(families))


def _stamp(plan: plans.Plan, parameters: dict[str, Any], complete: bool) -> None:
    content = {"parameters": parameters, "complete": complete}
    for root in plan.roots:
        files.write_json(root / STAMPS[plan.DATASET], content)


def _prepare(plan: plans.Plan, parameters: dict[str, Any]) -> None:
    """Keep the files of a build with the same stamp and clear those of another stamp.

    Raises InputError for a folder that holds anything else.
    """
    stamp = plan.root / STAMPS[plan.DATASET]
    if stamp.exists():
        if read_stamp(plan.root, plan.DATASET).get("parameters") == parameters:
            return
        # First, because a build that is killed while it clears files must not look complete.
        files.write_json(stamp, {"parameters": {}, "complete": False})
        for name in plan.TOP:
            shutil.rmtree(plan.root / name, ignore_errors=True)
    elif plan.root.exists() and any(plan.root.iterdir()):
        raise InputError(
            f"{plan.root} holds files but no {stamp.name}: give an empty folder, "
            "nothing is overwritten"
        )
    _stamp(plan, parameters, complete=False)


def _one_thread() -> None:
    import cv2
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)  # the trained weights must not depend on the number of cores


def _run(pool: Executor, calls: Sequence[Call], bar: tqdm) -> None:
    """Run calls in the pool; the first failure cancels the remaining calls and is raised."""
    futures = [pool.submit(function, *arguments) for function, arguments in calls]
    try:
        for future in as_completed(futures):
            future.result()
            bar.update()
    except BaseException:
        for future in futures:
            future.cancel()
        raise


def build(plan: plans.Plan, jobs: int = 2, progress: bool = True) -> Path:
    """Build the data set of `plan` with `jobs` processes and return its root.

    Finished files are kept. Raises InputError for a folder that holds something else, and for a
    Deepfakes network that did not learn.
    """
    parameters = plan.parameters() | {"source": source_digest(plan.families)}
    _prepare(plan, parameters)
    plan.write_lists()
    stages = _stages(plan)
    if total := sum(map(len, stages)):
        bar = tqdm(total=total, desc=plan.DATASET, unit="clip", disable=not progress)
        with ProcessPoolExecutor(jobs, get_context("spawn"), _one_thread) as pool, bar:
            for calls in stages:
                _run(pool, calls, bar)
    shutil.rmtree(plan.root / plans.MASTERS, ignore_errors=True)
    _stamp(plan, parameters, complete=True)
    return plan.root


def _stages(plan: plans.Plan) -> list[list[Call]]:
    """Return the remaining calls in three lists; each list needs the files of those before it."""
    fakes = [job for job in plan.jobs if not _exist(plan.fakes(job))]
    splits = {plans.split_of(target) for family, _, target in fakes if family in plan.TRAINED}
    ordered = sorted(splits, key=("train", "test", "val").index)
    needed = {number for split in ordered for number in plans.members(split, plan.identities)}
    needed |= {number for _, *pair in fakes for number in pair}
    masters = sorted(
        number
        for number in range(plan.identities)
        if not _exist([plan.truth(number), *plan.reals(number)])
        or (number in needed and not plan.master(number).exists())
    )
    trainings = [(train, (plan, split)) for split in ordered if not plan.weights(split).exists()]
    first = [(make_fake, (plan, *job)) for job in fakes if job[0] not in plan.TRAINED]
    last = [(make_fake, (plan, *job)) for job in fakes if job[0] in plan.TRAINED]
    return [[(make_real, (plan, number)) for number in masters], [*trainings, *first], [*last]]


def _exist(paths: Iterable[Path]) -> bool:
    return all(path.exists() for path in paths)
