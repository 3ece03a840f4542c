#!/usr/bin/env bash
# Runs the tests that are not labelled slow under AddressSanitizer and UBSan (preset asan, which counts lines too), on the
# emulated GPU without the conformance cases of full network size; then prints the line coverage of the product's code
# (data, kernels, models, trainer), the files with the most uncovered lines first; the full table is build/asan/lines.txt.
#   scripts/coverage.sh [--half] [PERCENT]      exits with 1 if a test fails or coverage is below PERCENT, 90 by default
# --half runs every second test, those of one day and the others on the next, as CI does.
set -euo pipefail

root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
folder=$root/build/asan
half=()
if [[ ${1:-} == --half ]]; then
  half=(--tests-information "$((10#$(date +%j) % 2 + 1)),,2")
  shift
fi
least=${1:-90}

# shellcheck source=scripts/long_cases.sh
. "$root/scripts/long_cases.sh"

say() { printf '%s\n' "$*" >&2; }

# report: prints gcovr's text table, worst files first.
report() {
  local product
  cd "$root"
  local options=(--gcov-ignore-parse-errors --root . --object-directory "$folder" --gcov-executable "${GCOV:-gcov}" --exclude-throw-branches)
  for product in data kernels models trainer; do options+=(--filter "$product/"); done
  # Counts that threads lost to one another make some of branches negative, of which gcovr complains at length.
  gcovr "${options[@]}" --sort-uncovered -j "$(nproc)" --output "$folder/lines.txt" "$folder" 2>"$folder/gcovr.log" ||
    { cat "$folder/gcovr.log" >&2 && return 1; }
}

main() {
  local percent
  if ! command -v gcovr >/dev/null; then
    say "error: gcovr is missing: scripts/install_packages.sh --check installs it (Debian: gcovr)"
    exit 1
  fi
  "$root/scripts/build.sh" asan
  find "$folder" -name '*.gcda' -delete
  GTEST_FILTER=$(IFS=: && printf '%s' "-${long_cases[*]}") \
    ctest --test-dir "$folder" --parallel 2 "${half[@]}" --label-exclude '^(slow|long)$' --output-on-failure
  report
  sed -n '1,5p' "$folder/lines.txt"
  awk '$4 ~ /%$/ && $1 != "TOTAL" && $4 != "100%" && ++files <= 12' "$folder/lines.txt"
  percent=$(awk '$1 == "TOTAL" { sub(/%/, "", $4); print $4 }' "$folder/lines.txt")
  printf 'line coverage of product code: %s %% (at least %s %%)\n' "$percent" "$least"
  ((percent >= least)) || {
    say "error: that is too little; all files are in $folder/lines.txt"
    exit 1
  }
}

main
