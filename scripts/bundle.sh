#!/usr/bin/env bash
# Packs the GPU build into one file for a machine that has a GPU but cannot build: the program, the tests and
# probes that gpu_check.sh runs, networks, MNIST, scripts, benchmarks (the model of the kernels' times reads their sources) and
# the shared libraries of this system.
#   scripts/bundle.sh [--arch LIST] [--preset PRESET] [--cuda-libs DIR...] [--out FILE] [--no-jitter]
# --arch       CMAKE_CUDA_ARCHITECTURES to build for [90], as in 90 or "80;90"; build/cuda keeps it until told otherwise
# --preset     what to build and pack [cuda]; cpu packs a program without a GPU engine
# --cuda-libs  folders of CUDA's libraries for the trial at the end, if the loader does not find them
# --no-jitter  without the twin of gpu_bits_test that waits at random (preset jitter), which needs a separate build
# --out        the file [build/bundle/mnist-trainer-COMMIT-ARCH.tar.gz]
# On that machine: tar xzf FILE, then mnist-trainer/scripts/gpu_check.sh, or mnist-trainer/run trainer train. CUDA, cuDNN and
# cuBLAS are left out: they are large and depend on the machine (scripts/gpu/cuda_libraries.sh finds them there). The C library
# is left out too: that machine's has to be as new as this one's.
set -euo pipefail

root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
programs=(conformance_test step_test backend_test gpu_training_test gpu_bits_test)
most_bytes=50000000 # with the repository (15 MB) below the 64 MiB that some machines take

# Left out: the C library and the loader, which belong together, and what the driver and CUDA's toolkit or wheels provide.
system_libraries='^(linux-vdso|ld-linux.*|libc|libm|libdl|librt|libpthread|libresolv|libutil)[.]so'
cuda_libraries='^lib(cuda|cudart|cudnn.*|nv.*)[.]so'

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "error: $1"
  exit "${2:-1}"
}

parse() {
  arch=90 preset=cuda out='' folders=() jitter=yes
  while (($#)); do
    if [[ $1 == --no-jitter ]]; then
      jitter=no && shift && continue
    fi
    [[ -n ${2:-} ]] || fail "$1 needs a value, or is unknown; see the head of scripts/bundle.sh" 2
    case $1 in
      --arch) arch=$2 && shift 2 ;;
      --preset) preset=$2 && shift 2 ;;
      --out) out=$2 && shift 2 ;;
      --cuda-libs)
        shift
        while (($#)) && [[ $1 != --* ]]; do
          [[ -d $1 ]] || fail "--cuda-libs $1: no such folder" 2
          folders+=("$(readlink -f -- "$1")") && shift
        done
        ;;
      *) fail "unknown argument '$1': --arch, --preset, --cuda-libs, --out or --no-jitter" 2 ;;
    esac
  done
  [[ $arch =~ ^[0-9]+[a-z]?(-real|-virtual)?(\;[0-9]+[a-z]?(-real|-virtual)?)*$ ]] ||
    fail "--arch $arch: compute capabilities without the dot, as in 90 or \"80;90\"" 2
  [[ $preset == cuda ]] || jitter=no
}

# Builds only what is packed, which is faster in a checkout that has built nothing yet.
build() {
  local target
  if [[ $preset == cuda ]]; then
    export TRAINER_CUDA=ON CMAKE_CUDA_ARCHITECTURES=$arch
  fi
  TRAINER_TESTS=ON "$root/scripts/build.sh" "$preset" --configure
  for target in trainer "${programs[@]}"; do "$root/scripts/build.sh" "$preset" "$target"; done
  if [[ $jitter == yes ]]; then
    TRAINER_TESTS=ON "$root/scripts/build.sh" jitter --configure
    "$root/scripts/build.sh" jitter gpu_bits_test
  fi
}

