#!/usr/bin/env bash
# Configures and builds one preset of CMakePresets.json into build/PRESET, quietly; the logs are
# build/PRESET.configure.log and build/PRESET.compile.log; if something fails, the relevant part of them is shown.
#   scripts/build.sh PRESET             everything, tests too
#   scripts/build.sh PRESET TARGET      one target; a new build folder is configured without the tests
#   scripts/build.sh PRESET --configure configures only
# From the environment, if set: TRAINER_WERROR=ON|OFF, TRAINER_TESTS=ON|OFF, TRAINER_CUDA, CMAKE_CUDA_ARCHITECTURES
# (as in "80;90"), TRAINER_COMMIT (of sources without their repository), and what CMake reads itself (CXX, CXXFLAGS).
# A call with nothing to do prints nothing. A build folder made elsewhere (the checkout was moved or copied, or is
# used from another system) is recreated.
set -euo pipefail

root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
preset=${1:?usage: build.sh PRESET [TARGET | --configure]}
target=${2:-}
folder=$root/build/$preset

say() { printf '%s\n' "$*" >&2; }

# cached NAME: prints the value of this name in build/PRESET/CMakeCache.txt.
cached() { sed -n "s/^$1:[A-Z]*=//p" "$folder/CMakeCache.txt" 2>/dev/null || true; }

# this_system: prints a text that differs between systems whose compiled files are incompatible.
this_system() {
  local ID=unknown VERSION_ID=unknown
  # shellcheck source=/dev/null
  [[ ! -r /etc/os-release ]] || . /etc/os-release
  printf '%s %s %s\n' "$ID" "${VERSION_ID:-rolling}" "$(uname -m)"
}

# made_elsewhere: the build folder belongs to another path or system.
made_elsewhere() {
  [[ -e $folder/CMakeCache.txt ]] || return 1
  [[ $(cached CMAKE_HOME_DIRECTORY) == "$root" && $(cached CMAKE_CACHEFILE_DIR) == "$folder" ]] || return 0
  [[ -e $folder/made_on && $(<"$folder/made_on") != "$(this_system)" ]]
}

# is_complete: the build folder holds a finished configuration.
is_complete() { [[ -e $folder/build.ninja && -e $folder/CMakeCache.txt ]]; }

# requested_options: prints the -D options that the environment or this call requests, one per line.
requested_options() {
  local name
  for name in TRAINER_WERROR TRAINER_CUDA TRAINER_TESTS TRAINER_COMMIT CMAKE_CUDA_ARCHITECTURES; do
    [[ -z ${!name:-} ]] || printf '%s=%s\n' "-D$name" "${!name}"
  done
  [[ -z ${TRAINER_TESTS:-} ]] || return 0
  if [[ -z $target ]]; then
    printf '%s\n' -DTRAINER_TESTS=ON
  elif [[ $target != --configure ]] && ! is_complete; then
    printf '%s\n' -DTRAINER_TESTS=OFF
  fi
}

# is_configured OPTION...: the build folder is complete and was configured with these options.
is_configured() {
  local option name
  is_complete || return 1
  for option in "$@"; do
    name=${option%%=*}
    [[ $(cached "${name#-D}") == "${option#*=}" ]] || return 1
  done
}

# fail LOG WHAT: shows the first failure in LOG, or its last lines, and exits.
fail() {
  local first
  first=$(grep -n -m 1 '^FAILED: \|^CMake Error' "$1" | cut -d: -f1 || true)
  say "---- $1 ----"
  if [[ -n $first ]]; then
    sed -n "$first,$((first + 39))p" "$1" | cut -c 1-400 >&2
  else
    tail -n 40 "$1" >&2
  fi
  say "---- error: $2; the whole log is $1"
  exit 1
}

configure() {
  local options log=$folder.configure.log
  mapfile -t options < <(requested_options)
  ! is_configured "${options[@]}" || return 0
  say "configuring build/$preset"
  if ! (cd "$root" && cmake --preset "$preset" "${options[@]}") >"$log" 2>&1; then
    rm -f "$folder/CMakeCache.txt" # so that rejected values are not remembered
    fail "$log" "configuring failed"
  fi
  this_system >"$folder/made_on"
  sed -n '/^-- mnist-trainer /,/^-- installs to /s/^-- /  /p' "$log" >&2
}

# show_progress: turns ninja's lines [done/all] into one line that is updated on a terminal, else into one line every quarter.
show_progress() {
  local line ready all quarter=0
  while IFS= read -r line; do
    [[ $line =~ ^\[([0-9]+)/([0-9]+)\]\  ]] || continue
    ready=${BASH_REMATCH[1]} all=${BASH_REMATCH[2]}
    if [[ -t 2 ]]; then
      printf '\r  building: %d of %d ' "$ready" "$all" >&2
      ((ready < all)) || printf '\n' >&2
    elif ((ready * 4 / all > quarter)); then
      quarter=$((ready * 4 / all))
      say "  building: $ready of $all"
    fi
  done
}

compile() {
  local arguments=(--build "$folder") log=$folder.compile.log warnings
  [[ -z $target ]] || arguments+=(--target "$target")
  SECONDS=0
  LC_ALL=C NINJA_STATUS='[%f/%t] ' cmake "${arguments[@]}" 2>&1 </dev/null | tee "$log" | show_progress ||
    fail "$log" "building failed"
  ! grep -q '^ninja: no work to do' "$log" || return 0
  warnings=$(grep -c 'warning: ' "$log" || true)
  say "  built in $SECONDS s, $warnings warnings"
}

main() {
  mkdir -p "$folder" 2>/dev/null || true
  if [[ ! -w $folder ]]; then
    say "error: $(id -un) may not write to '$folder': build as its owner, or in a copy of the repository"
    exit 1
  fi
  exec 9>"$root/build/.lock"
  if command -v flock >/dev/null && ! flock --nonblock 9; then
    say "waiting for another build in $root/build"
    flock 9
  fi
  if made_elsewhere; then
    say "build/$preset was made at another place or on another system: making it anew"
    rm -rf "$folder"
    mkdir -p "$folder"
  fi
  configure
  [[ $target == --configure ]] || compile
}

main
