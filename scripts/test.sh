#!/usr/bin/env bash
# Installs what is missing, builds everything, runs the tests, and ends with ctest's summary. The GPU engine's tests run on
# an emulated GPU (tests/emulator), so that they need none. If a CUDA toolkit with cuDNN is found, the real GPU engine is
# compiled too, for all architectures, and cuDNN plans every network for each of them, without a device.
#   scripts/test.sh [--no-install] [--quick] [CTEST ARGS]
# The tests labelled long are for scripts/long_check.sh. --quick leaves out those labelled slow and the real CUDA build; CTEST ARGS
# select and repeat (-R conv).
# From the environment: TRAINER_WERROR=ON makes warnings errors, as CI does; TRAINER_CUDA=OFF leaves the toolkit alone.
set -euo pipefail

scripts=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
build=$(dirname -- "$scripts")/build

# shellcheck source=scripts/toolkit.sh
. "$scripts/toolkit.sh"

# has_toolkit: tells whether the real GPU engine can be compiled and is wanted.
has_toolkit() { [[ ${TRAINER_CUDA:-} != OFF && -z $(missing_toolkit) ]]; }

# cuda_tests: compiles the GPU engine with nvcc and runs those of its tests that need no GPU.
cuda_tests() {
  TRAINER_CUDA=ON "$scripts/build.sh" cuda --configure
  TRAINER_CUDA=ON "$scripts/build.sh" cuda trainer
  "$scripts/check_spills.sh" "$build/cuda.compile.log"
  TRAINER_CUDA=ON "$scripts/build.sh" cuda jitter_code
  "$scripts/check_machine_code.sh" --self-test
  "$scripts/check_machine_code.sh"
  TRAINER_CUDA=ON "$scripts/build.sh" cuda cudnn_plans_test
  ctest --test-dir "$build/cuda" --parallel 2 --output-on-failure --tests-regex '^cudnn_plans_test\.'
}

main() {
  local install=yes quick=no left_out=long arguments=(--output-on-failure --parallel 2)
  while (($#)); do
    case $1 in
      --no-install) install=no ;;
      --quick)
        quick=yes
        left_out='slow|long'
        ;;
      *) break ;;
    esac
    shift
  done
  [[ $install == no ]] || "$scripts/install_packages.sh" --build --test
  if [[ $quick == no ]] && (($# == 0)) && has_toolkit; then
    cuda_tests
  fi
  TRAINER_CUDA=EMULATED "$scripts/build.sh" emulated
  exec ctest --test-dir "$build/emulated" --label-exclude "^($left_out)\$" "${arguments[@]}" "$@"
}

main "$@"
