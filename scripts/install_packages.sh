#!/usr/bin/env bash
# Installs the packages of Debian 12, Debian 13 and Ubuntu 24.04 that the project needs; this is their only list.
#   scripts/install_packages.sh [--build] [--test] [--check] [--package] [--portable] [--fuzz] [--image] [--slurm] [--health] [--list]
# Installs the missing packages of the named groups (default: --build --test); --list prints them instead.
# It calls apt-get as root, else through sudo; if neither works, it names the packages and exits with 1.
# On a system without apt it names them and continues: CMake then says what it does not find.
set -euo pipefail

build_packages=(g++ cmake ninja-build pkg-config libcli11-dev libstb-dev libdnnl-dev libdeflate-dev
                libyaml-cpp-dev nlohmann-json3-dev libfmt-dev libssl-dev)
test_packages=(libgtest-dev)
# A test that does not find one is skipped. Both MPIs: the build makes a plugin for each that is here.
optional_test_packages=(dataset-fashion-mnist tcsh fish zsh libopenmpi-dev openmpi-bin libmpich-dev mpich)
package_packages=(dpkg-dev file)
check_packages=(ccache clang-format clang-tidy libomp-dev gcovr shellcheck python3-venv)
fuzz_packages=(clang libclang-rt-dev llvm)
portable_packages=(clang g++-aarch64-linux-gnu qemu-user emscripten)
slurm_packages=(slurm-wlm munge openmpi-bin)
health_packages=(prometheus podman catatonit python3-yaml)
image_packages=(docker.io debootstrap openssh-client openssh-server)

declare -A reasons=(
  [g++]="the compiler"                  [cmake]="configures the build"
  [ninja-build]="runs the build"        [pkg-config]="finds libdeflate"
  [libcli11-dev]="the command line"     [libstb-dev]="reads pictures"
  [libdnnl-dev]="oneDNN, the CPU engine's convolutions"
  [libdeflate-dev]="inflates the data set"
  [libyaml-cpp-dev]="reads the networks" [nlohmann-json3-dev]="writes the records"
  [libssl-dev]="SHA-256"
  [libfmt-dev]="formats text"           [libgtest-dev]="GoogleTest"
  [dataset-fashion-mnist]="a second real data set, for the tests"
  [tcsh]="a login shell of targets"      [fish]="a login shell of targets"
  [zsh]="a login shell of targets"
  [libopenmpi-dev]="several ranks, by Open MPI" [openmpi-bin]="starts them"
  [libmpich-dev]="several ranks, by MPICH" [mpich]="starts them"
  [ccache]="compiles once what several builds share"
  [clang-format]="checks the layout"    [clang-tidy]="checks the code"
  [libomp-dev]="omp.h for clang-tidy"   [gcovr]="counts covered lines"
  [shellcheck]="checks the scripts"      [dpkg-dev]="finds what a package depends on"
  [file]="tells programs from other files"
  [docker.io]="the engine that scripts/image_check.sh starts for itself"
  [debootstrap]="makes its base image"
  [openssh-client]="reaches the targets" [openssh-server]="plays one, for scripts/target_check.sh"
  [slurm-wlm]="starts ranks, for scripts/slurm_check.sh" [munge]="Slurm's keys"
  [prometheus]="promtool, which reads what doctor writes" [podman]="runs the pods of deploy/kubernetes"
  [catatonit]="holds a pod's namespaces" [python3-yaml]="cuts them out"
  [clang]="a second compiler"            [libclang-rt-dev]="its libFuzzer and sanitizers"
  [llvm]="names the lines in their reports" [g++-aarch64-linux-gnu]="compiles for arm64"
  [qemu-user]="runs it"                  [emscripten]="compiles to WebAssembly"
  [python3-venv]="numpy and safetensors, which open a checkpoint in a test"
)
# Programs that need not come from their package.
declare -A programs=([g++]=g++ [cmake]=cmake [ninja-build]=ninja [pkg-config]=pkg-config
                     [ccache]=ccache [clang-format]=clang-format [clang-tidy]=clang-tidy [gcovr]=gcovr [shellcheck]=shellcheck [dpkg-dev]=dpkg-shlibdeps [file]=file
                     [clang]=clang++ [g++-aarch64-linux-gnu]=aarch64-linux-gnu-g++ [qemu-user]=qemu-aarch64 [emscripten]=em++
                     [prometheus]=promtool [podman]=podman [docker.io]=dockerd [debootstrap]=debootstrap [openssh-client]=ssh)

