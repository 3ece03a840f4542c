#!/usr/bin/env bash
# Tests the container image on a real engine without a registry: starts Debian's Docker, makes base images from this machine's
# Debian and CUDA toolkit, builds both variants from the Dockerfile, and runs them without network, with a read-only
# root, and as users that are not root. It does not touch the machine's own engine or images.
#   scripts/image_check.sh [--tree FILE] [--cpu] [--ranks] [--arch LIST] [--tests] [--keep] [--require]
# --tree     a tar of a Debian tree by debootstrap --variant=minbase, instead of a new one
# --cpu      only the cpu variant
# --ranks    also the cpu variant for several ranks, which is compiled anew
# --arch     the compute capabilities that the CUDA variant is built for [90]
# --tests    also runs the tests while building; by default they are left out, as the images are only for this check
# --keep     leaves the engine running with what it built, for inspection and for the next call to continue with
# --require  what cannot be tested here is a failure; by default it is skipped with a message
# Needs docker.io and debootstrap, root, the package registry, and 8 GB in build/ (2 GB with --cpu).
set -euo pipefail

root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
folder=$root/build/image-check
# shellcheck source=scripts/image/engine.sh
. "$root/scripts/image/engine.sh"
# shellcheck source=scripts/image/bases.sh
. "$root/scripts/image/bases.sh"
# shellcheck source=scripts/image/libraries.sh
. "$root/scripts/image/libraries.sh"
# shellcheck source=scripts/image/checks.sh
. "$root/scripts/image/checks.sh"

say() { printf '%s\n' "$*"; }

usage() {
  printf 'error: %s; see the head of scripts/image_check.sh\n' "$1" >&2
  exit 2
}

parse() {
  tree='' cpu_only=no ranks=no arch=90 tests=--no-tests keep=no require=no
  while (($#)); do
    case $1 in
      --cpu) cpu_only=yes ;;
      --ranks) ranks=yes ;;
      --tests) tests='' ;;
      --keep) keep=yes ;;
      --require) require=yes ;;
      --tree | --arch)
        [[ -n ${2:-} ]] || usage "$1 needs a value"
        if [[ $1 == --tree ]]; then tree=$2; else arch=$2; fi
        shift
        ;;
      *) usage "unknown argument '$1'" ;;
    esac
    shift
  done
}

# skip WHAT WHY: reports a skipped check, which is a failure under --require.
skip() {
  say "SKIPPED: $1: $2"
  skipped=$((skipped + 1))
  [[ $require == no ]] || failed=$((failed + 1))
}

# check WHAT COMMAND...: tests one promise and prints one line.
check() {
  local what=$1 log=$folder/check.log
  shift
  if "$@" >"$log" 2>&1; then
    passed=$((passed + 1))
    say "  ok      $what"
    grep '^    ' "$log" || true
  else
    failed=$((failed + 1))
    say "  FAILED  $what"
    sed 's/^/          /' "$log" | tail -n 20
  fi
}

summary() {
  say "$passed passed, $failed failed, $skipped skipped"
  ((failed == 0))
}

clean_up() {
  if [[ $keep == yes ]]; then
    say "the engine goes on: DOCKER_HOST=unix://$folder/engine/docker.sock; end it with: kill $(cat "$folder"/engine/{docker,container}d.pid | paste -sd ' ')"
    return
  fi
  stop_engine "$folder/engine"
  rm -rf "$folder"
}

# is_there IMAGE: tells whether an earlier call with --keep left the image.
is_there() { docker image inspect "$1" >/dev/null 2>&1; }

make_system() {
  is_there mnist-trainer-check/system && return
  rm -rf "$folder/tree"
  unpack_tree "$tree" "$folder/tree" && import_system "$folder/tree" mnist-trainer-check/system
}

make_devel() { is_there mnist-trainer-check/devel || import_devel "$folder/tree" "$1" mnist-trainer-check/devel; }

# build NAME DEVEL [OPTIONS]: builds the image mnist-trainer-check:NAME; NAME is the variant, or VARIANT-ranks.
build() {
  local name=$1 devel=$2
  shift 2
  # shellcheck disable=SC2086  # $tests may be nothing
  "$root/scripts/build_image.sh" --variant "${name%-ranks}" --devel "$devel" --runtime mnist-trainer-check/system \
    --tag "mnist-trainer-check:$name" --network host $tests "$@" >"$folder/$name.log" 2>&1 ||
    { tail -n 30 "$folder/$name.log" && return 1; }
  grep -E '^ *[0-9.]+ MB ' "$folder/$name.log" | sed -n '1,16s/^/    /p'
}

