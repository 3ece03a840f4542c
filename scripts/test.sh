#!/usr/bin/env bash
# Installs what is missing, builds everything, runs the tests, and ends with ctest's summary.
#   scripts/test.sh [--no-install] [--quick] [CTEST ARGS]
# --quick leaves out the tests labelled slow; CTEST ARGS select and repeat (-R conv, --repeat until-fail:5).
# TRAINER_WERROR=ON in the environment makes warnings errors, as CI does.
set -euo pipefail

scripts=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
folder=$(dirname -- "$scripts")/build/cpu

main() {
  local install=yes arguments=(--output-on-failure --parallel 2)
  while (($#)); do
    case $1 in
      --no-install) install=no ;;
      --quick) arguments+=(--label-exclude '^slow$') ;;
      *) break ;;
    esac
    shift
  done
  [[ $install == no ]] || "$scripts/install_packages.sh" --build --test
  "$scripts/build.sh" cpu
  exec ctest --test-dir "$folder" "${arguments[@]}" "$@"
}

main "$@"
