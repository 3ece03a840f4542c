#!/usr/bin/env bash
# Runs checks that take too long for every run of CI, in named parts. A part leaves a record, and what this machine cannot do is
# skipped with a message.
#   scripts/long_check.sh PART [--short] [--base REVISION] [--minutes N] [--record FILE]
#   scripts/long_check.sh --list          the parts, one per line, and what each proves
#   scripts/long_check.sh --turn          the name of the part whose turn it is today, for .ci/run
#   scripts/long_check.sh --self-test     tests the records and exit codes with simulated parts
# --short   the same in at most 6 minutes: what has not run by then is cut off with a message and is no failure
# --base    what same-bits and before-after compare the working tree with [HEAD if the tree has changes, else HEAD~1]
# --minutes for how long the part fuzz fuzzes
# --record  where the record goes [checks/records/DATE-PART.json]
# The parts themselves are in scripts/long_check/parts.sh. Exit code: 1 if a step failed, 2 for wrong usage.
set -euo pipefail
shopt -s inherit_errexit

root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
most_seconds=360 # of a short form
# shellcheck source=scripts/long_check/parts.sh
. "$root/scripts/long_check/parts.sh"

say() { printf '%s\n' "$*" >&2; }

usage() {
  say "error: $1; the head of scripts/long_check.sh has the rest"
  exit 2
}