say() { printf '%s\n' "$*" >&2; }

# missing_packages NAME...: prints those neither installed nor, for a program, found on the path, one per line.
missing_packages() {
  local installed package
  (($#)) || return 0
  # dpkg-query exits with 1 for a package that it has never heard of.
  installed=$(dpkg-query --show --showformat='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true)
  for package in "$@"; do
    [[ $'\n'$installed$'\n' != *$'\n'"installed $package"$'\n'* ]] || continue
    [[ -z ${programs[$package]:-} ]] || ! command -v "${programs[$package]}" >/dev/null || continue
    printf '%s\n' "$package"
  done
}

# apt_get ARGS...: runs apt-get as root without questions; returns 127 if this user cannot become root.
apt_get() {
  local as_root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null || return 127
    as_root=(sudo)
    [[ -t 0 ]] || as_root+=(--non-interactive)
  fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get --quiet=2 --option Dpkg::Use-Pty=0 --option DPkg::Lock::Timeout=120 "$@" </dev/null
}

# install_missing NAME...: installs with the current package lists; if that fails, once more with new ones.
install_missing() {
  local options=(install --yes --no-install-recommends) log status=0
  log=$(mktemp)
  apt_get "${options[@]}" "$@" >"$log" 2>&1 || status=$?
  if ((status != 0 && status != 127)); then
    say "  reading the package lists"
    { apt_get update && apt_get "${options[@]}" "$@"; } >"$log" 2>&1 && status=0
  fi
  if ((status != 0)); then
    tail -n 20 "$log" >&2
    say "error: these packages are missing and could not be installed by $(id -un): $*"
    say "  As root: apt-get update && apt-get install --no-install-recommends $*"
    say "  or, if these libraries are here without their packages, call the script with --no-install."
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}

# install_optional NAME...: ignores packages that this system does not offer or this user may not install.
install_optional() {
  local package
  for package in "$@"; do
    if apt-cache show "$package" >/dev/null 2>&1 &&
      apt_get install --yes --no-install-recommends "$package" >/dev/null 2>&1; then
      say "installed $package: ${reasons[$package]}"
    else
      say "note: going on without $package (${reasons[$package]})"
    fi
  done
}

# announce NAME...: prints what is about to be installed, and why.
announce() {
  local package
  say "installing what is missing:"
  for package in "$@"; do
    printf '  %-22s %s\n' "$package" "${reasons[$package]}" >&2
  done
}

main() {
  local wanted=() optional=() missing list=no
  while (($#)); do
    case $1 in
      --build) wanted+=("${build_packages[@]}") ;;
      --test) wanted+=("${test_packages[@]}") optional+=("${optional_test_packages[@]}") ;;
      --package) wanted+=("${package_packages[@]}") ;;
      --check) wanted+=("${check_packages[@]}") ;;
      --portable) wanted+=("${portable_packages[@]}") ;;
      --fuzz) wanted+=("${fuzz_packages[@]}") ;;
      --health) wanted+=("${health_packages[@]}") ;;
      --slurm) wanted+=("${slurm_packages[@]}") ;;
      --image) wanted+=("${image_packages[@]}") ;;
      --list) list=yes ;;
      *)
        say "usage: install_packages.sh [--build] [--test] [--check] [--package] [--portable] [--fuzz] [--image] [--slurm] [--health] [--list]"
        exit 2
        ;;
    esac
    shift
  done
  if ((${#wanted[@]} == 0)); then
    wanted=("${build_packages[@]}" "${test_packages[@]}") optional=("${optional_test_packages[@]}")
  fi
  if [[ $list == yes ]]; then
    printf '%s\n' "${wanted[@]}" "${optional[@]}"
    return
  fi
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "This system has no apt; in Debian's names the build needs: ${wanted[*]}"
    return
  fi
  mapfile -t missing < <(missing_packages "${wanted[@]}")
  if ((${#missing[@]})); then
    announce "${missing[@]}"
    install_missing "${missing[@]}"
    say "  installed after $SECONDS s"
  fi
  mapfile -t missing < <(missing_packages "${optional[@]}")
  ((${#missing[@]} == 0)) || install_optional "${missing[@]}"
}

main "$@"
