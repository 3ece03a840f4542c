#!/usr/bin/env bash
# Runs clang-tidy over the product's sources with .clang-tidy, one compilation per core at a time; exits with 1 at any finding.
#   scripts/tidy.sh [--half | FILE...]      all of data/, kernels/, models/ and trainer/ that the build compiles, or these
# --half checks every second source, those of one day and the others on the next, as CI does.
set -euo pipefail

root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
folder=$root/build/tidy

say() { printf '%s\n' "$*" >&2; }

# compiled_sources: prints what is compiled of the product, relative to the root, one per line: single files or unity sources.
compiled_sources() {
  local path
  sed -n 's|^ *"file": "\(.*\)",*$|\1|p' "$folder/compile_commands.json" | sort -u | while IFS= read -r path; do
    path=${path#"$root/"}
    [[ ! $path =~ ^(build/tidy/)?(data|kernels|models|trainer)/.*\.(cpp|cxx)$ ]] || printf '%s\n' "$path"
  done
}

# tidy_one FILE: prints what clang-tidy says of it, at once, so that the files of several cores do not mix.
tidy_one() {
  local said status=0
  # Its counts for the system's headers are left out.
  said=$(clang-tidy --quiet -p "$TIDY_FOLDER" --extra-arg=-Wno-unknown-warning-option \
    --extra-arg=-Wno-unknown-pragmas "$1" 2>&1) || status=$?
  said=$(grep -vE '^[0-9]+ warnings? (and [0-9]+ errors? )?(generated|treated)|^$' <<<"$said" || true)
  [[ -z $said && $status == 0 ]] || printf '%s\n' "$said"
  return "$status"
}

sources_to_check() {
  if [[ ${1:-} == --half ]]; then
    compiled_sources | awk -v odd=$((10#$(date +%j) % 2)) 'NR % 2 == odd'
  elif (($#)); then
    printf '%s\n' "$@"
  else
    compiled_sources
  fi
}

main() {
  if ! command -v clang-tidy >/dev/null; then
    say "error: clang-tidy is missing: scripts/install_packages.sh --check installs it"
    exit 1
  fi
  "$root/scripts/build.sh" tidy trainer_version # configures, and writes the one header that is generated
  cd "$root"
  export -f tidy_one
  export TIDY_FOLDER=$folder
  # shellcheck disable=SC2016
  if ! sources_to_check "$@" | tr '\n' '\0' |
    xargs --null --max-procs="$(nproc)" --max-args=1 bash -c 'tidy_one "$1"' tidy_one; then
    say "clang-tidy: something to mend, above"
    exit 1
  fi
  say "clang-tidy: nothing to complain about, after $SECONDS s"
}

main "$@"
