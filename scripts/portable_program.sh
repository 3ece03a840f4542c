#!/usr/bin/env bash
# Builds a small program of the portable engine, without the trainer's libraries, with other compilers, for other processors and with
# other flags; trains networks with each for a few steps, and requires one digest of all: that of `trainer train --bits portable`.
#   scripts/portable_program.sh [--quick] [--trainer PROGRAM]
# --quick     at most a minute on two cores: GCC, with and without fused instructions, and the naive executor. In full: GCC and Clang,
#             -O0 to -O3, x86-64 to x86-64-v4, UBSan, 1 to 4 threads, arm64 under qemu, WebAssembly under node; `sprint-lean` whole
# --trainer   the program that knows the plans [that of build/cpu, cuda or emulated, else scripts/build.sh cpu makes one]
# Both end with a control: a build that may fuse a product and a sum must give another digest, or the comparison proves nothing.
# What this machine cannot build or run is skipped with a message. All is kept in build/portable. Exit code: 1 if a digest differs.
set -euo pipefail
shopt -s inherit_errexit

root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
work=$root/build/portable
sources=$root/tests/portable_program
# shellcheck source=scripts/idx_files.sh
. "$root/scripts/idx_files.sh"
export LC_ALL=C

say() { printf '%s\n' "$*" >&2; }

# The builds: NAME -> what runs its program, with blanks between the words.
declare -A runner_of=()
names=()
objects='' # the objects of planning.cpp that build.ninja has

# unity FILE SOURCE...: writes a source that includes the others.
unity() {
  local file=$1
  shift
  printf '#include "%s"\n' "$@" >"$file.new"
  if cmp --silent "$file.new" "$file" 2>/dev/null; then rm "$file.new"; else mv "$file.new" "$file"; fi
}

# write_sources: what reads the plan, whose flags change nothing, and what computes.
write_sources() {
  local models=$root/models
  mkdir -p "$work/include"
  ln -sfn "$(dirname -- "$(find /usr/include /usr/local/include -path '*/nlohmann/json.hpp' -print -quit)")" "$work/include/nlohmann"
  unity "$work/planning.cpp" "$models"/{input,layer_list,layers,learning,plan,recipe,recipe_text,spec,words,yaml_reader}.cpp "$sources/network_file.cpp"
  unity "$work/engine.cpp" "$root"/kernels/{op,op_calls}.cpp "$root"/kernels/portable/*.cpp "$root/kernels/cpu/runtime/stream.cpp" "$models"/{initialize,lower,network,network_arenas,network_ranks,network_values}.cpp \
    "$sources/main.cpp"
  cat >"$work/build.ninja" <<END
rule object
  command = $launcher \$compiler -std=c++20 -w -ffp-contract=off -I $sources/include -I $work/include -I $root -DTRAINER_LOOPS=program -DTRAINER_LOOPS_NAME='"program"' \$flags -MMD -MF \$out.d -c \$in -o \$out
  depfile = \$out.d
rule program
  command = \$compiler \$flags \$in -o \$out
END
}

# add NAME LANES RUNNER COMPILER FLAG...: adds a build. Objects that read the plan are shared by the builds of a compiler.
add() {
  local name=$1 lanes=$2 runner=$3 compiler=$4 program=$work/$1/program planning
  shift 4
  [[ $compiler != em++ ]] || program+=.js
  planning=$work/planning-${compiler##*/}.o
  names+=("$name")
  runner_of[$name]="$runner $program"
  {
    [[ $objects == *" $planning "* ]] ||
      printf 'build %s: object %s\n  compiler = %s\n  flags = -O1 -DTRAINER_LOOPS_LANES=4\n' "$planning" "$work/planning.cpp" "$compiler"
    printf 'build %s/engine.o: object %s/engine.cpp\n  compiler = %s\n  flags = %s -DTRAINER_LOOPS_LANES=%s\n' "$work/$name" "$work" "$compiler" "$*" "$lanes"
    printf 'build %s/kernels.o: object %s\n  compiler = %s\n  flags = %s -DTRAINER_LOOPS_LANES=%s\n' "$work/$name" \
      "$root/kernels/cpu/portable/kernels.cpp" "$compiler" "$*" "$lanes"
    printf 'build %s: program %s %s/engine.o %s/kernels.o\n  compiler = %s\n  flags = %s\n' "$program" "$planning" "$work/$name" "$work/$name" "$compiler" "$*"
  } >>"$work/build.ninja"
  objects+=" $planning "
}

