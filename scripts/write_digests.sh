#!/usr/bin/env bash
# Writes kernels/portable/digests.yaml with the digests of this machine's processor: each shipped network after two steps of 16
# images, and sprint-lean and sprint whole. Shows what changed.
#   scripts/write_digests.sh [TRAINER]    the program to ask [build/cpu/trainer/trainer, built first]
set -euo pipefail

root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
table=$root/kernels/portable/digests.yaml
trainer=${1:-$root/build/cpu/trainer/trainer}
[[ $# -gt 0 ]] || "$root/scripts/build.sh" cpu trainer

# row NETWORK SEED STEPS OPTION...: prints the row of a training with these options.
row() {
  local digest
  digest=$("$trainer" train --model "$1" --seed "$2" "${@:4}" --bits portable --device cpu --data "$root/data/mnist" --no-save --json 2>"$log" |
    sed -n 's/.*"event":"end".*"digest":"\([0-9a-f]\{64\}\)".*/\1/p')
  [[ -n $digest ]] || { echo "error: the training of $1 with seed $2 printed no digest: $(<"$log")" >&2 && return 1; }
  printf -- '- {network: %s, seed: %s, steps: %s, digest: %s}\n' "$1" "$2" "$3" "$digest"
}

new=$(mktemp) log=$(mktemp)
trap 'rm -f "$new" "$log"' EXIT
{
  sed -n '/^#/p' "$table"
  for file in "$root"/models/*.yaml; do
    row "$(basename -- "$file" .yaml)" 1 2 --batch 16 --limit-train 32 --epochs 1
  done
  for network in sprint-lean sprint; do
    for seed in 1 2 3; do row "$network" "$seed" all; done
  done
} >"$new"
diff -- "$table" "$new" || cat -- "$new" >"$table"
