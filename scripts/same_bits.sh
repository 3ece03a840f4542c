#!/usr/bin/env bash
# Checks that two revisions train to the same bits: every shipped network for a few steps (the last one short), on the CPU with
# 1 and 2 threads and each instruction set of this processor (for our own loops and for oneDNN's), in fp32 and, if the
# processor has it, bf16; on the emulated GPU in fp32 and bf16; a recipe that selects the hardest images; a run that is
# interrupted by BASE and resumed by each. It compares the SHA-256 of the weights' bytes.
#   scripts/same_bits.sh BASE [HEAD]    two revisions, or programs built as below; HEAD is the working tree unless given
#   scripts/same_bits.sh --self-test    compares the working tree with itself with another seed: every row must differ
# --brief (first argument): only `quick`, `sprint-lean` and `tf-sample`, with two threads and the best instruction set here.
# Prints a row for each run and exits with 1 if one differs or does not run. Both programs are built by
# scripts/build_revision.sh, which keeps its builds; all else is in build/same_bits. Takes a few minutes on two cores.
set -euo pipefail
shopt -s inherit_errexit

root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
work=$root/build/same_bits
# shellcheck source=scripts/idx_files.sh
. "$root/scripts/idx_files.sh"
export OMP_WAIT_POLICY=passive LC_ALL=C

say() { printf '%s\n' "$*" >&2; }

# program_of REVISION: prints a program's path unchanged; builds a revision and prints its program's path.
program_of() {
  if [[ -f $1 && -x $1 ]]; then
    readlink -f -- "$1"
  else
    "$root/scripts/build_revision.sh" emulated "$1" "-DCMAKE_CXX_FLAGS=-include $root/scripts/loops_by_name.h"
  fi
}

# weights FILE: prints the SHA-256 of all bytes after a safetensors file's header, which names versions.
weights() {
  local header
  header=$(od --address-radix=n --format=u8 --read-bytes=8 "$1" | tr -d ' ')
  tail --bytes="+$((header + 9))" "$1" | sha256sum | cut -d ' ' -f 1
}

# environment_of LEVEL: prints variables that limit a program's loops and oneDNN's instructions to x86-64-LEVEL.
environment_of() {
  case $1 in
    v2) printf '%s\n' SAME_BITS_LOOPS=v2 ONEDNN_MAX_CPU_ISA=SSE41 ;;
    v3) printf '%s\n' SAME_BITS_LOOPS=v3 ONEDNN_MAX_CPU_ISA=AVX2 ;;
  esac
}

# with LEVEL COMMAND...: runs it with this limit.
with() {
  local settings
  mapfile -t settings < <(environment_of "$1")
  shift
  env "${settings[@]}" "$@"
}

# usable_levels PROGRAM: prints those of v4, v3 and v2 that it uses when limited to them.
usable_levels() {
  local level
  for level in v4 v3 v2; do
    if grep -q "own loops for x86-64-$level\$" <<<"$(CUDA_VISIBLE_DEVICES='' with "$level" "$1" devices)"; then
      printf '%s\n' "$level"
    else
      say "note: no loops for x86-64-$level here, so none are compared"
    fi
  done
}

# trained PROGRAM LEVEL OPTION...: trains and prints the weights' hash, or why there are no weights.
trained() {
  local program=$1 level=$2
  shift 2
  rm -rf "$work/run"
  if with "$level" "$program" train --quiet --out "$work/run" "$@" >"$work/log" 2>&1; then
    weights "$work/run/model.safetensors"
  else
    printf 'failed: %s\n' "$(tail -n 1 "$work/log")"
  fi
}

# resumed PROGRAM FOLDER DEVICE: resumes a copy of an interrupted run on the device that began it; prints as trained() does.
resumed() {
  rm -rf "$work/run"
  cp -r "$2" "$work/run"
  if "$1" train --quiet --resume "$work/run" --device "$3" >"$work/log" 2>&1; then
    weights "$work/run/model.safetensors"
  else
    printf 'failed: %s\n' "$(tail -n 1 "$work/log")"
  fi
}

# row WHAT BASE'S HEAD'S: prints and counts it.
row() {
  local verdict=same
  [[ $2 == "$3" ]] || verdict=DIFFERS
  [[ $2$3 != *failed:* ]] || verdict="DOES NOT RUN ($([[ $3 == failed:* ]] && echo "$3" || echo "BASE $2"))"
  rows=$((rows + 1))
  [[ $verdict == same ]] || faults+=("$1: $verdict")
  printf '%-52s %.12s  %.12s  %s\n' "$1" "$2" "$3" "$verdict"
}