# runs LEVEL: whether this processor runs x86-64-LEVEL.
runs() {
  case $1 in
    v1) [[ $(uname -m) == x86_64 ]] ;;
    v2) grep -qw sse4_2 /proc/cpuinfo ;;
    v3) grep -qw avx2 /proc/cpuinfo && grep -qw fma /proc/cpuinfo ;;
    v4) grep -qw avx512vl /proc/cpuinfo && grep -qw avx512dq /proc/cpuinfo ;;
  esac
}

# add_levels COMPILER FLAG... -- LEVEL...: adds a build for each of these levels.
add_levels() {
  local compiler=$1 flags=() level
  local -A lanes=([v1]=4 [v2]=4 [v3]=8 [v4]=16) march=([v1]=x86-64 [v2]=x86-64-v2 [v3]=x86-64-v3 [v4]=x86-64-v4)
  shift
  while [[ $1 != -- ]]; do
    flags+=("$1")
    shift
  done
  shift
  command -v "$compiler" >/dev/null || { say "skipped: $compiler ${flags[*]}: there is no $compiler here" && return; }
  for level in "$@"; do
    if runs "$level"; then
      add "$compiler-$level$(tr -d ' ' <<<"${flags[*]}")" "${lanes[$level]}" '' "$compiler" "-march=${march[$level]}" "${flags[@]}"
    else
      say "skipped: $compiler ${flags[*]}, x86-64-$level: this processor does not run it"
    fi
  done
}

add_arm64() {
  local qemu
  qemu=$(command -v qemu-aarch64 || command -v qemu-aarch64-static || true)
  if [[ -z $qemu ]] || ! command -v aarch64-linux-gnu-g++ >/dev/null; then
    say "skipped: arm64: there is no aarch64-linux-gnu-g++ or qemu-aarch64 here (install_packages.sh --portable)"
    return
  fi
  add arm64 4 "$qemu" aarch64-linux-gnu-g++ -O3 -static
}

# Debian's em++ looks for its modules where Debian's node would.
add_wasm() {
  if ! command -v em++ >/dev/null || ! command -v node >/dev/null; then
    say "skipped: WebAssembly: there is no em++ or node here (install_packages.sh --portable)"
    return
  fi
  export NODE_PATH=/usr/share/nodejs
  add wasm 4 'node --no-experimental-fetch' em++ -O3 -msimd128 -sNODERAWFS=1 -sALLOW_MEMORY_GROWTH=1
  add wasm-scalar 4 'node --no-experimental-fetch' em++ -O2 -sNODERAWFS=1 -sALLOW_MEMORY_GROWTH=1
}

add_builds() {
  [[ $(uname -m) == x86_64 ]] || add "g++-$(uname -m)" 4 '' g++ -O3 -pthread
  if [[ $quick == yes ]]; then
    add_levels g++ -O2 -pthread -- v1
    add_levels g++ -O3 -pthread -- v3
    runs v3 || add_arm64
    return
  fi
  add_levels g++ -O2 -pthread -- v1 v2 v3 v4
  add_levels g++ -O3 -pthread -- v1 v2 v3 v4
  add_levels g++ -O0 -pthread -- v1 v3 v4
  add_levels "$clang" -O0 -- v1 v3
  add_levels "$clang" -O2 -- v1 v2 v3 v4
  add_levels "$clang" -O3 -- v1 v2 v3 v4
  add_levels g++ -O1 -fsanitize=undefined -fno-sanitize-recover=all -- v1 v3
  add_levels "$clang" -O1 -fsanitize=undefined -fno-sanitize-recover=all -- v4
  add_arm64
  add_wasm
}

# digest BUILD PLAN DATA BATCH STEPS THREADS: trains, and prints the digest or why there is none.
digest() {
  local run out=$work/$1/digest
  read -ra run <<<"${runner_of[$1]}"
  if "${run[@]}" "$work/plans/$2.json" "$3/train-images-idx3-ubyte" "$3/train-labels-idx1-ubyte" "$out" "$4" "$5" 1 "$6" >"$work/log" 2>&1; then
    sha256sum <"$out" | cut -d ' ' -f 1
  else
    printf 'failed: %s\n' "$(tail -n 1 "$work/log")"
  fi
}

# expected NETWORK DATA OPTION...: prints the trainer's digest.
expected() {
  CUDA_VISIBLE_DEVICES='' "$trainer" train --no-save --model "$1" --data "$2" --validation 0 --seed 1 --device cpu --bits portable "${@:3}" \
    >"$work/log" 2>&1 || { say "error: the trainer does not train $1: $(tail -n 1 "$work/log")" && return 1; }
  sed -nE 's/^ *digest +([0-9a-f]{64})$/\1/p' "$work/log"
}

