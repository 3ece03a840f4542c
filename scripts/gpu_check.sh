#!/usr/bin/env bash
# Checks a GPU and this program on it, on any machine with one. Needs python3 (3.9 or newer), no Internet, no root.
#   scripts/gpu_check.sh --first | --second | [--stages LIST] [--patience X]
#                        [--build DIR | --bundle DIR] [--cuda-libs DIR...] [--out DIR] [--again]
#   scripts/gpu_check.sh --self-test      tests the script itself with simulated programs; needs no GPU
# --first       what a first contact with a GPU needs, in at most 270 s, and what to look at next
# --second      accuracy, ranks and the peers, in at most 400 s
# It checks DIR/trainer/trainer of a built tree, an unpacked bundle (scripts/bundle.sh), or, if neither is
# named, the bundle that the script is in, else build/cuda, which is built first (not counted in the time).
#   prove          sprint-lean with portable bits: the digest that the program knows  at most  15 s   first
#   report         the device report                                                     15 s   first second
#   first_contact  measurements for the predictions: nodes, grid barriers, loads         25 s   first
#   conformance    ops, steps and loop against the reference                             90 s   first
#   nodes          nodes of the graph of a step                                          30 s   first
#   replay         recorded = eager, same seed = same bits                               20 s   first
#   sprint         30 seeds to 99 %, each precision, SM clock, PyTorch's graph           60 s   first second
#   bits           the same bits in 400 trainings, and with waits before barriers        60 s   first
#   kernels        each kernel's time beside its prediction (ncu, or events)             60 s   first
#   sanitizer      compute-sanitizer's four tools over sprint and sprint-lean           110 s   first
#   accuracy       each network with its recipe                                         120 s         second
#   ranks          NCCL in recorded steps: a world of one GPU, and of all that are here  40 s         second
#   benchmark      against PyTorch and JAX in the same run                              215 s         second
#   precisions     each network in each precision, 10 seeds; only by name               560 s
# Without --first or --second all but the last are run, within their limits; --stages names some (separated by commas),
# --patience multiplies the limits, for slow GPUs. --first and --second have their own limits, and a stage that finishes early
# leaves its time to the next ones. A stage that passed is not run again on the same build; --again runs it.
# --out: folder for the results, at most four files: the record, a log, a summary and the kernels' table [the record in
# benchmarks/records, the others in build/gpu_check, or gpu_check in a bundle]. They are written as the check proceeds.
# Meanwhile one process holds a context on the device. Every process ends with the check, and the check with its caller, unless
# it was started by nohup. GPU_CHECK_PYTHON: the peers' Python [python3].
# Exit code: 0 nothing failed (a skipped stage is reported), 1 something did, 2 wrong usage.
set -euo pipefail

root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
# shellcheck source=gpu/cuda_libraries.sh disable=SC1091
. "$root/scripts/gpu/cuda_libraries.sh"

say() { printf '%s\n' "$*" >&2; }

usage() {
  say "error: $1"
  say "usage: gpu_check.sh --first | --second | [--stages LIST] [--patience X]"
  say "                    [--build DIR | --bundle DIR] [--cuda-libs DIR...] [--out DIR] [--again]"
  exit 2
}

# need_python: checks for a python3 that can run the helpers.
need_python() {
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null || {
    say "error: gpu_check.sh needs python3, 3.9 or newer, on the path"
    exit 2
  }
}