# text WORD: prints it as a JSON string.
text() {
  local t=${1//\\/\\\\}
  t=${t//\"/\\\"} t=${t//$'\t'/ } t=${t//$'\n'/ }
  printf '"%s"' "$(tr -d '\000-\037' <<<"$t")"
}

# part_names: prints the parts' names, one per line, in the order of parts.sh.
part_names() { printf '%s\n' "${parts[@]%% *}"; }

# part_of_the_day DAYS: prints the part whose turn it is DAYS days after a fixed day.
part_of_the_day() {
  local names
  mapfile -t names < <(part_names)
  printf '%s\n' "${names[$1 % ${#names[@]}]}"
}

# skip WHY: ends a part that cannot run here.
skip() {
  outcome=skipped why=$1
  say "SKIPPED: $part: $1"
  return 1
}

# add_step WHAT SECONDS CPU_SECONDS STATUS: adds a step to the record.
add_step() { steps+=("{\"what\": $(text "$1"), \"seconds\": $2, \"cpu_seconds\": $3, \"status\": $4}"); }

# step WHAT COMMAND...: runs and times a program or a function of parts.sh; a step that fails or is cut off ends the part.
step() {
  local what=$1 status=0 left times timing limit=() TIMEFORMAT='%R %U %S'
  shift
  if [[ $(type -t "$1") == function ]]; then # "timeout" starts programs alone
    # shellcheck disable=SC2016
    set -- env root="$root" bash -euo pipefail -c '. "$root/scripts/long_check/parts.sh" && "$@"' bash "$@"
  fi
  if [[ $short == yes ]]; then
    left=$((most_seconds - SECONDS))
    ((left > 0)) || { cut_off "$what" && return 1; }
    limit=(timeout --kill-after=10 "$left")
  fi
  say "---- $what"
  timing=$(mktemp)
  { time "${limit[@]}" "$@" 2>&3 || status=$?; } 3>&2 2>"$timing"
  read -r -a times < <(tail -n 1 "$timing")
  rm -f "$timing"
  add_step "$what" "${times[0]}" "$(awk -v a="${times[1]}" -v b="${times[2]}" 'BEGIN { print a + b }')" "$status"
  ((status != 0)) || return 0
  if [[ $short == yes && $status == 124 ]]; then
    cut_off "$what"
  else
    outcome=failed why="$what: exit code $status"
  fi
  return 1
}

cut_off() {
  outcome=cut why="$1: more than $most_seconds s; nothing had failed till then"
  say "CUT OFF: $part: $why"
}

# write_record FILE
write_record() {
  local commit changed=false
  commit=$(git -C "$root" rev-parse --verify --quiet HEAD || echo unknown)
  [[ -z $(git -C "$root" status --porcelain 2>/dev/null) ]] || changed=true
  mkdir -p "$(dirname -- "$1")"
  {
    printf '{\n "kind": "long_check",\n "part": %s,\n "short": %s,\n' "$(text "$part")" "$([[ $short == yes ]] && echo true || echo false)"
    printf ' "date": %s,\n "commit": %s,\n "changed": %s,\n' "$(text "$(date +%Y-%m-%dT%H:%M:%S%:z)")" "$(text "$commit")" "$changed"
    printf ' "machine": {"cpu": %s, "cores": %s, "system": %s},\n' \
      "$(text "$(sed -n '/^model name/{s/[^:]*: //p;q}' /proc/cpuinfo 2>/dev/null)")" "$(nproc)" "$(text "$(uname -sr)")"
    printf ' "seconds": %s,\n "outcome": %s,\n "why": %s,\n "steps": [' "$SECONDS" "$(text "$outcome")" "$(text "$why")"
    ((${#steps[@]} == 0)) || printf '\n  %s' "${steps[0]}" "${steps[@]:1}" | sed 's/}$/},/; $s/},$/}/'
    printf '\n ]\n}\n'
  } >"$1.part"
  mv "$1.part" "$1"
  say "record: $1"
}

# run_part: sets outcome, why and steps; the record is written whatever happens.
run_part() {
  outcome=passed why='' steps=() SECONDS=0
  "part_${part//-/_}" || [[ $outcome != passed ]] || { outcome=failed why=${why:-"the part ended with an error of its own"}; }
  write_record "$record"
  case $outcome in
    failed) say "FAILED: $part: $why" && return 1 ;;
    passed) say "passed: $part, after $SECONDS s" ;;
  esac
}

self_test() {
  local folder missed=0 status
  folder=$(mktemp -d)
  # shellcheck disable=SC2064
  trap "rm -rf '$folder'" EXIT
  part_good() { step "a \"quoted\" step" true && step second true; }
  part_bad() { step one true && step two false && step three true; }
  part_absent() { skip "there is none" && step never true; }
  part_function() { step "a function" why_no_chroot; }
  part_endless() { most_seconds=1 && step forever sleep 60; }
  # played PART SHORT STATUS OUTCOME STEPS: runs the part and requires this result and record.
  played() {
    part=$1 short=$2 record=$folder/$1.json status=0
    run_part >"$folder/log" 2>&1 || status=$?
    python3 - "$record" "$3" "$status" "$4" "$5" <<'END' || missed=$((missed + 1))
import json, sys
record = json.load(open(sys.argv[1], encoding="utf-8"))
found = [str(int(record["outcome"] == "failed")), record["outcome"], str(len(record["steps"]))]
if sys.argv[2] != sys.argv[3] or found != [sys.argv[2], *sys.argv[4:]]:
    sys.exit(f"self-test: {sys.argv[1]}: exit code {sys.argv[3]}, {found}")
END
  }
  played good no 0 passed 2
  played bad no 1 failed 2
  played absent no 0 skipped 0
  played function yes 0 passed 1
  played endless yes 0 cut 1
  [[ $(for ((day = 20000; day < 20000 + ${#parts[@]}; day++)); do part_of_the_day "$day"; done | sort) == "$(part_names | sort)" ]] ||
    { say "self-test: not every part has its day" && missed=$((missed + 1)); }
  while IFS= read -r part; do
    declare -F "part_${part//-/_}" >/dev/null || { say "self-test: $part is listed and is not there" && missed=$((missed + 1)); }
  done < <(part_names)
  ((missed == 0)) || exit 1
  say "self-test: parts that pass, fail, are skipped or cut off leave the right record"
}

main() {
  part='' short=no base='' minutes='' record=''
  case ${1:-} in
    --list) printf '%s\n' "${parts[@]}" && return ;;
    --turn) part_of_the_day $(($(date +%s) / 86400)) && return ;;
    --self-test) self_test && return ;;
  esac
  while (($#)); do
    case $1 in
      --short) short=yes ;;
      --base | --minutes | --record)
        [[ -n ${2:-} ]] || usage "$1 needs a value"
        printf -v "${1#--}" '%s' "$2"
        shift
        ;;
      -*) usage "unknown argument '$1': --short, --base, --minutes, --record, --list, --turn, --self-test" ;;
      *) part=$1 ;;
    esac
    shift
  done
  [[ $minutes =~ ^[0-9]{0,5}$ ]] || usage "--minutes $minutes: a number of minutes"
  grep -qxF -- "$part" <<<"$(part_names)" || usage "unknown part '$part': one of $(part_names | paste -sd ' ')"
  [[ -z $base ]] || git -C "$root" rev-parse --verify --quiet "$base^{commit}" >/dev/null || usage "--base $base: no commit of this repository"
  record=${record:-$root/checks/records/$(date +%Y-%m-%d)-$part$([[ $short == no ]] || echo -short).json}
  run_part
}

main "$@"
