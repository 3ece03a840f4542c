# shellcheck shell=bash disable=SC2154
# How a check prints its results. To be sourced; uses the script's functions say and variables work (a folder) and failures.

# result NAME COMMAND...: requires that the command succeeds, and shows its output if it does not.
result() {
  local name=$1
  shift
  if "$@" >"$work/said" 2>&1; then
    say "passed   $name"
  else
    failures=$((failures + 1))
    say "FAILED   $name; it said:"
    sed 's/^/         /' "$work/said" | tail -n 15
  fi
}
