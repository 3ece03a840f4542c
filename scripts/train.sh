#!/usr/bin/env bash
# From a fresh checkout to a training network: installs what is missing, builds what this machine can use, trains.
#   scripts/train.sh [--no-install] [ARGS]      ARGS go to `trainer train` as they are; try --help
# The run folder is runs/ in the caller's working directory, and the exit code is the trainer's.
# A later call starts training at once. --no-install, first, leaves the system's packages alone.
set -euo pipefail

scripts=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
program=$(dirname -- "$scripts")/build/cpu/trainer/trainer

say() { printf '%s\n' "$*" >&2; }

# choose_preset: prints the preset for this machine's device and says why. TRAINER_CUDA, where set, decides.
choose_preset() {
  if [[ -n ${TRAINER_CUDA:-} ]]; then
    say "TRAINER_CUDA=$TRAINER_CUDA: asking CMake for it"
  elif command -v nvidia-smi >/dev/null && timeout 20 nvidia-smi --list-gpus >/dev/null 2>&1; then
    say "an NVIDIA driver answers, but this version has no GPU engine: building the CPU program"
  else
    say "no NVIDIA driver answers: building the CPU program"
  fi
  echo cpu
}

main() {
  local preset=cpu
  if [[ ${1:-} == --no-install ]]; then
    shift
  else
    "$scripts/install_packages.sh" --build
  fi
  if [[ ! -x $program || -n ${TRAINER_CUDA:-} ]]; then
    preset=$(choose_preset)
  fi
  "$scripts/build.sh" "$preset" trainer
  exec "$program" train "$@"
}

main "$@"
