#!/usr/bin/env bash
# Checks what readers rely on but compilers ignore; prints path:line: what for each violation, and then exits with 1.
#   layout    clang-format (version 14 alone: others differ in small things), tabs, spaces at line ends
#   includes  which folder may include what (scripts/style/includes.awk), room by room (scripts/style/rooms.txt)
#   rooms     the lines of each room beside its budget (scripts/style/rooms.awk); the table is printed
#   budgets   the length of files and functions, the comment at the top (scripts/style/budgets.awk)
#   words     identifiers that have been replaced (scripts/style/banned.txt)
#   documents the map of rooms and the reading path in CONTRIBUTING.md (scripts/style/reading_path.txt, counted), and whether
#             the paths that documents name are there
#   scripts   shellcheck
# scripts/check_style.sh --write writes the reading path into CONTRIBUTING.md.
# scripts/check_style.sh --self-test plants the violations of scripts/style/violations.txt in an empty tree and
# checks that these, and nothing else, are found.
set -euo pipefail
shopt -s inherit_errexit

root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
export LC_ALL=C

say() { printf '%s\n' "$*" >&2; }

# files REGEX: prints the project's files with such a path, one per line: those known to git, or all files outside a checkout.
files() {
  {
    git -c core.quotePath=off ls-files --cached --others --exclude-standard 2>/dev/null ||
      find . \( -path ./build -o -path ./runs -o -path ./install -o -path ./.git \) -prune -o -type f -printf '%P\n'
  } | { grep -E "$1" || true; } | while IFS= read -r path; do [[ ! -f $path ]] || printf '%s\n' "$path"; done | sort
}

sources() { files '\.(cpp|hpp|cu|cuh|h)$'; }

# each COMMAND...: runs it with the paths of standard input as its last arguments; does nothing if there are none.
each() { tr '\n' '\0' | xargs --null --no-run-if-empty "$@"; }

check_layout() {
  local formatter=clang-format
  ! command -v clang-format-14 >/dev/null || formatter=clang-format-14
  if [[ $("$formatter" --version 2>/dev/null) == *'version 14.'* ]]; then
    { sources | each "$formatter" --dry-run -Werror 2>&1 || true; } |
      awk -F: '/^[^ ].*: error: / && !seen[$1]++ { print $1 ":" $2 ": not laid out by clang-format -i" }'
  else
    say "note: no clang-format 14 here, so the layout of the sources is not checked"
  fi
  files '\.(cpp|hpp|cu|cuh|h|cmake|sh|awk|py|yaml)$|(^|/)CMakeLists\.txt$' |
    { each grep -nHE $'\t|[ \t]$' || true; } | sed 's/^\([^:]*:[0-9]*\):.*/\1: a tab, or a space at the end/'
}

check_includes() { sources | each awk -v rooms=scripts/style/rooms.txt -f "$root/scripts/style/includes.awk"; }

# count_rooms [AWK OPTIONS]: prints what is wrong with the rooms' lines, or their table.
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
    files '^(scripts|trainer/remote)/.*\.sh$|^deploy/.*\.sbatch$|^\.ci/run$' | { each shellcheck --format=gcc || true; }
  else
    say "note: no shellcheck here, so the scripts are not checked"
  fi
  files '^scripts/.*\.sh$|^\.ci/run$' | { each grep -nHE '\| *(head|grep -[A-Za-z]*q)( |$)' || true; } |
    sed -E 's/^([^:]*:[0-9]+):.*/\1: it stops reading early, which ends the writer with SIGPIPE and, under pipefail, now and then the pipe with 141/'
}

check_words() {
  { sources && files '\.(cmake|sh|awk|py|md)$|(^|/)(CMakeLists\.txt|CMakePresets\.json|Dockerfile|run)$' | { grep -v '^CHANGELOG\.md$' || true; }; } |
    each awk -v banned=scripts/style/banned.txt -f "$root/scripts/style/words.awk"
}

# count_reading_path [AWK OPTIONS]: prints what is wrong with the reading path, or CONTRIBUTING's text of it.
count_reading_path() {
  local list=scripts/style/reading_path.txt
  { sed -n 's/^\([^#[ ][^ ]*\) *|.*/\1/p' "$list" | while IFS= read -r path; do [[ ! -f $path ]] || printf '%s\n' "$path"; done | sort -u | each wc -l; } |
    awk -v list="$list" -v most=7500 "$@" -f "$root/scripts/style/reading.awk" "$list" -
}