# both WHAT LEVEL OPTION...: trains with both programs and prints the row.
both() {
  local what=$1
  shift
  row "$what" "$(trained "$base" "$@")" "$(trained "$head" "$@" "${other[@]}")"
}

networks() {
  if [[ $brief == yes ]]; then
    printf '%s\n' quick sprint-lean tf-sample
  else
    find "$root/models" -name '*.yaml' -printf '%f\n' | sed 's/[.]yaml$//' | sort
  fi
}

on_the_cpu() {
  local level threads precision network
  for level in "${levels[@]}"; do
    for precision in fp32 bf16; do
      if ! with "$level" "$base" train --quiet --no-save --model quick --data "$work/few" --epochs 1 --device cpu --precision "$precision" \
        >"$work/log" 2>&1; then
        say "note: no $precision with x86-64-$level: $(tail -n 1 "$work/log")"
        continue
      fi
      for network in $(networks); do
        for threads in "${numbers_of_threads[@]}"; do
          both "$network, $precision, x86-64-$level, threads: $threads" "$level" --model "$network" --data "$work/few" --epochs 1 \
            --batch 32 --validation 0 --device cpu --precision "$precision" --threads "$threads"
        done
      done
    done
  done
  both "sprint-lean, images selected, 12 steps" v4 --model sprint-lean --data "$work/more" --epochs 1 --batch 128 --device cpu --threads 2
}

on_the_gpu() {
  local network precision
  for network in $(networks); do
    for precision in fp32 bf16; do
      both "$network, $precision, emulated GPU" v4 --model "$network" --data "$work/tiny" --epochs 1 --batch 4 \
        --validation 0 --device cuda --precision "$precision"
    done
  done
}

# --max-seconds stops BASE in the first of many steps; the limit does not apply to the resumed part.
after_a_resume() {
  local device begun=$work/begun options=(--model quick --data "$work/more" --epochs 2 --batch 32 --threads 2)
  for device in cpu cuda; do
    rm -rf "$begun"
    [[ $device == cpu ]] || options=(--model quick --data "$work/tiny" --epochs 2 --batch 8)
    "$base" train --quiet --out "$begun" --device "$device" "${options[@]}" --max-seconds 0.001 "${other[@]}" >"$work/log" 2>&1 ||
      { row "resume on $device" "failed: $(tail -n 1 "$work/log")" - && continue; }
    row "quick, resumed on $device" "$(resumed "$base" "$begun" "$device")" "$(resumed "$head" "$begun" "$device")"
  done
}

main() {
  local head_revision base_revision
  other=() faults=() rows=0 brief=no numbers_of_threads=(1 2)
  if [[ ${1:-} == --brief ]]; then
    brief=yes numbers_of_threads=(2)
    shift
  fi
  head_revision=${2:-tree} base_revision=${1:-}
  case $base_revision in
    --self-test) base_revision=tree other=(--seed 2) ;;
    '' | -*) say "usage: same_bits.sh [--brief] BASE [HEAD] | --self-test" && exit 2 ;;
  esac
  base=$(program_of "$base_revision")
  head=$(program_of "$head_revision")
  mkdir -p "$work"
  write_idx_files "$work/tiny" 10 50
  write_idx_files "$work/few" 90 50
  write_idx_files "$work/more" 1500 100
  mapfile -t levels < <(usable_levels "$head")
  [[ $brief == no ]] || levels=("${levels[0]}")
  printf '%-52s %-12s  %-12s\n' run BASE HEAD
  on_the_cpu
  on_the_gpu
  if ((${#other[@]})); then
    ((${#faults[@]} == rows)) || { say "self-test: $((rows - ${#faults[@]})) of $rows rows do not show another seed" && exit 1; }
    [[ ${faults[*]} != *"NOT RUN"* ]] || { say "self-test: a row does not run" && exit 1; }
    say "self-test: all $rows rows show another seed"
    return
  fi
  after_a_resume
  if ((${#faults[@]})); then
    printf '%s\n' "${faults[@]}" >&2
    say "same bits: ${#faults[@]} of $rows runs differ or do not run"
    exit 1
  fi
  say "same bits: all $rows runs, after $SECONDS s"
}

main "$@"
