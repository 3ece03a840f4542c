#!/usr/bin/env bash
# The Dockerfile's build stage: builds, tests and installs, and lists what the shipped image needs.
#   scripts/image/build_inside.sh OUT
# OUT/mnist-trainer/  bin/trainer, share/ with the networks and MNIST, lib/ with CUDA's libraries (libraries.sh), with RANKS=ON also
#                     NCCL's and the plugin for Open MPI
# OUT/packages        the distribution's packages of all other libraries, one per line
# From the environment, set by the Dockerfile's arguments of the same names: VARIANT, ARCHITECTURES, CUDNN_VERSION, NVRTC, RANKS,
# TESTS, TRAINER_COMMIT.
set -euo pipefail

scripts=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
out=${1:?usage: build_inside.sh OUT}
# shellcheck source=scripts/image/libraries.sh
. "$scripts/image/libraries.sh"

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "error: $1"
  exit 1
}

# one_of NAME CHOICE...: requires that the variable has one of these values.
one_of() {
  local name=$1 choice
  shift
  for choice in "$@"; do [[ ${!name:-} != "$choice" ]] || return 0; done
  fail "the build argument $name is '${!name:-}'; one of: $*"
}

check_arguments() {
  one_of VARIANT cpu cuda
  one_of TESTS ON OFF
  one_of NVRTC ON OFF
  one_of RANKS ON OFF
  [[ $VARIANT == cuda ]] || return 0
  [[ ${ARCHITECTURES:-} =~ ^[0-9]+[a-z]?(-real|-virtual)?(\;[0-9]+[a-z]?(-real|-virtual)?)*$ ]] ||
    fail "the build argument ARCHITECTURES is '${ARCHITECTURES:-}'; compute capabilities without the dot, as in 90 or 80;90"
}

# cudnn_found: prints the version in the header that the compiler will see.
cudnn_found() {
  local header
  for header in /usr/local/cuda/include /usr/include "/usr/include/$(uname -m)-linux-gnu"; do
    header=$header/cudnn_version.h
    [[ -e $header ]] || continue
    awk '$2 ~ /^CUDNN_(MAJOR|MINOR|PATCHLEVEL)$/ && $3 ~ /^[0-9]+$/ { v = v (v == "" ? "" : ".") $3 } END { print v }' "$header"
    return
  done
}

# The label says which cuDNN the image has, so it has to be that one.
check_cudnn() {
  local found
  found=$(cudnn_found)
  [[ $found == "$CUDNN_VERSION" ]] ||
    fail "the devel image has cuDNN '${found:-none}', and CUDNN_VERSION says $CUDNN_VERSION: name that one, or another DEVEL_IMAGE"
}

build_and_test() {
  if [[ $VARIANT == cuda ]]; then
    export TRAINER_CUDA=ON CMAKE_CUDA_ARCHITECTURES=$ARCHITECTURES
  else
    export TRAINER_CUDA=OFF
  fi
  if [[ $TESTS == ON ]]; then
    "$scripts/test.sh" --no-install
  else
    say "NO TESTS ARE RUN (TESTS=OFF): the image will hold a program that was not tried on this system"
  fi
  TRAINER_TESTS=$TESTS "$scripts/build.sh" "$preset" trainer
  [[ $RANKS == OFF ]] || "$scripts/build.sh" "$preset" trainer_openmpi || fail "RANKS=ON needs libopenmpi-dev in the devel image"
}

install_program() {
  local folder=$out/mnist-trainer
  cmake --install "build/$preset" --prefix "$folder" --strip >/dev/null
  rm -f "$folder/lib/mnist-trainer/libmnist-trainer-mpich.so"
  [[ $RANKS == ON ]] || rm -rf "$folder/lib/mnist-trainer"
  "$folder/bin/trainer" --version
}

main() {
  cd "$scripts/.."
  check_arguments
  preset=$VARIANT
  [[ $VARIANT == cpu ]] || check_cudnn
  build_and_test
  install_program
  [[ $VARIANT == cpu ]] || collect_cuda "$out/mnist-trainer/bin/trainer" "$out/mnist-trainer/lib" "$NVRTC"
  [[ $VARIANT$RANKS != cudaON ]] || collect_nccl "$out/mnist-trainer/lib"
  library_packages "$out/mnist-trainer" >"$out/packages"
  [[ $RANKS == OFF ]] || printf '%s\n' openmpi-bin openssh-client openssh-server >>"$out/packages"
  say "packages of the image: $(paste -sd ' ' "$out/packages")"
}

main
