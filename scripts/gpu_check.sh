#!/usr/bin/env bash
# Proves a GPU, and this program on it; for any machine with one. Needs python3 (3.9 or newer), no Internet, no root.
#   scripts/gpu_check.sh [--stages LIST] [--build DIR | --bundle DIR] [--cuda-libs DIR...] [--out DIR] [--again]
#                        [--patience X]
#   scripts/gpu_check.sh --self-test      the script itself, over played programs; needs no GPU
# What is checked: DIR/trainer/trainer of a built tree, an unpacked bundle (scripts/bundle.sh), or, where neither is
# named, the bundle that the script lies in, else build/cuda, which is built first.
#   report       the device report                          at most  15 s
#   conformance  ops, steps and loop against the reference            60 s
#   replay       recorded = eager, same seed = same bits              15 s
#   nodes        nodes of the graph of a step                         25 s
#   sanitizer    compute-sanitizer's four tools                       75 s
#   accuracy     each network by its recipe                           80 s
#   sprint       30 seeds to 99 %, each precision, PyTorch's graph    55 s
#   benchmark    against PyTorch and JAX in the same run             215 s
#   precisions   each network in each precision, 10 seeds; by name   560 s
# --stages names some of them (commas between). A stage that passed is not run again on the same build; --again runs
# it. --out: folder of stages, plans and record [build/gpu_check, or gpu_check in a bundle; the record goes to
# benchmarks/records]. --patience multiplies the limits, for slow GPUs. GPU_CHECK_PYTHON: the peers' Python [python3].
# Exit code: 0 nothing failed (a skipped stage says so aloud), 1 something did, 2 wrong usage.
set -euo pipefail

root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
# shellcheck source=gpu/cuda_libraries.sh disable=SC1091
. "$root/scripts/gpu/cuda_libraries.sh"

say() { printf '%s\n' "$*" >&2; }

usage() {
  say "error: $1"
  say "usage: gpu_check.sh [--stages LIST] [--build DIR | --bundle DIR] [--cuda-libs DIR...] [--out DIR] [--again] [--patience X]"
  exit 2
}

# need_python: a python3 that the helpers run on.
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
      *) usage "unknown argument '$1'" ;;
    esac
  done
  [[ -z $build || -z $bundle ]] || usage "--build and --bundle exclude each other"
}

# build_here: build/cuda of this checkout, brought up to date.
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

main() {
  local libraries records work
  if [[ ${1:-} == --self-test ]]; then
    need_python
    [[ -f $root/tests/scripts/gpu_check_test.py ]] || usage "--self-test: its cases are in the repository, not in a bundle"
    exec python3 "$root/tests/scripts/gpu_check_test.py"
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
  if [[ -n $out ]]; then
    mkdir -p -- "$out"
    work=$(readlink -f -- "$out") records=$work
  elif [[ $top == "$root" && ! -x $root/bin/trainer ]]; then
    work=$root/build/gpu_check records=$root/benchmarks/records
  else
    work=$top/gpu_check records=$top/benchmarks/records
  fi
  exec python3 "$root/scripts/gpu/check.py" --root "$top" --trainer "$trainer" --tests "$tests" --libraries "$libraries" \
    --work "$work" --records "$records" --command "scripts/gpu_check.sh $*" "${passed_on[@]}"
}

main "$@"
