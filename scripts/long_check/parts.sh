# shellcheck shell=bash disable=SC2034,SC2154
# The parts of long_check.sh, one function each; their steps are programs. To be sourced: root, short, base and minutes are the script's.

# Each part's NAME and what it proves, in the order of their days.
parts=(
  "dev             the preset dev: every file includes what it uses, its tests pass, and what one leaf header costs"
  "same-bits       scripts/same_bits.sh: every network trains to the bits of another revision"
  "before-after    benchmarks/before_after.py: no row of README's CPU tables became slower"
  "gpu-bundle      scripts/bundle.sh: programs, tests and the twin that waits at random build for compute capability 9.0"
  "ranks           trainings on simulated ranks that die, freeze and stop, from new seeds, end with the bits of one process"
  "slurm           scripts/slurm_check.sh: the prolog, several ranks, signals, requeues and losses under a real Slurm"
  "pods            scripts/pod_check.sh: the pods of deploy/kubernetes under podman"
  "kills           scripts/kill_check.sh: 1,000 kill -9 and 500 full disks at random moments lose nothing, and all goes on to the same bits"
  "failing-calls   scripts/failing_calls.sh: every call that can fail fails once in short runs of the program, which ends in order"
  "digests         sprint-lean whole with portable bits meets its digest under the sanitizers and on the emulated GPU"
  "sanitizer-slow  all tests under AddressSanitizer and UBSan, those that are too long for scripts/coverage.sh too"
  "portable        scripts/portable_program.sh: one digest from every compiler, processor and instruction set that is here"
  "mutants         scripts/mutate.sh: single mistakes in the engines, in training, store, data and targets that the tests must find"
  "fuzz            scripts/fuzz.sh: no input that libFuzzer makes up breaks a reader of what others write [--minutes N: 60]"
  "interchange     exported networks give the program's answers in onnxruntime and PyTorch, and imported ones PyTorch's here"
  "package         scripts/build_package.sh and package_check.sh: the Debian package in a fresh tree"
  "chroot          README's two commands in a fresh minimal tree"
)

# tests_of PRESET PROGRAM...: builds and runs these test programs.
tests_of() {
  local preset=$1 program
  for program in "${@:2}"; do
    TRAINER_TESTS=ON "$root/scripts/build.sh" "$preset" "$program" || return
    OMP_WAIT_POLICY=passive "$root/build/$preset/tests/$program" --gtest_brief=1 || return
  done
}

# leaf_header: rebuilds after a change of a header that few files include, with one job and without a cache.
leaf_header() {
  touch "$root/trainer/runs/run_comparison.hpp"
  CCACHE_DISABLE=1 ninja -C "$root/build/dev" -j1 runs_test
}

