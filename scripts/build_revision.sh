#!/usr/bin/env bash
# Builds the program of a revision beside the working tree, for comparison with another one; prints its path.
#   scripts/build_revision.sh PRESET REVISION [CMAKE OPTION...]
# REVISION is anything that git accepts as a commit, or `tree`: the working tree as it is, with untracked
# files. Sources are in build/revisions/NAME/source, the build beside them; a second call builds what has changed. All
# have paths of the same depth, so that ccache, if installed, compiles their common parts only once.
set -euo pipefail
shopt -s inherit_errexit

root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
usage="usage: build_revision.sh PRESET REVISION|tree [CMAKE OPTION...]"
preset=${1:?$usage}
revision=${2:?$usage}
shift 2

say() { printf '%s\n' "$*" >&2; }

# pack NAME: writes a tar of the sources.
pack() {
  if [[ $1 == tree ]]; then
    git -C "$root" ls-files -z --cached --others --exclude-standard |
      (cd "$root" && while IFS= read -r -d '' path; do [[ ! -f $path ]] || printf '%s\0' "$path"; done) |
      tar --create --directory "$root" --null --files-from -
  else
    git -C "$root" archive "$1"
  fi
}

# unpack FOLDER: replaces the folder by the tar on standard input. Changed files get the current time and all others keep theirs,
# so that only the changed ones are compiled again.
unpack() {
  local path
  rm -rf "$1.next"
  mkdir -p "$1.next"
  tar --extract --touch --directory "$1.next"
  (cd "$1.next" && find . -type f -print0) | while IFS= read -r -d '' path; do
    ! cmp --quiet "$1/$path" "$1.next/$path" || touch --reference="$1/$path" "$1.next/$path"
  done
  rm -rf "$1"
  mv "$1.next" "$1"
}

main() {
  local name=tree commit folder log
  if [[ $revision != tree ]]; then
    commit=$(git -C "$root" rev-parse --verify --quiet "$revision^{commit}") || {
      say "error: '$revision' is no commit of this repository; give a branch, a tag, a hash or 'tree'"
      exit 2
    }
    name=${commit:0:12}
  fi
  folder=$root/build/revisions/$name
  log=$folder/$preset.log
  if [[ $name == tree || ! -e $folder/source/CMakeLists.txt ]]; then
    mkdir -p "$folder"
    pack "$name" | unpack "$folder/source"
  fi
  if command -v ccache >/dev/null; then
    export CMAKE_CXX_COMPILER_LAUNCHER=ccache CCACHE_DIR=${CCACHE_DIR:-$root/build/ccache} CCACHE_NOHASHDIR=1
    export CCACHE_BASEDIR=$folder CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
  fi
  say "building $name ($preset)"
  if ! (cd "$folder/source" && cmake --preset "$preset" -B "$folder/$preset" -DTRAINER_TESTS=OFF "-DTRAINER_COMMIT=$name" "$@" &&
    cmake --build "$folder/$preset" --target trainer) </dev/null >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    say "error: '$revision' does not build; the whole log is $log"
    exit 1
  fi
  printf '%s\n' "$folder/$preset/trainer/trainer"
}

main "$@"