# parse ARGS: sets build, bundle, out, folders, passed_on.
parse() {
  build='' bundle='' out='' folders=() passed_on=()
  while (($#)); do
    case $1 in
      --build | --bundle | --out | --stages | --patience)
        [[ -n ${2:-} && $2 != --* ]] || usage "$1 needs a value"
        case $1 in
          --build) build=$2 ;;
          --bundle) bundle=$2 ;;
          --out) out=$2 ;;
          *) passed_on+=("$1" "$2") ;;
        esac
        shift 2
        ;;
      --cuda-libs)
        shift
        [[ -n ${1:-} && $1 != --* ]] || usage "--cuda-libs needs one folder or more"
        while (($#)) && [[ $1 != --* ]]; do
          [[ -d $1 ]] || usage "--cuda-libs $1: no such folder"
          folders+=("$(readlink -f -- "$1")")
          shift
        done
        ;;
      --again) passed_on+=("$1") && shift ;;
      --first | --second) passed_on+=(--plan "${1#--}") && shift ;;
      *) usage "unknown argument '$1'" ;;
    esac
  done
  [[ -z $build || -z $bundle ]] || usage "--build and --bundle exclude each other"
}

# build_here: brings build/cuda of this checkout up to date.
build_here() {
  TRAINER_CUDA=ON "$root/scripts/build.sh" cuda && return
  say "error: the GPU build is not to be had here (above). Two ways on:"
  say "  install what is missing: scripts/install_packages.sh --build --test, and NVIDIA's cuda-toolkit and cudnn9-cuda"
  say "  scripts/bundle.sh on a machine that has them, then here: gpu_check.sh --bundle FOLDER of what it packed"
  exit 1
}

# choose_tree: sets top (scripts and models), trainer, tests, own_libraries.
choose_tree() {
  top=$root own_libraries=''
  if [[ -z $build && -z $bundle && -x $root/bin/trainer ]]; then bundle=$root; fi
  if [[ -n $bundle ]]; then
    [[ -x $bundle/bin/trainer ]] || usage "--bundle $bundle: no bin/trainer in it; name the folder that it was unpacked to"
    top=$(readlink -f -- "$bundle")
    trainer=$top/bin/trainer tests=$top/bin own_libraries=$top/lib
    return
  fi
  if [[ -z $build ]]; then
    build_here
    build=$root/build/cuda
  fi
  [[ -x $build/trainer/trainer ]] || usage "--build $build: no trainer/trainer in it"
  build=$(readlink -f -- "$build")
  trainer=$build/trainer/trainer tests=$build/tests
}

# self_test ARGS: runs the test files in parallel; ARGS are unittest's, as -k PATTERN. Status 5: ARGS select no case of a file.
self_test() {
  local file id status failed=0 ids=()
  [[ -d $root/tests/scripts ]] || usage "--self-test: its cases are in the repository, not in a bundle"
  for file in "$root"/tests/scripts/gpu_check*_test.py; do
    python3 -m unittest discover --start-directory "$root/tests/scripts" --pattern "${file##*/}" "$@" &
    ids+=($!)
  done
  for id in "${ids[@]}"; do
    status=0
    wait "$id" || status=$?
    ((status == 0 || (status == 5 && $# > 0))) || failed=1
  done
  return "$failed"
}

main() {
  local libraries records work results
  trap 'exit 130' INT # bash continues after a signal that its foreground command did not receive
  if [[ ${1:-} == --self-test ]]; then
    need_python
    self_test "${@:2}"
    return
  fi
  if [[ ${1:-} == --help || ${1:-} == -h ]]; then
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
    return
  fi
  parse "$@"
  need_python
  choose_tree
  libraries=$(find_cuda_libraries "$trainer" "$own_libraries" "${folders[@]}")
  [[ -z $libraries ]] || say "libraries: $libraries"
  if [[ $top == "$root" && ! -x $root/bin/trainer ]]; then
    work=$root/build/gpu_check
  else
    work=$top/gpu_check
  fi
  if [[ -n $out ]]; then
    mkdir -p -- "$out" || usage "--out $out: no such folder can be made"
    results=$(readlink -f -- "$out") records=$results
  else
    results=$work records=$top/benchmarks/records
  fi
  exec python3 "$root/scripts/gpu/check.py" --root "$top" --trainer "$trainer" --tests "$tests" --libraries "$libraries" \
    --work "$work" --out "$results" --records "$records" --command "scripts/gpu_check.sh $*" "${passed_on[@]}"
}

main "$@"
