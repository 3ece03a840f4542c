#!/usr/bin/env bash
# Runs a program of the bundle with the libraries that are packed beside it, and with this machine's CUDA.
#   ./run [--cuda-libs DIR...] PROGRAM [ARGS]        ./run trainer train        ./run --cuda-libs /opt/cuda/lib64 trainer devices
# Several folders are separated by colons.
set -euo pipefail

bundle=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
# shellcheck source=cuda_libraries.sh disable=SC1091
. "$bundle/scripts/gpu/cuda_libraries.sh"

main() {
  local folders=() path program
  if [[ ${1:-} == --cuda-libs ]]; then
    IFS=: read -r -a folders <<<"${2:?--cuda-libs DIR[:DIR...]}"
    shift 2
  fi
  program=$bundle/bin/${1:-}
  if [[ -z ${1:-} || ! -x $program ]]; then
    printf 'usage: run [--cuda-libs DIR[:DIR...]] PROGRAM [ARGS], with one of: %s\n' \
      "$(find "$bundle/bin" -type f -printf '%f ' 2>/dev/null)" >&2
    exit 2
  fi
  shift
  path=$(find_cuda_libraries "$program" "$bundle/lib" "${folders[@]}")
  LD_LIBRARY_PATH=$path${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} exec "$program" "$@"
}

main "$@"
