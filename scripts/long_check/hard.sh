# shellcheck shell=bash disable=SC2154
# Those parts of long_check.sh that try to break the program; parts.sh says more.

part_kills() {
  local kills=1000 disks=500 kept=(--record)
  [[ $short == no ]] || kills=100 disks=50 kept=()
  step "build" env TRAINER_TESTS=ON "$root/scripts/build.sh" cpu failing_calls || return
  step "the program" "$root/scripts/build.sh" cpu trainer || return
  step "$kills cases with kill -9" "$root/scripts/kill_check.sh" --count "$kills" "${kept[@]}" || return
  step "$disks full disks" "$root/scripts/kill_check.sh" --full-disk --count "$disks" "${kept[@]}"
}

part_failing_calls() {
  local count=0 kept=(--record)
  [[ $short == no ]] || count=1000 kept=()
  step "build with the emulated GPU" env TRAINER_TESTS=ON "$root/scripts/build.sh" emulated failing_calls || return
  step "the program" "$root/scripts/build.sh" emulated trainer || return
  step "every call fails once" "$root/scripts/failing_calls.sh" --count "$count" "${kept[@]}"
}

part_mutants() {
  local seed=$((RANDOM)) arguments=() limits=(--count 300 --least 95)
  if [[ $short == yes ]]; then
    limits=(--count 5 --least 50 --room-only --minutes 4 --preset cpu)
    arguments=(trainer/store data) # whose tests are quick to build
  else
    arguments=(kernels/math kernels/portable kernels/cpu kernels/cuda trainer/train trainer/store data trainer/remote)
  fi
  step "mutations with seed $seed" "$root/scripts/mutate.sh" "${arguments[@]}" "${limits[@]}" --seed "$seed"
}

part_fuzz() {
  local seconds=$((60 * ${minutes:-60}))
  [[ $short == no ]] || seconds=100
  command -v clang++ >/dev/null || skip "there is no clang++ (./scripts/install_packages.sh --fuzz)" || return
  step "build" env TRAINER_CUDA=OFF TRAINER_TESTS=OFF "$root/scripts/build.sh" fuzz fuzz || return
  step "each target in turn, $seconds s in all" "$root/scripts/fuzz.sh" --no-build --seconds "$seconds"
}