# What both variants promise.
check_variant() {
  image=mnist-trainer-check:$1 work=$folder/results/$1
  rm -rf "$work"
  mkdir -p "$work"
  check "it is not root, and has no compiler and no sources" holds_no_tools
  check "it names the commit that it was built from" names_its_commit
  check "with nowhere to write it says what to do, and --no-save does it" says_where_it_may_write
  check "it trains an epoch, as any user, into that user's folder" trains_into_a_folder
  check "trainer submit's folder takes a run" trains_where_submit_says
  check "docker stop ends a run in order, with status 143" stops_in_order
}

check_cpu() {
  say "the cpu variant"
  check "it builds" build cpu mnist-trainer-check/system
  is_there mnist-trainer-check:cpu || return 0
  check_variant cpu
  check "it is small" is_small 150
  check "it has no MPI, and says so" says_that_it_has_no_mpi
  check "its labels say what it is" has_labels org.opencontainers.image.{title,version,revision,licenses} mnist-trainer.variant
  check "a named volume takes results of any user" trains_into_a_volume
  check "it knows a terminal" knows_a_terminal
  check "--gpus without NVIDIA's Container Toolkit ends in the known words" names_the_missing_toolkit
}

check_ranks() {
  say "the cpu variant for several ranks"
  check "it builds" build cpu-ranks mnist-trainer-check/system --ranks
  is_there mnist-trainer-check:cpu-ranks || return 0
  check_variant cpu-ranks
  check "it is small" is_small 300
  check "two and four ranks end with the digest of one process" trains_on_ranks
}

check_cuda() {
  local toolkit cudnn
  say "the CUDA variant, for compute capability $arch"
  toolkit=$(toolkit_folder)
  if [[ -z $toolkit ]]; then
    skip "the CUDA variant" "there is no CUDA toolkit with cuDNN here"
    return
  fi
  cudnn=$(awk '$2 ~ /^CUDNN_(MAJOR|MINOR|PATCHLEVEL)$/ && $3 ~ /^[0-9]+$/ { v = v (v == "" ? "" : ".") $3 } END { print v }' \
    "$toolkit/include/cudnn_version.h")
  check "this machine's toolkit makes a devel base" make_devel "$toolkit"
  check "a wrong cuDNN is refused" refuses_another_cudnn
  check "it builds" build cuda mnist-trainer-check/devel --cuda "$("$toolkit/bin/nvcc" --version | sed -n 's/.* V//p')" \
    --cudnn "$cudnn" --arch "$arch"
  is_there mnist-trainer-check:cuda || return 0
  check_variant cuda
  check "it is small" is_small 1200 mnist-trainer-check/system
  check "its labels say what it is" has_labels org.opencontainers.image.{title,version,revision,licenses} \
    mnist-trainer.{variant,cuda,cudnn,nvrtc,architectures}
  check "every library is there, and those that are loaded by name" has_all_libraries
  if [[ -x $root/build/cuda/tests/cudnn_plans_test ]]; then
    check "cuDNN plans every network in it" plans_every_network "$toolkit"
  else
    skip "cuDNN's plans in the image" "build/cuda/tests/cudnn_plans_test is not built (scripts/test.sh builds it)"
  fi
  check "without a GPU it says how to give it one, and trains" says_how_to_give_it_a_gpu
}

refuses_another_cudnn() {
  ! said=$("$root/scripts/build_image.sh" --devel mnist-trainer-check/devel --runtime mnist-trainer-check/system --cudnn 9.0.1 \
    --tag mnist-trainer-check:wrong --network host --no-tests 2>&1) && expect "$said" 'CUDNN_VERSION says 9[.]0[.]1'
}

main() {
  local why
  parse "$@"
  passed=0 failed=0 skipped=0
  why=$(why_no_engine)
  [[ -n $why ]] || why=$(why_no_tree "$tree")
  if [[ -n $why ]]; then
    skip "the container image" "$why"
    summary
    return
  fi
  mkdir -p "$folder"
  trap clean_up EXIT
  if ! start_engine "$folder/engine"; then
    skip "the container image" "no engine starts on this machine (above)"
    summary
    return
  fi
  say "an engine of its own: Docker $(docker version --format '{{.Server.Version}}'), without bridge, firewall and registry"
  check "a Debian tree makes a base" make_system
  check_cpu
  [[ $ranks == no ]] || check_ranks
  [[ $cpu_only == yes ]] || check_cuda
  summary
}

main "$@"
