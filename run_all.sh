#!/usr/bin/env bash
# From a clone to figures. Needs Python 3.11 or 3.12 and git, nothing else.
set -euo pipefail
caller=$PWD  # relative paths among the options are relative to it
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
  cat <<'TEXT'
usage: ./run_all.sh [COMMAND] [OPTION ...]

commands
  (none)   environment, benchmark, trainings, notebooks, figures; ends with a table
  test     style, types, imports, pytest, notebooks in step with their scripts, nbval
  bench    time against targets and reference libraries on this machine (some minutes);
           writes figures/benchmarks.json
  verify   what is on disk against what is committed: numbers and verdicts per notebook;
           ends with 0 when no verdict differs, else with 1
  html     the executed notebooks as web pages: open site/index.html, no network is needed
  clean    remove what a run computed (.cache, .snakemake, data/quick, data/full, site);
           .venv, notebooks and figures stay

options
  --profile quick   the whole study, small, on the embedded benchmark (default)
            full    the embedded benchmark at full size
            paper   real data sets: needs --data-root
  --jobs N          jobs at a time (default: the number of processors)
  --data-root DIR   a data set in place of the embedded benchmark, in its published layout:
                    FaceForensics++, FakeAVCeleb, Celeb-DF-v2, DFDC, WildDeepfake (unpacked)
                    or DF40; see README.md
  --plugin FILE.py  further detectors or methods, trained and shown beside the others
                    (may be given several times)
  --device cpu      networks compute on the processor (default)
           cuda     on a graphics card, which all jobs share: give fewer --jobs when its memory
                    runs out (the digits are its own, and change from card to card)
           auto     on a card if there is one
  --slow            with `test`: also the tests that take minutes
  --fresh           with `verify`: first compute the committed study anew, from nothing, in a
                    folder of its own under .cache; figures and notebooks here are not touched
  --fast            use every instruction of this processor, and OMP_NUM_THREADS threads a job
                    (default 1); without it a run uses AVX2 and one thread, so that the last
                    digits are the same on every processor with AVX2
TEXT
}

fail() { echo "run_all.sh: $1" >&2; exit 2; }

