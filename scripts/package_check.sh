#!/usr/bin/env bash
# Tests a package in a fresh tree of the release that it was made on: installs it with apt, trains and evaluates as an
# ordinary user in that user's folder, reads a manual page, removes the package and looks for leftovers.
#   scripts/package_check.sh PACKAGE.deb TREE      TREE: a folder that debootstrap --variant=minbase made; as root
# The tree is changed, so give it a copy. If lintian is installed, its errors are failures too.
set -euo pipefail

say() { printf '%s\n' "$*" >&2; }

package=${1:?usage: package_check.sh PACKAGE.deb TREE} tree=${2:?usage: package_check.sh PACKAGE.deb TREE}
((EUID == 0)) || { say "error: chroot needs root" && exit 1; }
[[ -x $tree/usr/bin/apt-get ]] || { say "error: $tree is no tree of Debian: debootstrap --variant=minbase bookworm $tree" && exit 1; }

inside() { chroot "$tree" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive "$@"; }
as_user() { chroot --userspec=ann "$tree" env -i PATH=/usr/bin:/bin HOME=/home/ann bash -c "cd /home/ann && $1"; }
files_of_system() { (cd "$tree" && find etc usr opt var/lib -path usr/share/mime -prune -o -type f -print | grep -vE '^(var/lib/(apt|dpkg|systemd)/|etc/(ld.so.cache|passwd|group|shadow|gshadow|subuid|subgid))' | sort); }

mounted=no
cleanup() { [[ $mounted == no ]] || umount "$tree/proc"; }
trap cleanup EXIT
mountpoint -q "$tree/proc" || { mount -t proc proc "$tree/proc" && mounted=yes; }

if command -v lintian >/dev/null; then
  lintian --allow-root --fail-on error "$package"
  say "lintian: no error"
fi
inside apt-get -q=2 update
# Its dependencies are installed first and stay, so that only the package's own files come and go.
# shellcheck disable=SC2016
dependencies=$(dpkg-deb --show --showformat='${Depends}' "$package" | sed 's/([^)]*)//g; s/,/ /g')
# shellcheck disable=SC2086
inside apt-get -q=2 -o Dpkg::Use-Pty=0 install --yes --no-install-recommends $dependencies >/dev/null
inside useradd --create-home ann 2>/dev/null || true
files_of_system >"$tree/tmp/before"

cp "$package" "$tree/tmp/package.deb"
inside apt-get -q=2 -o Dpkg::Use-Pty=0 install --yes /tmp/package.deb >/dev/null
as_user 'trainer --version && trainer models && trainer train --epochs 1 --limit-train 6000 && trainer eval last | sed -n 1,4p && rm -rf runs'
inside test -s /usr/share/man/man1/trainer-train.1.gz || say "note: this tree leaves manual pages out (dpkg's path-exclude)"
inside bash -c '. /usr/share/bash-completion/completions/trainer'
inside apt-get -q=2 -o Dpkg::Use-Pty=0 purge --yes mnist-trainer >/dev/null
files_of_system >"$tree/tmp/after"
diff "$tree/tmp/before" "$tree/tmp/after" || { say "error: files above were left behind or taken away" && exit 1; }
! inside sh -c 'command -v trainer' || { say "error: trainer is still there" && exit 1; }
say "package: installs, trains as an ordinary user, and goes without a trace"