pack_programs() {
  local program built=$root/build/$preset
  mkdir -p "$folder/bin"
  cp "$built/trainer/trainer" "$folder/bin/"
  for program in "${programs[@]}"; do
    [[ -x $built/tests/$program ]] || fail "build/$preset/tests/$program is not built"
    cp "$built/tests/$program" "$folder/bin/"
  done
  [[ $jitter == no ]] || cp "$root/build/jitter/tests/gpu_bits_test" "$folder/bin/gpu_bits_test_jitter"
  strip --strip-unneeded "$folder"/bin/*
}

# gpu_check.sh's own CUDA programs: the faults that compute-sanitizer's tools are tested with, and the first contact's
# measurements. They link the CUDA runtime statically, so they start anywhere.
pack_probes() {
  local compiler probe first=${arch%%;*}
  compiler=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
  if [[ ! -x $compiler ]]; then
    say "note: no nvcc here, so planted_fault and first_contact are not packed; gpu_check.sh compiles them there, or skips them"
    return
  fi
  for probe in planted_fault first_contact; do
    "$compiler" -std=c++20 -O3 "-arch=sm_${first%%-*}" "-I$root" -o "$folder/bin/$probe" "$root/scripts/gpu/$probe.cu"
  done
}

# pack_libraries: copies the libraries of the packed programs under the names that the loader looks for.
pack_libraries() {
  local name path
  mkdir -p "$folder/lib"
  for path in "$folder"/bin/*; do ldd "$path"; done | sed -nE 's/^\t([^ ]+)( => ([^ ]+))?.*/\1 \3/p' | sort -u |
    while read -r name path; do
      [[ ! $(basename -- "$name") =~ $system_libraries ]] || continue
      if [[ $name =~ $cuda_libraries ]]; then
        printf '%s\n' "$name" >>"$folder/from_this_machine.txt"
        [[ $name != libcudart.so.* ]] || printf '%s\n' "libcublasLt.so.${name##*.so.}" >>"$folder/from_this_machine.txt"
        continue
      fi
      [[ -f $path ]] || fail "$name is not found on this machine (a packed program needs it)"
      cp -L -- "$path" "$folder/lib/$name"
      chmod u+w "$folder/lib/$name"
    done
  strip --strip-unneeded "$folder"/lib/*
}

pack_files() {
  mkdir -p "$folder/models" "$folder/data" "$folder/benchmarks" "$folder/scripts"
  cp "$root"/models/*.yaml "$folder/models/"
  cp -R "$root/deploy" "$folder/"
  cp -r "$root/data/mnist" "$folder/data/"
  cp "$root"/benchmarks/*.py "$folder/benchmarks/"
  if [[ -d $root/benchmarks/gpu_model ]]; then
    mkdir "$folder/benchmarks/gpu_model" "$folder/kernels"
    cp "$root"/benchmarks/gpu_model/*.py "$folder/benchmarks/gpu_model/"
    cp -r "$root/kernels/cuda" "$root/kernels/math" "$folder/kernels/"
  fi
  cp "$root/scripts/gpu_check.sh" "$folder/scripts/"
  mkdir "$folder/scripts/gpu"
  cp "$root"/scripts/gpu/*.{sh,py,cu,cuh} "$folder/scripts/gpu/"
  cp "$root/scripts/gpu/run.sh" "$folder/run"
  cp "$root/LICENSE" "$folder/"
}

describe() {
  printf 'mnist-trainer %s, preset %s, for compute capability %s\n' "$commit" "$preset" "$arch"
  printf 'packed on %s, C library %s\n' "$(date -u +%Y-%m-%d)" "$(getconf GNU_LIBC_VERSION)"
  printf 'libraries packed: %s\n' "$(find "$folder/lib" -type f -printf '%f\n' | sort | tr '\n' ' ')"
  printf 'libraries of the machine that runs it: %s\n' "$(sort -u "$folder/from_this_machine.txt" 2>/dev/null | tr '\n' ' ')"
  rm -f "$folder/from_this_machine.txt"
}

# try FILE: unpacks it elsewhere and starts the unpacked program.
try() {
  local there arguments=()
  there=$(mktemp -d)
  # shellcheck disable=SC2064
  trap "rm -rf '$there'" EXIT
  tar xzf "$1" -C "$there"
  ((${#folders[@]} == 0)) || arguments=(--cuda-libs "$(IFS=: && printf '%s' "${folders[*]}")")
  (cd / && "$there/mnist-trainer/run" "${arguments[@]}" trainer models >/dev/null) ||
    fail "the packed program does not start (above)"
  say "  unpacked elsewhere, it starts: $("$there/mnist-trainer/run" "${arguments[@]}" trainer --version)"
}

# repository_bytes: prints the size of the files that accompany the bundle if the whole checkout is sent to a machine.
repository_bytes() { git -C "$root" ls-files -z 2>/dev/null | (cd "$root" && xargs -0r stat -c %s) | awk '{ n += $1 } END { print n + 0 }'; }

main() {
  local bytes
  parse "$@"
  build
  commit=$(git -C "$root" describe --always --dirty --abbrev=12 --exclude '*' 2>/dev/null || echo unknown)
  out=${out:-$root/build/bundle/mnist-trainer-$commit-${arch//;/_}.tar.gz}
  mkdir -p "$(dirname -- "$out")"
  folder=$root/build/bundle/mnist-trainer
  rm -rf "$folder"
  pack_programs
  [[ $preset != cuda ]] || pack_probes
  pack_libraries
  pack_files
  describe >"$folder/BUNDLE.txt"
  tar c --owner=0 --group=0 --sort=name -C "$(dirname -- "$folder")" mnist-trainer | gzip -9 >"$out.part"
  bytes=$(stat -c %s "$out.part")
  ((bytes < most_bytes)) || fail "$out.part has $bytes bytes; $most_bytes are the most"
  mv "$out.part" "$out"
  rm -rf "$folder"
  try "$out"
  say "packed $out: $((bytes / 1000000)) MB; with the repository's own files $(((bytes + $(repository_bytes)) / 1000000)) MB"
}

main "$@"
