"""Build the embedded benchmark on disk: SynthFF or SynthAV, as a `plan.Plan` says.

Real and fake clips are encoded once each at every compression, from the same uncompressed master frames, so that
compression tells nothing. What is whole is kept, so a build that was stopped goes on from there.
"""

import shutil
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache
from multiprocessing import get_context

import numpy as np
from tqdm.auto import tqdm

from deepfake_uncertainty import files, results
from deepfake_uncertainty.benchmark import plan as plans
from deepfake_uncertainty.benchmark import render
from deepfake_uncertainty.benchmark.generators import base
from deepfake_uncertainty.benchmark.stamp import STAMPS, read_stamp
from deepfake_uncertainty.datasets import faces, video
from deepfake_uncertainty.errors import InputError


@lru_cache(maxsize=1)
def _mesh():
    return faces.FaceMesh()


def _encode(wanted, frames, sound):
    """Encode the clips of {path: constant rate factor} that are not there yet."""
    for path, crf in wanted.items():
        if not path.exists():
            video.encode(path, frames, plans.FPS, crf, sound)


def make_real(plan, number):
    """Render an identity: its truth, its real clips, and the master frames with the landmarks found in them."""
    clip = render.render_clip(number, plan.world, plan.n_frames, plans.FPS, sound=plan.SOUND)
    landmarks, found, _ = _mesh().track(clip.frames)
    known = {key: np.asarray(value) for key, value in clip.truth.items() if key != "parameters"}
    with files.whole(plan.truth(number)) as temporary:
        np.savez_compressed(temporary, **known)
    files.write_json(plan.truth(number).with_suffix(".json"), clip.truth["parameters"])
    _encode(plan.reals(number), clip.frames, clip.truth.get("sound"))
    with files.whole(plan.master(number)) as folder:
        folder.mkdir()
        np.save(folder / "frames.npy", clip.frames)
        np.savez(folder / "found.npz", landmarks=landmarks, found=found)


def load_master(plan, number):
    """Return the Footage of an identity that a generator may see: master frames, found landmarks, and its sound."""
    folder, sound = plan.master(number), None
    if plan.SOUND:
        with np.load(plan.truth(number), allow_pickle=False) as known:
            sound = known["sound"]
    with np.load(folder / "found.npz", allow_pickle=False) as found:
        return base.footage(number, np.load(folder / "frames.npy"), found["landmarks"], found["found"],
                            plan.truth(number).with_suffix(".json"), sound)  # fmt: skip


def train(plan, split):
    """Train what the plan trains on each split, on the master frames of that split."""
    plan.train(split, [load_master(plan, number) for number in plans.members(split, plan.identities)])


def make_fake(plan, family, source, target):
    """Write the mask clip of the pixels that a generator painted, and then the fake clips, from master frames."""
    rng = np.random.default_rng([plan.world, plan.FAMILIES.index(family), source, target])
    frames, painted, sound = plan.forge(family, load_master(plan, source), load_master(plan, target), rng)
    if painted is not None:
        video.encode(plan.mask(family, source, target), np.uint8(painted) * 255, plans.FPS, 10, preset="veryfast")
    _encode(plan.fakes((family, source, target)), frames, sound)


def source_digest():
    """Return a digest of the code and weights that the benchmark's bytes depend on."""
    return results.code_digest("benchmark", "datasets/faces.py", "datasets/video.py")


def _stamp(plan, parameters, complete):
    for root in plan.roots:
        files.write_json(root / STAMPS[plan.DATASET], {"parameters": parameters, "complete": complete})


def _prepare(plan, wanted):
    """Keep what a build with the same stamp left; clear one with another stamp; refuse a folder of anything else."""
    stamp = plan.root / STAMPS[plan.DATASET]
    if stamp.exists():
        if read_stamp(plan.root, plan.DATASET).get("parameters") == wanted:
            return
        # Before anything is removed: what a killed build leaves must not look complete.
        files.write_json(stamp, {"parameters": {}, "complete": False})
        for name in plan.TOP:
            shutil.rmtree(plan.root / name, ignore_errors=True)
    elif plan.root.exists() and any(plan.root.iterdir()):
        raise InputError(f"{plan.root} holds files but no {stamp.name}: give an empty folder, nothing is overwritten")
    _stamp(plan, wanted, complete=False)


def _one_thread():
    import cv2
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)  # the trained weights must not depend on the number of cores


def _run(pool, calls, bar):
    """Run (function, arguments) calls in the pool; the first failure cancels the rest and is raised."""
    futures = [pool.submit(function, *arguments) for function, *arguments in calls]
    try:
        for future in as_completed(futures):
            future.result()
            bar.update()
    except BaseException:
        for future in futures:
            future.cancel()
        raise


def build(plan, jobs=2, progress=True):
    """Build the data set of `plan` with `jobs` processes and return its root; what is already whole is kept.

    Raises InputError on a folder that holds something else, or a Deepfakes network that did not learn.
    """
    wanted = plan.parameters() | {"source": source_digest()}
    _prepare(plan, wanted)
    plan.write_lists()
    stages = _stages(plan)
    if any(stages):
        with (
            ProcessPoolExecutor(jobs, get_context("spawn"), _one_thread) as pool,
            tqdm(total=sum(map(len, stages)), desc=plan.DATASET, unit="clip", disable=not progress) as bar,
        ):
            for calls in stages:
                _run(pool, calls, bar)
    shutil.rmtree(plan.root / plans.MASTERS, ignore_errors=True)
    _stamp(plan, wanted, complete=True)
    return plan.root


def _stages(plan):
    """Return the calls that are still to be made, in three lists, each needing what the ones before it wrote."""
    fakes = [job for job in plan.jobs if not all(path.exists() for path in plan.fakes(job))]
    splits = {plans.split_of(target) for family, _, target in fakes if family in plan.TRAINED}
    splits = sorted(splits, key=("train", "test", "val").index)
    needed = {number for split in splits for number in plans.members(split, plan.identities)}
    needed |= {number for _, *pair in fakes for number in pair}
    lacking = {n for n in range(plan.identities) if not all(path.exists() for path in (plan.truth(n), *plan.reals(n)))}
    masters = sorted(lacking | {n for n in needed if not plan.master(n).exists()})
    return [
        [(make_real, plan, number) for number in masters],
        [(train, plan, split) for split in splits if not plan.weights(split).exists()]
        + [(make_fake, plan, *job) for job in fakes if job[0] not in plan.TRAINED],
        [(make_fake, plan, *job) for job in fakes if job[0] in plan.TRAINED],
    ]
