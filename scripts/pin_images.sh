#!/usr/bin/env bash
# Records the current registry digests of the images that the Dockerfile builds on, so that later builds start from the same
# bytes. For a maintainer who can reach that registry and then commits the result, scripts/image/digests.
#   scripts/pin_images.sh [IMAGE...]     [those of scripts/build_image.sh: CUDA 13.0.1 and 12.9.1, ubuntu:24.04]
# Named images are added to the recorded ones.
# Each image is pulled (the devel ones have several GB), because that works with every version of Docker and gives the digest
# of all platforms together. The engine is docker, or what DOCKER names.
set -euo pipefail

root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
engine=${DOCKER:-docker}
file=$root/scripts/image/digests

fail() {
  printf 'error: %s\n' "$1" >&2
  exit 1
}

# digest_of IMAGE: prints the image's digest in its registry.
digest_of() {
  local reference
  "$engine" pull --quiet "$1" >/dev/null || fail "$1 cannot be pulled (above): check its name, and that its registry is reached"
  while read -r reference; do
    if [[ /${reference%@*} == */"${1%:*}" ]]; then
      echo "${reference##*@}"
      return
    fi
  done < <("$engine" image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$1")
  fail "$engine does not say which digest $1 has in its registry"
}

main() {
  local image digest images=("$@")
  ((${#images[@]})) || images=(nvidia/cuda:{13.0.1,12.9.1}-{cudnn-devel,base}-ubuntu24.04 ubuntu:24.04)
  command -v "$engine" >/dev/null || fail "there is no $engine here: install Docker (Debian: docker.io), or name another with DOCKER"
  trap 'rm -f "$file.part"' EXIT
  : >"$file.part"
  for image in "${images[@]}"; do
    digest=$(digest_of "$image")
    [[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || fail "'$digest' of $image is no digest"
    printf '%s %s\n' "$image" "$digest" | tee -a "$file.part"
  done
  if (($#)) && [[ -e $file ]]; then
    awk 'NR == FNR { given[$1]; next } !($1 in given)' "$file.part" "$file" >"$file.others"
    cat "$file.others" >>"$file.part"
    rm "$file.others"
  fi
  mv "$file.part" "$file"
}

main "$@"