# compare BUILD NETWORK DATA BATCH STEPS THREADS: prints a row, and counts it.
compare() {
  local found verdict=same key=$2-$5 threads="threads: $6"
  found=$(digest "$@")
  want[$key]=${want[$key]:-$found}
  [[ $found == "${want[$key]}" ]] || verdict=DIFFERS
  [[ $found != failed:* ]] || verdict="DOES NOT RUN (${found#failed: })"
  [[ $6 != 0 ]] || threads="naive"
  rows=$((rows + 1))
  [[ $verdict == same ]] || faults=$((faults + 1))
  printf '%-52s %-18s %4s steps  %-10s %.16s  %s\n' "$1" "$2" "$5" "$threads" "$found" "$verdict"
}

# threads_of BUILD: WebAssembly here has one.
threads_of() { case $1 in wasm*) echo 1 ;; *) echo 2 ;; esac }

# learn_expectations: fills `want`: what every build is compared with.
learn_expectations() {
  local network
  for network in "${networks[@]}"; do
    want[$network-2]=$(expected "$network" "$work/few" --batch 16 --epochs 1)
  done
  [[ $quick == yes ]] || want[sprint-lean-165]=$(expected sprint-lean "$work/whole")
}

# A build that may fuse a product and a sum: the compiler takes the last of two such flags.
control() {
  local found
  if ! runs v3; then
    say "skipped: the control: this processor has no fused instructions" && return
  fi
  found=$(digest control sprint-lean "$work/few" 16 2 2)
  if [[ $found == "${want[sprint-lean-2]}" || $found == failed:* ]]; then
    say "error: with -ffp-contract=fast: ${found:0:64}; a build that fuses must give another digest"
    faults=$((faults + 1))
  else
    printf '%-52s %-18s %4s steps  %-10s %.16s  %s\n' "g++ that may fuse, the control" sprint-lean 2 "threads: 2" "$found" "differs, as it must"
  fi
}

find_trainer() {
  local preset
  for preset in cpu cuda emulated; do
    [[ -z $trainer && -x $root/build/$preset/trainer/trainer ]] && trainer=$root/build/$preset/trainer/trainer
  done
  [[ -n $trainer ]] || { "$root/scripts/build.sh" cpu trainer && trainer=$root/build/cpu/trainer/trainer; }
}

main() {
  local quick=no trainer='' launcher=${CMAKE_CXX_COMPILER_LAUNCHER:-} clang=clang++ name network threads builds rows=0 faults=0
  local networks=(sprint-lean sprint-995 quick pytorch-example cntk-convnet)
  declare -gA want=()
  while (($#)); do
    case $1 in
      --quick) quick=yes ;;
      --trainer) trainer=${2:?} && shift ;;
      *) say "usage: portable_program.sh [--quick] [--trainer PROGRAM]" && exit 2 ;;
    esac
    shift
  done
  ! command -v clang++-14 >/dev/null || clang='clang++-14'
  mkdir -p "$work/plans"
  write_sources
  add_builds
  builds=("${names[@]}")
  ! runs v3 || add control 8 '' g++ -O3 -march=x86-64-v3 -pthread -ffp-contract=fast
  find_trainer
  [[ $quick == yes ]] || mapfile -t networks < <(find "$root/models" -name '*.yaml' -printf '%f\n' | sed 's/[.]yaml$//' | sort)
  for network in "${networks[@]}"; do "$trainer" models "$network" --json >"$work/plans/$network.json"; done
  write_idx_files "$work/few" 32 10
  [[ $quick == yes ]] || write_idx_files "$work/whole" 60000 10000
  ninja -C "$work" -f build.ninja --quiet
  learn_expectations
  for name in "${builds[@]}"; do
    for network in "${networks[@]}"; do compare "$name" "$network" "$work/few" 16 2 "$(threads_of "$name")"; done
  done
  for network in "${networks[@]}"; do compare "${builds[0]}" "$network" "$work/few" 16 2 0; done
  for threads in 1 3 4; do compare "${builds[1]:-${builds[0]}}" sprint-lean "$work/few" 16 2 "$threads"; done
  if [[ $quick == no ]]; then
    for name in g++-v1-O3-pthread g++-v3-O3-pthread arm64 wasm; do
      [[ -z ${runner_of[$name]:-} ]] || compare "$name" sprint-lean "$work/whole" 256 165 "$(threads_of "$name")"
    done
  fi
  control
  if ((faults > 0)); then say "portable: $faults faults" && exit 1; fi
  say "portable: one digest for each network over ${#builds[@]} builds, $rows runs, after $SECONDS s"
}

main "$@"