absolute() { [[ $1 == /* || -z $1 ]] && echo "$1" || echo "$caller/$1"; }

add_plugin() {
  [[ -f $(absolute "$1") ]] || fail "--plugin '$1' is not a file: give the path of a .py file"
  plugins+=${plugins:+:}$(absolute "$1")
}

parse() {
  command=run profile=quick jobs=$(getconf _NPROCESSORS_ONLN) slow=0 chosen=0 fresh=0
  device=${DEEPFAKE_UNCERTAINTY_DEVICE:-cpu}
  fast=${DEEPFAKE_UNCERTAINTY_FAST:-}
  data_root=${DEEPFAKE_UNCERTAINTY_DATA_ROOT:-} plugins=${DEEPFAKE_UNCERTAINTY_PLUGINS:-}
  [[ ${1:-} == [a-z]* ]] && { command=$1; shift; }
  while (($#)); do
    case $1 in
      -h|--help) usage; exit 0 ;;
      --profile|--jobs|--data-root|--plugin|--device)
        (($# > 1)) || fail "$1 needs a value; see ./run_all.sh --help" ;;&
      --profile) profile=$2 chosen=1; shift 2 ;;
      --jobs) jobs=$2; shift 2 ;;
      --data-root) data_root=$(absolute "$2"); shift 2 ;;
      --device) device=$2; shift 2 ;;
      --plugin) add_plugin "$2"; shift 2 ;;
      --slow) slow=1; shift ;;
      --fresh) fresh=1; shift ;;
      --fast) fast=1; shift ;;
      *) fail "unknown option '$1'; see ./run_all.sh --help" ;;
    esac
  done
  check_options
}

check_options() {
  [[ $command =~ ^(run|test|bench|verify|html|clean)$ ]] ||
    fail "unknown command '$command': use test, bench, verify, html or clean"
  [[ $profile =~ ^(quick|full|paper)$ ]] ||
    fail "unknown profile '$profile': use quick, full or paper"
  [[ $jobs =~ ^[1-9][0-9]*$ ]] || fail "--jobs needs a number above zero, not '$jobs'"
  [[ $device =~ ^(auto|cpu|cuda)$ ]] || fail "unknown device '$device': use auto, cpu or cuda"
  [[ -z $data_root || -d $data_root ]] ||
    fail "--data-root '$data_root' is not a folder: give the root of the data set"
  [[ $profile != paper || -n $data_root || $command == verify ]] ||
    fail "profile paper needs --data-root DIR with a real data set"
  [[ $chosen == 0 || $command =~ ^(run|test|verify)$ ]] ||
    fail "--profile goes with a run, with test or with verify"
  [[ $slow == 0 || $command == test ]] || fail "--slow goes with the command test"
  [[ $fresh == 0 || $command == verify ]] || fail "--fresh goes with the command verify"
  [[ $command != verify || -z $data_root$plugins ]] ||
    fail "verify is about the committed study: give it no data root and no plug-in"
}

find_python() {
  local python check='import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))'
  for python in python3.11 python3.12 python3 python; do
    "$python" -c "$check" 2>/dev/null && { echo "$python"; return; }
  done
  fail "Python 3.11 or 3.12 not found: install it, or activate the environment of environment.yml"
}

# Install the pinned packages, once; `environment tests` also installs what the tests need.
environment() {
  local prefix=.venv wanted python part stamp
  if [[ ${CONDA_DEFAULT_ENV:-} == deepfake-uncertainty ]]; then
    prefix=$CONDA_PREFIX
  elif [[ ! -x .venv/bin/python ]]; then
    python=$(find_python)
    "$python" -m venv .venv
  fi
  prefix=$(cd "$prefix" && pwd)
  export PATH="$prefix/bin:$PATH"
  for part in study "$@"; do
    # The stamp is written last, so an interrupted installation is taken up again. The folder is
    # in it, since the project itself is installed as a link to this folder.
    wanted=$({ cat "requirements/$part.txt" requirements/no-deps.txt pyproject.toml; pwd; } |
      git hash-object --stdin)
    stamp=$prefix/.installed-$part
    [[ -f $stamp && $(<"$stamp") == "$wanted" ]] && continue
    echo "installing requirements/$part.txt into $prefix (once; some minutes, 7 GB in all)"
    pip_install -r "requirements/$part.txt"
    pip_install --no-deps -r requirements/no-deps.txt -e .
    echo "$wanted" > "$stamp"
  done
}

pip_install() { python -m pip install --quiet --disable-pip-version-check "$@"; }

settings() {
  # One thread per job, since the scheduler fills the processors, and the instructions that all
  # processors share: results depend neither on how many there are nor on their kind.
  local pins
  export DEEPFAKE_UNCERTAINTY_FAST=$fast
  pins=$(python -m deepfake_uncertainty.pins) || exit 2
  eval "$pins"
  # Memory is kept for the next layer, in large pages, and not given back after each one: trainings
  # are 5 % faster.
  GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4294967296
  export GLIBC_TUNABLES+=:glibc.malloc.trim_threshold=8589934592
  export SOURCE_DATE_EPOCH=1735689600 PYTHONHASHSEED=0 PYDEVD_DISABLE_FILE_VALIDATION=1
  export DEEPFAKE_UNCERTAINTY_HOME=$PWD DEEPFAKE_UNCERTAINTY_RUN=$$
  export DEEPFAKE_UNCERTAINTY_PLUGINS=$plugins
  # What was found now holds for all jobs.
  export DEEPFAKE_UNCERTAINTY_DEVICE=$device
  DEEPFAKE_UNCERTAINTY_DEVICE=$(python -m deepfake_uncertainty.devices) || exit 2
  [[ -z $data_root ]] || DEEPFAKE_UNCERTAINTY_DATA_ROOT=$(cd "$data_root" && pwd)
  [[ -z $data_root ]] || export DEEPFAKE_UNCERTAINTY_DATA_ROOT
}

pipeline() {
  # Targets come first: --config and --quiet would swallow them.
  local call=(python -m snakemake "$@" --snakefile Snakefile --cores "$jobs")
  call+=(--config "profile=$profile" "jobs=$jobs")
  # The key of a job's code is a parameter of its rule, so neither a rule's wording nor a file's
  # date trains anything again.
  call+=(--rerun-triggers params input --rerun-incomplete --keep-going)
  call+=(--quiet rules progress host)
  # `set -e` is off inside `pipeline || ...`, so the exit is spelt out.
  python -m deepfake_uncertainty.orphans || exit 2
  python -m deepfake_uncertainty.report.runner prepare --profile "$profile" || exit 2
  [[ ! -d .snakemake/locks ]] ||
    python -m snakemake --snakefile Snakefile --unlock --quiet all >/dev/null 2>&1 || true
  "${call[@]}"
}

run() {
  local status=0
  # Bad data or a broken plug-in is reported now, in one line, and not by the batch.
  [[ -z $data_root && -z $plugins ]] || check_inputs
  pipeline all || status=1
  ((status == 0)) ||
    echo "run_all.sh: a job failed, see above; the table shows the last runs that ended" >&2
  python -m deepfake_uncertainty.report.runner table --profile "$profile"
  return "$status"
}

check_inputs() {
  if [[ -n $plugins ]]; then python -m deepfake_uncertainty list > /dev/null || exit 2; fi
  if [[ -n $data_root ]]; then
    python -m deepfake_uncertainty check --profile "$profile" || exit 2
  fi
}

tests() {
  local chosen=(-m "not long")
  ((slow == 0)) || chosen=()
  python -m ruff check .
  python -m ruff format --check .
  python -m mypy
  lint-imports
  python -m pytest "${chosen[@]}"
  python -m deepfake_uncertainty.report.runner sync
  if compgen -G 'notebooks/[0-9]*.ipynb' >/dev/null; then
    pipeline trainings
    # Every cell must run. Where this run and the record are both pinned, what the cells print must
    # be the same; elsewhere only where a cell asks for it. The record has no standard error.
    export DEEPFAKE_UNCERTAINTY_FIGURES=$PWD/.cache/nbval-figures
    export PYTHONWARNINGS=ignore TQDM_DISABLE=1
    python -m pytest "$(comparison)" --nbval-current-env notebooks/[0-9]*.ipynb
  fi
}

# How nbval compares with the record, which is of profile quick on the embedded benchmark.
comparison() {
  local here pinned="cpu pinned"
  here=$(python -c 'from deepfake_uncertainty import cache; print(cache.arithmetic())')
  if [[ -z $data_root$plugins && $here == "$pinned" &&
    -z $(grep -L "\"arithmetic\": \"$pinned\"" figures/[0-9]*.json) ]]; then
    echo --nbval
  else
    echo --nbval-lax
  fi
}

verify() {
  local report=deepfake_uncertainty.report.verify scratch status=0
  if ((fresh == 0)); then python -m "$report" compare --profile "$profile"; return; fi
  scratch=$(python -m "$report" scratch --profile "$profile") || exit 2
  if [[ -e $scratch/.complete ]]; then  # an interrupted one is taken up, a whole one is not
    rm -rf "$scratch"
    scratch=$(python -m "$report" scratch --profile "$profile") || exit 2
  fi
  echo "computing the committed study anew in $scratch" >&2
  # The committed code runs in its own folder: no result, model, marker or data set of this one.
  (
    unset DEEPFAKE_UNCERTAINTY_FIGURES DEEPFAKE_UNCERTAINTY_AV_ROOT
    export DEEPFAKE_UNCERTAINTY_HOME=$scratch PYTHONPATH=$scratch/lib
    cd "$scratch" && pipeline all
  ) || status=$?
  ((status == 0)) || {
    echo "run_all.sh: not all was computed; the same command goes on in $scratch" >&2
    exit "$status"
  }
  touch "$scratch/.complete"
  DEEPFAKE_UNCERTAINTY_FIGURES=$scratch/figures python -m "$report" compare --profile "$profile" ||
    { status=$?; echo "what was computed is kept in $scratch" >&2; exit "$status"; }
  rm -rf "$scratch"
}

clean() {
  rm -rf .cache .snakemake data/quick data/full site
  echo "removed what runs computed"
}

parse "$@"
[[ $command != clean ]] || { clean; exit 0; }
case $command in
  test | bench) environment tests ;;
  *) environment ;;
esac
settings
case $command in
  run) run ;;
  test) tests ;;
  verify) verify ;;
  bench) PYTHONPATH=tests python -m benchmarks ;;
  html) python -m deepfake_uncertainty.report.site ;;
esac