# headers_alone PATTERN...: compiles by itself each header that has no source of the same name. The CPU's loops are
# left out: they are text for one namespace per instruction set.
headers_alone() {
  local header failed=0
  cd "$root" || return
  while IFS= read -r header; do
    [[ ! -e ${header%.hpp}.cpp && ! -e ${header%.hpp}.cu && $header != kernels/cpu/loops/* ]] || continue
    "${CXX:-c++}" -std=c++20 -fsyntax-only -I. -Itests/emulator/include -Ibuild/dev/trainer/generated -x c++ - \
      <<<"#include \"$header\"" || { echo "error: $header does not include what it uses" >&2 && failed=1; }
  done < <(git ls-files -- "$@")
  return "$failed"
}

part_dev() {
  local engine=EMULATED
  [[ $short == no ]] || engine=OFF # the GPU engine and the emulator are a third of all files
  step "configure" env TRAINER_CUDA=$engine TRAINER_TESTS=ON "$root/scripts/build.sh" dev --configure || return
  if [[ $short == yes ]]; then
    step "the program" "$root/scripts/build.sh" dev trainer || return
    step "two rooms' tests" tests_of dev runs_test data_test || return
  else
    step "everything" "$root/scripts/build.sh" dev || return
    step "the tests" ctest --test-dir "$root/build/dev" --parallel 2 --label-exclude '^(slow|long)$' --output-on-failure || return
  fi
  step "headers by themselves" headers_alone 'data/*.hpp' 'kernels/*.hpp' 'models/*.hpp' 'trainer/*.hpp' || return
  step "one leaf header to one test" leaf_header
}

# base_revision: prints the revision to compare with, or nothing in a clone without it.
base_revision() {
  local revision=$base
  if [[ -z $revision ]]; then
    revision=HEAD~1
    [[ -z $(git -C "$root" status --porcelain 2>/dev/null) ]] || revision=HEAD
  fi
  git -C "$root" rev-parse --verify --quiet "$revision^{commit}" || true
}

part_same_bits() {
  local revision arguments=()
  revision=$(base_revision)
  [[ -n $revision ]] || skip "this clone has no earlier revision to compare with" || return
  [[ $short == no ]] || arguments=(--brief)
  step "the bits of ${revision:0:12}" "$root/scripts/same_bits.sh" "${arguments[@]}" "$revision"
}

part_before_after() {
  local revision arguments=()
  revision=$(base_revision)
  [[ -n $revision ]] || skip "this clone has no earlier revision to compare with" || return
  [[ $short == no ]] || arguments=(--rows sprint-lean)
  step "the times of ${revision:0:12}" "$root/benchmarks/before_after.py" "${arguments[@]}" "$revision" tree
}

part_gpu_bundle() {
  local missing
  # shellcheck source=scripts/toolkit.sh
  . "$root/scripts/toolkit.sh"
  missing=$(missing_toolkit)
  [[ -z $missing ]] || skip "there is no $missing here" || return
  if [[ $short == no ]]; then
    step "the bundle" "$root/scripts/bundle.sh" --arch 90
    return
  fi
  local build=(env TRAINER_CUDA=ON TRAINER_TESTS=ON CMAKE_CUDA_ARCHITECTURES=90 "$root/scripts/build.sh" jitter)
  step "configure" "${build[@]}" --configure || return
  step "the tests of bits that wait at random" "${build[@]}" gpu_bits_test || return
  step "they start" "$root/build/jitter/tests/gpu_bits_test" --gtest_list_tests
}

# whole_digest PRESET DEVICE: trains sprint-lean whole with portable bits; it must end with its row of digests.yaml.
whole_digest() {
  local digest
  digest=$(sed -n 's/^- {network: sprint-lean, seed: 1, steps: all, digest: \(.*\)}$/\1/p' "$root/kernels/portable/digests.yaml")
  CUDA_VISIBLE_DEVICES=0 OMP_WAIT_POLICY=passive "$root/build/$1/trainer/trainer" train --model sprint-lean --seed 1 --bits portable \
    --device "$2" --data "$root/data/mnist" --no-save | grep "^digest  *$digest$"
}

# seeds_for PRESET MINUTES: new cases of training on simulated ranks; a failure prints its seed.
seeds_for() { OMP_WAIT_POLICY=passive "$root/build/$1/tests/simulated_training_test" --minutes "$2"; }

part_ranks() {
  local minutes=10
  [[ $short == no ]] || minutes=2
  step "build" env TRAINER_TESTS=ON "$root/scripts/build.sh" cpu simulated_training_test || return
  step "new seeds for $minutes minutes" seeds_for cpu "$minutes" || return
  [[ $short == no ]] || return 0
  step "build with the sanitizers" env TRAINER_TESTS=ON "$root/scripts/build.sh" asan simulated_training_test || return
  step "new seeds under AddressSanitizer and UBSan" seeds_for asan 5
}

part_slurm() {
  local reason
  # shellcheck source=scripts/slurm/cluster.sh
  reason=$(work='' cpus=4 && . "$root/scripts/slurm/cluster.sh" && why_no_slurm)
  [[ -z $reason ]] || skip "$reason" || return
  step "the program" env TRAINER_CUDA=OFF "$root/scripts/build.sh" cpu trainer || return
  step "its plugin for Open MPI" "$root/scripts/build.sh" cpu trainer_openmpi || return
  step "under Slurm" "$root/scripts/slurm_check.sh"
}

part_pods() {
  command -v podman >/dev/null || skip "there is no podman (./scripts/install_packages.sh --health)" || return
  step "the program" env TRAINER_CUDA=OFF "$root/scripts/build.sh" cpu trainer || return
  step "its pods" "$root/scripts/pod_check.sh"
}

part_digests() {
  step "build" "$root/scripts/build.sh" asan trainer || return
  step "on a CPU, under the sanitizers" whole_digest asan cpu || return
  step "build with the emulated GPU" "$root/scripts/build.sh" emulated trainer || return
  step "on the emulated GPU" whole_digest emulated cuda
}

# one_slow_case: runs a single slow test, a different one each day.
one_slow_case() {
  local program=$root/build/asan/tests/mnist_test cases
  mapfile -t cases < <("$program" --gtest_list_tests | awk '/^[^ ]/ { suite = $1 } /^ / { print suite $1 }')
  OMP_WAIT_POLICY=passive "$program" --gtest_filter="${cases[$(date +%s) / 86400 % ${#cases[@]}]}"
}

part_sanitizer_slow() {
  if [[ $short == yes ]]; then
    step "build" env TRAINER_TESTS=ON "$root/scripts/build.sh" asan mnist_test || return
    step "a slow test" one_slow_case
    return
  fi
  step "the tests, and the lines that they reach" "$root/scripts/coverage.sh" || return
  step "the slow tests" ctest --test-dir "$root/build/asan" --parallel 2 --label-regex '^slow$' --output-on-failure || return
  # shellcheck source=scripts/long_cases.sh
  . "$root/scripts/long_cases.sh"
  step "the cases that take minutes" env GTEST_FILTER="$(IFS=: && printf '%s' "${long_cases[*]}")" \
    ctest --test-dir "$root/build/asan" --parallel 2 --label-exclude '^(slow|long)$' --timeout 7200 --output-on-failure
}

part_portable() {
  local arguments=()
  [[ $short == no ]] || arguments=(--quick)
  step "the trainer" "$root/scripts/build.sh" cpu trainer || return
  [[ $short == yes ]] || step "the functions over all floats" tests_of cpu all_floats_test || return
  step "the digests" "$root/scripts/portable_program.sh" "${arguments[@]}" --trainer "$root/build/cpu/trainer/trainer"
}

# trained_networks FOLDER STEPS: trains every shipped network and the one of every op for some steps, each in FOLDER/NAME.
trained_networks() {
  local file
  rm -rf "$1"
  for file in "$root"/models/*.yaml "$root/tests/interchange/every_op.yaml"; do
    "$root/build/cpu/trainer/trainer" train --model "$file" --data "$root/data/mnist" --max-steps "$2" --quiet \
      --out "$1/$(basename "$file" .yaml)" || return
  done
}

part_interchange() {
  local python=${TRAINER_PYTHON:-python3} runs=$root/build/long_check/interchange steps=60 opset opsets=() networks=()
  if [[ $short == no ]]; then
    steps=1000
    for opset in {13..24}; do opsets+=(--opset "$opset"); done
  else
    opsets=(--opset 17) networks=(--networks "quick,sprint,$root/tests/interchange/every_op.yaml")
  fi
  "$python" -c 'import numpy, onnx, onnxruntime' || skip "$python lacks numpy, onnx or onnxruntime (TRAINER_PYTHON names another)" || return
  step "build" env TRAINER_CUDA=OFF "$root/scripts/build.sh" cpu trainer || return
  step "networks, $steps steps each" trained_networks "$runs" "$steps" || return
  step "onnxruntime" "$python" "$root/tests/interchange/onnx_proof.py" --trainer "$root/build/cpu/trainer/trainer" --data "$root/data/mnist" \
    "${opsets[@]}" "$runs"/* || return
  "$python" -c 'import torch, safetensors' || skip "onnxruntime agrees, but $python lacks torch or safetensors" || return
  step "PyTorch" "$python" "$root/benchmarks/torch_weights.py" "${networks[@]}" --record "$runs.torch.json"
}

# fresh_tree FOLDER: makes a minimal tree of this machine's release.
fresh_tree() {
  # shellcheck source=scripts/image/bases.sh
  . "$root/scripts/image/bases.sh"
  umount "$1/proc" 2>/dev/null || true
  rm -rf "$1"
  unpack_tree '' "$1"
}

# why_no_chroot: prints why no fresh tree can be made, or nothing if one can.
why_no_chroot() {
  ((EUID == 0)) || { echo "a tree of its own needs root" && return; }
  # shellcheck source=scripts/image/bases.sh
  . "$root/scripts/image/bases.sh"
  why_no_tree ''
}

# package_holds PACKAGE: requires program, data, networks, a manual page and completion in it.
package_holds() {
  local path contents
  contents=$(dpkg-deb --contents "$1")
  for path in usr/bin/trainer mnist/train-images-idx3-ubyte.gz models/quick.yaml man1/trainer-train.1.gz bash-completion/completions/trainer; do
    grep -q "$path" <<<"$contents" || { echo "error: $1 has no $path" >&2 && return 1; }
  done
}

part_package() {
  local reason tree=$root/build/long_check/package packages
  command -v dpkg-shlibdeps >/dev/null || skip "there is no dpkg-shlibdeps (apt-get install dpkg-dev)" || return
  step "the package" "$root/scripts/build_package.sh" --no-install || return
  packages=("$root"/build/package/*.deb)
  step "what it holds" package_holds "${packages[0]}" || return
  [[ $short == no ]] || return 0
  reason=$(why_no_chroot)
  [[ -z $reason ]] || skip "the package holds what it should, and was not installed: $reason" || return
  step "a fresh tree" fresh_tree "$tree" || return
  step "installed, used and removed" "$root/scripts/package_check.sh" "${packages[0]}" "$tree"
}

# in_tree TREE COMMAND: runs it in the tree's copy of the sources.
in_tree() {
  mount -t proc proc "$1/proc" || true
  chroot "$1" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive \
    http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" bash -c "cd /mnist-trainer && $2"
}

# tree_with_sources TREE: makes a fresh tree with the files of the working tree that git knows.
tree_with_sources() {
  fresh_tree "$1"
  mkdir "$1/mnist-trainer"
  (cd "$root" && git ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' path; do [[ ! -f $path ]] || printf '%s\0' "$path"; done | tar c --null --files-from -) | tar x -C "$1/mnist-trainer"
}

part_chroot() {
  local reason tree=$root/build/long_check/chroot status=0 short_training=''
  reason=$(why_no_chroot)
  [[ -z $reason ]] || skip "$reason" || return
  step "a fresh tree" tree_with_sources "$tree" || return
  [[ $short == no ]] || short_training='--epochs 1 --limit-train 6000'
  step "train.sh" in_tree "$tree" "apt-get -q=2 update && ./scripts/train.sh $short_training" || status=1
  [[ $short == yes || $status == 1 ]] || step "test.sh" in_tree "$tree" ./scripts/test.sh || status=1
  umount "$tree/proc" 2>/dev/null || true
  return "$status"
}

# shellcheck source=scripts/long_check/hard.sh
. "$root/scripts/long_check/hard.sh"
