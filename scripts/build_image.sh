#!/usr/bin/env bash
# Builds the container image (Dockerfile) and prints its size by library.
#   scripts/build_image.sh [--variant cuda|cpu] [OPTIONS]
# --cuda VERSION     CUDA version of NVIDIA's bases, as in 12.9.1 [13.0.1]
# --cudnn VERSION    cuDNN version of the devel base [9.13.0 in 13.0.1, 9.10.2 in 12.9.1]; another one stops the build
# --os NAME          system of the bases [ubuntu24.04]; the cpu variant is built on that system's own image
# --arch LIST        compute capabilities, as in 90 or "80;90" [7.5 to 12.0, and PTX]
# --nvrtc            with NVRTC, for cuDNN's engines that are compiled at run time: 114 MB more
# --ranks            with what several ranks need (docs/clusters.md): Open MPI, ssh and sshd, and NCCL in the CUDA variant
# --devel IMAGE      replaces NVIDIA's base for the build, --runtime IMAGE the base of what ships; both need the same system
# --platform NAME    as in linux/arm64 [this machine's]; arm64 has not been built yet
# --tag NAME         [mnist-trainer:VERSION-cuda13.0 and :latest, mnist-trainer:VERSION-cpu and :cpu; with --ranks all end in -ranks]
# --network NAME     network through which the build reaches the package registry [the engine's own]
# --no-tests         builds without running the tests, and says so
# Bases are pulled by the digests in scripts/image/digests, if scripts/pin_images.sh has written them.
# The engine is docker, or what DOCKER names (podman), on this machine or on the one that DOCKER_HOST names.
set -euo pipefail

root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
engine=${DOCKER:-docker}
declare -A cudnn_of=([13.0.1]=9.13.0 [12.9.1]=9.10.2)

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "error: $1"
  exit "${2:-1}"
}

parse() {
  variant=cuda cuda=13.0.1 cudnn='' os=ubuntu24.04 arch='' nvrtc=OFF ranks=OFF devel='' runtime='' platform='' tags=() network='' tests=ON
  while (($#)); do
    case $1 in
      --nvrtc) nvrtc=ON && shift && continue ;;
      --ranks) ranks=ON && shift && continue ;;
      --no-tests) tests=OFF && shift && continue ;;
    esac
    [[ -n ${2:-} ]] || fail "$1 needs a value, or is unknown; see the head of scripts/build_image.sh" 2
    case $1 in
      --variant) variant=$2 ;;
      --cuda) cuda=$2 ;;
      --cudnn) cudnn=$2 ;;
      --os) os=$2 ;;
      --arch) arch=$2 ;;
      --devel) devel=$2 ;;
      --runtime) runtime=$2 ;;
      --platform) platform=$2 ;;
      --tag) tags+=("$2") ;;
      --network) network=$2 ;;
      *) fail "unknown argument '$1'; see the head of scripts/build_image.sh" 2 ;;
    esac
    shift 2
  done
  [[ $variant =~ ^(cuda|cpu)$ ]] || fail "--variant $variant: cuda or cpu" 2
  [[ $arch =~ ^([0-9]+[a-z]?(-real|-virtual)?(\;[0-9]+[a-z]?(-real|-virtual)?)*)?$ ]] ||
    fail "--arch $arch: compute capabilities without the dot, as in 90 or \"80;90\"" 2
  cudnn=${cudnn:-${cudnn_of[$cuda]:-}}
  [[ $variant == cpu || -n $cudnn ]] || fail "--cuda $cuda: say with --cudnn which cuDNN its devel base brings" 2
}

# pinned IMAGE: prints the image with its digest, if one has been recorded.
pinned() {
  local digest=''
  [[ ! -e $root/scripts/image/digests ]] ||
    digest=$(awk -v image="$1" '$1 == image { print $2 }' "$root/scripts/image/digests")
  printf '%s\n' "$1${digest:+@$digest}"
}

# system_image OS: prints the image of a system without CUDA: "ubuntu:24.04" for "ubuntu24.04".
system_image() { sed -E 's/^([a-z]+)([0-9.]*)$/\1:\2/' <<<"$1"; }

