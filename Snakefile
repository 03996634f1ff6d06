# Benchmark -> trainings -> notebooks. Every job keeps its results in .cache under a key of their
# content, so a job whose completion marker was lost finds them there. The key of a job's own code
# is a parameter of its rule: a job whose code changed runs again.
import os
from pathlib import Path

from deepfake_uncertainty import cache, files
from deepfake_uncertainty.benchmark import build
from deepfake_uncertainty.benchmark.generators import catalogue
from deepfake_uncertainty.report import notebooks
from deepfake_uncertainty.training import batch, profiles

PROFILE = config.get("profile", "quick")
JOBS = config.get("jobs", 2)
ROOT = os.environ.get("DEEPFAKE_UNCERTAINTY_DATA_ROOT", "")
JOBS_BY_NAME = {job.name: job for job in batch.jobs(profiles.get(PROFILE))}
# Real data have no truth to show: the benchmark's own notebook is left out for them.
HAS_TRUTH = not ROOT or Path(ROOT, "truth").is_dir()
STEMS = [script.stem for script in notebooks.scripts()]
NOTEBOOKS = [stem for stem in STEMS if HAS_TRUTH or stem != "00_data_card"]
LEDGER = "09_claims"
CLAIMING = {script.stem for script in notebooks.scripts() if "write_claims(" in script.read_text()}
RUNS = f".cache/runs/{PROFILE}"
BENCHMARK = [] if ROOT else [f"{RUNS}/benchmark.done"]
DATA = profiles.data_fingerprint()


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
        code=[build.source_digest(catalogue.families(name)) for name in ("SynthFF", "SynthAV")],
        size=str([profiles.get(PROFILE).benchmark(name) for name in ("SynthFF", "SynthAV")]),
    threads: JOBS
    shell:
        "python -m deepfake_uncertainty build --profile {PROFILE} --jobs {JOBS}"


rule tracks:
    input:
        BENCHMARK,
    output:
        touch(f"{RUNS}/tracks.done"),
    params:
        code=cache.code_digest("datasets"),
        data=DATA,
    threads: JOBS
    shell:
        "python -m deepfake_uncertainty track --profile {PROFILE} --jobs {JOBS}"


# One rule per job; the longest go first, so that none is left alone at the end.
for ORDER, JOB in enumerate(JOBS_BY_NAME.values()):

    rule:
        name:
            f"train_{JOB.name.replace('.', '_')}"
        input:
            rules.tracks.output,
        output:
            touch(f"{RUNS}/training.{JOB.name}.done"),
        params:
            code=batch.code(JOB),
            data=DATA,
            arguments=f"{JOB.detector} {' '.join(JOB.methods)} --task {JOB.task} --seed {JOB.seed}",
        priority: len(JOBS_BY_NAME) - ORDER
        threads: batch.threads(JOB, profiles.get(PROFILE))
        shell:
            "python -m deepfake_uncertainty train {params.arguments} --profile {PROFILE}"


# The slowest notebooks run first: the last one here has the highest priority. Those in `ALONE` read
# next to nothing that the jobs train, and use the processors that the last jobs leave idle.
SLOW = [
    "10_your_video",
    "06_pixel_uncertainty",
    "05_region_uncertainty",
    "00_data_card",
    "07_ablations",
    "08_robustness",
]
ALONE = {"00_data_card", "07_ablations"}
for NOTEBOOK in NOTEBOOKS:

    rule:
        name:
            f"notebook_{NOTEBOOK}"
        input:
            rules.tracks.output if NOTEBOOK in ALONE else rules.trainings.input,
            # The ledger of claims reads what all notebooks that write claims have written.
            [
                f"{RUNS}/{name}.notebook"
                for name in NOTEBOOKS
                if NOTEBOOK == LEDGER and name in CLAIMING
            ],
        output:
            # The runner writes the notebook whole; when a run fails, the last good one stays.
            touch(f"{RUNS}/{NOTEBOOK}.notebook"),
        params:
            code=cache.code_digest(),
            arithmetic=cache.arithmetic(),
            source=files.digest(Path("notebooks", f"{NOTEBOOK}.py")),
            overrides=notebooks.parameters(PROFILE, NOTEBOOK),
            data=DATA,
            path=f"notebooks/{NOTEBOOK}.py",
        priority: SLOW.index(NOTEBOOK) + 1 if NOTEBOOK in SLOW else 0
        threads: 1
        shell:
            "python -m deepfake_uncertainty.report.runner run {params.path} --profile {PROFILE}"
