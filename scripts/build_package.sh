#!/usr/bin/env bash
# Makes a Debian package of the CPU program for the release that it runs on: build/package/mnist-trainer_*.deb.
#   scripts/build_package.sh [--no-install]      --no-install: does not install missing packages
# It installs the packages that it needs as train.sh does.
set -euo pipefail

root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
folder=$root/build/package

say() { printf '%s\n' "$*" >&2; }

case ${1:-} in
  '') "$root/scripts/install_packages.sh" --build --package ;;
  --no-install) ;;
  *) say "usage: build_package.sh [--no-install]" && exit 2 ;;
esac
umask 022
say "building the package's program"
log=$root/build/package.log
mkdir -p "$folder"
{
  cmake -S "$root" -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=/usr -DTRAINER_CUDA=OFF \
    -DTRAINER_TESTS=OFF -DTRAINER_PACKAGE=ON -DCMAKE_UNITY_BUILD=ON \
    -DCMAKE_CXX_FLAGS="-fstack-protector-strong -D_FORTIFY_SOURCE=2" \
    -DCMAKE_EXE_LINKER_FLAGS="-Wl,-z,relro -Wl,-z,now -pie" -DCMAKE_POSITION_INDEPENDENT_CODE=ON &&
    cmake --build "$folder" --target trainer package_documents && rm -f "$folder"/*.deb && (cd "$folder" && cpack -G DEB)
} >"$log" 2>&1 || { tail -n 30 "$log" >&2 && say "error: the package was not made; the whole log is $log" && exit 1; }
for package in "$folder"/*.deb; do
  # shellcheck disable=SC2016
  say "$(dpkg-deb --show --showformat='${Package} ${Version} for ${Architecture}, ${Installed-Size} KiB installed' "$package")"
  printf '%s\n' "$package"
done
