#!/usr/bin/env bash
# Goes from a fresh checkout to a training: installs what is missing, builds what this machine can use, trains.
#   scripts/train.sh [--no-install] [ARGS]      ARGS are passed to `trainer train` unchanged; try --help
# If an NVIDIA driver responds and a CUDA toolkit with cuDNN is installed, the GPU engine is built for that driver's GPUs;
# otherwise the CPU program is built. TRAINER_CUDA=ON or OFF in the environment decides instead.
# The run folder is runs/ in the caller's working directory, and the exit code is the trainer's.
# A later call starts training at once. With --no-install as its first argument it installs no packages.
set -euo pipefail

scripts=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
build=$(dirname -- "$scripts")/build

say() { printf '%s\n' "$*" >&2; }

# shellcheck source=scripts/toolkit.sh
. "$scripts/toolkit.sh"

# gpu_architectures: prints the compute capabilities of the driver's GPUs as CMake writes them ("80;90"), or nothing if
# no driver responds.
gpu_architectures() {
  command -v nvidia-smi >/dev/null || return 0
  timeout 20 nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null |
    tr -d '. ' | grep -E '^[0-9]+$' | sort -un | paste -sd ';' || true
}

# choose_preset ARCHITECTURES: prints the preset for a machine with such GPUs ("": none) and says why.
# TRAINER_CUDA, if set, decides.
choose_preset() {
  local architectures=$1 missing
  if [[ -n ${TRAINER_CUDA:-} ]]; then
    say "TRAINER_CUDA=$TRAINER_CUDA: asking CMake for it"
    if [[ $TRAINER_CUDA == ON ]]; then echo cuda; else echo cpu; fi
    return
  fi
  if [[ -z $architectures ]]; then
    say "no NVIDIA driver answers: building the CPU program"
    echo cpu
    return
  fi
  missing=$(missing_toolkit)
  if [[ -z $missing ]]; then
    say "an NVIDIA driver answers: building for its GPUs"
    echo cuda
    return
  fi
  say "AN NVIDIA DRIVER ANSWERS, BUT THE GPU ENGINE CANNOT BE BUILT: there is no $missing. Two ways on:"
  say "  NVIDIA's packages: cuda-toolkit and cudnn9-cuda-12 or -13, from https://developer.nvidia.com/cuda-downloads"
  say "  the Docker image, which brings both: see README.md"
  say "Building the CPU program for now."
  echo cpu
}

main() {
  local architectures preset
  if [[ ${1:-} == --no-install ]]; then
    shift
  else
    "$scripts/install_packages.sh" --build
  fi
  architectures=$(gpu_architectures)
  preset=$(choose_preset "$architectures")
  if [[ $preset == cuda ]]; then export CMAKE_CUDA_ARCHITECTURES=${CMAKE_CUDA_ARCHITECTURES:-$architectures}; fi
  "$scripts/build.sh" "$preset" trainer
  exec "$build/$preset/trainer/trainer" train "$@"
}

main "$@"
