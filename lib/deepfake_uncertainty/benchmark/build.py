"""Build SynthFF: the embedded benchmark on disk, in the layout of FaceForensics++ (Rössler 2019).

Real and fake clips are encoded once each, from the same uncompressed master frames, so that compression tells nothing.
Beside the layout lie `truth/<id>.npz` and `.json` (what the renderer knows), `generators/Deepfakes_<split>.json` (how
well the trained generator learnt) and the stamp `synthff.json`.
"""

import json
import shutil
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from deepfake_uncertainty import files, results
from deepfake_uncertainty.benchmark import render
from deepfake_uncertainty.benchmark.generators import base, deepfakes, face2face, faceswap
from deepfake_uncertainty.benchmark.stamp import STAMP, read_stamp
from deepfake_uncertainty.datasets import faces, video
from deepfake_uncertainty.errors import InputError

FAMILIES = ("Deepfakes", "Face2Face", "FaceSwap")
# The split of pair k (identities 2k and 2k + 1) does not depend on how many there are: 50 / 20 / 30 % of every ten
# pairs, ordered so that three pairs already hold all three splits.
SPLITS = ("train", "test", "val", "train", "train", "test", "train", "val", "test", "train")
MASTERS = ".masters"
TOP = ("original_sequences", "manipulated_sequences", "truth", "generators", MASTERS)


