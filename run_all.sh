#!/usr/bin/env bash
# From a clone to figures; needs Python 3.11 and git, nothing else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
  cat <<'TEXT'
usage: ./run_all.sh [COMMAND] [--profile quick|full|paper] [--jobs N] [--data-root DIR]

commands
  (none)   environment, benchmark, trainings, notebooks, figures; ends with a table
  test     ruff, pytest, notebook pairs in sync, nbval
  bench    speed against bars and peers on this machine, in figures/benchmarks.json (some minutes)
  html     the executed notebooks as web pages in site/, which need no network: open site/index.html
  clean    remove what a run computed (.cache, .snakemake, data/quick, data/full, site); keeps .venv, notebooks, figures

options
  --profile quick   the whole study, small, on the embedded benchmark (default)
            full    the embedded benchmark at full size
            paper   real data sets: needs --data-root
  --jobs N          jobs at a time (default: the number of processors)
  --data-root DIR   a data set in place of the embedded benchmark, in its published layout: FaceForensics++, FakeAVCeleb,
                    Celeb-DF-v2, DFDC, WildDeepfake (unpacked) or DF40; see README.md
TEXT
}

fail() { echo "run_all.sh: $1" >&2; exit 2; }

parse() {
  command=run profile=quick jobs=$(getconf _NPROCESSORS_ONLN) data_root=${DEEPFAKE_UNCERTAINTY_DATA_ROOT:-}
  [[ ${1:-} == [a-z]* ]] && { command=$1; shift; }
  while (($#)); do
    case $1 in
      -h|--help) usage; exit 0 ;;
      --profile|--jobs|--data-root) (($# > 1)) || fail "$1 needs a value; see ./run_all.sh --help" ;;&
      --profile) profile=$2; shift 2 ;;
      --jobs) jobs=$2; shift 2 ;;
      --data-root) data_root=$2; shift 2 ;;
      *) fail "unknown option '$1'; see ./run_all.sh --help" ;;
    esac
  done
  [[ $command =~ ^(run|test|bench|html|clean)$ ]] || fail "unknown command '$command': use test, bench, html or clean"
  [[ $profile =~ ^(quick|full|paper)$ ]] || fail "unknown profile '$profile': use quick, full or paper"
  [[ $jobs =~ ^[1-9][0-9]*$ ]] || fail "--jobs needs a number above zero, not '$jobs'"
  [[ -z $data_root || -d $data_root ]] || fail "--data-root '$data_root' is not a folder: give the root of the data set"
  [[ $profile != paper || -n $data_root ]] || fail "profile paper needs --data-root DIR with a real data set"
}

pins() { awk '/^ *- pip:/ {on = 1; next} /^[^ ]/ {on = 0} on && $1 == "-" {print $2}' environment.yml; }

no_deps_pins() { awk '$1 == "#" && $2 == "no-deps:" {print $3}' environment.yml; }

find_python() {
  local python
  for python in python3.11 python3 python; do
    "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && { echo "$python"; return; }
  done
  fail "Python 3.11 not found: install it, or activate the conda environment of environment.yml"
}

environment() {
  local prefix=.venv stamp wanted python
  if [[ ${CONDA_DEFAULT_ENV:-} == deepfake-uncertainty ]]; then
    prefix=$CONDA_PREFIX
  elif [[ ! -x .venv/bin/python ]]; then
    python=$(find_python)
    "$python" -m venv .venv
  fi
  prefix=$(cd "$prefix" && pwd)
  export PATH="$prefix/bin:$PATH"
  # The stamp is written last, so an interrupted installation is taken up again; the folder is in it, since the install is editable.
  wanted=$({ cat environment.yml pyproject.toml; pwd; } | git hash-object --stdin)
  stamp=$prefix/.deepfake-uncertainty
  [[ -f $stamp && $(<"$stamp") == "$wanted" ]] && return
  echo "installing the pinned packages into $prefix (once; about 5 GB)"
  mapfile -t packages < <(pins)
  mapfile -t bare < <(no_deps_pins)
  python -m pip install --quiet --disable-pip-version-check "${packages[@]}"
  python -m pip install --quiet --disable-pip-version-check --no-deps "${bare[@]}" -e .
  echo "$wanted" > "$stamp"
}

settings() {
  # One thread a job: the scheduler fills the processors, and results do not depend on how many there are.
  export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
  export MKL_NUM_THREADS=$OMP_NUM_THREADS OPENBLAS_NUM_THREADS=$OMP_NUM_THREADS NUMBA_NUM_THREADS=$OMP_NUM_THREADS
  # Memory is kept for the next layer, in large pages, and not given back after each: trainings are 5 % faster.
  export GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=8589934592
  export SOURCE_DATE_EPOCH=1735689600 PYTHONHASHSEED=0 PYDEVD_DISABLE_FILE_VALIDATION=1
  export DEEPFAKE_UNCERTAINTY_HOME=$PWD DEEPFAKE_UNCERTAINTY_RUN=$$
  [[ -z $data_root ]] || DEEPFAKE_UNCERTAINTY_DATA_ROOT=$(cd "$data_root" && pwd)
  [[ -z $data_root ]] || export DEEPFAKE_UNCERTAINTY_DATA_ROOT
}

pipeline() {
  # Targets come first: --config and --quiet would swallow them.
  local call=(python -m snakemake "$@" --snakefile Snakefile --cores "$jobs" --config "profile=$profile" "jobs=$jobs")
  # The code's digest is a parameter of each rule, so neither a rule's wording nor a file's date retrains anything.
  call+=(--rerun-triggers params input --rerun-incomplete --keep-going --quiet rules progress host)
  # `set -e` is off inside `pipeline || ...`, so the exit is spelt out.
  python -m deepfake_uncertainty.leftovers || exit 2
  [[ ! -d .snakemake/locks ]] || python -m snakemake --snakefile Snakefile --unlock --quiet all >/dev/null 2>&1 || true
  "${call[@]}"
}

run() {
  local status=0
  # A wrong folder is told now, in one line, and not by the batch.
  [[ -z $data_root ]] || python -m deepfake_uncertainty check --profile "$profile" || exit 2
  pipeline all || status=1
  ((status == 0)) || echo "run_all.sh: a job failed, see above; the table is of the last runs that ended" >&2
  python -m deepfake_uncertainty.notebook table --profile "$profile"
  return "$status"
}

tests() {
  python -m ruff check .
  python -m pytest
  python -m deepfake_uncertainty.notebook sync
  if compgen -G 'notebooks/[0-9]*.ipynb' >/dev/null; then
    pipeline trainings
    # Every cell must run; outputs are compared where a cell asks for it: the digits of a training depend on the processor.
    export DEEPFAKE_UNCERTAINTY_FIGURES=$PWD/.cache/nbval-figures
    python -m pytest --nbval-lax --nbval-current-env notebooks/[0-9]*.ipynb
  fi
}

html() {
  python -m deepfake_uncertainty.site
}

parse "$@"
[[ $command != clean ]] || { rm -rf .cache .snakemake data/quick data/full site; echo "removed what runs computed"; exit 0; }
environment
settings
case $command in
  run) run ;;
  test) tests ;;
  bench) PYTHONPATH=tests python -m benchmarks ;;
  html) html ;;
esac
