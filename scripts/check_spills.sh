#!/usr/bin/env bash
# Reads ptxas's output from compiling the GPU kernels (-Xptxas=-v) and fails if a kernel's registers spill.
#   scripts/check_spills.sh LOG      LOG: build/cuda.compile.log of a build that compiled the kernels; other logs pass
set -euo pipefail

log=${1:?usage: check_spills.sh LOG}

awk '
  /ptxas info *: Compiling entry function/ { kernel = $(NF - 2); architecture = $NF }
  /bytes spill stores/ {
    kernels++
    if ($5 + $9 > 0) { print "error: " kernel " for " architecture ":" $0; spills++ }
  }
  END {
    printf "register spills: %d of %d compiled kernels\n", spills, kernels
    exit spills > 0
  }' "$log" >&2