choose_bases() {
  if [[ $variant == cpu ]]; then
    devel=${devel:-$(pinned "$(system_image "$os")")} runtime=${runtime:-$(pinned "$(system_image "$os")")}
  else
    devel=${devel:-$(pinned "nvidia/cuda:$cuda-cudnn-devel-$os")} runtime=${runtime:-$(pinned "nvidia/cuda:$cuda-base-$os")}
  fi
}

describe_sources() {
  version=$(sed -n 's/^project(mnist_trainer VERSION \([0-9.]*\).*/\1/p' "$root/CMakeLists.txt")
  commit=$(git -C "$root" describe --always --dirty --abbrev=12 --exclude '*' 2>/dev/null || echo unknown)
  ((${#tags[@]} == 0)) || return 0
  if [[ $variant == cpu ]]; then
    tags=("mnist-trainer:$version-cpu" mnist-trainer:cpu)
  else
    tags=("mnist-trainer:$version-cuda${cuda%.*}" mnist-trainer:latest)
  fi
  [[ $ranks == OFF ]] || tags=("${tags[@]/%/-ranks}")
}

build() {
  local tag options=(--target "$variant" --build-arg "VARIANT=$variant" --build-arg "DEVEL_IMAGE=$devel"
    --build-arg "RUNTIME_IMAGE=$runtime" --build-arg "VERSION=$version" --build-arg "COMMIT=$commit" --build-arg "RANKS=$ranks" --build-arg "TESTS=$tests")
  if [[ $variant == cuda ]]; then
    options+=(--build-arg "CUDA_VERSION=$cuda" --build-arg "CUDNN_VERSION=$cudnn" --build-arg "NVRTC=$nvrtc")
    [[ -z $arch ]] || options+=(--build-arg "ARCHITECTURES=$arch")
  fi
  [[ -z $network ]] || options+=(--network "$network")
  [[ -z $platform ]] || options+=(--platform "$platform")
  for tag in "${tags[@]}"; do options+=(--tag "$tag"); done
  say "building ${tags[0]} of $commit on $devel and $runtime"
  [[ $tests == ON ]] || say "NOTHING IS TESTED (--no-tests)"
  "$engine" build "${options[@]}" "$root" || fail "the image was not built; what failed is above"
}

# bytes_of IMAGE
bytes_of() { "$engine" image inspect --format '{{.Size}}' "$1"; }

# in_image COMMAND...
in_image() { "$engine" run --rm --network none --entrypoint "$1" "${tags[0]}" "${@:2}"; }

report_sizes() {
  local all base
  all=$(bytes_of "${tags[0]}")
  base=$(bytes_of "$runtime" 2>/dev/null || echo 0)
  awk -v all="$all" -v base="$base" 'BEGIN {
    printf "%8.1f MB  the image\n%8.1f MB  of it the base\n%8.1f MB  without it; the largest files that the program uses, the base\047s among them:\n", all / 1e6, base / 1e6, (all - base) / 1e6 }'
  # shellcheck disable=SC2016  # the container's shell expands it
  in_image sh -c 'cd /opt/mnist-trainer && { find . -type f; ldd bin/trainer | sed -nE "s/.* => (\/usr[^ ]*|\/lib[^ ]*) .*/\1/p"; } |
    xargs stat --dereference --format "%s %n"' |
    awk '{ sub(/.*share\/mnist-trainer\/mnist\/.*/, "MNIST", $2); sub(/.*share\/.*/, "networks, licence", $2); sub(/.*\//, "", $2)
           bytes[$2] += $1 }
         END { for (name in bytes) if (bytes[name] >= 1e5) printf "%12.1f MB  %s\n", bytes[name] / 1e6, name }' | sort -rn
}

main() {
  parse "$@"
  command -v "$engine" >/dev/null || fail "there is no $engine here: install Docker (Debian: docker.io), or name another with DOCKER"
  choose_bases
  describe_sources
  build
  say "built ${tags[*]}"
  report_sizes
}

main "$@"
