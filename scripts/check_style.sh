#!/usr/bin/env bash
# Checks what a reader relies on and a compiler does not see; prints path:line: what, and exits with 1 at any.
#   layout    clang-format (version 14 alone: others differ in small things), tabs, spaces at line ends
#   includes  which folder may include what (scripts/style/includes.awk), room by room (scripts/style/rooms.txt)
#   rooms     the lines of each room beside its budget (scripts/style/rooms.awk); the table is printed
#   budgets   the length of files and functions, the comment at the top (scripts/style/budgets.awk)
#   scripts   shellcheck
# scripts/check_style.sh --self-test plants the violations of scripts/style/violations.txt in an empty tree and
# checks that each is found, and nothing else.
set -euo pipefail
shopt -s inherit_errexit

root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
export LC_ALL=C

say() { printf '%s\n' "$*" >&2; }

# files REGEX: the project's files with such a path, one a line: git's view where there is one, else what is there.
files() {
  {
    git -c core.quotePath=off ls-files --cached --others --exclude-standard 2>/dev/null ||
      find . \( -path ./build -o -path ./runs -o -path ./install -o -path ./.git \) -prune -o -type f -printf '%P\n'
  } | { grep -E "$1" || true; } | while IFS= read -r path; do [[ ! -f $path ]] || printf '%s\n' "$path"; done | sort
}

sources() { files '\.(cpp|hpp|cu|cuh|h)$'; }

# each COMMAND...: runs it with the paths of standard input as its last arguments; not at all where there are none.
each() { tr '\n' '\0' | xargs --null --no-run-if-empty "$@"; }

check_layout() {
  local formatter=clang-format
  ! command -v clang-format-14 >/dev/null || formatter=clang-format-14
  if "$formatter" --version 2>/dev/null | grep -q 'version 14\.'; then
    { sources | each "$formatter" --dry-run -Werror 2>&1 || true; } |
      awk -F: '/^[^ ].*: error: / && !seen[$1]++ { print $1 ":" $2 ": not laid out by clang-format -i" }'
  else
    say "note: no clang-format 14 here, so the layout of the sources is not checked"
  fi
  files '\.(cpp|hpp|cu|cuh|h|cmake|sh|awk|py|yaml)$|(^|/)CMakeLists\.txt$' |
    { each grep -nHE $'\t|[ \t]$' || true; } | sed 's/^\([^:]*:[0-9]*\):.*/\1: a tab, or a space at the end/'
}

check_includes() { sources | each awk -v rooms=scripts/style/rooms.txt -f "$root/scripts/style/includes.awk"; }

# count_rooms [AWK OPTIONS]: what is amiss in the rooms' lines, or their table.
count_rooms() {
  files '^(trainer|kernels|models|data)/.*\.(cpp|hpp|cu|cuh|h)$' | each wc -l |
    awk -v rooms=scripts/style/rooms.txt "$@" -f "$root/scripts/style/rooms.awk"
}

check_budgets() {
  sources | each awk -f "$root/scripts/style/budgets.awk"
  files '\.(sh|py|cmake)$' | each wc -l | awk '$1 > 300 && $2 != "total" { print $2 ":1: " $1 " lines; 300 are the most" }'
}

check_scripts() {
  if command -v shellcheck >/dev/null; then
    files '^scripts/.*\.sh$|^\.ci/run$' | { each shellcheck --format=gcc || true; }
  else
    say "note: no shellcheck here, so the scripts are not checked"
  fi
}

all_checks() {
  check_layout
  check_includes
  check_budgets
  count_rooms
  check_scripts
}

# planted_violations: the rows of violations.txt, their fields separated by tabs.
planted_violations() {
  grep -v '^#' "$root/scripts/style/violations.txt" | sed -E 's/ *\| */\t/; s/ *\| */\t/; s/ *\| */\t/'
}

plant_all() {
  local path line count expected
  while IFS=$'\t' read -r path line count expected; do
    mkdir -p "$(dirname -- "$path")"
    if [[ $path == *.sh ]]; then echo '#!/usr/bin/env bash'; else echo '// Planted.'; fi >"$path"
    for ((; count > 0; count--)); do printf '%s\n' "$line" >>"$path"; done
    [[ $line != '#if'* ]] || echo '#endif' >>"$path"
  done
}

# A method whose braces stand 62 lines apart.
plant_long_function() {
  printf '// Planted.\nstruct Long {\n  int run(int a,\n          int b) {\n'
  for _ in {1..60}; do echo '    b += a;'; done
  printf '  }\n};\n'
}

self_test() {
  local copy path line count expected missed=0
  copy=$(mktemp -d)
  # shellcheck disable=SC2064
  trap "rm -rf '$copy'" EXIT
  cp "$root/.clang-format" "$copy"
  cd "$copy"
  mkdir -p scripts/style
  printf '%s\n' 'trainer/system | 300 | kernels' 'trainer/train | 1 | trainer/system' >scripts/style/rooms.txt
  printf '%s | 400 | kernels\n' data kernels kernels/cpu kernels/math models trainer >>scripts/style/rooms.txt
  plant_all < <(planted_violations)
  plant_long_function >trainer/long.cpp
  printf 'int x;\n' >trainer/bare.cpp
  printf '// Planted.\nint x; \n' >trainer/space.cpp
  all_checks >"$copy/found.txt"
  while IFS=$'\t' read -r path line count expected; do
    if [[ $expected == - ]]; then
      ! grep -F "$path:" found.txt >&2 || { say "self-test: that is no violation: $line" && missed=$((missed + 1)); }
    else
      grep -F "$path:" found.txt | grep -qF "$expected" || { say "self-test: $path: not found: $expected" && missed=$((missed + 1)); }
    fi
  done < <(planted_violations && printf '%s\t\t1\t%s\n' trainer/long.cpp 'a function of 63 lines' \
    scripts/style/rooms.txt 'trainer/train has 2 lines; its budget is 1' trainer/bare.cpp 'does not open with a comment' trainer/space.cpp 'a space at the end')
  ((missed == 0))
  say "self-test: every planted violation is found"
}

main() {
  local found
  cd "$root"
  case ${1:-} in
    --self-test) self_test ;;
    '')
      found=$(all_checks)
      [[ -z $found ]] || { printf '%s\n' "$found" && say "style: $(wc -l <<<"$found") violations" && exit 1; }
      count_rooms -v table=1
      say "style: nothing to complain about"
      ;;
    *) say "usage: check_style.sh [--self-test]" && exit 2 ;;
  esac
}

main "$@"