def split_of(identity):
    """Return 'train', 'val' or 'test' for an identity number >= 0."""
    return SPLITS[identity // 2 % len(SPLITS)]


def members(split, identities):
    """Return the identity numbers below `identities` that belong to `split`."""
    return [number for number in range(identities) if split_of(number) == split]


def jobs_of(families, identities):
    """Return one (family, source, target) a fake: the two identities of a pair swap in every family."""
    return [(family, target ^ 1, target) for family in families for target in range(identities)]


def real_path(root, number):
    """Return the path of the real clip of an identity."""
    return Path(root) / "original_sequences/youtube/c23/videos" / f"{number:03d}.mp4"


def fake_paths(root, family, source, target):
    """Return the paths of a fake clip and of its mask clip."""
    folder, name = Path(root) / "manipulated_sequences" / family, f"{target:03d}_{source:03d}.mp4"
    return folder / "c23/videos" / name, folder / "masks/videos" / name


@lru_cache(maxsize=1)
def _mesh():
    return faces.FaceMesh()


def make_real(root, number, seed, n_frames, crf):
    """Render an identity: its master frames, landmarks found in them, truth and the real clip encoded once."""
    root = Path(root)
    clip = render.render_clip(number, seed, n_frames=n_frames)
    landmarks, found, _ = _mesh().track(clip.frames)
    with files.whole(root / "truth" / f"{number:03d}.npz") as temporary:
        np.savez_compressed(temporary, **{key: np.asarray(value) for key, value in clip.truth.items()
                                          if key != "parameters"})  # fmt: skip
    files.write_json(root / "truth" / f"{number:03d}.json", clip.truth["parameters"])
    if not real_path(root, number).exists():
        video.encode(real_path(root, number), clip.frames, clip.truth["parameters"]["fps"], crf)
    with files.whole(root / MASTERS / f"{number:03d}") as folder:
        folder.mkdir()
        np.save(folder / "frames.npy", clip.frames)
        np.savez(folder / "found.npz", landmarks=landmarks, found=found)


def load_master(root, number):
    """Return the Footage of an identity that a generator may see: master frames and found landmarks."""
    folder = Path(root) / MASTERS / f"{number:03d}"
    with np.load(folder / "found.npz", allow_pickle=False) as found:
        return base.footage(number, np.load(folder / "frames.npy"), found["landmarks"], found["found"],
                            Path(root) / "truth" / f"{number:03d}.json")  # fmt: skip


def train_deepfakes(root, split, identities, seed, steps):
    """Train the Deepfakes autoencoder of a split; keep its weights beside the masters and its card with the benchmark."""
    from safetensors.torch import save_file

    clips = [load_master(root, number) for number in members(split, identities)]
    network, card = deepfakes.train(clips, seed, steps)
    files.write_json(Path(root) / "generators" / f"Deepfakes_{split}.json", card)
    with files.whole(Path(root) / MASTERS / f"deepfakes_{split}.safetensors") as temporary:
        save_file(network.state_dict(), temporary)


def _deepfakes(root, split, identities):
    from safetensors.torch import load_file

    network = deepfakes.Autoencoder(members(split, identities))
    network.load_state_dict(load_file(Path(root) / MASTERS / f"deepfakes_{split}.safetensors"))
    return network.eval()


def make_fake(root, family, source, target, identities, seed, crf):
    """Write one fake clip, encoded once from master frames, and then the mask clip of the pixels it painted."""
    clip, mask = fake_paths(root, family, source, target)
    rng = np.random.default_rng([seed, FAMILIES.index(family), source, target])
    pair = load_master(root, source), load_master(root, target)
    if family == "Deepfakes":
        frames, painted = deepfakes.generate(*pair, rng, _deepfakes(root, split_of(target), identities))
    else:
        frames, painted = {"Face2Face": face2face, "FaceSwap": faceswap}[family].generate(*pair, rng)
    fps = json.loads(pair[1].truth.read_text())["fps"]
    video.encode(mask, np.repeat(np.uint8(painted)[..., None] * 255, 3, -1), fps, 10)
    video.encode(clip, frames, fps, crf)


def source_digest():
    """Return a digest of the code that the benchmark's pixels depend on."""
    return results.code_digest("benchmark", "datasets/faces.py", "datasets/video.py")


def _prepare(root, wanted):
    """Keep what a build with the same stamp left; clear one with another stamp; refuse a folder of anything else."""
    stamp = root / STAMP
    if stamp.exists():
        if read_stamp(root).get("parameters") == wanted:
            return
        # Before anything is removed: what a killed build leaves must not look complete.
        files.write_json(stamp, {"parameters": {}, "complete": False})
        for name in TOP:
            shutil.rmtree(root / name, ignore_errors=True)
    elif root.exists() and any(root.iterdir()):
        raise InputError(f"{root} holds files but no {STAMP}: give an empty folder, nothing else is overwritten")
    files.write_json(stamp, {"parameters": wanted, "complete": False})


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


def build(root, identities, n_frames=160, seed=0, crf=23, jobs=2, families=FAMILIES, steps=700, progress=True):
    """Build the benchmark under `root` with `jobs` processes and return `root`; what is already whole is kept.

    `identities` is even and at least 6, `steps` are Deepfakes training steps a split. Raises InputError on bad numbers,
    an unknown family, a folder that holds something else, or a Deepfakes network that did not learn.
    """
    root, families = Path(root), tuple(families)
    if identities < 6 or identities % 2 or n_frames < 16:
        raise InputError(f"identities={identities}, n_frames={n_frames}: need an even number >= 6 and >= 16 frames")
    if unknown := set(families) - set(FAMILIES):
        raise InputError(f"unknown generator {sorted(unknown)[0]!r}: choose among {', '.join(FAMILIES)}")
    _prepare(root, {"identities": identities, "n_frames": n_frames, "seed": seed, "crf": crf, "steps": steps,
                    "families": families and sorted(families), "source": source_digest()})  # fmt: skip
    for split in ("train", "val", "test"):
        rows = [[f"{a:03d}", f"{a + 1:03d}"] for a in members(split, identities) if a % 2 == 0]
        files.write_json(root / f"{split}.json", rows)
    fakes = [job for job in jobs_of(families, identities) if not fake_paths(root, *job)[0].exists()]
    _render_and_fake(root, fakes, identities, n_frames, seed, crf, jobs, steps, progress)
    shutil.rmtree(root / MASTERS, ignore_errors=True)
    files.write_json(root / STAMP, {**read_stamp(root), "complete": True})
    return root


def _render_and_fake(root, fakes, identities, n_frames, seed, crf, jobs, steps, progress):
    splits = sorted({split_of(job[2]) for job in fakes if job[0] == "Deepfakes"}, key=("train", "test", "val").index)
    needed = {number for split in splits for number in members(split, identities)}
    needed |= {number for _, *pair in fakes for number in pair}
    needed |= {n for n in range(identities) if not real_path(root, n).exists()}
    masters = [n for n in sorted(needed) if not (root / MASTERS / f"{n:03d}").exists()]
    trained = [s for s in splits if not (root / MASTERS / f"deepfakes_{s}.safetensors").exists()]
    stages = [
        [(make_real, root, n, seed, n_frames, crf) for n in masters],
        [(train_deepfakes, root, s, identities, seed, steps) for s in trained]
        + [(make_fake, root, *job, identities, seed, crf) for job in fakes if job[0] != "Deepfakes"],
        [(make_fake, root, *job, identities, seed, crf) for job in fakes if job[0] == "Deepfakes"],
    ]
    if not any(stages):
        return
    total = sum(map(len, stages))
    with (
        ProcessPoolExecutor(jobs, get_context("spawn"), _one_thread) as pool,
        tqdm(total=total, desc="SynthFF", unit="clip", disable=not progress) as bar,
    ):
        for calls in stages:
            _run(pool, calls, bar)
