# Benchmark -> trainings -> notebooks. What a job computes is cached by content in .cache, so a job whose stamp was lost is a
# cache hit; a job whose code or profile changed runs again, because the code's digest is a parameter of its rule.
import os
from pathlib import Path

from deepfake_uncertainty import files, notebook, results
from deepfake_uncertainty.study import profiles, trainings

PROFILE = config.get("profile", "quick")
JOBS = config.get("jobs", 2)
ROOT = os.environ.get("DEEPFAKE_UNCERTAINTY_DATA_ROOT", "")
JOBS_BY_NAME = {job.name: job for job in trainings.jobs(profiles.get(PROFILE))}
# Real data have no truth to show: the benchmark's own notebook is left out for them.
KNOWN = not ROOT or Path(ROOT, "truth").is_dir()
NOTEBOOKS = [source.stem for source in notebook.sources() if KNOWN or source.stem != "00_benchmark"]
LEDGER = "09_claims"
RUNS = f".cache/runs/{PROFILE}"
BENCHMARK = [] if ROOT else [f"{RUNS}/benchmark.done"]

RENDERING = results.code_digest("benchmark", "datasets/faces.py", "datasets/video.py")
TRACKING = results.code_digest("datasets")
LEARNING = results.code_digest("benchmark", "datasets", "signals", "detectors", "uncertainty", "study")
READING = results.code_digest()
DATA = profiles.fingerprint()

# A stamp speaks of data that are there, in the profile's size: when they are not, all are removed; what they stand for is
# still in the cache.
if BENCHMARK and not profiles.built(PROFILE):
    for stamp in [*Path(RUNS).glob("*.done"), *Path(RUNS).glob("*.notebook")]:
        stamp.unlink()
for name in NOTEBOOKS:
    if not notebook.standing(name, PROFILE):
        Path(RUNS, f"{name}.notebook").unlink(missing_ok=True)


localrules:
    all,
    trainings,


rule all:
    input:
        expand(f"{RUNS}/{{notebook}}.notebook", notebook=NOTEBOOKS),


rule trainings:
    input:
        expand(f"{RUNS}/training.{{job}}.done", job=JOBS_BY_NAME),


rule benchmark:
    output:
        touch(f"{RUNS}/benchmark.done"),
    params:
        code=RENDERING,
        size=str(profiles.get(PROFILE)),
    threads: JOBS
    shell:
        "python -m deepfake_uncertainty build --profile {PROFILE} --jobs {JOBS}"


rule tracks:
    input:
        BENCHMARK,
    output:
        touch(f"{RUNS}/tracks.done"),
    params:
        code=TRACKING,
        data=DATA,
    threads: JOBS
    shell:
        "python -m deepfake_uncertainty track --profile {PROFILE} --jobs {JOBS}"


# A rule a job, and the longest go first: none is left alone at the end.
for ORDER, JOB in enumerate(JOBS_BY_NAME.values()):

    rule:
        name:
            f"train_{JOB.name.replace('.', '_')}"
        input:
            rules.tracks.output,
        output:
            touch(f"{RUNS}/training.{JOB.name}.done"),
        params:
            code=LEARNING,
            data=DATA,
            arguments=f"{JOB.detector} {' '.join(JOB.methods)} --task {JOB.task} --seed {JOB.seed}",
        priority: len(JOBS_BY_NAME) - ORDER
        threads: JOB.threads
        shell:
            "python -m deepfake_uncertainty train {params.arguments} --profile {PROFILE}"


# The slowest first: the last one has the highest priority. `ALONE` read next to nothing that the jobs train, and fill what the
# last of these leave idle.
SLOW = ["10_your_video", "06_pixel_uncertainty", "05_region_uncertainty", "00_benchmark", "07_ablations", "08_robustness"]
ALONE = {"00_benchmark", "07_ablations"}
for NOTEBOOK in NOTEBOOKS:

    rule:
        name:
            f"notebook_{NOTEBOOK}"
        input:
            rules.tracks.output if NOTEBOOK in ALONE else rules.trainings.input,
            # The ledger of claims reads what the notebooks before it have written.
            [f"{RUNS}/{name}.notebook" for name in NOTEBOOKS if name < NOTEBOOK and NOTEBOOK == LEDGER],
        output:
            # The runner writes it whole, and the last good one stays where it is when a run fails.
            touch(f"{RUNS}/{NOTEBOOK}.notebook"),
        params:
            code=READING,
            source=files.digest(Path("notebooks", f"{NOTEBOOK}.py")),
            overrides=notebook.parameters(PROFILE, NOTEBOOK),
            data=DATA,
            path=f"notebooks/{NOTEBOOK}.py",
        priority: SLOW.index(NOTEBOOK) + 1 if NOTEBOOK in SLOW else 0
        threads: 1
        shell:
            "python -m deepfake_uncertainty.notebook run {params.path} --profile {PROFILE}"