# with_reading_path: prints CONTRIBUTING.md with the current reading path.
with_reading_path() {
  awk '/<!-- end -->/ { inside = 0 }
       !inside { print }
       /<!-- reading path -->/ { inside = 1; while ((getline line < "/dev/stdin") > 0) print line }' CONTRIBUTING.md < <(count_reading_path -v table=1)
}

check_documents() {
  local path line target
  awk -v rooms=scripts/style/rooms.txt -f "$root/scripts/style/map.awk" CONTRIBUTING.md
  count_reading_path
  with_reading_path | cmp --quiet - CONTRIBUTING.md ||
    echo "CONTRIBUTING.md:1: its reading path is not that of scripts/style/reading_path.txt: scripts/check_style.sh --write"
  files '\.md$' | { grep -v '^CHANGELOG\.md$' || true; } | each awk -f "$root/scripts/style/documents.awk" |
    while IFS=: read -r path line target; do [[ -e $target ]] || echo "$path:$line: there is no $target"; done
}

all_checks() {
  check_layout
  check_includes
  check_budgets
  count_rooms
  check_words
  check_documents
  check_scripts
}

# planted_violations: prints the rows of violations.txt, their fields separated by tabs.
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

# Prints a method whose braces are 62 lines apart.
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
  printf '%s\n' 'old_name | its name' 'brief* | short' >scripts/style/banned.txt
  printf '%s\n' '[Part]' 'data/gone.cpp | gone' 'data/image.cpp | there' 'data/image.cpp | again' >scripts/style/reading_path.txt
  # shellcheck disable=SC2016 # Markdown's `code`
  printf '%s\n' '<!-- rooms -->' '| models' '| models/none' '| trainer/system' '| trainer/train' '<!-- end -->' \
    '`scripts/none.sh`, `old_name`, brief' '<!-- reading path -->' '1. `data/none.cpp`' '<!-- end -->' >CONTRIBUTING.md
  plant_all < <(planted_violations)
  plant_long_function >trainer/long.cpp
  printf 'int x;\n' >trainer/bare.cpp
  printf '#!/usr/bin/env bash\nls |%s\n' ' grep -q name' >scripts/pipe.sh
  printf '// Planted.\nint x; \n' >trainer/space.cpp
  all_checks >"$copy/found.txt"
  while IFS=$'\t' read -r path line count expected; do
    if [[ $expected == - ]]; then
      ! grep -F "$path:" found.txt >&2 || { say "self-test: that is no violation: $line" && missed=$((missed + 1)); }
    else
      [[ $(grep -F "$path:" found.txt) == *"$expected"* ]] || { say "self-test: $path: not found: $expected" && missed=$((missed + 1)); }
    fi
  done < <(planted_violations && printf '%s\t\t1\t%s\n' trainer/long.cpp 'a function of 63 lines' \
    scripts/style/rooms.txt 'trainer/train has 2 lines; its budget is 1' trainer/bare.cpp 'does not open with a comment' scripts/pipe.sh 'stops reading early' trainer/space.cpp 'a space at the end' \
    scripts/style/reading_path.txt 'there is no data/gone.cpp' scripts/style/reading_path.txt 'data/image.cpp is named twice' \
    CONTRIBUTING.md 'its reading path is not that of' CONTRIBUTING.md 'there is no scripts/none.sh' CONTRIBUTING.md 'write its name' \
    CONTRIBUTING.md 'models/none is no room' CONTRIBUTING.md 'kernels is not in it' \
    CONTRIBUTING.md 'trainer/train includes trainer/system and stands below it')
  ! grep -F 'CONTRIBUTING.md' found.txt | grep -F 'write short' >&2 || { say "self-test: a plain word is no identifier" && missed=$((missed + 1)); }
  ((missed == 0))
  say "self-test: every planted violation is found"
}

main() {
  local found
  cd "$root"
  case ${1:-} in
    --self-test) self_test ;;
    --write)
      found=$(with_reading_path)
      printf '%s\n' "$found" >CONTRIBUTING.md
      ;;
    '')
      found=$(all_checks)
      [[ -z $found ]] || { printf '%s\n' "$found" && say "style: $(wc -l <<<"$found") violations" && exit 1; }
      count_rooms -v table=1
      say "reading path: $(count_reading_path -v total=1) lines"
      say "style: nothing to complain about"
      ;;
    *) say "usage: check_style.sh [--self-test | --write]" && exit 2 ;;
  esac
}

main "$@"
