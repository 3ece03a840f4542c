#!/usr/bin/env bash
# Searches with libFuzzer for inputs that break the readers of what others write (tests/fuzz), under AddressSanitizer and UBSan.
#   scripts/fuzz.sh [--seconds N] [--runs N] [--record FILE [--add FILE]] [--no-build] [TARGET...]
# Builds the preset fuzz and runs each target in turn [all of them], from the inputs that build/fuzz/corpus/TARGET keeps from one call to the
# next and from tests/fuzz/seeds. Prints a row for each target. An input that breaks it is put into tests/fuzz/found/TARGET, where every
# build's fuzz_test runs it from then on.
# --seconds  for all targets together, shared out evenly [120]; what one leaves over goes to those after it
# --runs     at most so many runs of each target [no limit]
# --record   a record of machine, versions and the table (with the program of build/cpu, which says on what it runs)
# --add      counts the runs of an earlier record too, so that a long search can be made in parts
# Exit code: 1 if something was found, 2 for wrong usage.
set -euo pipefail

root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")

say() { printf '%s\n' "$*" >&2; }

main() {
  local build=yes word record=no
  for word in "$@"; do
    [[ $word != --no-build ]] || build=no
    [[ $word != --record* ]] || record=yes
  done
  if ! command -v clang++ >/dev/null; then
    say "error: clang++ is missing, whose libFuzzer this needs: scripts/install_packages.sh --fuzz installs it (Debian: clang, libclang-rt-dev)"
    exit 1
  fi
  if [[ $build == yes ]]; then
    env TRAINER_CUDA=OFF TRAINER_TESTS=OFF "$root/scripts/build.sh" fuzz fuzz
    [[ $record == no ]] || env TRAINER_CUDA=OFF "$root/scripts/build.sh" cpu trainer
  fi
  exec "$root/scripts/fuzz/run.py" "$@"
}

main "$@"
